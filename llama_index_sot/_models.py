"""How the calls of one run reach LlamaIndex's LLMs, retrievers and the default synthesizer."""

import copy
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from llama_index.core import llms
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, CompletionResponse, MessageRole
from llama_index.core.indices.vector_store.retrievers import VectorIndexRetriever
from llama_index.core.llms import CachePoint, CustomLLM
from llama_index.core.response_synthesizers import BaseSynthesizer
from llama_index.core.schema import MetadataMode, NodeWithScore, QueryBundle
from llama_index.core.types import RESPONSE_TEXT_TYPE
from llama_index.core.vector_stores.types import BasePydanticVectorStore
from llama_index_instrumentation.dispatcher import instrument_tags

from skeleton_of_thought import LLM, Abilities, Call, Finish, Message, Passage, Point
from skeleton_of_thought._threads import in_thread
from skeleton_of_thought.calls import Door, Piece, Same, merge_runs, options_of, tags_of
from skeleton_of_thought.retrieval import Retriever

from ._prefix_cache import as_dict, mark_for, usage_of
from ._streams import aclose, close


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
    without_chunks: bool
    """Answer also where nothing was retrieved."""

    def ask(self, *, stream: bool) -> RESPONSE_TEXT_TYPE:
        """Answer, blocking."""
        if self.chunks or self.without_chunks:
            return streaming(self.synthesizer, stream).get_response(self.query, self.chunks, **self.names)
        return str(streaming(self.synthesizer, False).synthesize(self.query, []))

    async def aask(self, *, stream: bool) -> RESPONSE_TEXT_TYPE:
        """Answer."""
        if self.chunks or self.without_chunks:
            return await streaming(self.synthesizer, stream).aget_response(self.query, self.chunks, **self.names)
        return str(await streaming(self.synthesizer, False).asynthesize(self.query, []))


def streaming(synthesizer: BaseSynthesizer, stream: bool) -> BaseSynthesizer:
    """Return the same synthesizer, switched: the switch of the one that was given may belong to others."""
    copied = copy.copy(synthesizer)
    copied._streaming = stream
    return copied


def door(model: llms.LLM, abilities: Abilities, direct: Direct, *, blocking: bool, alone: bool = False) -> LLM:
    """Reach *model* by its asynchronous methods; by threads where they would block the loop, or the caller blocks.

    Args:
        alone: it writes skeleton and points, so that one finds in its prefix cache what the other left there.
    """
    blocking = blocking or _only_pretends_to_be_async(model)

    def ask(call: Call) -> AsyncIterator[Piece]:
        directly = call.stage == "direct" and not call.said  # the default synthesizer could only begin anew
        if blocking:
            blocked = _ask_directly(direct, call) if directly else _ask(model, call, mark)
            return in_thread(lambda: blocked)
        return _aask_directly(direct, call) if directly else _aask(model, call, mark)

    mark = mark_for(model) if alone else None

    retries = getattr(model, "max_retries", 0)
    return Door(ask, abilities, Same(model), 1 + (retries if isinstance(retries, int) else 0), ends=True)


async def _aask(model: llms.LLM, call: Call, mark: CachePoint | None) -> AsyncGenerator[Piece, None]:
    method, asked, options = _request(model, call, mark)
    with instrument_tags(tags_of(call)):
        answered = await getattr(model, f"a{method}")(asked, **options)
    if not call.stream:
        for piece in (_text_of(answered), *_closing(call, answered)):
            yield piece
        return
    before = last = None
    try:
        async for response in answered:
            before, last = last, response
            yield response.delta or ""
    finally:
        await aclose(answered)
    for piece in _closing(call, before, last):
        yield piece


def _ask(model: llms.LLM, call: Call, mark: CachePoint | None) -> Iterator[Piece]:
    method, asked, options = _request(model, call, mark)
    with instrument_tags(tags_of(call)):
        answered = getattr(model, method)(asked, **options)
    if not call.stream:
        yield _text_of(answered)
        yield from _closing(call, answered)
        return
    before = last = None
    try:
        for response in answered:
            before, last = last, response
            yield response.delta or ""
    finally:
        close(answered)
    yield from _closing(call, before, last)


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
        await aclose(said)


def _ask_directly(direct: Direct, call: Call) -> Iterator[Piece]:
    with instrument_tags(tags_of(call)):
        said = direct.ask(stream=call.stream)
    if not isinstance(said, Generator):
        yield str(said)
        return
    try:
        for text in said:  # noqa: UP028 -- `yield from` closes it first, and then nobody finds what it reads from
            yield text
    finally:
        close(said)


def retriever(finds: Finds, fit: Callable[[list[Passage]], list[Passage]], *, blocking: bool) -> Retriever:
    """Let each point retrieve by a bundle of its own: retrievers write into theirs."""

    async def find(query: str, point: Point | None) -> list[Passage]:
        if point is None:  # that was retrieved before
            return []
        bundle = QueryBundle(query)
        with instrument_tags({"sot_stage": "retrieval", "sot_point": point.number}):
            if not (blocking or _searches_on_the_loop(finds)):
                return fit(passages_of(await finds.aretrieve(bundle)))
            async for nodes in in_thread(lambda: iter([finds.retrieve(bundle)])):
                return fit(passages_of(nodes))
        raise AssertionError("a thread that neither fails nor yields")

    return find


def passages_of(nodes: Sequence[NodeWithScore]) -> list[Passage]:
    """Let the core carry nodes without knowing them."""
    return [Passage(each.node.get_content(metadata_mode=MetadataMode.LLM), each.node.node_id, each) for each in nodes]


def _only_pretends_to_be_async(model: llms.LLM) -> bool:
    """Tell whether the asynchronous methods are those of ``CustomLLM``, which call the blocking ones on the loop."""
    kind = "chat" if model.metadata.is_chat_model else "complete"
    return any(_owner(model, name) is CustomLLM for name in (f"a{kind}", f"astream_{kind}"))


def _owner(found: object, method: str) -> type:
    """Find the class that a method comes from; the methods themselves are wrapped anew at each look."""
    return next(kind for kind in type(found).__mro__ if method in vars(kind))


def _searches_on_the_loop(finds: Finds) -> bool:
    """Tell the same of a retriever, and of a vector store: theirs is the blocking search unless they have their own."""
    found = getattr(finds, "retriever", finds)
    if isinstance(found, VectorIndexRetriever):
        store = found._vector_store
        return isinstance(store, BasePydanticVectorStore) and _owner(store, "aquery") is BasePydanticVectorStore
    return isinstance(found, BaseRetriever) and _owner(found, "_aretrieve") is BaseRetriever


def _request(model: llms.LLM, call: Call, mark: CachePoint | None) -> tuple[str, Any, dict[str, Any]]:
    """Return which method to call with what: a model without chat would call the other by itself, and count twice."""
    shared, own = _chat_messages(call.messages[: call.shared]), _chat_messages(call.messages[call.shared :])
    if mark and shared:
        shared[-1].blocks.append(mark)
    messages = [*shared, *own]
    messages = model._extend_messages(messages)  # with its system prompt; `chat` has none
    options = options_of(replace(call, max_tokens=bound_of(model, call) or None))
    stream = "stream_" if call.stream else ""
    if model.metadata.is_chat_model or model.messages_to_prompt is None:
        return f"{stream}chat", messages, options
    return f"{stream}complete", model.messages_to_prompt(messages), {"formatted": True} | options


def _chat_messages(messages: tuple[Message, ...]) -> list[ChatMessage]:
    return [ChatMessage(role=MessageRole(message.role), content=message.text) for message in merge_runs(messages)]


def bound_of(model: llms.LLM, call: Call) -> int:
    """Return how many tokens may be written: the model's own bound, where it has one, is never raised."""
    own = getattr(model, "max_tokens", None)
    return min((each for each in (own, call.max_tokens) if isinstance(each, int) and each > 0), default=0)


def _text_of(response: ChatResponse | CompletionResponse) -> str:
    said = response.text if isinstance(response, CompletionResponse) else response.message.content
    return said or ""


def _closing(call: Call, *responses: ChatResponse | CompletionResponse | None) -> Iterator[Piece]:
    """Tell what the last *responses* of a call tell: some servers count after they have told why they end.

    The rest of a direct answer tells no reason. The default synthesizer, which began it, never does, and where one
    reply tells it, all others that do not are taken for broken.
    """
    for response in responses:
        if response is None:
            continue
        if usage := usage_of(response):
            yield usage
        if call.stage != "direct" and (reason := _reason(response.raw)):
            yield Finish.of(str(reason))


def _reason(raw: Any) -> Any:
    """Find in a provider's own reply why it ended."""
    told = as_dict(raw)
    if choices := told.get("choices"):
        return as_dict(choices[0]).get("finish_reason")
    return told.get("stop_reason") or told.get("done_reason") or told.get("finish_reason")
