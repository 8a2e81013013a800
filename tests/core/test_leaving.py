"""Who leaves a run while it waits for something that takes an hour does not wait, and leaves nothing behind."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest

from skeleton_of_thought import Hedge, PointError, Retry, SkeletonOfThought, Timeout
from skeleton_of_thought._hedge import Race
from skeleton_of_thought._limits import Limit
from skeleton_of_thought._listen import Hear, Heard
from skeleton_of_thought._pace import Pace
from skeleton_of_thought.events import Text
from skeleton_of_thought.testing import Failure, ScriptedLLM, collect

from .running import FOREVER, QUESTION, TEXT, engine, run, scripted

SOON = 2.0
"""Seconds after which who leaves has waited. It takes milliseconds, which ``pytest -rP`` shows."""


class RefusedError(Exception):
    """A provider that wants to be left alone for an hour."""

    status_code = 429

    class response:  # noqa: N801 -- as clients name it
        headers = {"retry-after": str(FOREVER)}  # noqa: RUF012 -- as clients have it


@dataclass(frozen=True)
class Stuck:
    """A run that waits for something, and how to see that it does."""

    sot: SkeletonOfThought
    is_stuck: Callable[[], bool]

    @property
    def llm(self) -> ScriptedLLM:
        assert isinstance(self.sot.llm, ScriptedLLM)
        return self.sot.llm

    async def wait(self) -> None:
        while not self.is_stuck():  # noqa: ASYNC110 -- the fake has no event
            await asyncio.sleep(0.001)
        for _ in range(20):  # so that whatever else may begin has begun
            await asyncio.sleep(0)


@dataclass(eq=False)
class Endless:
    """A function of the caller that never returns."""

    begun: threading.Event = field(default_factory=threading.Event)

    async def __call__(self, *_: object) -> Any:
        self.begun.set()
        await asyncio.Event().wait()


# -- what a run waits for ------------------------------------------------------------------------------


class Scarce:
    """A rate limit that lets so many requests through, and no more; the real one needs its extra."""

    def __init__(self, left: int) -> None:
        self._left = left

    async def wait(self, tokens: int) -> None:
        self._left -= 1
        if self._left < 0:
            await asyncio.Event().wait()


def _in_flight(number: int, llm: ScriptedLLM, asked: int = 4, **settings: Any) -> Stuck:
    def is_stuck() -> bool:
        return asked <= len(llm.calls) and number == llm.in_flight

    return Stuck(engine(llm, **{"retry": Retry(seconds=2 * FOREVER)} | settings), is_stuck)


def the_skeleton() -> Stuck:
    return _in_flight(1, scripted(delay={"skeleton": FOREVER}), asked=1)


def a_direct_answer() -> Stuck:
    return _in_flight(1, scripted(delay={"direct": FOREVER}), asked=1, router="never")


def first_tokens() -> Stuck:
    return _in_flight(3, scripted(delay={"point": FOREVER}))


def further_tokens() -> Stuck:
    return _in_flight(2, scripted(pause={"point": FOREVER}))  # the third point has but one


def tokens_that_may_not_be_late() -> Stuck:
    return _in_flight(2, scripted(pause={"point": FOREVER}), timeout=Timeout(first_token=60, between_tokens=60))


def a_place() -> Stuck:
    return _in_flight(1, scripted(delay={"point": FOREVER}), asked=2, max_concurrency=1)


def the_end_of_a_pause() -> Stuck:
    return _in_flight(1, scripted(delay={1: FOREVER}, failures={2: RefusedError()}), asked=3)  # the third waits too


def a_pause_and_a_place() -> Stuck:
    return _in_flight(0, scripted(failures={1: RefusedError()}), asked=2, max_concurrency=1)


def the_next_attempt() -> Stuck:
    retry = Retry(seconds=3 * FOREVER, first_wait=FOREVER, longest_wait=FOREVER)
    llm = scripted(delay={1: FOREVER, 3: FOREVER}, failures={2: ConnectionError("reset")})
    return _in_flight(2, llm, retry=retry)


def a_share_of_a_rate() -> Stuck:
    llm = scripted(delay={"point": FOREVER})
    return _in_flight(1, llm, asked=2, rate_limit=Scarce(2))


def two_requests_for_each_point() -> Stuck:
    delay = dict[Any, float]()
    sot = engine(scripted(delay=delay), hedge=Hedge(budget=1.0))
    for _ in range(7):  # a model's pace has to be known
        assert TEXT == sot.ask(QUESTION).text
        assert TEXT == "".join(event.text for event in sot.stream(QUESTION) if isinstance(event, Text))
    delay["point"] = FOREVER
    assert isinstance(sot.llm, ScriptedLLM)
    llm, earlier = sot.llm, len(sot.llm.calls)
    return Stuck(sot, lambda: len(llm.calls) == earlier + 7 and 6 == llm.in_flight)


def what_is_left_of_a_point() -> Stuck:
    llm = scripted(pause={2: FOREVER}, failures={2: Failure(ConnectionError("reset"), after=1, times=1)})
    return _in_flight(1, llm, asked=5, retry=Retry(first_wait=0))


def what_stands_in_the_place_of_a_point() -> Stuck:
    instead = Endless()
    llm = scripted(delay={1: FOREVER, 3: FOREVER}, failures={2: ValueError("content policy")})
    return Stuck(engine(llm, on_point_error=instead), lambda: instead.begun.is_set() and 2 == llm.in_flight)


def what_is_retrieved() -> Stuck:
    search = Endless()
    return Stuck(engine(scripted(), retriever=search), search.begun.is_set)


def a_router() -> Stuck:
    router = Endless()
    return Stuck(engine(scripted(), router=router), router.begun.is_set)


WAITS = [
    the_skeleton,
    a_direct_answer,
    first_tokens,
    further_tokens,
    tokens_that_may_not_be_late,
    a_place,
    the_end_of_a_pause,
    a_pause_and_a_place,
    the_next_attempt,
    a_share_of_a_rate,
    two_requests_for_each_point,
    what_is_left_of_a_point,
    what_stands_in_the_place_of_a_point,
    what_is_retrieved,
]
waits = pytest.mark.parametrize("what", [*WAITS, a_router])
begun = pytest.mark.parametrize("what", WAITS)
"""For those who read an event first, and a router comes before all events."""


# -- how it is left ------------------------------------------------------------------------------------


async def _cancel(stuck: Stuck, asked: Awaitable[object], *, again: bool = False) -> float:
    reader = asyncio.ensure_future(asked)
    await stuck.wait()
    left = time.perf_counter()
    reader.cancel()
    while again and not reader.done():
        await asyncio.sleep(0)
        reader.cancel()
    await asyncio.wait([reader])
    assert reader.cancelled()
    return left


async def _end_of_tasks() -> None:
    """Wait for what nobody waits for; such a reader was in too great a hurry."""
    while len(asyncio.all_tasks()) > 1:  # noqa: ASYNC110 -- tasks end, and tell nobody
        await asyncio.sleep(0)


async def by_cancelling(stuck: Stuck) -> float:
    return await _cancel(stuck, collect(stuck.sot.astream(QUESTION)))


async def by_cancelling_again_and_again(stuck: Stuck) -> float:
    left = await _cancel(stuck, collect(stuck.sot.astream(QUESTION)), again=True)
    await _end_of_tasks()
    return left


async def by_cancelling_who_wants_all(stuck: Stuck) -> float:
    return await _cancel(stuck, stuck.sot.aask(QUESTION))


async def by_a_timeout(stuck: Stuck) -> float:
    async def ask() -> None:
        async with asyncio.timeout(None) as scope:
            watcher = asyncio.create_task(stuck.wait())
            watcher.add_done_callback(lambda _: scope.reschedule(0))
            await collect(stuck.sot.astream(QUESTION))

    with pytest.raises(TimeoutError):
        await ask()
    return time.perf_counter()


def _free(sot: SkeletonOfThought) -> None:
    """See that all places are free: somebody else gets them."""

    async def main() -> None:
        async with AsyncExitStack() as held, asyncio.timeout(SOON):
            for _ in range(sot.limit.places):
                await held.enter_async_context(sot.limit.place("another run"))

    asyncio.run(main())


def _ended(stuck: Stuck, left: float) -> None:
    seconds = time.perf_counter() - left
    print(f"{1000 * seconds:.1f} ms")
    assert (0, True) == (stuck.llm.in_flight, seconds < SOON)


@waits
@pytest.mark.parametrize(
    "leave", [by_cancelling, by_cancelling_again_and_again, by_cancelling_who_wants_all, by_a_timeout]
)
def test_who_is_cancelled_leaves_nothing(what: Any, leave: Any) -> None:
    """All calls have ended, no task is left, no further call is made, and all places are free."""
    stuck = what()

    async def main() -> None:
        left = await leave(stuck)
        _ended(stuck, left)
        asked = len(stuck.llm.calls)
        await asyncio.sleep(0.01)
        assert asked == len(stuck.llm.calls)

    run(main)
    _free(stuck.sot)


@begun
def test_who_closes_a_stream_leaves_nothing(what: Any) -> None:
    """When ``aclose`` returns, all calls have ended."""
    stuck = what()

    async def main() -> None:
        stream = stuck.sot.astream(QUESTION)
        await anext(stream)
        await stuck.wait()
        left = time.perf_counter()
        await stream.aclose()
        _ended(stuck, left)
        assert {asyncio.current_task()} == asyncio.all_tasks()

    run(main)
    _free(stuck.sot)


@begun
def test_who_closes_a_synchronous_stream_leaves_nothing(what: Any) -> None:
    """The private loop has no task of the run any more."""
    stuck = what()
    stream = stuck.sot.stream(QUESTION)
    next(stream)
    while not stuck.is_stuck():
        time.sleep(0.001)
    left = time.perf_counter()
    stream.close()
    _ended(stuck, left)
    _free(stuck.sot)


@waits
def test_a_loop_that_ends_leaves_nothing(what: Any) -> None:
    """It cancels all tasks of a run at once, so that some are cancelled twice."""
    stuck = what()
    left = []

    async def main() -> None:
        reader = asyncio.create_task(collect(stuck.sot.astream(QUESTION)))
        await stuck.wait()
        left.append(time.perf_counter())
        assert not reader.done()

    asyncio.run(main())
    _ended(stuck, left[0])
    _free(stuck.sot)


# -- at any moment -------------------------------------------------------------------------------------


async def _found(*_: object) -> list[Any]:
    await asyncio.sleep(0)
    return []


def eventful() -> SkeletonOfThought:
    """Make a run in which much happens at the same time, and nothing takes long."""
    failures: dict[Any, Any] = {
        "skeleton": Failure(ConnectionError("reset"), times=1),
        1: Failure(ConnectionError("reset"), after=1, times=1),
        2: ValueError("content policy"),
    }

    async def instead(error: PointError) -> str:
        await asyncio.sleep(0)
        return "Rest."

    settings = {"retriever": _found, "on_point_error": instead, "max_concurrency": 2, "timeout": 60, "deadline": 60}
    return engine(scripted(failures=failures), retry=Retry(first_wait=0), **settings)


@pytest.mark.parametrize("again", [False, True], ids=["once", "again"])
@pytest.mark.parametrize("turns", range(0, 60, 3))
def test_it_may_be_left_at_any_moment(turns: int, again: bool) -> None:
    """Between any two turns of the loop, once and in a hurry."""
    sot = eventful()

    async def main() -> None:
        reader = asyncio.create_task(collect(sot.astream(QUESTION)))
        for _ in range(turns):
            await asyncio.sleep(0)
        reader.cancel()
        while again and not reader.done():
            await asyncio.sleep(0)
            reader.cancel()
        await asyncio.wait([reader])
        await _end_of_tasks()

    run(main)
    assert isinstance(sot.llm, ScriptedLLM)
    assert 0 == sot.llm.in_flight
    _free(sot)


# -- second requests -----------------------------------------------------------------------------------


def test_a_second_request_may_lose_before_it_has_begun() -> None:
    """It is forgotten without a word."""
    begun = []

    async def main() -> None:
        pace = Pace(calls=1)

        async def ask(hear: Hear, heard: Heard) -> None:
            begun.append(heard)
            while not pace.again:  # noqa: ASYNC110 -- the next turn is that of the second request
                await asyncio.sleep(0)
            hear("Walk.", None)

        race = Race(ask, lambda *_: None, pace, streamed=True)
        await race.run(0, 1.0, Limit(1).place("run"), Heard())

    run(main)
    assert 1 == len(begun)


def test_who_is_in_a_hurry_gives_back_the_place_of_a_second_request() -> None:
    """A loop that ends cancels twice who waits for two requests to be closed."""
    limit = Limit(1)

    async def main() -> None:
        pace, closing, closed = Pace(calls=1), asyncio.Event(), asyncio.Event()

        async def ask(*_: object) -> None:
            try:
                await asyncio.Event().wait()
            finally:
                closing.set()
                await closed.wait()

        race = Race(ask, lambda *_: None, pace, streamed=True)
        work = asyncio.create_task(race.run(0, 1.0, limit.place("run"), Heard()))
        while not pace.again:  # noqa: ASYNC110 -- it is a number
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        work.cancel()
        await closing.wait()
        work.cancel()
        await asyncio.wait([work])
        closed.set()
        await _end_of_tasks()

    run(main)
    assert limit.place("another run").take_free()
