"""So many requests and tokens a minute: one limit for any number of chains, event loops, threads and processes.

The window slides, which is the strictest reading of "a minute": whoever keeps to it also keeps to a provider
that counts by the minutes of the clock, or that refills a bucket. What was let through is kept in ``_buckets``,
by pyrate-limiter.

Waiting belongs to no event loop and blocks none: what is done on a loop takes microseconds in memory, less than
a millisecond with a file, and a file that another process holds is tried again later. Nobody who waits for one
object is overtaken, so small requests do not starve a large one; of several processes, whoever looks first gets
what has become free.
"""

import asyncio
import contextlib
import math
import os
import re
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ._numbers import check_seconds, check_whole
from .errors import ConfigurationError

if TYPE_CHECKING:
    from .calls import Call

_LOOK_AGAIN = 1.0
"""Seconds after which whoever waits looks again, whatever it was told: the loop of who is first may have stopped."""

# Chinese, Japanese and Korean, with their punctuation.
_WIDE = re.compile(
    "[\u1100-\u11ff\u2e80-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff]"
)


def tokens_of(call: "Call") -> int:
    """Estimate the tokens that a provider counts for *call*: what it reads, and the most that it may write.

    A token is taken for four characters, and for one where the script is Chinese, Japanese or Korean. All of
    ``max_tokens`` is counted, as providers reserve it; without it, nothing is counted for what is written.

    >>> from skeleton_of_thought.calls import Call, Message
    >>> tokens_of(Call("direct", (Message("user", "How do I sleep?"),), max_tokens=100))
    104
    >>> tokens_of(Call("direct", (Message("user", "早睡早起"),)))
    4
    """
    texts = [message.text for message in call.messages]
    narrow = [len(_WIDE.sub("", text)) for text in texts]
    return sum(map(len, texts)) - sum(narrow) + math.ceil(sum(narrow) / 4) + (call.max_tokens or 0)


class Waits(Protocol):
    """Anything that says when a request may be made."""

    async def wait(self, tokens: int) -> None:
        """Wait until a request of so many tokens may be made."""
        ...


class RateLimit:
    """At most so many requests and tokens in any minute.

    Give one to several chains to bound them together. A copy is the same limit. With a *path* it is the same
    limit in every process that names the same file with the same numbers, and may be pickled; without one, a
    process that was forked counts for itself.

    Args:
        requests_per_minute: how many requests; ``None`` for any number.
        tokens_per_minute: how many tokens, as `tokens_of` counts them; ``None`` for any number.
        path: a file on this machine that keeps the counts, made where it is missing. Others, with longer names,
            are made beside it.
        seconds: what is taken for a minute. A provider that enforces 60 requests a minute as one a second wants
            ``requests_per_minute=1, seconds=1``.

    Raises:
        ConfigurationError: a number is not a whole one from 1 up, none is given, or the file cannot be used.
        ImportError: pyrate-limiter is missing.
    """

    def __init__(
        self,
        *,
        requests_per_minute: int | None = None,
        tokens_per_minute: int | None = None,
        path: str | Path | None = None,
        seconds: float = 60.0,
    ) -> None:
        if requests_per_minute is None and tokens_per_minute is None:
            raise ConfigurationError("nothing is limited: give requests_per_minute or tokens_per_minute")
        for name, number in (("requests_per_minute", requests_per_minute), ("tokens_per_minute", tokens_per_minute)):
            if number is not None:
                check_whole(name, number)
        check_seconds("seconds", seconds, least=0.001)
        self.requests_per_minute = requests_per_minute
        self.tokens_per_minute = tokens_per_minute
        self.path = None if path is None else Path(path).absolute()
        self.seconds = seconds
        self._lines = {os.getpid(): self._open()}

    async def wait(self, tokens: int) -> None:
        """Wait until a request of so many tokens may be made, and take its share.

        May be called on any event loops at the same time. Whoever is cancelled has taken nothing.

        Raises:
            ConfigurationError: so many tokens can never pass.
        """
        if self.tokens_per_minute is not None and tokens > self.tokens_per_minute:
            raise ConfigurationError(
                f"a request of {tokens} tokens can never pass tokens_per_minute={self.tokens_per_minute}: "
                "raise it, or ask for fewer tokens"
            )
        process = os.getpid()  # a forked child opens the file for itself, and leaves alone what its parent uses
        line = self._lines.get(process) or self._lines.setdefault(process, self._open())
        await line.wait({"requests": 1, "tokens": tokens})

    def _open(self) -> "_Line":
        from ._buckets import Counts  # here, as the package is imported without the extra

        numbers = {"requests": self.requests_per_minute, "tokens": self.tokens_per_minute}
        limits = {name: number for name, number in numbers.items() if number is not None}
        return _Line(Counts(limits, math.ceil(self.seconds * 1000), self.path).take)

    def __repr__(self) -> str:
        named = {
            "requests_per_minute": self.requests_per_minute,
            "tokens_per_minute": self.tokens_per_minute,
            "path": None if self.path is None else str(self.path),
            "seconds": None if self.seconds == 60 else self.seconds,
        }
        return f"RateLimit({', '.join(f'{name}={value!r}' for name, value in named.items() if value is not None)})"

    def __copy__(self) -> "RateLimit":
        return self

    def __deepcopy__(self, _: dict[int, object]) -> "RateLimit":
        return self

    def __reduce__(self) -> tuple[object, ...]:
        if self.path is None:
            raise ConfigurationError("a RateLimit in memory cannot leave its process: give it a path")
        return _rate_limit, (self.requests_per_minute, self.tokens_per_minute, self.path, self.seconds)


def _rate_limit(requests: int | None, tokens: int | None, path: Path, seconds: float) -> RateLimit:
    return RateLimit(requests_per_minute=requests, tokens_per_minute=tokens, path=path, seconds=seconds)


# -- who waits -----------------------------------------------------------------------------------------


@dataclass(eq=False, slots=True)
class _Turn:
    loop: asyncio.AbstractEventLoop
    woken: asyncio.Event = field(default_factory=asyncio.Event)

    def wake(self) -> None:
        with contextlib.suppress(RuntimeError):  # that loop was closed while its call waited
            self.loop.call_soon_threadsafe(self.woken.set)


class _Line:
    """First come, first served, on any event loops. Who is first takes for itself, so that no share is under way."""

    def __init__(self, take: Callable[[dict[str, int]], float]) -> None:
        self._take = take
        self._lock = threading.RLock()  # the garbage collector may close a call that waits, at any time
        self._turns: deque[_Turn] = deque()

    async def wait(self, amounts: dict[str, int]) -> None:
        """Wait until *amounts* are taken."""
        turn = _Turn(asyncio.get_running_loop())
        with self._lock:
            self._turns.append(turn)
        try:
            while seconds := self._try(turn, amounts):
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(min(seconds, _LOOK_AGAIN)):
                        await turn.woken.wait()
                turn.woken.clear()
        finally:
            self._leave(turn)

    def _try(self, turn: _Turn, amounts: dict[str, int]) -> float:
        with self._lock:
            return self._take(amounts) if self._first() is turn else _LOOK_AGAIN

    def _leave(self, turn: _Turn) -> None:
        with self._lock:
            self._turns.remove(turn)
            if first := self._first():
                first.wake()

    def _first(self) -> _Turn | None:
        return next((turn for turn in tuple(self._turns) if turn.loop.is_running()), None)
