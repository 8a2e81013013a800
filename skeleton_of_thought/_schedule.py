"""What may be written now: every point as soon as the points it comes after are done."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeAlias

from .skeleton import Point, Skeleton

Work: TypeAlias = Callable[[Point], Awaitable[None]]


class Give(Protocol):
    """Takes points to be written."""

    def __call__(self, *points: Point) -> None:
        """Begin all of them that may begin."""
        ...


async def write_points(skeleton: Skeleton, write: Work, prepare: Work | None = None) -> None:
    """Do as `write_given` does with all points of *skeleton*."""

    async def plan(give: Give) -> None:
        give(*skeleton.points)

    await write_given(plan, write, prepare)


async def write_given(plan: Callable[[Give], Awaitable[None]], write: Work, prepare: Work | None = None) -> None:
    """Write all points that *plan* gives, each once, while it goes on; as many at a time as *write* lets through.

    The first failure cancels the others and is raised as it is, never as a group. A call that somebody
    else cancelled is a failure too: without it the answer would lack a point and nobody would know.

    Args:
        prepare: begun for a point when it is given, whatever it comes after.
    """
    waiting: dict[int, Point] = {}
    open_points, done = set[int](), set[int]()
    failures: list[Exception] = []

    async def guarded(work: Awaitable[None]) -> None:
        try:
            await work
        except Exception as error:
            failures.append(error)
            raise

    def give(*points: Point) -> None:
        for point in points:
            waiting[point.number] = point
            open_points.add(point.number)
            if prepare:
                group.create_task(guarded(prepare(point)))
        start_ready()

    def start_ready() -> None:
        for number in sorted(number for number, point in waiting.items() if done.issuperset(point.after)):
            group.create_task(write_one(waiting.pop(number)))

    async def write_one(point: Point) -> None:
        await guarded(write(point))
        if (task := asyncio.current_task()) and task.cancelling():  # which what was awaited has swallowed
            raise asyncio.CancelledError
        open_points.remove(point.number)
        done.add(point.number)
        start_ready()

    try:
        async with asyncio.TaskGroup() as group:
            await guarded(plan(give))
    except* Exception:  # noqa: BLE001, S110 -- the first is raised below; up to Python 3.11.3 here it would be wrapped
        pass
    if failures:
        raise failures[0]
    if open_points:
        raise asyncio.CancelledError
