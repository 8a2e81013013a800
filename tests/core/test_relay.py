import asyncio
import gc
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextvars import ContextVar

import pytest

from skeleton_of_thought._relay import Emit, relay
from skeleton_of_thought.testing import collect

Work = Callable[[Emit[int]], Awaitable[None]]
Step = Callable[[AsyncGenerator[int, None]], Awaitable[int]]

SPAN = ContextVar("SPAN", default="none")


async def three(emit: Emit[int]) -> None:
    for number in (1, 2, 3):
        emit(number)
        await asyncio.sleep(0)


async def one_and_failure(emit: Emit[int]) -> None:
    emit(1)
    await asyncio.sleep(0)
    raise LookupError("no route")


async def one_and_failing_branch(emit: Emit[int]) -> None:
    """Fail in a task group, as a run does."""

    async def fail() -> None:
        await asyncio.sleep(0)
        raise LookupError("no route")

    emit(1)
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(fail())
            group.create_task(asyncio.Event().wait())
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None


class Endless:
    """Work that emits one item, goes on forever, and takes its time to be cancelled."""

    def __init__(self) -> None:
        self.closed = False
        self.waiting = asyncio.Event()

    async def __call__(self, emit: Emit[int]) -> None:
        emit(1)
        try:
            self.waiting.set()
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            self.closed = True


async def in_this_task(stream: AsyncGenerator[int, None]) -> int:
    return await anext(stream)


async def in_a_new_task(stream: AsyncGenerator[int, None]) -> int:
    """Resume *stream* as LangChain does."""
    return await asyncio.create_task(anext(stream))  # type: ignore[arg-type]  # it is a coroutine


def run(main: Callable[[], Awaitable[None]]) -> None:
    """Run *main*, bounded in time, and let no task and no unheard error be left."""

    async def guarded() -> None:
        unheard: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: unheard.append(context))
        async with asyncio.timeout(30):
            await main()
        assert {asyncio.current_task()} == asyncio.all_tasks()
        gc.collect()  # "exception was never retrieved" is said when the task is collected
        await asyncio.sleep(0)
        assert [] == unheard

    asyncio.run(guarded())


steps = pytest.mark.parametrize("step", [in_this_task, in_a_new_task])


@steps
def test_items_in_order_and_then_the_end(step: Step) -> None:
    """Whoever resumes the stream."""

    async def main() -> None:
        stream = relay(three)
        assert [1, 2, 3] == [await step(stream) for _ in range(3)]
        with pytest.raises(StopAsyncIteration):
            await anext(stream)

    run(main)


@steps
@pytest.mark.parametrize("work", [one_and_failure, one_and_failing_branch])
def test_a_failure_comes_after_what_was_emitted(step: Step, work: Work) -> None:
    """It is raised as itself, and nothing hangs when each step is resumed from another task."""

    async def main() -> None:
        stream = relay(work)
        assert 1 == await step(stream)
        with pytest.raises(LookupError, match="no route"):
            await step(stream)
        with pytest.raises(StopAsyncIteration):
            await anext(stream)

    run(main)


@steps
def test_leaving_cancels_the_work_and_waits_for_its_end(step: Step) -> None:
    """When ``aclose`` returns, every request is closed."""

    async def main() -> None:
        work = Endless()
        stream = relay(work)
        assert 1 == await step(stream)
        await stream.aclose()
        assert work.closed

    run(main)


def test_cancelling_the_reader_cancels_the_work_and_waits_for_its_end() -> None:
    """A client that disconnects costs no more tokens."""

    async def main() -> None:
        work = Endless()
        reader = asyncio.create_task(collect(relay(work)))
        await work.waiting.wait()
        reader.cancel()
        await asyncio.wait([reader])
        assert reader.cancelled()
        assert work.closed

    run(main)


def test_cancelling_a_step_ends_the_stream() -> None:
    """LangChain cancels the task of the step that it is in."""

    async def main() -> None:
        work = Endless()
        stream = relay(work)
        await in_a_new_task(stream)
        step = asyncio.create_task(in_this_task(stream))
        await asyncio.sleep(0)
        step.cancel()
        await asyncio.wait([step])
        assert work.closed
        with pytest.raises(StopAsyncIteration):
            await anext(stream)

    run(main)


def test_a_reader_in_a_hurry_leaves_no_unheard_error() -> None:
    """One who is cancelled twice does not wait, and the work may fail when nobody is there any more."""

    async def main() -> None:
        cancelling, go_on = asyncio.Event(), asyncio.Event()

        async def work(_: Emit[int]) -> None:
            try:
                await asyncio.Event().wait()
            finally:
                cancelling.set()
                await go_on.wait()
                raise LookupError("too late")

        reader = asyncio.create_task(collect(relay(work)))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        reader.cancel()
        await cancelling.wait()
        reader.cancel()
        await asyncio.wait([reader])
        assert reader.cancelled()
        go_on.set()
        for _ in range(5):
            await asyncio.sleep(0)

    run(main)


def test_an_error_while_closing_is_nobodys() -> None:
    """The reader has left: it is neither raised nor reported as unheard."""

    async def main() -> None:
        async def work(emit: Emit[int]) -> None:
            emit(1)
            try:
                await asyncio.Event().wait()
            finally:
                raise LookupError("while closing")

        stream = relay(work)
        await anext(stream)
        await stream.aclose()

    run(main)


def test_nothing_starts_before_the_first_step() -> None:
    """A stream that is made and dropped has called no model."""
    begun: list[bool] = []

    async def work(_: Emit[int]) -> None:
        begun.append(True)

    async def main() -> None:
        stream = relay(work)
        await asyncio.sleep(0)
        assert [] == begun
        await stream.aclose()
        assert [] == begun

    run(main)


def test_a_stream_may_be_made_where_no_loop_runs() -> None:
    """It runs on the loop that reads it."""
    stream = relay(three)

    async def main() -> None:
        assert [1, 2, 3] == await collect(stream)

    run(main)


def test_the_context_is_that_of_the_moment_when_the_stream_was_asked_for() -> None:
    """A tracing span that is open then may be closed when the stream is read."""

    async def work(emit: Emit[str]) -> None:
        emit(SPAN.get())
        emit(await asyncio.create_task(child()))

    async def child() -> str:
        return SPAN.get()

    async def main() -> None:
        token = SPAN.set("asked")
        stream = relay(work)
        SPAN.reset(token)
        SPAN.set("read")
        assert ["asked", "asked"] == await collect(stream)

    run(main)


def test_what_the_work_sets_stays_inside() -> None:
    """The reader's context is his own."""

    async def work(emit: Emit[str]) -> None:
        SPAN.set("inside")
        emit(SPAN.get())

    async def main() -> None:
        assert ["inside"] == await collect(relay(work))
        assert "none" == SPAN.get()

    run(main)


def test_work_that_was_cancelled_from_elsewhere_ends_the_stream_as_cancelled() -> None:
    """It is not taken for an end."""

    async def work(emit: Emit[int]) -> None:
        emit(1)
        raise asyncio.CancelledError

    async def main() -> None:
        stream = relay(work)
        assert 1 == await anext(stream)
        with pytest.raises(asyncio.CancelledError):
            await anext(stream)

    run(main)


def test_a_forgotten_stream_is_closed_when_it_is_collected() -> None:
    """The loop closes what nobody holds any more."""

    async def main() -> None:
        work = Endless()
        stream = relay(work)
        await anext(stream)
        del stream
        while not work.closed or len(asyncio.all_tasks()) > 1:
            gc.collect()
            await asyncio.sleep(0)

    run(main)
