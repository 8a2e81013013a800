"""What a second request for a late point saves of whole answers, and what it costs.

An endpoint takes its time for each first token as a distribution says; drawn from the request's text and from how often
that was asked, so that a second request may be luckier, and so that both ways ask for the same answers under the same
luck. Each way has an endpoint and an object of its own, both in this one run, and they take turns by blocks of answers.

Shown are whole answers, and of them the points alone, from the end of the skeleton on: the skeleton is asked for once
either way. Ratios are without to with. "More" are second requests as a share of the calls for points; the budget is 10
percent of these.

    python -m benchmarks.hedging [--answers 300] [--at-once 2] [--seed 0]
"""

import argparse
import asyncio
import time
from contextlib import ExitStack, aclosing
from dataclasses import dataclass, field
from functools import partial
from math import log
from random import Random

from skeleton_of_thought import Hedge, Limit, SkeletonOfThought
from skeleton_of_thought.events import Finished, SkeletonReady
from skeleton_of_thought.models.openai import OpenAIModel
from skeleton_of_thought.testing import LatencyModel

from .elsewhere import Endpoint
from .reliable import Book, Counted, Told, endpoint, percentile

BOOK = Book()
PER_TOKEN = 0.002
BLOCK = 20  # answers
WARM = 10  # answers before that are not counted: late is what is known to be
SHARES = (0.5, 0.95, 0.99)


def five_percent(chance: Random) -> float:
    """Take 20 ms, and 400 ms one time in twenty."""
    return 0.02 if chance.random() < 0.95 else 0.4


def one_percent(chance: Random) -> float:
    """Take 20 ms, and 1 s one time in a hundred."""
    return 0.02 if chance.random() < 0.99 else 1.0


def log_normal(chance: Random) -> float:
    """Take 20 ms in the middle, 156 ms at the 95th percentile, 366 ms at the 99th."""
    return chance.lognormvariate(log(0.02), 1.25)


FIRST_TOKENS = {
    "95 % 20 ms, 5 % 400 ms": five_percent,
    "99 % 20 ms, 1 % 1 s": one_percent,
    "log-normal, median 20 ms, p99 366 ms": log_normal,
}


def serve(name: str, seed: int) -> Counted:
    """Make an endpoint."""
    return Counted(BOOK, LatencyModel(reply=BOOK, first_token=FIRST_TOKENS[name], per_token=PER_TOKEN, seed=seed))


@dataclass
class Way:
    """With or without hedging, and what came of it."""

    served: Endpoint
    hedge: Hedge | None
    whole: list[float] = field(default_factory=list)
    points: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        llm = OpenAIModel("none", base_url=self.served.url)
        self._sot = SkeletonOfThought(llm=llm, router="always", max_concurrency=Limit(64), hedge=self.hedge)

    async def answer(self, number: int) -> None:
        """Answer a question, and note how long it took."""
        began = ready = time.perf_counter()
        async with aclosing(self._sot.astream(BOOK.question(number))) as events:
            async for event in events:
                if isinstance(event, SkeletonReady):
                    ready = time.perf_counter()
                if isinstance(event, Finished):
                    assert event.answer.text == BOOK.answer(number)
        self.whole.append(time.perf_counter() - began)
        self.points.append(time.perf_counter() - ready)

    async def answers(self, first: int, last: int, at_once: int) -> None:
        """Answer all questions from *first* to before *last*."""
        numbers = iter(range(first, last))

        async def work() -> None:
            for number in numbers:
                await self.answer(number)

        async with asyncio.TaskGroup() as group:
            for _ in range(at_once):
                group.create_task(work())

    async def warm(self, at_once: int) -> None:
        """Answer some questions, and forget it."""
        await self.answers(-WARM, 0, at_once)
        self.whole.clear()
        self.points.clear()
        self.served.tell()


async def measure(ways: list[Way], answers: int, at_once: int) -> None:
    """Let both ways take turns."""
    for way in ways:
        await way.warm(at_once)
    for first in range(0, answers, BLOCK):
        for way in ways:
            await way.answers(first, min(first + BLOCK, answers), at_once)


def show(name: str, ways: list[Way], told: list[Told], seconds: float) -> None:
    """Say what came of them."""
    answers = len(ways[0].whole)
    calls = answers * BOOK.points
    cpu = sum(each.cpu for each in told) / seconds
    heads = "".join(f"{f'{what} p{100 * share:.0f}':>12}" for what in ("answer", "points") for share in SHARES)
    print(f"\n{name}: {answers} answers each, the endpoints were busy for {100 * cpu:.0f} % of the time")
    print(f"{'':<16}{heads}{'more':>9}")
    rows = [[percentile(values, share) for values in (way.whole, way.points) for share in SHARES] for way in ways]
    for way, row, each in zip(ways, rows, told, strict=True):
        cells = "".join(f"{cell:>11.3f}s" for cell in row)
        more = each.requests - calls - answers
        print(f"{'with' if way.hedge else 'without':<16}{cells}{100 * more / calls:>8.1f}%")
    print(
        f"{'ratio':<16}" + "".join(f"{without / with_:>11.2f}x" for without, with_ in zip(*rows, strict=True)),
        flush=True,
    )


def main() -> None:
    """Measure each distribution."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--answers", type=int, default=300, help="of each way (default: %(default)s)")
    parser.add_argument("--at-once", type=int, default=2, help="answers at a time (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    told = parser.parse_args()
    for name in FIRST_TOKENS:
        with ExitStack() as stack:
            served = [stack.enter_context(endpoint(partial(serve, name, told.seed))) for _ in range(2)]
            ways = [Way(served[0], None), Way(served[1], Hedge())]
            began = time.perf_counter()
            asyncio.run(measure(ways, told.answers, told.at_once))
            show(name, ways, [way.served.tell() for way in ways], time.perf_counter() - began)


if __name__ == "__main__":
    main()
