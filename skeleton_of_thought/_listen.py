"""One request to a model, from its first piece to its last."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from time import perf_counter
from typing import TypeAlias

from ._numbers import check_seconds
from ._signs import WholeSigns
from .calls import LLM, TOOL_CALLS, Allowance, Call, Finish, Piece, Said, Usage
from .errors import ModelTimeoutError

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
            if getattr(self, name) is not None:
                check_seconds(name, getattr(self, name))


_ENOUGH = 8
"""Pieces that tell something of a pace."""


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

    def note(self, told: Usage | Finish) -> None:
        """Take note of what a model tells besides text."""
        if isinstance(told, Usage):
            self.usage = _sum(self.usage, told)
        else:
            self.finish = self.finish if self.finish == TOOL_CALLS else told.reason  # some say "stop" after it

    @property
    def per_token(self) -> float | None:
        """Seconds from piece to piece, nearly always a token, where there were enough to tell.

        Tokens are not counted: they include thoughts that were not heard.
        """
        if self.first is None or self.pieces < _ENOUGH:
            return None
        return (self.seconds - self.first) / (self.pieces - 1)


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
    pieces, ear = llm(call), _Ear(hear, heard, allow, patience or Timeout())
    try:
        async with ear.silence:
            await _hear_all(pieces, ear)
    except TimeoutError as error:
        if ear.silence.expired():
            raise ModelTimeoutError(ear.patience) from error
        raise
    finally:
        heard.seconds = perf_counter() - ear.started
        if close := getattr(pieces, "aclose", None):  # `async for` does not close what it iterates
            await close()


async def _hear_all(pieces: AsyncIterator[Piece], ear: "_Ear") -> None:
    """Hear pieces. A model may swallow a cancellation, go on, end or fail instead: asyncio.wait_for does up to 3.11."""
    task = asyncio.current_task()
    try:
        async for piece in pieces:
            if (task and task.cancelling()) or ear.take(piece):
                return
        ear.end()
    finally:
        if task and task.cancelling():
            raise asyncio.CancelledError


class _Ear:
    """Takes what comes of one request."""

    def __init__(self, hear: Hear, heard: Heard, allow: Callable[[Allowance], None], patience: Timeout) -> None:
        self._hear = hear
        self._heard = heard
        self._allow = allow
        self._signs = WholeSigns()
        self._between = patience.between_tokens
        self._clock = asyncio.get_running_loop().time
        self._timed = patience != Timeout()
        self.patience = patience.first_token
        """Seconds until the silence is too long."""
        self.silence = asyncio.timeout(self.patience)
        self.started = perf_counter()

    def take(self, piece: Piece) -> bool:
        """Take a piece, and tell whether enough was heard."""
        heard = self._heard
        origin: object = None
        match piece:
            case str():  # nearly always
                text = self._signs.feed(piece)
            case Said(said, origin):
                text = self._signs.feed(said)
            case Allowance():
                self._allow(piece)
                return False
            case _:
                text = ""
                heard.note(piece)
        if text:
            heard.first = heard.first or perf_counter() - self.started
            heard.pieces += 1
        if self._timed and heard.pieces:
            self.patience = self._between
            self.silence.reschedule(None if self._between is None else self._clock() + self._between)
        heard.enough = bool(text or origin is not None) and bool(self._hear(text, origin))
        return heard.enough

    def end(self) -> None:
        """Take what was held back."""
        if rest := self._signs.flush():
            self._hear(rest, None)


def _sum(usage: Usage | None, more: Usage | None) -> Usage | None:
    return usage + more if usage and more else usage or more
