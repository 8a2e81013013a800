"""`SoTChain` with ``ChatOpenAI`` against the embedded model, served as an endpoint."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from skeleton_of_thought import Abilities

ChatOpenAI = pytest.importorskip("langchain_openai").ChatOpenAI
pytest.importorskip("openvino_genai")

from langchain_sot import SoTChain  # noqa: E402 -- only where the framework and the engine are
from skeleton_of_thought.models._openvino import engine_for  # noqa: E402
from skeleton_of_thought.models._store import find  # noqa: E402
from skeleton_of_thought.server import running  # noqa: E402

from ..script import ALONE  # noqa: E402

QUESTION = "What makes a good team leader?"


@pytest.fixture(scope="module")
def chain() -> Iterator[Any]:
    with running(engine_for(find("smollm2-135m"))) as endpoint:
        llm = ChatOpenAI(
            base_url=endpoint.base_url, model="smollm2-135m", api_key="none", stream_usage=True, default_headers=ALONE
        )
        abilities = Abilities(prefill=True, grammar=True, small=True)
        yield SoTChain(llm=llm, abilities=abilities, max_points=4, point_max_tokens=24)


def test_a_real_model_answers_whole(chain: Any) -> None:
    """With at least three points, each with a text, and the tokens of all calls."""
    message = chain.invoke(QUESTION)
    about = message.response_metadata["sot"]
    assert 3 <= len(about["points"])
    assert all(message.text[slice(*point["span"])] for point in about["points"])
    assert message.usage_metadata["output_tokens"] > 3 * 4
    assert message.usage_metadata["input_token_details"]["cache_read"] > 0


def test_a_real_model_answers_in_pieces(chain: Any) -> None:
    """In reading order, asynchronously."""

    async def ask() -> list[Any]:
        return [chunk async for chunk in chain.astream(QUESTION)]

    chunks = asyncio.run(ask())
    text = "".join(chunk.text for chunk in chunks)
    starts = [text.index(f"{number}. ") for number in (1, 2, 3)]
    assert sorted(starts) == starts
    assert len(chunks) > 3
