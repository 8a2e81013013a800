"""One request to a model, from its first piece to its last."""

import asyncio
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from time import perf_counter
from typing import TypeAlias

from ._signs import WholeSigns
from .calls import LLM, TOOL_CALLS, Allowance, Call, Finish, Said, Usage
from .errors import ConfigurationError, ModelTimeoutError

Hear: TypeAlias = Callable[[str, object], bool | None]
"""Takes a text and the framework's message that it came in, if any; tells whether it has heard enough."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeout:
    """How long a model may be silent, in seconds. ``None`` is for ever.

    Raises:
        ConfigurationError: a value cannot work.
    """

    first_token: float | None = None
    between_tokens: float | None = None

    @classmethod
    def of(cls, setting: "float | Timeout | None") -> "Timeout | None":
        """Return what a setting says: a number is for both."""
        return cls(first_token=setting, between_tokens=setting) if isinstance(setting, int | float) else setting

    def __post_init__(self) -> None:
        for name in ("first_token", "between_tokens"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int | float) or not value > 0):
                raise ConfigurationError(f"{name}={value!r} cannot work: use seconds, more than 0, or None")


@dataclass(slots=True)
class Heard:
    """How a request goes, or went."""

    finish: str | None = None
    usage: Usage | None = None
    first: float | None = None
    """Seconds to the first text."""
    seconds: float = 0.0
    pieces: int = 0
    """How many texts there were."""
    enough: bool = False
    """It was left before it ended."""

    def add(self, other: "Heard", after: float) -> None:
        """Add another request for the same text, which began *after* so many seconds."""
        if self.first is None and other.first is not None:
            self.first = after + other.first
        self.seconds = after + other.seconds
        self.pieces += other.pieces
        self.finish, self.usage = other.finish, _sum(self.usage, other.usage)

    @property
    def per_token(self) -> float | None:
        """Seconds from token to token, where enough of them came one by one."""
        tokens = self.usage.output_tokens if self.usage else self.pieces
        if self.first is None or self.pieces < 8 or tokens < 8:
            return None
        return (self.seconds - self.first) / (tokens - 1)


async def listen(
    llm: LLM,
    call: Call,
    hear: Hear,
    heard: Heard,
    patience: Timeout | None = None,
    allow: Callable[[Allowance], None] = lambda _: None,
) -> None:
    """Make a request and pass its text on, until it ends or *hear* has heard enough.

    Args:
        heard: is filled, also where the request fails.
        patience: how long the model may be silent.
        allow: takes what the provider still lets through, as soon as it tells.

    Raises:
        ModelTimeoutError: the model was silent for too long.
    """
    started, pieces, task = perf_counter(), llm(call), asyncio.current_task()
    first = patience.first_token if patience else None
    between = patience.between_tokens if patience else None
    clock = asyncio.get_running_loop().time
    silence = asyncio.timeout(first) if patience else None
    signs = WholeSigns()
    try:
        async with silence or nullcontext():
            async for piece in pieces:
                if task and task.cancelling():  # a model may swallow it: so does asyncio.wait_for before Python 3.12
                    raise asyncio.CancelledError
                if isinstance(piece, Allowance):
                    allow(piece)
                    continue
                text, origin = (piece, None) if isinstance(piece, str) else _take(piece, heard)  # nearly always text
                text = signs.feed(text)
                if text:
                    heard.first = heard.first or perf_counter() - started
                    heard.pieces += 1
                if silence and heard.pieces:
                    silence.reschedule(None if between is None else clock() + between)
                if (text or origin is not None) and hear(text, origin):
                    heard.enough = True
                    break
            if rest := signs.flush():
                hear(rest, None)
    except TimeoutError as error:
        if silence and silence.expired():
            raise ModelTimeoutError(first if heard.first is None else between) from error
        raise
    finally:
        heard.seconds = perf_counter() - started
        if close := getattr(pieces, "aclose", None):  # `async for` does not close what it iterates
            await close()


def _take(piece: object, heard: Heard) -> tuple[str, object]:
    """Take note of what is no text, and return what is."""
    match piece:
        case Said(text, origin):
            return text, origin
        case Usage():
            heard.usage = _sum(heard.usage, piece)
        case Finish(reason):
            heard.finish = heard.finish if heard.finish == TOOL_CALLS else reason  # some say "stop" after it
    return "", None


def _sum(usage: Usage | None, more: Usage | None) -> Usage | None:
    return usage + more if usage and more else usage or more
