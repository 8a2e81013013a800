"""One script, every way in, one text. It proves that there is one implementation."""

import asyncio
from collections.abc import Callable, Iterable, Iterator

import pytest

from skeleton_of_thought import SkeletonOfThought
from skeleton_of_thought.events import Event, Text
from skeleton_of_thought.models.openai import OpenAIModel
from skeleton_of_thought.testing import LatencyModel, LatencyServer, collect

from .script import ALONE, QUESTION, REPLY, TEXT

langchain_openai = pytest.importorskip("langchain_openai")
openai_like = pytest.importorskip("llama_index.llms.openai_like")

from llama_index.core.schema import NodeWithScore, TextNode  # noqa: E402 -- only where the framework is

from langchain_sot import SoTChain  # noqa: E402
from llama_index_sot import SoTSynthesizer  # noqa: E402


@pytest.fixture
def server() -> Iterator[LatencyServer]:
    with LatencyServer(LatencyModel(reply=REPLY, first_token=0.005, per_token=0.001)) as server:
        yield server


def core(base_url: str, *, sync: bool, stream: bool) -> str:
    sot = SkeletonOfThought(llm=OpenAIModel("scripted", base_url=base_url))
    if sync:
        return _text(sot.stream(QUESTION)) if stream else sot.ask(QUESTION).text

    async def ask() -> str:
        return _text(await collect(sot.astream(QUESTION))) if stream else (await sot.aask(QUESTION)).text

    return asyncio.run(ask())


def langchain(base_url: str, *, sync: bool, stream: bool) -> str:
    llm = langchain_openai.ChatOpenAI(base_url=base_url, model="scripted", api_key="none", default_headers=ALONE)
    chain = SoTChain(llm=llm)
    if sync:
        return "".join(chunk.text for chunk in chain.stream(QUESTION)) if stream else chain.invoke(QUESTION).text

    async def ask() -> str:
        if not stream:
            return (await chain.ainvoke(QUESTION)).text
        return "".join([chunk.text async for chunk in chain.astream(QUESTION)])

    return asyncio.run(ask())


def llama_index(base_url: str, *, sync: bool, stream: bool) -> str:
    llm = openai_like.OpenAILike(
        api_base=base_url,
        model="scripted",
        api_key="none",
        is_chat_model=True,
        default_headers=ALONE,
    )
    synthesizer = SoTSynthesizer(llm=llm, streaming=stream)
    nodes = [NodeWithScore(node=TextNode(text="Sleep comes with the dark."))]
    if sync:
        response = synthesizer.synthesize(QUESTION, nodes)
        return "".join(response.response_gen) if stream else str(response)

    async def ask() -> str:
        response = await synthesizer.asynthesize(QUESTION, nodes)
        return "".join([text async for text in response.async_response_gen()]) if stream else str(response)

    return asyncio.run(ask())


def _text(events: Iterable[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, Text))


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("sync", [True, False], ids=["sync", "async"])
@pytest.mark.parametrize("way", [core, langchain, llama_index])
def test_every_way_in_gives_the_same_text(
    way: Callable[..., str], sync: bool, stream: bool, server: LatencyServer
) -> None:
    """Four requests, three of them points, and one text, however the question gets in."""
    assert way(server.base_url, sync=sync, stream=stream) == TEXT
    assert len(server.requests) == 4
    assert {stream} == {request.body.get("stream", False) for request in server.requests}
    server.wait_until_idle()
