import asyncio
from collections.abc import AsyncGenerator

import pytest

from skeleton_of_thought import Call, ConfigurationError, Finish, Hedge, Limit, Retry, SkeletonOfThought, Usage
from skeleton_of_thought.calls import Piece, key_of
from skeleton_of_thought.events import CallRetried, PointText
from skeleton_of_thought.testing import ScriptedLLM, collect
from tests.core.clock import skip_time
from tests.core.running import FOREVER, QUESTION, TEXT, engine, events_of, run, scripted, text_of, whole

ALWAYS = Hedge(budget=1.0, quiet=0.0)
USUAL = 0.5
"""Seconds to the first token that all calls so far have taken."""


@pytest.fixture(autouse=True)
def _no_time_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    skip_time(monkeypatch)


class Straggler:
    """A model of which some requests say nothing for so many seconds, told by point and number of the request."""

    def __init__(self, late: dict[tuple[int, int], float], **more: object) -> None:
        self.late = late
        self.llm: ScriptedLLM = scripted(**more)
        self.asked: list[int] = []
        self.in_flight = 0
        self.peak = 0
        self.cut = 0

    async def __call__(self, call: Call) -> AsyncGenerator[Piece, None]:
        number = call.point or 0
        self.asked.append(number)
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)
        ended = False
        try:
            await asyncio.sleep(self.late.get((number, self.asked.count(number)), 0.0))
            async for piece in self.llm(call):
                yield piece
            ended = True
        finally:
            self.in_flight -= 1
            self.cut += not ended


def experienced(llm: object, calls: int = 100, **settings: object) -> SkeletonOfThought:
    """Make an engine that knows how soon its model usually speaks."""
    sot = engine(llm, **{"hedge": ALWAYS} | settings)  # type: ignore[arg-type]  # any model
    pace = sot.limit.place("earlier", key_of(sot.llm)).traffic.pace
    pace.calls = calls
    for _ in range(20):
        pace.heard(USUAL, streamed=True)
        pace.heard(USUAL, streamed=False)
    return sot


@pytest.mark.parametrize(
    ("name", "value"), [("percentile", 1.1), ("percentile", -0.1), ("budget", 2), ("quiet", -1), ("quiet", "30")]
)
def test_a_hedge_that_cannot_work_is_refused(name: str, value: object) -> None:
    """When it is made."""
    with pytest.raises(ConfigurationError, match=f"{name}=.* cannot work"):
        Hedge(**{name: value})  # type: ignore[arg-type]  # that is the point


@pytest.mark.parametrize("as_whole", [False, True])
def test_a_straggler_is_asked_a_second_time(as_whole: bool) -> None:
    """And left, once the second request speaks."""
    llm = Straggler({(2, 1): FOREVER})
    sot = experienced(llm)
    text = whole(sot).text if as_whole else text_of(events_of(sot))
    assert TEXT == text
    assert ([0, 1, 2, 2, 3], 1, 0) == (sorted(llm.asked), llm.cut, llm.in_flight)


def test_the_first_request_may_still_be_sooner() -> None:
    """Whoever speaks first is heard, and the other is left before it says a word."""
    llm = Straggler({(2, 1): 2 * USUAL, (2, 2): FOREVER})
    assert TEXT == text_of(events_of(experienced(llm)))
    assert ([0, 1, 2, 2, 3], 1, 0) == (sorted(llm.asked), llm.cut, llm.in_flight)


def test_who_speaks_soon_is_asked_once() -> None:
    """Also where the rest of its text takes long."""
    llm = Straggler({}, pause={"point": 10 * USUAL})
    assert TEXT == text_of(events_of(experienced(llm)))
    assert [0, 1, 2, 3] == sorted(llm.asked)


def test_without_a_hedge_nobody_is_asked_twice() -> None:
    """It costs money, so it is off unless it is set."""
    llm = Straggler({(2, 1): 20.0})
    assert TEXT == text_of(events_of(experienced(llm, hedge=None)))
    assert [0, 1, 2, 3] == sorted(llm.asked)


@pytest.mark.parametrize("router", ["always", "never"])
def test_only_points_are_asked_a_second_time(router: str) -> None:
    """A skeleton has no siblings that it could be late behind, nor has a direct answer."""
    llm = Straggler({(0, 1): 20.0})
    events_of(experienced(llm, router=router))
    assert 1 == llm.asked.count(0)


def test_a_second_request_takes_a_place() -> None:
    """And there is none while all are taken."""
    llm = Straggler({(1, 1): 20.0, (2, 1): 20.0, (3, 1): 20.0})
    assert TEXT == text_of(events_of(experienced(llm, max_concurrency=3)))
    assert (3, [0, 1, 2, 3]) == (llm.peak, sorted(llm.asked))
    llm = Straggler({(1, 1): 20.0, (2, 1): 20.0, (3, 1): 20.0})
    assert TEXT == text_of(events_of(experienced(llm, max_concurrency=Limit(9).within(4))))
    assert (4, 5) == (llm.peak, len(llm.asked))


def test_a_place_of_a_second_request_is_given_back() -> None:
    """Whoever has won."""
    for late in ({(2, 1): FOREVER}, {(2, 1): 2 * USUAL, (2, 2): FOREVER}):
        sot = experienced(Straggler(late), max_concurrency=4)
        events_of(sot)
        assert (0, {}) == (sot.limit._in_flight, sot.limit._runs.held)


def test_a_budget_that_is_spent_is_spent() -> None:
    """One in ten calls at most, counted over all runs."""
    llm = Straggler({(1, 1): 20.0})
    sot = experienced(llm, calls=9, hedge=Hedge(budget=0.1, quiet=0))
    events_of(sot)
    assert 2 == llm.asked.count(1)
    llm.late = {(1, 3): 20.0}
    events_of(sot)
    assert 3 == llm.asked.count(1)


def test_too_few_calls_are_known_at_first() -> None:
    """The first answers of an object are hedged by none; later ones by what was heard in them."""
    llm = Straggler({(2, 1): 20.0})
    sot = engine(llm, hedge=ALWAYS)
    for _ in range(7):
        events_of(sot)
    assert 7 == llm.asked.count(2)
    llm.late = {(2, 8): FOREVER}
    assert TEXT == text_of(events_of(sot))
    assert 9 == llm.asked.count(2)


class RefusedError(Exception):
    status_code = 429


def test_a_refusal_keeps_everybody_quiet() -> None:
    """A provider that bears no more calls is not asked for more, within so many seconds."""
    for quiet, asked in ((FOREVER, 1), (0.0, 2)):
        llm = Straggler({(2, 1): 20.0})
        sot = experienced(llm, hedge=Hedge(budget=1, quiet=quiet))
        sot.limit.place("earlier", key_of(sot.llm)).refused(began=0.0)
        events_of(sot)
        assert asked == llm.asked.count(2)


def test_a_refusal_while_a_straggler_is_waited_for_keeps_it_quiet() -> None:
    """It comes before the second request would be made."""

    async def model(call: Call) -> AsyncGenerator[Piece, None]:
        asked.append(call.point or 0)
        if call.point == 1 and asked.count(1) == 1:
            await asyncio.sleep(USUAL / 2)
            raise RefusedError
        await asyncio.sleep(20.0 if call.point == 2 else 0.0)
        yield "1. Eat well\n2. Sleep well" if call.stage == "skeleton" else "Text."

    asked = list[int]()
    hedge = Hedge(budget=1, quiet=10.0)
    limit = Limit(16, adaptive=False)  # there are places enough
    events_of(experienced(model, hedge=hedge, retry=Retry(first_wait=0), max_concurrency=limit))
    assert ([1, 1], [2]) == ([each for each in asked if each == 1], [each for each in asked if each == 2])


def test_of_who_has_lost_nothing_is_heard() -> None:
    """Neither a text that it says all the same nor an error that it ends with."""

    async def model(call: Call) -> AsyncGenerator[Piece, None]:
        if call.stage == "skeleton":
            yield "1. Eat well\n2. Sleep well"
            return
        asked.append(call.point or 0)
        if call.point == 2 and asked.count(2) == 1:
            try:
                await asyncio.sleep(FOREVER)
            except asyncio.CancelledError:
                yield "Too late."
                raise RuntimeError("closed") from None
        yield f"Text {call.point}, "
        await asyncio.sleep(1.0)
        yield "and more."
        yield Usage(3, 4)
        yield Finish("stop")

    asked = list[int]()
    events = events_of(experienced(model))
    assert "1. Eat well: Text 1, and more.\n\n2. Sleep well: Text 2, and more." == text_of(events)
    assert ["Text 2,", " and more."] == [e.text for e in events if isinstance(e, PointText) and e.number == 2]
    assert 3 == len(asked)


@pytest.mark.parametrize("failing", [1, 2])
def test_one_of_two_may_fail(failing: int) -> None:
    """The other is still heard, and nothing is told of the error."""

    async def model(call: Call) -> AsyncGenerator[Piece, None]:
        if call.stage == "skeleton":
            yield "1. Eat well\n2. Sleep well"
            return
        asked.append(call.point or 0)
        if call.point == 2 and asked.count(2) == failing:
            await asyncio.sleep(2 * USUAL)
            failed.append(failing)
            raise ConnectionError
        await asyncio.sleep(10 * USUAL if call.point == 2 else 0.0)
        yield "Text."

    asked, failed = list[int](), list[int]()
    events = events_of(experienced(model))
    assert "1. Eat well: Text.\n\n2. Sleep well: Text." == text_of(events)
    assert ([failing], []) == (failed, [event for event in events if isinstance(event, CallRetried)])


def test_two_that_fail_are_one_attempt() -> None:
    """The call is made again, and its first request's error is told."""
    first, second = ConnectionError("first"), ConnectionError("second")

    async def model(call: Call) -> AsyncGenerator[Piece, None]:
        if call.stage == "skeleton":
            yield "1. Eat well\n2. Sleep well"
            return
        asked.append(call.point or 0)
        if call.point == 2 and asked.count(2) <= 2:
            error = [first, second][asked.count(2) - 1]
            await asyncio.sleep(2 * USUAL)
            raise error
        yield "Text."

    asked = list[int]()
    events = events_of(experienced(model, retry=Retry(attempts=2, first_wait=0)))
    assert [first] == [event.error for event in events if isinstance(event, CallRetried)]
    assert (4, 3) == (len(asked), asked.count(2))


def test_one_that_fails_before_it_is_late_is_not_raced() -> None:
    """It is made again, as any other."""
    llm = Straggler({})
    llm.llm = scripted(failures={2: ConnectionError()})
    events = events_of(experienced(llm, on_point_error="mark", retry=Retry(attempts=3, first_wait=0)))
    assert (3, 2) == (llm.asked.count(2), sum(isinstance(event, CallRetried) for event in events))


def test_a_race_that_is_left_leaves_nothing() -> None:
    """Both requests are closed, and both places given back."""
    llm = Straggler({(2, 1): FOREVER, (2, 2): FOREVER})
    sot = experienced(llm)

    async def main() -> None:
        task = asyncio.create_task(collect(sot.astream(QUESTION)))
        while llm.asked.count(2) < 2:  # noqa: ASYNC110 -- the clock goes on only if somebody waits for it
            await asyncio.sleep(0.1)
        assert 2 == llm.in_flight
        task.cancel()
        await asyncio.wait([task])
        assert (0, 0) == (llm.in_flight, sot.limit._in_flight)

    run(main)
