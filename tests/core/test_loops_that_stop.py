"""Calls that wait for a place on a loop that stands still, goes on, or is gone."""

import asyncio
import gc
import threading
from collections.abc import Awaitable, Callable

import pytest

from skeleton_of_thought import Limit, _limits

PATIENCE = 10.0
"""Seconds, none of which a test waits for if all is well."""


def on_another_thread(work: Callable[[], None]) -> None:
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    gc.collect()


async def comes(limit: Limit) -> None:
    async with asyncio.timeout(PATIENCE), limit.place("another"):
        pass


async def waits(limit: Limit, came: list[str]) -> None:
    async with limit.place("first"):
        came.append("first")


def stands_still(limit: Limit, came: list[str]) -> asyncio.AbstractEventLoop:
    """Return a loop on which a call waits for its place, and which runs no more."""
    loop = asyncio.new_event_loop()
    loops.append((loop, loop.create_task(waits(limit, came))))
    loop.run_until_complete(asyncio.sleep(0))
    loop.run_until_complete(asyncio.sleep(0))
    return loop


loops: list[tuple[asyncio.AbstractEventLoop, Awaitable[None]]] = []
"""Held as whoever uses a loop again holds it."""


@pytest.fixture(autouse=True)
def _all_end() -> object:
    yield
    while loops:
        loop, task = loops.pop()
        if not loop.is_closed():
            loop.run_until_complete(task)
            loop.close()


def test_a_loop_that_stands_still_is_passed_over() -> None:
    """As a notebook's does between two cells: the place goes to who can use it."""
    limit, came = Limit(1), list[str]()

    async def main() -> None:
        async with limit.place("holder"):
            on_another_thread(lambda: stands_still(limit, came) and None)
        await comes(limit)

    asyncio.run(main())
    assert [] == came


def test_a_loop_that_goes_on_finds_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever was passed over looks again."""
    monkeypatch.setattr(_limits, "_LOOK_AGAIN", 0.01)
    limit, came = Limit(1), list[str]()

    async def main() -> None:
        async with limit.place("holder"):
            on_another_thread(lambda: stands_still(limit, came) and None)

    asyncio.run(main())
    loop, task = loops.pop()
    loop.run_until_complete(asyncio.wait_for(task, PATIENCE))  # type: ignore[arg-type]  # a task is one
    loop.close()
    assert ["first"] == came


def test_a_loop_that_was_closed_keeps_no_place() -> None:
    """Nor with a turn that it was never told of."""
    limit, came, ready, close = Limit(1), list[str](), threading.Event(), threading.Event()

    def other() -> None:
        loop = asyncio.new_event_loop()
        task = loop.create_task(waits(limit, came))
        loop.run_until_complete(asyncio.sleep(0))
        loop.run_until_complete(asyncio.sleep(0))
        ready.set()
        close.wait()
        loop.close()
        task._log_destroy_pending = False  # it is what happens to whoever closes a loop too early
        del task

    async def main() -> None:
        thread = threading.Thread(target=other)
        async with limit.place("holder"):
            thread.start()
            ready.wait()
        close.set()
        thread.join()
        gc.collect()
        await comes(limit)

    asyncio.run(main())
    assert [] == came
