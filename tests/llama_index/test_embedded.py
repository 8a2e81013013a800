"""`SoTQueryEngine` with ``OpenAILike`` against the embedded model, served as an endpoint."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from skeleton_of_thought import Abilities

OpenAILike = pytest.importorskip("llama_index.llms.openai_like").OpenAILike
pytest.importorskip("openvino_genai")

from llama_index.core import MockEmbedding, VectorStoreIndex  # noqa: E402 -- only where framework and engine are
from llama_index.core.schema import TextNode  # noqa: E402

from llama_index_sot import SoTQueryEngine  # noqa: E402
from skeleton_of_thought.models._openvino import engine_for  # noqa: E402
from skeleton_of_thought.models._store import find  # noqa: E402
from skeleton_of_thought.server import running  # noqa: E402

QUERY = "What makes a good team leader?"


@pytest.fixture(scope="module")
def llm() -> Iterator[Any]:
    with running(engine_for(find("smollm2-135m"))) as endpoint:
        yield OpenAILike(
            api_base=endpoint.base_url,
            model="smollm2-135m",
            api_key="none",
            is_chat_model=True,
            default_headers={"Connection": "close"},  # LlamaIndex never closes the clients of loops that have ended
        )


@pytest.mark.parametrize("streaming", [True, False], ids=["streaming", "whole"])
@pytest.mark.parametrize("sync", [True, False], ids=["sync", "async"])
def test_a_real_model_answers_from_an_index(llm: Any, sync: bool, streaming: bool) -> None:
    """With at least three points in reading order, and its source."""
    index = VectorStoreIndex([TextNode(text="A good leader listens.")], embed_model=MockEmbedding(8))
    engine = SoTQueryEngine.from_args(
        index.as_retriever(),
        llm=llm,
        streaming=streaming,
        abilities=Abilities(prefill=True, grammar=True, small=True),
        max_points=4,
        point_max_tokens=24,
    )

    async def ask() -> tuple[Any, str]:
        response = await engine.aquery(QUERY)
        return response, "".join([text async for text in response.async_response_gen()]) if streaming else str(response)

    if sync:
        response = engine.query(QUERY)
        text = str(response)
    else:
        response, text = asyncio.run(ask())
    starts = [text.index(f"{number}. ") for number in (1, 2, 3)]
    assert sorted(starts) == starts
    assert ["A good leader listens."] == [source.node.get_content() for source in response.source_nodes]
