import asyncio
from collections.abc import AsyncGenerator

from skeleton_of_thought import Call, Retry
from skeleton_of_thought.calls import Door, Piece
from tests.core.running import QUESTION, TEXT, engine, events_of, run, scripted, text_of
from tests.core.test_attempts import BROKEN, POINTS, SKELETON, RefusedError, retried


class Refusing:
    """A model that refuses all calls for points until it was left alone for a moment."""

    def __init__(self, refusals: int, after: float) -> None:
        self.left = refusals
        self.after = after
        self.times: list[float] = []

    async def __call__(self, call: Call) -> AsyncGenerator[Piece, None]:
        await asyncio.sleep(0)
        if call.stage == "skeleton":
            yield SKELETON
            return
        self.times.append(asyncio.get_running_loop().time())
        if self.left:
            self.left -= 1
            raise RefusedError(after=self.after)
        yield POINTS[call.point or 0]


def test_a_refusal_lets_siblings_wait() -> None:
    """Who has not been refused yet does not ask, and all ask again when the provider said."""
    llm = Refusing(refusals=1, after=0.1)
    assert TEXT == text_of(events_of(engine(llm, max_concurrency=1)))
    first, *others = llm.times
    assert 3 == len(others)
    assert min(others) - first >= 0.1


def test_those_who_are_refused_together_wait_once() -> None:
    """And together: three waits of a tenth of a second take no three tenths."""
    llm = Refusing(refusals=3, after=0.2)
    events = events_of(engine(llm, retry=Retry(attempts=2)))
    assert TEXT == text_of(events)
    assert (3, 6) == (len(retried(events)), len(llm.times))
    assert all(0.2 <= time - llm.times[0] for time in llm.times[3:])


def test_a_refusal_is_heard_by_all_runs_and_by_all_doors_to_the_model() -> None:
    """A door that has the same key leads to the same model."""

    async def main() -> None:
        llm = Refusing(refusals=1, after=0.1)
        sot = engine(Door(llm, key="model"), max_concurrency=1)
        other = engine(Door(llm, key="model"), max_concurrency=sot.limit)
        task = asyncio.create_task(sot.aask(QUESTION))
        while not llm.times:  # noqa: ASYNC110 -- the model's turns are what is waited for
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        await asyncio.gather(task, other.aask(QUESTION))
        first, *others = llm.times
        assert min(others) - first >= 0.1

    run(main)


def test_what_broke_for_one_call_lets_nobody_wait() -> None:
    """A connection is each call's own."""
    order = list[str]()

    async def model(call: Call) -> AsyncGenerator[Piece, None]:
        if call.stage == "skeleton":
            yield SKELETON
            return
        order.append(f"{call.point}")
        if call.point == 1 and order.count("1") == 1:
            raise BROKEN
        yield POINTS[call.point or 0]

    events_of(engine(model, retry=Retry(first_wait=0.02), max_concurrency=1))
    assert ["1", "2", "3", "1"] == order


def test_a_refusal_leaves_fewer_places() -> None:
    """Which are given back with calls that go well."""
    llm = Refusing(refusals=2, after=0.01)
    sot = engine(llm, max_concurrency=8)
    assert TEXT == text_of(events_of(sot))
    assert sot.limit.places < 8
    llm = Refusing(refusals=0, after=0)
    for _ in range(30):
        events_of(engine(llm, max_concurrency=sot.limit))
    assert 8 == sot.limit.places


def test_who_waits_for_the_next_attempt_holds_no_place() -> None:
    """It would be nobody's."""

    async def main() -> None:
        sot = engine(
            scripted(failures={"skeleton": BROKEN}), retry=Retry(first_wait=9, longest_wait=9), max_concurrency=1
        )
        task = asyncio.create_task(sot.aask(QUESTION))
        for _ in range(20):
            await asyncio.sleep(0)
        assert 0 == sot.limit._in_flight
        assert TEXT == (await engine(max_concurrency=sot.limit).aask(QUESTION)).text
        task.cancel()
        await asyncio.wait([task])

    run(main)
