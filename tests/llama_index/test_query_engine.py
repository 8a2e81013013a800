"""`SoTQueryEngine` and `SoTSynthesizer` in the places of the default ones, against a real endpoint."""

import asyncio
import threading
from typing import Any

import pytest

from skeleton_of_thought import ConfigurationError, PointError
from skeleton_of_thought.testing import LatencyModel, LatencyServer

from ..script import DIRECT, QUESTION, REPLY, TEXT

pytest.importorskip("llama_index.llms.openai_like")

from llama_index.core import VectorStoreIndex
from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ChatResponseGen,
    CompletionResponse,
    CompletionResponseGen,
    LLMMetadata,
)
from llama_index.core.base.response.schema import (
    AsyncStreamingResponse,
    Response,
    StreamingResponse,
)
from llama_index.core.llms import CustomLLM
from llama_index.core.query_engine import RetrieverQueryEngine

from llama_index_sot import SoTQueryEngine, SoTSynthesizer

from .ways import PASSAGES, aread, model


def asked(engine: Any, *, sync: bool) -> tuple[Any, str]:
    """Ask and read to the end."""
    if sync:
        response = engine.query(QUESTION)
        return response, str(response)

    async def ask() -> tuple[Any, str]:
        response = await engine.aquery(QUESTION)
        return response, await aread(response)

    return asyncio.run(ask())


@pytest.mark.parametrize(
    ("sync", "streaming", "kind"),
    [
        (True, False, Response),
        (True, True, StreamingResponse),
        (False, False, Response),
        (False, True, AsyncStreamingResponse),
    ],
)
def test_the_engine_answers_with_sources(
    index: VectorStoreIndex, llm: Any, sync: bool, streaming: bool, kind: type[Any]
) -> None:
    """Exactly the response types of the default engine, its sources in it."""
    engine = SoTQueryEngine.from_args(index.as_retriever(), llm=llm, streaming=streaming)
    assert isinstance(engine, RetrieverQueryEngine)
    response, text = asked(engine, sync=sync)
    assert kind is type(response)
    assert text == TEXT
    assert sorted(PASSAGES) == sorted(source.node.get_content() for source in response.source_nodes)


@pytest.mark.parametrize("sync", [True, False], ids=["sync", "async"])
def test_the_synthesizer_goes_into_a_default_engine(index: VectorStoreIndex, llm: Any, sync: bool) -> None:
    """The one public seam of ``as_query_engine``."""
    engine = index.as_query_engine(llm=llm, response_synthesizer=SoTSynthesizer(llm=llm))
    assert asked(engine, sync=sync)[1] == TEXT


def test_passages_are_in_one_unchanged_prefix(index: VectorStoreIndex, llm: Any, server: LatencyServer) -> None:
    """Passages and question stand first in every request, byte for byte."""
    SoTQueryEngine.from_args(index.as_retriever(), llm=llm).query(QUESTION)
    firsts = [request.body["messages"][0]["content"] for request in server.requests]
    prefix, _, _ = firsts[0].partition(QUESTION)
    assert all(passage in prefix for passage in PASSAGES)
    assert all(first.startswith(prefix + QUESTION) for first in firsts)


def test_a_query_that_does_not_suit_is_answered_directly(
    index: VectorStoreIndex, llm: Any, server: LatencyServer
) -> None:
    """One request."""
    response = SoTQueryEngine.from_args(index.as_retriever(), llm=llm).query("What is the capital of France?")
    assert (str(response), len(server.requests)) == (DIRECT, 1)


def test_streaming_is_read_at_each_call(index: VectorStoreIndex, llm: Any) -> None:
    """Chat engines switch it on the synthesizer for the time of a call."""
    engine = SoTQueryEngine.from_args(index.as_retriever(), llm=llm)
    engine._response_synthesizer._streaming = True
    assert isinstance(engine.query(QUESTION), StreamingResponse)
    engine._response_synthesizer._streaming = False
    assert isinstance(engine.query(QUESTION), Response)


def test_a_stream_starts_nothing_before_it_is_read(index: VectorStoreIndex, llm: Any, server: LatencyServer) -> None:
    """It may be read on another loop, so the skeleton is written there as well."""
    engine = SoTQueryEngine.from_args(index.as_retriever(), llm=llm, streaming=True)
    response = engine.query(QUESTION)
    assert server.requests == []
    assert str(response) == TEXT


def test_an_asynchronous_stream_can_be_read_by_str_inside_a_running_loop(index: VectorStoreIndex, llm: Any) -> None:
    """LlamaIndex reads it on another loop in another thread while the asker's loop stands still."""
    engine = SoTQueryEngine.from_args(index.as_retriever(), llm=llm, streaming=True)

    async def ask() -> str:
        return str(await engine.aquery(QUESTION))

    assert asyncio.run(ask()) == TEXT


def test_the_engine_stays_itself_over_another_retriever(index: VectorStoreIndex, llm: Any) -> None:
    """``with_retriever`` of the base class would return a default engine."""
    engine = SoTQueryEngine.from_args(index.as_retriever(), llm=llm)
    other = engine.with_retriever(index.as_retriever(similarity_top_k=1))
    assert type(other) is SoTQueryEngine
    assert len(other.query(QUESTION).source_nodes) == 1


class BlockingLLM(CustomLLM):
    """An LLM whose asynchronous methods are those of ``CustomLLM``: they block the loop."""

    together: Any

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(is_chat_model=True)

    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        raise NotImplementedError

    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseGen:
        raise NotImplementedError

    def chat(self, messages: Any, **kwargs: Any) -> ChatResponse:
        if "Write only point" not in messages[-1].content:
            return ChatResponse(message=ChatMessage(role="assistant", content="1. A\n2. B\n3. C"))
        self.together.wait(timeout=10)  # breaks unless all three points are being written at the same time
        return ChatResponse(message=ChatMessage(role="assistant", content="Said."))

    def stream_chat(self, messages: Any, **kwargs: Any) -> ChatResponseGen:
        raise NotImplementedError


@pytest.mark.parametrize("sync", [True, False], ids=["sync", "async"])
def test_a_model_that_only_blocks_still_writes_all_points_at_once(sync: bool) -> None:
    """Each call has a thread, whichever way it was asked."""
    synthesizer = SoTSynthesizer(llm=BlockingLLM(together=threading.Barrier(3)))
    if sync:
        text = synthesizer.get_response(QUESTION, ["A passage."])
    else:
        text = asyncio.run(synthesizer.aget_response(QUESTION, ["A passage."]))
    assert text == "1. A: Said.\n\n2. B: Said.\n\n3. C: Said."


def test_a_failing_point_is_one_error(index: VectorStoreIndex) -> None:
    """Not a group; what was written is kept."""

    def reply(generation: Any) -> str:
        if "Avoid late coffee" in generation.messages[-1].text:
            raise RuntimeError("no")
        return REPLY(generation)

    with LatencyServer(LatencyModel(reply=reply)) as server:
        llm = model(server)
        with pytest.raises(PointError) as caught:
            SoTQueryEngine.from_args(index.as_retriever(), llm=llm).query(QUESTION)
    assert caught.value.number == 2
    assert caught.value.answer.text.startswith("1. Keep regular hours: ")


def test_leaving_a_stream_leaves_no_request_behind(index: VectorStoreIndex) -> None:
    """Closing the generator ends what still runs."""
    with LatencyServer(LatencyModel(reply=REPLY, per_token=0.02)) as server:
        llm = model(server)
        response = SoTQueryEngine.from_args(index.as_retriever(), llm=llm, streaming=True).query(QUESTION)
        next(response.response_gen)
        response.response_gen.close()
        server.wait_until_idle()


def test_bad_settings_are_refused(llm: Any) -> None:
    """A misspelt name and a value that cannot work, before any model is called."""
    with pytest.raises(ConfigurationError, match="there is no setting max_pionts: use one of router, "):
        SoTSynthesizer(llm=llm, max_pionts=3)
    with pytest.raises(ConfigurationError, match="heading='big' cannot work"):
        SoTSynthesizer(llm=llm, heading="big")


def test_what_would_be_ignored_is_refused(index: VectorStoreIndex, llm: Any) -> None:
    """Settings beside a synthesizer that has its own, and prompts that have no name here."""
    synthesizer = SoTSynthesizer(llm=llm)
    with pytest.raises(ConfigurationError, match="max_points"):
        SoTQueryEngine.from_args(index.as_retriever(), response_synthesizer=synthesizer, max_points=3)
    with pytest.raises(ConfigurationError, match="no prompt is named point_tmplate"):
        synthesizer.update_prompts({"point_tmplate": None})
