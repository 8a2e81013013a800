"""One call to a model, from its first piece to its last."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

from .calls import LLM, TOOL_CALLS, Allowance, Call, Finish, Said, Usage


@dataclass(frozen=True, slots=True)
class Heard:
    """How a call went."""

    finish: str | None
    usage: Usage | None
    first: float | None
    """Seconds to the first text, where the call was streamed."""
    seconds: float


async def listen(
    llm: LLM, call: Call, hear: Callable[[str, object], bool | None], spend: Callable[[Call, Usage], None]
) -> Heard:
    """Make a call and pass its text on, until it ends or *hear* has heard enough.

    Args:
        hear: takes a text and the framework's message that it came in, if any.
        spend: takes what the call cost, as far as the model told, also where it fails.
    """
    finish, usage, first = None, None, None
    started, pieces, task = perf_counter(), llm(call), asyncio.current_task()
    try:
        async for piece in pieces:
            if task and task.cancelling():  # a model may swallow it: so does asyncio.wait_for before Python 3.12
                raise asyncio.CancelledError
            origin: object = None
            match piece:
                case str():  # nearly always
                    text = piece
                case Usage():
                    usage = piece + (usage or Usage())
                    continue
                case Finish(reason):
                    finish = finish if finish == TOOL_CALLS else reason  # some say "stop" after it
                    continue
                case Allowance():
                    continue
                case Said(text, origin):
                    pass
            if text:
                first = first or perf_counter() - started
            if (text or origin is not None) and hear(text, origin):
                break
    finally:
        if usage:
            spend(call, usage)
        if close := getattr(pieces, "aclose", None):  # `async for` does not close what it iterates
            await close()
    return Heard(finish, usage, first if call.stream else None, perf_counter() - started)
