import asyncio
import random
import threading
from collections.abc import Awaitable, Callable

import pytest

from skeleton_of_thought import ConfigurationError, Limit


class Gauge:
    """Counts who is inside, from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.inside = 0
        self.peak = 0
        self.entered = 0

    async def hold(self, limit: Limit, turns: int) -> None:
        async with limit.place(object()):
            with self._lock:
                self.inside += 1
                self.entered += 1
                self.peak = max(self.peak, self.inside)
            try:
                for _ in range(turns):
                    await asyncio.sleep(0)
            finally:
                with self._lock:
                    self.inside -= 1


async def settle() -> None:
    """Let everything happen that can happen now."""
    for _ in range(10):
        await asyncio.sleep(0)


async def free_places(limit: Limit) -> int:
    """Count how many can enter without waiting for one another."""
    everyone = asyncio.Event()
    inside = 0

    async def enter() -> None:
        nonlocal inside
        async with limit.place(object()):
            inside += 1
            await everyone.wait()

    async with asyncio.TaskGroup() as group:
        for _ in range(limit.width + 3):
            group.create_task(enter())
        await settle()
        found = inside
        everyone.set()
    return found


def in_two_loops(work: Callable[[], Awaitable[None]]) -> None:
    """Run *work* on two event loops in two threads at once."""
    failures: list[BaseException] = []

    def run() -> None:
        try:
            asyncio.run(work())  # type: ignore[arg-type]  # an async function's awaitable is a coroutine
        except BaseException as error:
            failures.append(error)
            raise

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert [] == failures
    assert [False, False] == [thread.is_alive() for thread in threads]


@pytest.mark.parametrize("width", [0, -1, 1.5, None, "4"])
def test_a_width_that_lets_nobody_in_is_refused(width: object) -> None:
    """A limit of nothing would wait forever, and one below nothing would not limit."""
    for limit in (Limit, Limit(3).within):
        with pytest.raises(ConfigurationError, match="use a whole number from 1 up"):
            limit(width)  # type: ignore[arg-type]  # that is the point


@pytest.mark.parametrize("width", [1, 2, 5])
def test_as_many_as_the_width_and_no_more(width: int) -> None:
    """All places are used, and none twice."""

    async def main() -> Gauge:
        gauge, limit = Gauge(), Limit(width)
        await asyncio.gather(*(gauge.hold(limit, turns=3) for _ in range(20)))
        assert width == await free_places(limit)
        return gauge

    gauge = asyncio.run(main())
    assert (width, 20, 0) == (gauge.peak, gauge.entered, gauge.inside)


def test_first_come_first_served() -> None:
    """Nobody is overtaken, not even by one who comes just when a place is free."""

    async def main() -> list[int]:
        limit, order = Limit(1), list[int]()

        async def enter(number: int) -> None:
            async with limit.place(object()):
                order.append(number)
                await asyncio.sleep(0)

        async with asyncio.TaskGroup() as group:
            for number in range(20):
                group.create_task(enter(number))
                if number % 3 == 0:
                    await asyncio.sleep(0)
        return order

    assert list(range(20)) == asyncio.run(main())


def test_an_error_inside_gives_the_place_back() -> None:
    """However a holder leaves."""

    async def main() -> int:
        limit = Limit(1)
        with pytest.raises(LookupError):
            async with limit.place(object()):
                raise LookupError
        return await free_places(limit)

    assert 1 == asyncio.run(main())


def test_never_more_than_the_width_over_two_loops() -> None:
    """One object is used from a script's loop, a server's loop and our own at the same time."""
    gauge, limit = Gauge(), Limit(3)

    async def work() -> None:
        await asyncio.gather(*(gauge.hold(limit, turns=number % 4) for number in range(300)))

    in_two_loops(work)
    assert gauge.peak <= 3
    assert (600, 0) == (gauge.entered, gauge.inside)
    assert 3 == asyncio.run(free_places(limit))


@pytest.mark.parametrize("seed", range(20))
def test_cancellation_neither_loses_nor_doubles_a_place(seed: int) -> None:
    """Whether it comes while waiting, while inside, or between being called and entering."""
    dice, gauge, width = random.Random(seed), Gauge(), 1 + seed % 3  # noqa: S311 -- a test has to be repeatable

    async def main() -> None:
        limit, tasks = Limit(width), list[asyncio.Task[None]]()
        for _ in range(60):
            tasks.append(asyncio.create_task(gauge.hold(limit, turns=dice.randrange(4))))
            if dice.random() < 0.5:
                dice.choice(tasks).cancel()
            if dice.random() < 0.5:
                await asyncio.sleep(0)
        await asyncio.wait(tasks)
        assert width == await free_places(limit)

    asyncio.run(main())
    assert gauge.peak <= width
    assert 0 == gauge.inside


def test_cancellation_over_two_loops_neither_loses_nor_doubles_a_place() -> None:
    """A place that one loop gives to a caller whom another loop is cancelling goes to the next."""
    gauge, limit = Gauge(), Limit(2)

    async def work() -> None:
        dice, tasks = random.Random(threading.get_ident()), list[asyncio.Task[None]]()  # noqa: S311
        for _ in range(300):
            tasks.append(asyncio.create_task(gauge.hold(limit, turns=dice.randrange(3))))
            if dice.random() < 0.5:
                dice.choice(tasks).cancel()
            await asyncio.sleep(0)
        await asyncio.wait(tasks)

    in_two_loops(work)
    assert gauge.peak <= 2
    assert 2 == asyncio.run(free_places(limit))


def test_a_place_given_to_one_who_is_being_cancelled_goes_on() -> None:
    """The last holder leaves and the first in line is cancelled in the same moment."""

    async def main() -> int:
        limit = Limit(1)
        await limit.place(1).__aenter__()
        first = asyncio.create_task(Gauge().hold(limit, turns=0))
        await settle()
        await limit.place(1).__aexit__(None, None, None)
        first.cancel()
        await asyncio.wait([first])
        assert first.cancelled()
        return await free_places(limit)

    assert 1 == asyncio.run(main())


def test_a_loop_that_was_closed_is_passed_over() -> None:
    """Who waited there does not wait any more; the place goes to the next."""
    limit = Limit(1)

    async def hold_and_leave_a_waiter() -> None:
        asyncio.get_running_loop().create_task(waiter)
        await settle()

    waiter = Gauge().hold(limit, turns=0)
    asyncio.run(limit.place(1).__aenter__())
    abandoned = asyncio.new_event_loop()
    abandoned.run_until_complete(hold_and_leave_a_waiter())
    [task] = asyncio.all_tasks(abandoned)
    task._log_destroy_pending = False  # type: ignore[attr-defined]  # it is abandoned on purpose
    abandoned.close()
    asyncio.run(limit.place(1).__aexit__(None, None, None))
    assert 1 == asyncio.run(free_places(limit))


# -- one inside another --------------------------------------------------------------------------------


def test_the_same_width_is_the_same_limit() -> None:
    """So that calls from anywhere that ask for one width share it; another limit's is another."""
    limit = Limit(3)
    assert limit.within(2) is limit.within(2)
    assert 3 == len({limit, limit.within(1), limit.within(2)})
    assert limit.within(2) is not Limit(3).within(2)
    assert 2 == limit.within(2).width


@pytest.mark.parametrize(("wide", "narrow"), [(3, 1), (3, 2), (3, 3), (2, 5)])
def test_a_holder_has_a_place_in_both(wide: int, narrow: int) -> None:
    """The narrower bounds those that go through it, and the wider bounds all."""

    async def main() -> tuple[Gauge, Gauge]:
        limit, inner, every = Limit(wide), Gauge(), Gauge()
        within = limit.within(narrow)

        async def both() -> None:
            async with within.place(object()):
                await asyncio.gather(inner.hold(Limit(1), turns=2), every.hold(Limit(1), turns=2))

        await asyncio.gather(*(both() if number % 2 else every.hold(limit, turns=2) for number in range(20)))
        assert (wide, min(wide, narrow)) == (await free_places(limit), await free_places(within))
        return inner, every

    inner, every = asyncio.run(main())
    assert (10, 20) == (inner.entered, every.entered)
    assert inner.peak <= min(wide, narrow)
    assert every.peak <= wide


def test_who_waits_for_the_narrower_takes_no_place_of_the_wider() -> None:
    """A single call that wants to be slow holds up nobody else."""

    async def main() -> int:
        limit, release = Limit(3), asyncio.Event()

        async def enter() -> None:
            async with limit.within(1).place(object()):
                await release.wait()

        async with asyncio.TaskGroup() as group:
            for _ in range(5):
                group.create_task(enter())
            await settle()
            found = await free_places(limit)
            release.set()
        return found

    assert 2 == asyncio.run(main())


def test_an_error_inside_gives_both_places_back() -> None:
    """However a holder leaves."""

    async def main() -> tuple[int, int]:
        limit = Limit(2)
        with pytest.raises(LookupError):
            async with limit.within(1).place(object()):
                raise LookupError
        return await free_places(limit), await free_places(limit.within(1))

    assert (2, 1) == asyncio.run(main())


def test_one_cancelled_while_waiting_for_the_wider_gives_the_narrow_place_back() -> None:
    """The next one gets it, and the wider one is as full as before."""

    async def main() -> tuple[int, int]:
        limit, gauge = Limit(1), Gauge()
        async with limit.place(object()):
            waiting = [asyncio.create_task(gauge.hold(limit.within(1), turns=0)) for _ in range(2)]
            await settle()
            waiting[0].cancel()
            await settle()
            assert [True, False] == [task.done() for task in waiting]
        await waiting[1]
        assert 1 == gauge.entered
        return await free_places(limit), await free_places(limit.within(1))

    assert (1, 1) == asyncio.run(main())


def test_limits_inside_limits_give_every_place_back() -> None:
    """However deep."""

    async def main() -> bool:
        limit = Limit(1)
        async with limit.within(1).within(1).place(object()):
            pass
        entering = asyncio.create_task(Gauge().hold(limit, turns=0))
        await settle()
        return entering.done()

    assert asyncio.run(main())


def test_never_more_than_either_width_over_two_loops() -> None:
    """Whichever way a caller comes in."""
    every, narrow, limit = Gauge(), Gauge(), Limit(3)

    async def through(turns: int) -> None:
        async with limit.within(2).place(object()):
            await asyncio.gather(narrow.hold(Limit(1), turns), every.hold(Limit(1), turns))

    async def work() -> None:
        await asyncio.gather(
            *(through(number % 4) if number % 3 else every.hold(limit, turns=number % 4) for number in range(300))
        )

    in_two_loops(work)
    assert every.peak <= 3
    assert narrow.peak <= 2
    assert (600, 400, 0, 0) == (every.entered, narrow.entered, every.inside, narrow.inside)
    assert (3, 2) == (asyncio.run(free_places(limit)), asyncio.run(free_places(limit.within(2))))


@pytest.mark.parametrize("seed", range(20))
def test_cancellation_neither_loses_nor_doubles_a_place_of_either(seed: int) -> None:
    """Whether it comes while waiting for the one, for the other, or inside both."""
    dice, gauge, width = random.Random(seed), Gauge(), 1 + seed % 3  # noqa: S311 -- a test has to be repeatable

    async def main() -> None:
        limit, tasks = Limit(width), list[asyncio.Task[None]]()
        ways = [limit, limit.within(1), limit.within(2), limit.within(4)]
        for _ in range(90):
            tasks.append(asyncio.create_task(gauge.hold(dice.choice(ways), turns=dice.randrange(4))))
            if dice.random() < 0.5:
                dice.choice(tasks).cancel()
            if dice.random() < 0.5:
                await asyncio.sleep(0)
        await asyncio.wait(tasks)
        assert [width, 1, min(2, width), min(4, width)] == [await free_places(way) for way in ways]

    asyncio.run(main())
    assert gauge.peak <= width
    assert 0 == gauge.inside


def test_cancellation_over_two_loops_neither_loses_nor_doubles_a_place_of_either() -> None:
    """A place of the wider one that comes too late goes on, and so does the narrow one."""
    gauge, limit = Gauge(), Limit(2)
    ways = [limit, limit.within(1), limit.within(2)]

    async def work() -> None:
        dice, tasks = random.Random(threading.get_ident()), list[asyncio.Task[None]]()  # noqa: S311
        for _ in range(300):
            tasks.append(asyncio.create_task(gauge.hold(dice.choice(ways), turns=dice.randrange(3))))
            if dice.random() < 0.5:
                dice.choice(tasks).cancel()
            await asyncio.sleep(0)
        await asyncio.wait(tasks)

    in_two_loops(work)
    assert gauge.peak <= 2
    assert [2, 1, 2] == [asyncio.run(free_places(way)) for way in ways]
