"""A model that says what a script says: by stage, and by the number of the point."""

import asyncio
import re
import threading
from collections.abc import AsyncGenerator, AsyncIterable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar, overload

from ..calls import Abilities, Call, Finish, Piece, Stage, Usage

T = TypeVar("T")
Key: TypeAlias = Stage | int
"""A point's number, or a stage; the number is looked up first."""
Script: TypeAlias = str | Sequence[str]
"""A text, which is said word by word, or its exact pieces."""


@dataclass(frozen=True, slots=True)
class Failure:
    """An exception, and when to raise it."""

    error: Exception
    after: int = 0
    """How many pieces are said before."""
    times: int | None = None
    """How many calls fail before one goes well; ``None`` for all of them."""


@dataclass(slots=True)
class _Record:
    lock: threading.Lock = field(default_factory=threading.Lock)
    calls: list[Call] = field(default_factory=list)
    in_flight: int = 0
    peak: int = 0


@dataclass(frozen=True, kw_only=True, eq=False)
class ScriptedLLM:
    """An `LLM` that never surprises. It can be used for many runs, on any loop; only its record grows.

    A call that is not streamed gets its whole text as one piece, after all the time that its pieces take.
    Unless ``usage`` says otherwise a word is a token, and every call ends with ``stop``.

        >>> llm = ScriptedLLM(skeleton="1. Sleep\\n2. Move", points={1: "Go to bed.", 2: ["Walk", " a lot."]})
        >>> failing = ScriptedLLM(points={2: "Walk."}, delay={"point": 0.01}, failures={2: OSError("no route")})
    """

    skeleton: Script = ""
    points: Mapping[int, Script] = field(default_factory=dict)
    """By number. A point without a text is an error of the test, and raised as a `LookupError`."""
    direct: Script = ""
    route: Script = ""
    delay: Mapping[Key, float] = field(default_factory=dict)
    """Seconds before the first piece."""
    pause: Mapping[Key, float] = field(default_factory=dict)
    """Seconds between two pieces."""
    failures: Mapping[Key, Exception | Failure] = field(default_factory=dict)
    usage: Mapping[Key, Usage] = field(default_factory=dict)
    finish: Mapping[Key, str] = field(default_factory=dict)
    abilities: Abilities = field(default_factory=Abilities)
    _record: _Record = field(default_factory=_Record, init=False, repr=False)

    @property
    def calls(self) -> list[Call]:
        """All calls so far, in the order in which they began."""
        return list(self._record.calls)

    @property
    def in_flight(self) -> int:
        """Calls that have begun and have neither ended nor been closed."""
        return self._record.in_flight

    @property
    def peak(self) -> int:
        """Most calls that were ever in flight."""
        return self._record.peak

    async def __call__(self, call: Call, /) -> AsyncGenerator[Piece, None]:
        """Say what the script has for *call*."""
        earlier = self._begin(call)
        try:
            pieces = self._pieces(call)
            failure = self._failure(call, earlier)
            said = pieces if failure is None else pieces[: failure.after]
            async for text in self._timed(call, said):
                yield text
            if failure is not None:
                raise failure.error
            yield _found(self.usage, call, _counted(call, pieces))
            yield Finish(_found(self.finish, call, "stop"))
        finally:
            self._end()

    async def _timed(self, call: Call, pieces: Sequence[str]) -> AsyncGenerator[str, None]:
        delay, pause = _found(self.delay, call, 0.0), _found(self.pause, call, 0.0)
        if not call.stream:
            await asyncio.sleep(delay + pause * max(0, len(pieces) - 1))
            if pieces:
                yield "".join(pieces)
            return
        for number, text in enumerate(pieces):
            await asyncio.sleep(delay if number == 0 else pause)
            yield text

    def _begin(self, call: Call) -> int:
        record = self._record
        with record.lock:
            earlier = sum((done.stage, done.point) == (call.stage, call.point) for done in record.calls)
            record.calls.append(call)
            record.in_flight += 1
            record.peak = max(record.peak, record.in_flight)
        return earlier

    def _end(self) -> None:
        with self._record.lock:
            self._record.in_flight -= 1

    def _pieces(self, call: Call) -> list[str]:
        script = self._script(call)
        return re.findall(r"\s*\S+|\s+$", script) if isinstance(script, str) else list(script)

    def _script(self, call: Call) -> Script:
        match call.stage:
            case "route":
                return self.route
            case "skeleton":
                return self.skeleton
            case "direct":
                return self.direct
            case "point":
                if call.point is None or call.point not in self.points:
                    raise LookupError(f"the script has no text for point {call.point}")
                return self.points[call.point]

    def _failure(self, call: Call, earlier: int) -> Failure | None:
        failure = _found(self.failures, call, None)
        if isinstance(failure, Exception):
            return Failure(failure)
        if failure is None or (failure.times is not None and earlier >= failure.times):
            return None
        return failure


def _found(table: Mapping[Key, T], call: Call, default: T) -> T:
    """Look up the call's point, then its stage."""
    if call.point is not None and call.point in table:
        return table[call.point]
    return table.get(call.stage, default)


def _counted(call: Call, pieces: Iterable[str]) -> Usage:
    return Usage(sum(len(message.text.split()) for message in call.messages), len("".join(pieces).split()))


@overload
def collect(stream: AsyncIterable[T]) -> Coroutine[Any, Any, list[T]]: ...
@overload
def collect(stream: Iterable[T]) -> list[T]: ...
def collect(stream: AsyncIterable[T] | Iterable[T]) -> Coroutine[Any, Any, list[T]] | list[T]:
    """Collect what a stream yields into a list; of an asynchronous stream, await it. Closes the stream.

    >>> collect(letter for letter in "SoT")
    ['S', 'o', 'T']
    """
    if isinstance(stream, AsyncIterable):
        return _collected(stream)
    try:
        return list(stream)
    finally:
        getattr(stream, "close", lambda: None)()


async def _collected(stream: AsyncIterable[T]) -> list[T]:
    try:
        return [item async for item in stream]
    finally:
        if close := getattr(stream, "aclose", None):
            await close()
