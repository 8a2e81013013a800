"""How the calls of one run reach LlamaIndex's LLMs, retrievers and the default synthesizer."""

import copy
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from llama_index.core import llms
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, MessageRole
from llama_index.core.indices.vector_store.retrievers import VectorIndexRetriever
from llama_index.core.llms import CustomLLM
from llama_index.core.response_synthesizers import BaseSynthesizer
from llama_index.core.schema import MetadataMode, NodeWithScore, QueryBundle
from llama_index.core.types import RESPONSE_TEXT_TYPE
from llama_index.core.vector_stores.types import BasePydanticVectorStore
from llama_index_instrumentation.dispatcher import instrument_tags

from skeleton_of_thought import LLM, Abilities, Call, Finish, Passage, Point, Retriever, Usage
from skeleton_of_thought._threads import in_thread
from skeleton_of_thought.calls import Door, Piece, merge_runs, options_of, tags_of


class Finds(Protocol):
    """What retrieves: a retriever, or an engine with its node postprocessors."""

    def retrieve(self, query: QueryBundle, /) -> list[NodeWithScore]:
        """Find nodes."""
        ...

    async def aretrieve(self, query: QueryBundle, /) -> list[NodeWithScore]:
        """Find nodes."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Direct:
    """How a question without a skeleton is answered: by the default synthesizer, from all that was retrieved."""

    synthesizer: BaseSynthesizer
    query: str
    chunks: Sequence[str]
    names: dict[str, Any]
    """What the caller fills into prompts."""

    def ask(self, *, stream: bool) -> RESPONSE_TEXT_TYPE:
        """Answer, blocking."""
        return self._with(stream).get_response(self.query, self.chunks, **self.names)

    async def aask(self, *, stream: bool) -> RESPONSE_TEXT_TYPE:
        """Answer."""
        return await self._with(stream).aget_response(self.query, self.chunks, **self.names)

    def _with(self, stream: bool) -> BaseSynthesizer:
        synthesizer = copy.copy(self.synthesizer)
        synthesizer._streaming = stream
        return synthesizer


def door(model: llms.LLM, abilities: Abilities, direct: Direct, *, blocking: bool) -> LLM:
    """Reach *model* by its asynchronous methods; by threads where they would block the loop, or the caller blocks."""
    blocking = blocking or _only_pretends_to_be_async(model)

    def ask(call: Call) -> AsyncIterator[Piece]:
        if blocking:
            blocked = _ask_directly(direct, call) if call.stage == "direct" else _ask(model, call)
            return in_thread(lambda: blocked)
        return _aask_directly(direct, call) if call.stage == "direct" else _aask(model, call)

    return Door(ask, abilities)


async def _aask(model: llms.LLM, call: Call) -> AsyncGenerator[Piece, None]:
    messages, options = _messages(model, call), options_of(call)
    if not call.stream:
        with instrument_tags(tags_of(call)):
            response = await model.achat(messages, **options)
        for piece in (response.message.content or "", *_closing(response)):
            yield piece
        return
    with instrument_tags(tags_of(call)):
        stream = await model.astream_chat(messages, **options)
    last = None
    try:
        async for last in stream:
            yield last.delta or ""
    finally:
        if close := getattr(stream, "aclose", None):
            await close()
    for piece in _closing(last):
        yield piece


def _ask(model: llms.LLM, call: Call) -> Iterator[Piece]:
    messages, options = _messages(model, call), options_of(call)
    with instrument_tags(tags_of(call)):
        response = None if call.stream else model.chat(messages, **options)
        stream = model.stream_chat(messages, **options) if call.stream else iter(())
    if response:
        yield response.message.content or ""
    for response in stream:
        yield response.delta or ""
    yield from _closing(response)


async def _aask_directly(direct: Direct, call: Call) -> AsyncGenerator[Piece, None]:
    with instrument_tags(tags_of(call)):
        said = await direct.aask(stream=call.stream)
    if not isinstance(said, AsyncGenerator):
        yield str(said)
        return
    try:
        async for text in said:
            yield text
    finally:
        await said.aclose()


def _ask_directly(direct: Direct, call: Call) -> Iterator[Piece]:
    with instrument_tags(tags_of(call)):
        said = direct.ask(stream=call.stream)
    if isinstance(said, Generator):
        yield from said
    else:
        yield str(said)


def retriever(finds: Finds, *, blocking: bool) -> Retriever:
    """Let each point retrieve by a bundle of its own: retrievers write into theirs."""

    async def find(query: str, point: Point | None) -> list[Passage]:
        if point is None:  # that was retrieved before
            return []
        bundle = QueryBundle(query)
        with instrument_tags({"sot_stage": "retrieval", "sot_point": point.number}):
            if not (blocking or _searches_on_the_loop(finds)):
                return passages_of(await finds.aretrieve(bundle))
            async for nodes in in_thread(lambda: iter([finds.retrieve(bundle)])):
                return passages_of(nodes)
        raise AssertionError("a thread that neither fails nor yields")

    return find


def passages_of(nodes: Sequence[NodeWithScore]) -> list[Passage]:
    """Let the core carry nodes without knowing them."""
    return [Passage(each.node.get_content(metadata_mode=MetadataMode.LLM), each.node.node_id, each) for each in nodes]


def _only_pretends_to_be_async(model: llms.LLM) -> bool:
    """Tell whether the asynchronous methods are those of ``CustomLLM``, which call the blocking ones on the loop."""
    return any(_owner(model, name) is CustomLLM for name in ("achat", "astream_chat"))


def _owner(model: llms.LLM, method: str) -> type:
    """Find the class that a method comes from; the methods themselves are wrapped anew at each look."""
    return next(kind for kind in type(model).__mro__ if method in vars(kind))


def _searches_on_the_loop(finds: Finds) -> bool:
    """Tell the same of a vector store, whose asynchronous search is the blocking one unless it has its own."""
    found = getattr(finds, "retriever", finds)
    store = found._vector_store if isinstance(found, VectorIndexRetriever) else None
    return isinstance(store, BasePydanticVectorStore) and type(store).aquery is BasePydanticVectorStore.aquery


def _messages(model: llms.LLM, call: Call) -> list[ChatMessage]:
    messages = [
        ChatMessage(role=MessageRole(message.role), content=message.text) for message in merge_runs(call.messages)
    ]
    return model._extend_messages(messages)  # the LLM's own system prompt; `chat` leaves it out


def _closing(response: ChatResponse | None) -> Iterator[Piece]:
    if response is None:
        return
    counts = response.additional_kwargs
    if "prompt_tokens" in counts and "completion_tokens" in counts:
        yield Usage(counts["prompt_tokens"], counts["completion_tokens"])
    if reason := _reason(response.raw):
        yield Finish.of(str(reason))


def _reason(raw: Any) -> Any:
    """Find in a provider's own reply why it ended."""
    told = raw if isinstance(raw, dict) else getattr(raw, "__dict__", {})
    if choices := told.get("choices"):
        return getattr(choices[0], "finish_reason", None)
    return told.get("stop_reason") or told.get("done_reason") or told.get("finish_reason")
