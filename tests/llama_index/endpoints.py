"""An engine that asks an endpoint through ``OpenAILike``, which itself asks once, and every way to read its answer."""

from typing import Any

import pytest

from llama_index_sot import SoTQueryEngine

from ..faulty import SOME, Faulty, run
from ..script import QUESTION
from .ways import aread, model, read

TWO = pytest.mark.parametrize("way", ["query", "astream"])
STREAMED = pytest.mark.parametrize("way", ["stream", "astream"])
FEW = pytest.mark.parametrize("stage", SOME)


def engine_of(endpoint: Faulty, index: Any, **settings: Any) -> SoTQueryEngine:
    """Make an engine that asks *endpoint*."""
    return SoTQueryEngine.from_args(index.as_retriever(), llm=model(endpoint.server), **settings)


def respond(engine: Any, way: str, query: Any = QUESTION) -> tuple[Any, str]:
    """Ask in one of the ways, and read to the end; return the response and its text."""
    engine._response_synthesizer._streaming = way.endswith("stream")
    if way in {"query", "stream"}:
        response = engine.query(query)
        return response, read(response)

    async def asked() -> tuple[Any, str]:
        response = await engine.aquery(query)
        return response, await aread(response)

    return run(asked())


def ask(engine: Any, way: str, query: Any = QUESTION) -> str:
    """Ask in one of the ways, and return the text."""
    return respond(engine, way, query)[1]
