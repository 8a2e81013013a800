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
        async with limit:
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
        async with limit:
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
    with pytest.raises(ConfigurationError, match="use a whole number from 1 up"):
        Limit(width)  # type: ignore[arg-type]  # that is the point


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
            async with limit:
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
            async with limit:
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
        await limit.__aenter__()
        first = asyncio.create_task(Gauge().hold(limit, turns=0))
        await settle()
        await limit.__aexit__(None, None, None)
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
    asyncio.run(limit.__aenter__())
    abandoned = asyncio.new_event_loop()
    abandoned.run_until_complete(hold_and_leave_a_waiter())
    [task] = asyncio.all_tasks(abandoned)
    task._log_destroy_pending = False  # type: ignore[attr-defined]  # it is abandoned on purpose
    abandoned.close()
    asyncio.run(limit.__aexit__(None, None, None))
    assert 1 == asyncio.run(free_places(limit))
