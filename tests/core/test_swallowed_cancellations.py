"""Models that swallow a cancellation: they end well, or with an error of their own."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from skeleton_of_thought import Call, Retry
from skeleton_of_thought.testing import collect

from .running import QUESTION, engine, run, scripted


async def leave(sot, ready):
    reader = asyncio.create_task(collect(sot.astream(QUESTION)))
    while not ready():  # noqa: ASYNC110 -- any condition
        await asyncio.sleep(0)
    reader.cancel()
    await asyncio.wait([reader])
    assert reader.cancelled()


class Swallowing:
    """A model that ends its reply well when it is cancelled, as one whose last piece came through ``wait_for``."""

    def __init__(self, swallows):
        self.llm, self.swallows, self.asked, self.waits = scripted(), swallows, [], False

    async def __call__(self, call: Call) -> AsyncIterator:
        self.asked.append(call.point or call.stage)
        async for piece in self.llm(call):
            yield piece
        if (call.point or call.stage) == self.swallows:
            self.waits = True
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()


@pytest.mark.parametrize("swallows", ["skeleton", "direct"])
def test_a_reply_that_ends_as_it_is_cancelled_is_the_last(swallows):
    """No other call is made for a reader who has left."""

    async def main():
        model = Swallowing(swallows)
        await leave(engine(model, router="never" if swallows == "direct" else "always"), lambda: model.waits)
        assert [swallows] == model.asked

    run(main)


class Converting:
    """A model that says it was cancelled with an error of its own."""

    def __init__(self, error, stage="point"):
        self.llm, self.error, self.stage, self.asked, self.waits = scripted(), error, stage, [], 0

    async def __call__(self, call: Call) -> AsyncIterator:
        self.asked.append(call.point or call.stage)
        if call.stage == self.stage and self.waits < 3:
            try:
                self.waits += 1
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                raise self.error from None
        async for piece in self.llm(call):
            yield piece


@pytest.mark.parametrize("error", [ConnectionError("reset"), TimeoutError()])
def test_an_error_in_the_place_of_a_cancellation_is_not_tried_again(error):
    """No other call is made for a reader who has left."""

    async def main():
        model = Converting(error)
        if True:
            await leave(engine(model, retry=Retry(first_wait=0)), lambda: model.waits == 3)
        assert ["skeleton", 1, 2, 3] == model.asked

    run(main)


def test_an_error_in_the_place_of_a_cancellation_needs_no_substitute():
    """Nobody reads it."""
    said = []

    async def instead(error):
        said.append(error.number)
        return "none"

    async def main():
        model = Converting(ValueError("closed"))
        await leave(engine(model, on_point_error=instead), lambda: model.waits == 3)
        assert [] == said

    run(main)


def test_a_point_that_ends_as_it_is_cancelled_lets_no_other_begin():
    """Whatever comes after it: nobody reads it, and no coroutine is left that nobody awaits."""
    from skeleton_of_thought._schedule import write_points
    from skeleton_of_thought.skeleton import Point, Skeleton

    async def main():
        begun, waits = [], asyncio.Event()

        async def write(point):
            begun.append(point.number)
            if point.number == 1:
                waits.set()
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.Event().wait()

        work = asyncio.create_task(write_points(Skeleton((Point(1, "a"), Point(2, "b", after=(1,)))), write))
        await waits.wait()
        work.cancel()
        await asyncio.wait([work])
        assert work.cancelled()
        assert [1] == begun

    run(main)
