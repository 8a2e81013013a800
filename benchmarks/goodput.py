"""How many complete answers come out of an endpoint that bears only so much, by how many calls there are at a time.

Answers are asked for all the time, some dozens at once, each way by one object. Ways take turns by blocks of seconds,
on endpoints in other processes: one that answers 429 with ``Retry-After`` above so many requests in flight, once silent
about it and once with truthful ``x-ratelimit`` headers; and one that refuses nothing but becomes slow, where up to 16
requests cost each other little, and more cost each other more than they gain.

"Good" are complete answers a second, beside the most that the endpoint could say by its settings alone if nothing else
took time. They begin one after another in the first seconds of a block, which are not counted; what is in flight at its
end is given up. "Refused" are requests for each complete answer, "in flight" the most that the endpoint saw, and
"places" how many calls there may be at the end of the last block. Who fails asks the next question at once.

    python -m benchmarks.goodput [--seconds 15] [--rounds 2] [--runs 16] [--capacity 16]
"""

import argparse
import asyncio
import time
from collections import Counter
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial
from itertools import count

from openai import APIError

from skeleton_of_thought import Answer, Limit, SkeletonOfThought, SoTError
from skeleton_of_thought.events import Finished
from skeleton_of_thought.models.openai import OpenAIModel
from skeleton_of_thought.testing import LatencyModel

from .elsewhere import Endpoint
from .reliable import Book, Counted, endpoint, percentile

BOOK = Book()
FIRST, PER_TOKEN, RETRY_AFTER = 0.1, 0.02, 0.1  # seconds
SLOWDOWN = ((1, 1.0), (16, 1.25), (24, 2.0), (32, 4.0), (64, 10.0), (256, 40.0))
WIDE, NO_LIMIT = 64, 10_000
LEAD = 5.0  # seconds of a block that are not counted
Make = Callable[[], Counted]


def refusing(capacity: int, tells: bool) -> Counted:
    """Make an endpoint that refuses what is too much, and tells how much is left or does not."""
    model = LatencyModel(
        reply=BOOK,
        first_token=FIRST,
        per_token=PER_TOKEN,
        capacity=capacity,
        retry_after=RETRY_AFTER,
        headers=None if tells else lambda _: {},
    )
    return Counted(BOOK, model)


def slowing() -> Counted:
    """Make an endpoint that becomes slow."""
    return Counted(BOOK, LatencyModel(reply=BOOK, first_token=FIRST, per_token=PER_TOKEN, slowdown=SLOWDOWN))


def call_seconds() -> float:
    """Return how long all calls of an answer take together on an endpoint that has nothing else to do."""
    words = len(BOOK.skeleton(1).split()) + BOOK.points * BOOK.words
    return (BOOK.points + 1) * (FIRST - PER_TOKEN) + words * PER_TOKEN


@dataclass
class Way:
    """An object with a limit, and what came of it."""

    name: str
    served: Endpoint
    limit: Limit
    seconds: list[float] = field(default_factory=list)
    failed: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int | None] = field(default_factory=Counter)
    good: int = 0
    peak: int = 0

    def __post_init__(self) -> None:
        llm = OpenAIModel("none", base_url=self.served.url)
        self._sot = SkeletonOfThought(llm=llm, router="always", max_concurrency=self.limit)
        self._numbers = count()

    def forget(self) -> None:
        """Begin to count anew."""
        for counted in (self.seconds, self.failed, self.statuses):
            counted.clear()
        self.good = self.peak = 0

    async def block(self, seconds: float, runs: int, lead: float = LEAD) -> None:
        """Answer questions for so many seconds, so many at a time, after a lead that is not counted."""
        began = time.perf_counter() + lead
        working = [asyncio.create_task(self._work(lead * number / runs, began)) for number in range(runs)]
        await asyncio.wait(working, timeout=lead + seconds)
        for task in working:
            task.cancel()
        await asyncio.wait(working)
        told = self.served.tell()
        self.peak = max(self.peak, told.peak)
        self.statuses += told.statuses

    async def _work(self, wait: float, counted_from: float) -> None:
        await asyncio.sleep(wait)  # not all at once, or all would end at once
        while True:
            number, began = next(self._numbers), time.perf_counter()
            try:
                answer = await self._answer(BOOK.question(number))
            except (SoTError, APIError) as error:
                self.failed[type(error.__cause__ or error).__name__] += 1
                continue
            assert answer.text == BOOK.answer(number)
            self.seconds.append(time.perf_counter() - began)
            self.good += time.perf_counter() >= counted_from

    async def _answer(self, question: str) -> Answer:
        async with aclosing(self._sot.astream(question, terse=True)) as events:
            *_, last = [event async for event in events]
        assert isinstance(last, Finished)
        return last.answer


async def measure(ways: list[Way], told: argparse.Namespace) -> None:
    """Let all ways take turns."""
    for way in ways:
        await way.block(1.0, 2)  # loads what clients load when they are used first
        way.forget()
    for _ in range(told.rounds):
        for way in ways:
            await way.block(told.seconds, told.runs)


def show(title: str, ways: list[Way], seconds: float, most: float) -> None:
    """Say what came of them."""
    print(f"\n{title}; at most {most:.2f} answers a second")
    heads = ("good/s", "of most", "failed", "refused", "p50 s", "p99 s", "in flight", "places")
    print(f"{'':<30}" + "".join(f"{head:>10}" for head in heads))
    for way in ways:
        good = way.good / seconds
        cells = f"{good:>10.2f}{100 * good / most:>8.0f} %{sum(way.failed.values()):>10}"
        cells += f"{way.statuses[429] / max(1, len(way.seconds)):>10.1f}"
        cells += "".join(f"{percentile(way.seconds, share):>10.2f}" for share in (0.5, 0.99))
        print(f"{way.name:<30}{cells}{way.peak:>10}{way.limit.places:>10} {dict(way.failed) or ''}", flush=True)


def limits(fixed: list[int]) -> dict[str, Limit]:
    """Return what is compared."""
    named = {f"adaptive, {WIDE}": Limit(WIDE), f"fixed, {WIDE}": Limit(WIDE, adaptive=False)}
    named |= {f"fixed, {width}": Limit(width, adaptive=False) for width in fixed}
    return named | {"no limit": Limit(NO_LIMIT, adaptive=False)}


def main() -> None:
    """Measure on each endpoint."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=15, help="of a block (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=2, help="blocks of each way (default: %(default)s)")
    parser.add_argument("--runs", type=int, default=16, help="answers at a time (default: %(default)s)")
    parser.add_argument("--capacity", type=int, default=16, help="requests in flight (default: %(default)s)")
    told = parser.parse_args()
    best = max(width / factor for width, factor in SLOWDOWN)
    endpoints: list[tuple[str, Make, list[int], float]] = [
        (
            f"refuses above {told.capacity}, silent",
            partial(refusing, told.capacity, False),
            [told.capacity],
            told.capacity,
        ),
        (
            f"refuses above {told.capacity}, tells",
            partial(refusing, told.capacity, True),
            [told.capacity],
            told.capacity,
        ),
        ("becomes slow above 16", slowing, [32, 16, 8], best),
    ]
    for title, make, fixed, width in endpoints:
        with endpoint(make) as served:
            ways = [Way(name, served, limit) for name, limit in limits(fixed).items()]
            asyncio.run(measure(ways, told))
            show(title, ways, told.seconds * told.rounds, width / call_seconds())


if __name__ == "__main__":
    main()
