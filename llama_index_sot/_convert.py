"""Between LlamaIndex's types and the core's. Nothing is decided here."""

from collections.abc import AsyncGenerator, Callable, Iterator
from typing import Any, TypeAlias

from llama_index.core import llms
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, MessageRole
from llama_index.core.llms import CustomLLM
from llama_index_instrumentation.dispatcher import instrument_tags

from skeleton_of_thought import LLM, Abilities, Call, Finish, Usage
from skeleton_of_thought._threads import in_thread
from skeleton_of_thought.calls import Door, Piece, merge_runs, options_of, tags_of
from skeleton_of_thought.events import Event, Text

DoorTo: TypeAlias = Callable[[llms.LLM, Abilities, dict[str, Any]], LLM]


def async_door(model: llms.LLM, abilities: Abilities, options: dict[str, Any]) -> LLM:
    """Reach *model* by its asynchronous methods, or by threads where those would block the loop."""
    if _only_pretends_to_be_async(model):
        return sync_door(model, abilities, options)

    async def ask(call: Call) -> AsyncGenerator[Piece, None]:
        messages, wanted = _messages(model, call), options_of(call) | options
        if not call.stream:
            with instrument_tags(tags_of(call)):
                response = await model.achat(messages, **wanted)
            for piece in (response.message.content or "", *_closing(response)):
                yield piece
            return
        with instrument_tags(tags_of(call)):
            stream = await model.astream_chat(messages, **wanted)
        last = None
        try:
            async for last in stream:
                yield last.delta or ""
        finally:
            if close := getattr(stream, "aclose", None):
                await close()
        for piece in _closing(last):
            yield piece

    return Door(ask, abilities)


def sync_door(model: llms.LLM, abilities: Abilities, options: dict[str, Any]) -> LLM:
    """Reach *model* by its synchronous methods, each call in a thread of its own."""

    def ask(call: Call) -> AsyncGenerator[Piece, None]:
        messages, wanted = _messages(model, call), options_of(call) | options

        def start() -> Iterator[Piece]:
            with instrument_tags(tags_of(call)):
                response = None if call.stream else model.chat(messages, **wanted)
                stream = model.stream_chat(messages, **wanted) if call.stream else iter(())
            if response:
                yield response.message.content or ""
            for response in stream:
                yield response.delta or ""
            yield from _closing(response)

        return in_thread(start)

    return Door(ask, abilities)


def _only_pretends_to_be_async(model: llms.LLM) -> bool:
    """Tell whether the asynchronous methods are those of ``CustomLLM``, which call the blocking ones on the loop."""
    return any(_owner(model, name) is CustomLLM for name in ("achat", "astream_chat"))


def _owner(model: llms.LLM, method: str) -> type:
    """Find the class that a method comes from; the methods themselves are wrapped anew at each look."""
    return next(kind for kind in type(model).__mro__ if method in vars(kind))


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


def shown(event: Event) -> str:
    """Return what a reader sees of an event: text in reading order."""
    return event.text if isinstance(event, Text) else ""
