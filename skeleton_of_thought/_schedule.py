"""What may be written now: every point as soon as the points it comes after are done."""

import asyncio
from collections.abc import Awaitable, Callable

from .skeleton import Point, Skeleton

Work = Callable[[Point], Awaitable[None]]


async def write_points(skeleton: Skeleton, write: Work, prepare: Work | None = None) -> None:
    """Write all points, each once, as many at a time as *write* lets through.

    The first failure cancels the others and is raised as it is, never as a group. A call that somebody
    else cancelled is a failure too: without it the answer would lack a point and nobody would know.

    Args:
        prepare: begun for all points at once, whatever they come after.
    """
    points = {point.number: point for point in skeleton.points}
    order = skeleton.order()
    order.prepare()
    failures: list[Exception] = []

    async def guarded(work: Work, point: Point) -> None:
        try:
            await work(point)
        except Exception as error:
            failures.append(error)
            raise

    async def write_one(number: int) -> None:
        await guarded(write, points[number])
        order.done(number)
        start_ready()

    def start_ready() -> None:
        for number in sorted(order.get_ready()):
            group.create_task(write_one(number))

    try:
        async with asyncio.TaskGroup() as group:
            for point in skeleton.points if prepare else ():
                group.create_task(guarded(prepare, point))  # type: ignore[arg-type]  # it is not None here
            start_ready()
    except* Exception:  # noqa: BLE001, S110 -- the first is raised below; up to Python 3.11.3 here it would be wrapped
        pass
    if failures:
        raise failures[0]
    if order.is_active():
        raise asyncio.CancelledError
