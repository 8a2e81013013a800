"""A chain that asks an endpoint through ``ChatOpenAI``, which itself asks once and keeps no connection."""

from typing import Any

import pytest

from skeleton_of_thought import Abilities

from ..script import ALONE

ChatOpenAI = pytest.importorskip("langchain_openai").ChatOpenAI

from langchain_sot import SoTChain  # noqa: E402 -- only where the framework is


def chain_of(endpoint: Any, *, prefill: bool = False, **settings: Any) -> SoTChain:
    """Make a chain that asks *endpoint*."""
    model = {"model": "scripted", "api_key": "none", "stream_usage": True, "max_retries": 0}
    llm = ChatOpenAI(base_url=endpoint.base_url, default_headers=ALONE, **model)
    return SoTChain(llm=llm, abilities=Abilities(prefill=prefill), **settings)
