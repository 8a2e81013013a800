"""Between LangChain's types and the core's. Nothing is decided here."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
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
    if _takes_options(model):
        options = options_of(call) | options
    return _Request(_messages_of(call), merge_configs(config, said), options)


def _takes_options(model: Runnable[Any, Any]) -> bool:
    """Tell whether a model's own options can be given with a call; other Runnables would stumble over them."""
    if isinstance(model, RunnableBindingBase):
        return _takes_options(model.bound)
    if isinstance(model, RunnableWithFallbacks):
        return _takes_options(model.runnable)
    return isinstance(model, BaseChatModel)


def async_door(model: Model, abilities: Abilities, config: RunnableConfig, options: dict[str, Any]) -> LLM:
    """Reach *model* by its asynchronous methods."""

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
            if isinstance(stream, AsyncGenerator):
                await stream.aclose()

    return Door(ask, abilities)


def sync_door(model: Model, abilities: Abilities, config: RunnableConfig, options: dict[str, Any]) -> LLM:
    """Reach *model* by its synchronous methods, each call in a thread of its own."""

    def ask(call: Call) -> AsyncGenerator[Piece, None]:
        request = _request(model, call, config, options)

        def start() -> Iterator[Piece]:
            if not call.stream:
                yield from _pieces(model.invoke(request.messages, request.config, **request.options))
                return
            for chunk in model.stream(request.messages, request.config, **request.options):
                yield from _pieces(chunk)

        return in_thread(start)

    return Door(ask, abilities)


def _pieces(message: BaseMessage) -> Iterator[Piece]:
    if message.text:
        yield str(message.text)
    if isinstance(message, AIMessage) and (usage := message.usage_metadata):
        cached = usage.get("input_token_details", {}).get("cache_read", 0)
        yield Usage(usage["input_tokens"], usage["output_tokens"], cached or 0)
    reason = message.response_metadata.get("finish_reason") or message.response_metadata.get("stop_reason")
    if reason:
        yield Finish(str(reason))


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
    usage = answer.total_usage
    about = answer.as_dict()
    del about["text"], about["question"]
    return {
        "response_metadata": {"sot": about},
        "usage_metadata": UsageMetadata(
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            total_tokens=usage.input_tokens + usage.output_tokens,
            input_token_details=InputTokenDetails(cache_read=usage.cached_tokens),
        ),
    }


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
