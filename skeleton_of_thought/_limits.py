"""What may be in flight: one bound per chain object, over all its runs and all event loops.

``asyncio.Semaphore`` belongs to one loop, but a chain object is used from many: ``asyncio.run`` in a
script, a server's loop, the private loop of the synchronous methods.

A place goes to the run that has fewest, so that an answer of 20 points does not starve one of three. Places
become fewer while a provider refuses calls (see ``_width``), and none is given for a model that pauses.
"""

import asyncio
import threading
from collections.abc import Hashable
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic
from types import TracebackType

from ._fairness import Fairness
from ._numbers import check_whole
from ._pace import Pace
from ._width import Width
from .calls import Stage

_LOOK_AGAIN = 5.0
"""Seconds after which a call that waits looks again: it was passed over if its loop stood still."""
_MODELS = 64
"""How many models are remembered."""


@dataclass(slots=True)
class Traffic:
    """What is known of the calls to one model, over all runs."""

    pace: Pace = field(default_factory=Pace)
    paused_until: float = float("-inf")
    refused: float = float("-inf")
    """When a call was refused last, by ``time.monotonic``."""
    told_end: set[Stage] = field(default_factory=set)
    """For which calls it has told why a reply ended."""


class Limit:
    """At most *width* model calls at a time, shared fairly between runs.

    Give one to several objects as their ``max_concurrency`` to bound them together; never to one that is the model
    of another, whose calls would wait for the place that the outer call holds. A copy is the same limit.

    Args:
        adaptive: use fewer places while a provider refuses calls, lets fewer through, or becomes slow.

    Raises:
        ConfigurationError: *width* is not a whole number from 1 up.
    """

    def __init__(self, width: int, *, adaptive: bool = True) -> None:
        check_whole("width", width)
        self.width = width
        self.adaptive = adaptive
        self._places = Width(width)
        self._in_flight = 0
        self._runs = Fairness[_Turn]()
        self._models: dict[Hashable, Traffic] = {}
        self._lock = threading.RLock()
        self._narrower: dict[int, Limit] = {}
        self._nested: tuple[Limit, ...] = (self,)
        """This one, and all around it; the last is the widest, and what is learnt is learnt there."""

    def within(self, width: int) -> "Limit":
        """Return the one limit of *width* inside this one: its holders have a place in both.

        Raises:
            ConfigurationError: *width* is not a whole number from 1 up.
        """
        narrower = Limit(width, adaptive=False)
        narrower._nested = (narrower, *self._nested)
        with self._lock:
            return self._narrower.setdefault(width, narrower)

    @property
    def places(self) -> int:
        """How many calls may be in flight now: *width*, or fewer while a provider bears no more."""
        return min(limit._places.now for limit in self._nested)

    def __copy__(self) -> "Limit":
        return self

    def __deepcopy__(self, _: dict[int, object]) -> "Limit":
        return self

    def __reduce__(self) -> tuple[object, ...]:
        return _limit, (self.width, self.adaptive)  # in another process nobody holds a place yet

    def place(self, run: Hashable, model: Hashable = None) -> "Place":
        """Return a place to wait for: ``async with limit.place(run, model): ...``.

        Args:
            run: those that are equal share what is fair to one.
            model: which model the call goes to; a pause is for all calls to one.
        """
        return Place(self, run, model)

    def _traffic(self, model: Hashable) -> Traffic:
        with self._lock:
            known = self._models.pop(model, None) or Traffic()
            self._models[model] = known
            while len(self._models) > _MODELS:
                del self._models[next(iter(self._models))]
            return known

    # -- places, of this limit alone -----------------------------------------------------------------------

    def _take_free(self, run: Hashable) -> bool:
        with self._lock:
            free = self._in_flight < self._places.now and not self._runs
            if free:
                self._hold(run)
            return free

    async def _take(self, run: Hashable) -> None:
        with self._lock:
            if self._take_free(run):
                return
            turn = _Turn(asyncio.get_running_loop())
            self._runs.add(run, turn)
        try:
            while not (await asyncio.wait([turn.came], timeout=_LOOK_AGAIN))[0]:
                self._look_again(run, turn)
        except BaseException:  # cancelled, or closed with its loop
            with self._lock:
                if turn.given:
                    self._release(run)
                else:
                    self._runs.remove(run, turn)
            raise

    def _look_again(self, run: Hashable, turn: "_Turn") -> None:
        with self._lock:
            if not turn.given and not self._runs.waits(run, turn):  # passed over, because its loop stood still
                self._runs.add(run, turn)
            self._hand_out()

    def _hold(self, run: Hashable) -> None:
        self._in_flight += 1
        self._runs.hold(run)

    def _release(self, run: Hashable) -> None:
        with self._lock:
            self._in_flight -= 1
            self._runs.release(run)
            self._hand_out()

    def _hand_out(self) -> None:
        while self._runs and self._in_flight < self._places.now:
            run, turn = self._runs.pop()
            if turn.give():
                self._hold(run)


class _Turn:
    """One call that waits for its turn."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.came: asyncio.Future[None] = loop.create_future()
        self.given = False

    def give(self) -> bool:
        """Let it have its turn, unless nobody would notice: loops stop and are closed while calls wait."""
        if self._loop.is_running():
            with suppress(RuntimeError):  # closed just now
                self._loop.call_soon_threadsafe(self._come)
                self.given = True
        return self.given

    def _come(self) -> None:
        if not self.came.done():
            self.came.set_result(None)


class Place:
    """One place in a limit and in all around it, for calls to one model; what happens to them is told here."""

    def __init__(self, limit: Limit, run: Hashable, model: Hashable) -> None:
        self._limit = limit
        self._widest = limit._nested[-1]
        self._run = run
        self._model = model
        self.traffic = self._widest._traffic(model)

    async def __aenter__(self) -> None:
        while True:
            while (left := self.traffic.paused_until - monotonic()) > 0:  # noqa: ASYNC110 -- it may become longer
                await asyncio.sleep(left)
            await self._take()
            if self.traffic.paused_until <= monotonic():  # it may have been paused while we waited
                return
            self.give_back()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.give_back()

    def another(self) -> "Place":
        """Return another place of the same kind."""
        return Place(self._limit, self._run, self._model)

    def pause(self, seconds: float) -> None:
        """Give no place for the model for so long, to any run: calls that are refused together wait together."""
        self.traffic.paused_until = max(self.traffic.paused_until, monotonic() + seconds)

    def refused(self, began: float) -> None:
        """Take note that a provider refused a call which began at *began*, by ``time.monotonic``."""
        self.traffic.refused = now = monotonic()
        with self._widest._lock:
            if self._widest.adaptive:
                self._widest._places.refused(began, now, self._widest._in_flight)

    def went_well(self, began: float, per_token: float | None) -> None:
        """Take note of a call that was heard to its end, and of the seconds between its tokens where they are known."""
        with self._widest._lock:
            if self._widest.adaptive:
                slow = self.traffic.pace.is_slow(per_token, self._widest._in_flight)
                self._widest._places.went_well(began, monotonic(), self._widest._in_flight, slow=slow)
                self._widest._hand_out()

    def allowed(self, more: int) -> None:
        """Take note that a provider lets so many more calls through."""
        with self._widest._lock:
            if self._widest.adaptive:
                self._widest._places.allowed(more, monotonic(), self._widest._in_flight)

    async def _take(self) -> None:
        taken: list[Limit] = []
        try:
            for limit in self._limit._nested:
                await limit._take(self._run)
                taken.append(limit)
        except BaseException:
            for limit in taken:
                limit._release(self._run)
            raise

    def take_free(self) -> bool:
        """Take a place if there is one, and tell. Who has one gives it back."""
        taken: list[Limit] = []
        for limit in self._limit._nested:
            if not limit._take_free(self._run):
                for other in taken:
                    other._release(self._run)
                return False
            taken.append(limit)
        return True

    def give_back(self) -> None:
        """Let somebody else have the place."""
        for limit in self._limit._nested:
            limit._release(self._run)


def _limit(width: int, adaptive: bool) -> Limit:
    return Limit(width, adaptive=adaptive)
