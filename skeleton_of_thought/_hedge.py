"""A second request for a straggler: whichever speaks first is heard, the other is closed."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from time import perf_counter
from typing import TypeAlias

from ._limits import Place
from ._listen import Hear, Heard
from ._numbers import check_seconds, check_share
from ._pace import Pace

Ask: TypeAlias = Callable[[Hear, Heard], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hedge:
    """When a point is asked for a second time, because its first token is late.

    Raises:
        ConfigurationError: a value cannot work.
    """

    percentile: float = 0.95
    """Late is what is later than so many of the calls to this model so far; 20 have to be known."""
    budget: float = 0.1
    """How many second requests there may be, as a share of all calls for points."""
    quiet: float = 30.0
    """Seconds without any refusal by the provider (429, 529) before a second request is made."""

    def __post_init__(self) -> None:
        check_share("percentile", self.percentile)
        check_share("budget", self.budget)
        check_seconds("quiet", self.quiet, least=0)

    def late_after(self, pace: Pace, quiet: float, *, streamed: bool) -> float | None:
        """Return after how many seconds a call is late; ``None`` where it is not asked a second time.

        Args:
            quiet: seconds since the last refusal.
        """
        if quiet < self.quiet or not pace.may_ask_again(self.budget):
            return None
        return pace.late_after(self.percentile, streamed=streamed)


class Race:
    """One call, asked once, and a second time where its first token is late."""

    def __init__(self, ask: Ask, hear: Hear, pace: Pace, *, streamed: bool) -> None:
        self._ask = ask
        self._hear = hear
        self._pace = pace
        self._streamed = streamed
        self._running: list[asyncio.Task[None]] = []
        self._heard: list[Heard] = []
        self._began: list[float] = []
        self._winner: int | None = None

    async def run(self, late: float, budget: float, place: Place, heard: Heard) -> None:
        """Ask, and ask again after *late* seconds, if *place* is free and the provider has refused no call since.

        The first to speak is heard, into *heard*.
        """
        second, refused = False, place.traffic.refused
        try:
            self._begin()
            await asyncio.wait(self._running, timeout=late)
            silent = self._winner is None and not self._running[0].done()
            silent &= self._pace.may_ask_again(budget)  # others may have spent it
            if silent and place.traffic.refused == refused and (second := place.take_free()):
                self._pace.again += 1
                self._begin()
            await self._end()
        finally:
            winner = self._winner or 0
            heard.add(self._heard[winner], self._began[winner] - self._began[0])
            for task in self._running:
                task.cancel()
            try:
                await asyncio.wait(self._running)
            finally:  # a loop that ends cancels again who waits here
                if second:
                    place.give_back()

    def _begin(self) -> None:
        number, heard, began = len(self._running), Heard(), perf_counter()
        self._began.append(began)

        def hear(text: str, origin: object) -> bool | None:
            if self._winner is None and text:
                self._win(number)
            return self._hear(text, origin) if self._winner in {number, None} else True

        def end(task: asyncio.Task[None]) -> None:
            late = perf_counter() - began if self._winner not in {number, None} else None
            if (first := heard.first or late) is not None:  # of who has lost it is at least this
                self._pace.heard(first, streamed=self._streamed)
            if not task.cancelled():
                task.exception()  # retrieved: the error of who has lost is nobody's

        async def ask() -> None:  # it calls the model when it begins: a task may be cancelled before
            await self._ask(hear, heard)

        self._heard.append(heard)
        self._running.append(asyncio.create_task(ask()))
        self._running[-1].add_done_callback(end)

    def _win(self, number: int) -> None:
        self._winner = number
        for other, task in enumerate(self._running):
            if other != number:
                task.cancel()

    async def _end(self) -> None:
        """Wait for the winner, or for the first to end well, or for the last to fail."""
        waiting = set(self._running)
        while waiting:
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                number = self._running.index(task)
                if number == self._winner or (self._winner is None and not task.cancelled() and not task.exception()):
                    self._winner = number
                    task.result()
                    return
        self._running[0].result()
        raise asyncio.CancelledError  # somebody else cancelled both
