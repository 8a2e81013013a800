import asyncio
import threading
import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Hashable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skeleton_of_thought import Call, Limit
from skeleton_of_thought._fairness import Fairness
from skeleton_of_thought._limits import Place
from skeleton_of_thought.events import PointStarted
from skeleton_of_thought.testing import collect
from tests.core.running import engine, run
from tests.core.test_limits import settle

MODEL = "model"


class Crowd:
    """Calls of several runs that want places, each of which is held until it is told to leave."""

    def __init__(self, limit: Limit) -> None:
        self.limit = limit
        self.inside: list[tuple[Hashable, asyncio.Event]] = []
        self.entered: list[Hashable] = []
        self.tasks: list[asyncio.Task[None]] = []

    async def come(self, run: Hashable, times: int = 1, model: Hashable = MODEL, limit: Limit | None = None) -> None:
        """Let so many calls of a run come."""
        for _ in range(times):
            self.tasks.append(asyncio.create_task(self._enter((limit or self.limit).place(run, model), run)))
        await settle()

    async def leave(self, run: Hashable | None = None) -> None:
        """Let the first who is inside leave, or the first of a run."""
        [one, *_] = [each for each in self.inside if run in {None, each[0]}]
        one[1].set()
        await settle()

    async def all_leave(self) -> None:
        while self.inside:
            await self.leave()
        await asyncio.gather(*self.tasks)

    @property
    def held(self) -> Counter[Hashable]:
        return Counter(run for run, _ in self.inside)

    async def _enter(self, place: Place, run: Hashable) -> None:
        async with place:
            turn = run, asyncio.Event()
            self.entered.append(run)
            self.inside.append(turn)
            await turn[1].wait()
            self.inside.remove(turn)


def test_a_long_answer_does_not_starve_a_short_one() -> None:
    """The next places go to who came later and has none."""

    async def main() -> None:
        crowd = Crowd(Limit(4))
        await crowd.come("long", 20)
        await crowd.come("short", 3)
        for _ in range(3):
            await crowd.leave("long")
        assert {"long": 2, "short": 2} == crowd.held  # half for each
        await crowd.leave("short")
        assert {"long": 2, "short": 2} == crowd.held
        await crowd.all_leave()
        assert {"long": 20, "short": 3} == Counter(crowd.entered)

    run(main)


def test_a_run_alone_gets_all_places() -> None:
    """A share that nobody wants is nobody's."""

    async def main() -> None:
        crowd = Crowd(Limit(4))
        await crowd.come("long", 20)
        await crowd.come("short", 1)
        await crowd.leave("long")
        assert {"long": 3, "short": 1} == crowd.held
        await crowd.leave("short")
        assert {"long": 4} == crowd.held
        await crowd.all_leave()

    run(main)


@given(st.data(), st.integers(1, 5), st.lists(st.integers(1, 6), min_size=1, max_size=5))
def test_no_run_has_more_while_another_waits_with_less(data: st.DataObject, width: int, wanted: list[int]) -> None:
    """A place that becomes free goes to one of those who have fewest, and none is left unused."""

    async def main() -> None:
        crowd = Crowd(Limit(width, adaptive=False))
        for number, calls in enumerate(wanted):
            await crowd.come(number, calls)
        while crowd.inside:
            before, entered = crowd.held, len(crowd.entered)
            leaving = data.draw(st.sampled_from(list(before)))
            waiting = Counter[Hashable](dict(enumerate(wanted))) - Counter(crowd.entered)
            await crowd.leave(leaving)
            before -= Counter([leaving])
            if waiting:
                [given] = crowd.entered[entered:]
                assert min(before[each] for each in waiting) == before[given]
            assert min(width, sum(before.values()) + sum(waiting.values())) == sum(crowd.held.values())
        await asyncio.gather(*crowd.tasks)

    run(main)


def test_calls_of_one_run_come_in_their_order() -> None:
    """Points that are read first are written first."""

    async def main() -> None:
        limit, order = Limit(1), list[int]()

        async def enter(number: int) -> None:
            async with limit.place("run"):
                order.append(number)

        await asyncio.gather(*map(enter, range(10)))
        assert list(range(10)) == order

    run(main)


def test_a_narrower_limit_is_fair_too() -> None:
    """To the runs that go through it, and to those that do not."""

    async def main() -> None:
        limit = Limit(4, adaptive=False)
        crowd = Crowd(limit)
        await crowd.come("long", 20)
        await crowd.come("narrow", 5, limit=limit.within(2))
        for _ in range(4):
            await crowd.leave("long")
        assert {"long": 2, "narrow": 2} == crowd.held
        await crowd.all_leave()

    run(main)


def test_a_long_answer_does_not_starve_a_short_one_in_an_engine() -> None:
    """Which is done while the long one, that was there first, still has points to write."""

    async def steady(call: Call) -> AsyncGenerator[str, None]:
        points = 20 if "long" in call.messages[0].text else 3
        for _ in range(20):
            await asyncio.sleep(0)
        yield "\n".join(f"{n}. {'x' * n}" for n in range(1, points + 1)) if call.stage == "skeleton" else "Text."

    async def main() -> None:
        sot = engine(steady, max_concurrency=4, max_points=20)
        long = asyncio.create_task(collect(sot.astream("What is long?")))
        while sot.limit._in_flight < 4:  # noqa: ASYNC110 -- turns are what is waited for
            await asyncio.sleep(0)
        short = await sot.aask("What is short?")
        assert (True, False) == (short.complete, long.done())
        assert 20 == sum(isinstance(event, PointStarted) for event in await long)

    run(main)


# -- several loops -------------------------------------------------------------------------------------


def on_loops(work: list[Callable[[], Awaitable[None]]]) -> None:
    """Run each in a thread with an event loop of its own."""
    threads = [threading.Thread(target=run, args=[each]) for each in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert [False] * len(work) == [thread.is_alive() for thread in threads]


def test_runs_on_several_loops_are_treated_alike() -> None:
    """With refusals, pauses and growth at any time: nobody is forgotten, and no place is lost."""
    limit, done = Limit(3), Counter[int]()
    lock = threading.Lock()

    def calls(number: int) -> Callable[[], Awaitable[None]]:
        async def call(turn: int) -> None:
            place = limit.place(number, MODEL)
            async with place:
                await asyncio.sleep(0)
                match turn % 5:
                    case 0:
                        place.refused(began=float("inf"))
                    case 1:
                        place.pause(0.001)
                    case _:
                        place.went_well(float("inf"), None)
            with lock:
                done[number] += 1

        async def main() -> None:
            await asyncio.gather(*map(call, range(60)))

        return main

    on_loops([calls(number) for number in range(4)])
    assert dict.fromkeys(range(4), 60) == done
    assert (0, {}, 0) == (limit._in_flight, limit._runs.held, len(limit._runs))


def test_a_call_that_looks_again_when_it_was_just_given_its_turn_leaves_no_trace(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It waits no more, so it is not to be among those who do."""
    monkeypatch.setattr("skeleton_of_thought._limits._LOOK_AGAIN", 0.001)

    async def main() -> None:
        limit = Limit(1)
        crowd, place = Crowd(limit), limit.place("first")
        await place.__aenter__()
        await crowd.come("second")
        time.sleep(0.01)  # noqa: ASYNC251 -- the loop stands still until it is time to look again
        asyncio.get_running_loop().call_later(0, place.give_back)  # and then this comes after it
        await asyncio.sleep(0.01)
        await crowd.come("third")
        await crowd.all_leave()
        assert (0, {}, 0) == (limit._in_flight, limit._runs.held, len(limit._runs))

    run(main)


@given(st.lists(st.tuples(st.sampled_from(["add", "pop", "release", "remove"]), st.integers(0, 4)), max_size=60))
def test_who_is_next_holds_fewest(steps: list[tuple[str, int]]) -> None:
    """Whatever has happened; and nobody who waits is forgotten."""
    fair, waiting, held = Fairness[int](), list[tuple[int, int]](), Counter[int]()
    for number, (step, who) in enumerate(steps):
        match step:
            case "add":
                fair.add(who, number)
                waiting.append((who, number))
            case "pop" if waiting:
                found = fair.pop()
                fewest = min(held[each] for each, _ in waiting)
                of_run = [turn for each, turn in waiting if each == found[0]]
                assert (fewest, of_run[0]) == (held[found[0]], found[1])  # type: ignore[index]
                waiting.remove(found)  # type: ignore[arg-type]
                fair.hold(found[0])
                held[found[0]] += 1  # type: ignore[index]
            case "release" if held[who]:
                fair.release(who)
                held[who] -= 1
            case "remove" if turns := [turn for each, turn in waiting if each == who]:
                fair.remove(who, turns[-1])
                waiting.remove((who, turns[-1]))
    assert len({each for each, _ in waiting}) == len(fair)
    assert {each: number for each, number in held.items() if number} == fair.held
