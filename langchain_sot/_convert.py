"""Between LangChain's types and the core's. Nothing is decided here."""

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias
from uuid import UUID

from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    convert_to_messages,
    merge_message_runs,
)
from langchain_core.messages.ai import InputTokenDetails, UsageMetadata
from langchain_core.prompt_values import PromptValue
from langchain_core.runnables import Runnable, RunnableConfig, RunnableWithFallbacks
from langchain_core.runnables.base import RunnableBindingBase
from langchain_core.runnables.config import merge_configs
from langchain_core.runnables.configurable import DynamicRunnable

from skeleton_of_thought import LLM, Abilities, Answer, Call, Finish, InputError, Message, Question, Usage
from skeleton_of_thought._threads import in_thread
from skeleton_of_thought.calls import Door, Piece, Role, options_of, tags_of
from skeleton_of_thought.events import Event, Finished, Text

Model: TypeAlias = Runnable[LanguageModelInput, BaseMessage]
DoorTo: TypeAlias = Callable[[Model, Abilities, RunnableConfig, dict[str, Any]], LLM]

_ROLES: dict[str, Role] = {"system": "system", "ai": "assistant", "AIMessageChunk": "assistant"}
_MESSAGES: dict[Role, type[BaseMessage]] = {"system": SystemMessage, "user": HumanMessage, "assistant": AIMessage}


def question_of(value: LanguageModelInput) -> Question:
    """Take the last message for the question, and what comes before it for its history."""
    if isinstance(value, str):
        messages: list[BaseMessage] = [HumanMessage(value)]
    else:
        messages = value.to_messages() if isinstance(value, PromptValue) else convert_to_messages(value)
    if not messages or messages[-1].type != "human":
        last = repr(messages[-1].type) if messages else "missing"
        raise InputError(f"the last message must be the user's question, and it is {last}: end with a HumanMessage")
    *history, asked = messages
    if not asked.text.strip():
        raise InputError("the question has no text to plan an answer from: add some words")
    return Question(asked.text, tuple(_message(earlier) for earlier in history), origin=asked)


def _message(message: BaseMessage) -> Message:
    return Message(_ROLES.get(message.type, "user"), message.text, message)


def _messages_of(call: Call) -> list[BaseMessage]:
    """Hand the caller's own messages back unchanged; join ours to a neighbour of the same kind."""
    converted: list[BaseMessage] = []
    ours = False
    for message in call.messages:
        theirs = message.origin if isinstance(message.origin, BaseMessage) else None
        blocks: list[str | dict[Any, Any]] = [{"type": "text", "text": message.text}]
        as_blocks = bool(converted) and isinstance(converted[-1].content, list)
        new = theirs or _MESSAGES[message.role](content=blocks if as_blocks else message.text)
        if converted and (ours or theirs is None) and converted[-1].type == new.type:
            converted[-1:] = merge_message_runs([converted[-1], new], chunk_separator="\n\n")
        else:
            converted.append(new)
        ours = theirs is None
    return converted


@dataclass(frozen=True, slots=True)
class _Request:
    """What one call hands to the model: ``model.invoke(request.messages, request.config, **request.options)``."""

    messages: list[BaseMessage]
    config: RunnableConfig
    options: dict[str, Any]


def _request(model: Model, call: Call, config: RunnableConfig, options: dict[str, Any]) -> _Request:
    said: RunnableConfig = {"tags": [f"sot:{call.stage}"], "metadata": tags_of(call)}
    if chat_model := _chat_model(model):
        options = options_of(call, max_tokens=_bound(chat_model)) | options
    return _Request(_messages_of(call), merge_configs(config, said), options)


def _chat_model(model: Runnable[Any, Any]) -> BaseChatModel | None:
    """Find the chat model inside; a model's own options can be given with a call, other Runnables stumble over them."""
    match model:
        case BaseChatModel():
            return model
        case RunnableBindingBase():
            return _chat_model(model.bound)
        case RunnableWithFallbacks():
            return _chat_model(model.runnable)
        case DynamicRunnable():
            return _chat_model(model.default)
        case _:
            return None


def _bound(model: BaseChatModel) -> str | None:
    """Tell what *model* calls the bound of its output. One that has no such field refuses it with a call as well."""
    return next((name for name in ("max_tokens", "max_output_tokens") if name in type(model).model_fields), None)


def _only_blocks(model: Runnable[Any, Any]) -> bool:
    """Tell whether the asynchronous methods are the base class's, which use a pool of few threads."""
    kind = type(_chat_model(model))
    return issubclass(kind, BaseChatModel) and (
        kind._agenerate is BaseChatModel._agenerate and kind._astream is BaseChatModel._astream
    )


def async_door(model: Model, abilities: Abilities, config: RunnableConfig, options: dict[str, Any]) -> LLM:
    """Reach *model* by its asynchronous methods, or by threads where it has none of its own."""
    if _only_blocks(model):
        return sync_door(model, abilities, config, options)

    async def ask(call: Call) -> AsyncGenerator[Piece, None]:
        request = _request(model, call, config, options)
        if not call.stream:
            for piece in _pieces(await model.ainvoke(request.messages, request.config, **request.options)):
                yield piece
            return
        stream = model.astream(request.messages, request.config, **request.options)
        try:
            async for chunk in stream:
                for piece in _pieces(chunk):
                    yield piece
        finally:
            if close := getattr(stream, "aclose", None):
                await close()

    return Door(ask, abilities)


def sync_door(model: Model, abilities: Abilities, config: RunnableConfig, options: dict[str, Any]) -> LLM:
    """Reach *model* by its synchronous methods, each call in a thread of its own."""

    def ask(call: Call) -> AsyncGenerator[Piece, None]:
        request = _request(model, call, config, options)

        def start() -> Iterator[Piece]:
            if not call.stream:
                yield from _pieces(model.invoke(request.messages, request.config, **request.options))
                return
            stream = model.stream(request.messages, request.config, **request.options)
            with contextlib.closing(stream) if isinstance(stream, Generator) else contextlib.nullcontext():
                for chunk in stream:
                    yield from _pieces(chunk)

        return in_thread(start)

    return Door(ask, abilities)


def _pieces(said: BaseMessage | str) -> Iterator[Piece]:
    if isinstance(said, str):  # a Runnable that ends with a parser
        yield said
        return
    if said.text:
        yield str(said.text)
    if isinstance(said, AIMessage) and (usage := said.usage_metadata):
        cached = usage.get("input_token_details", {}).get("cache_read", 0)
        yield Usage(usage["input_tokens"], usage["output_tokens"], cached or 0)
    told = said.response_metadata
    if reason := told.get("finish_reason") or told.get("stop_reason") or told.get("done_reason"):
        yield Finish.of(str(reason))


def chunk(event: Event, run_id: UUID) -> AIMessageChunk | None:
    """Say an event in the language of a chat model's stream, where it has a word for it."""
    match event:
        case Text(text):
            return AIMessageChunk(content=text, id=_id(run_id))
        case Finished(answer):
            return AIMessageChunk(content="", id=_id(run_id), chunk_position="last", **_metadata(answer))
        case _:
            return None


def message(answer: Answer, run_id: UUID) -> AIMessage:
    """Return an answer as the message of a chat model."""
    return AIMessage(content=answer.text, id=_id(run_id), **_metadata(answer))


def _id(run_id: UUID) -> str:
    return f"lc_run--{run_id}"  # as chat models name theirs, so that the pieces of one message are put together


def _metadata(answer: Answer) -> dict[str, Any]:
    about = answer.as_dict()
    del about["text"], about["question"]
    told = {"finish_reason": answer.finish} if answer.finish else {}
    return {"response_metadata": {"sot": about} | told, "usage_metadata": _usage(answer)}


def _usage(answer: Answer) -> UsageMetadata | None:
    if not answer.usage:  # not known is not nothing
        return None
    usage = answer.total_usage
    return UsageMetadata(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        total_tokens=usage.input_tokens + usage.output_tokens,
        input_token_details=InputTokenDetails(cache_read=usage.cached_tokens),
    )


def gather(values: Iterator[Any]) -> Any:
    """Add up a stream of inputs; where they can't be added the last one counts, as everywhere in LangChain."""
    total = next(values)
    for value in values:
        total = _sum(total, value)
    return total


async def agather(values: AsyncIterator[Any]) -> Any:
    """Do as `gather` does."""
    total = await anext(values)
    async for value in values:
        total = _sum(total, value)
    return total


def _sum(total: Any, value: Any) -> Any:
    try:
        return total + value
    except TypeError:
        return value
