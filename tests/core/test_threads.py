import asyncio
import gc
import os
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextvars import ContextVar, copy_context
from textwrap import dedent

import pytest

from skeleton_of_thought import _threads
from skeleton_of_thought._threads import in_thread, iterate, run
from skeleton_of_thought.testing import collect

SPAN = ContextVar("SPAN", default="none")
LONG = 30.0
"""Seconds after which something that should happen did not."""


async def double(number: int) -> int:
    await asyncio.sleep(0)
    return 2 * number


async def count(to: int) -> AsyncGenerator[int, None]:
    for number in range(to):
        await asyncio.sleep(0)
        yield number


class Endless:
    """A stream that yields one item and then none, and takes its time to be closed."""

    def __init__(self) -> None:
        self.closed = False
        self.never = asyncio.Event()

    async def __call__(self) -> AsyncGenerator[int, None]:
        try:
            yield 1
            await self.never.wait()
        finally:
            await asyncio.sleep(0)
            self.closed = True


def inside_a_loop(work: Callable[[], object]) -> object:
    """Call *work* where a loop is running, as in a notebook."""

    async def main() -> object:
        return work()

    return asyncio.run(main())


def in_a_thread(work: Callable[[], object]) -> object:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work).result(LONG)


def at_once(work: Callable[[], object]) -> object:
    return work()


def tasks_on_the_private_loop() -> int:
    async def others() -> int:
        return len(asyncio.all_tasks()) - 1

    return run(others())


def script(code: str, *, timeout: float = LONG) -> str:
    """Run *code* in a fresh interpreter and return what it prints; whatever it says on stderr fails the test."""
    done = subprocess.run([sys.executable, "-c", dedent(code)], capture_output=True, text=True, timeout=timeout)
    assert (0, "") == (done.returncode, done.stderr)
    return done.stdout


anywhere = pytest.mark.parametrize("where", [at_once, in_a_thread, inside_a_loop])


# -- a synchronous caller borrows a loop ---------------------------------------------------------------


@anywhere
def test_run_returns_what_is_awaited(where: Callable[..., object]) -> None:
    """In a script, in a worker thread and inside a running loop."""
    assert 42 == where(lambda: run(double(21)))


@anywhere
def test_iterate_yields_what_is_streamed(where: Callable[..., object]) -> None:
    """In a script, in a worker thread and inside a running loop."""
    assert [0, 1, 2] == where(lambda: list(iterate(count(3))))


def test_many_threads_share_one_loop() -> None:
    """So a client that belongs to a loop serves them all."""

    async def loop() -> int:
        return id(asyncio.get_running_loop())

    with ThreadPoolExecutor(8) as pool:
        assert 1 == len(set(pool.map(lambda _: run(loop()), range(64))))


def test_threads_that_come_first_at_once_share_one_loop() -> None:
    """The loop is started once, however slowly it starts."""
    code = """
        import asyncio, threading, time
        made, make = [], asyncio.new_event_loop
        def slowly():
            made.append(threading.get_ident())
            time.sleep(0.2)
            return make()
        asyncio.new_event_loop = slowly
        from skeleton_of_thought._threads import run
        async def nothing(): pass
        threads = [threading.Thread(target=lambda: run(nothing())) for _ in range(4)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        print(len(made))
    """
    assert "1\n" == script(code)


def test_run_raises_what_is_raised() -> None:
    """As it is."""

    async def fail() -> None:
        raise LookupError("no route")

    with pytest.raises(LookupError, match="no route"):
        run(fail())


def test_iterate_raises_what_is_raised_after_what_was_yielded() -> None:
    """As it is."""

    async def fail() -> AsyncGenerator[int, None]:
        yield 1
        raise LookupError("no route")

    stream = iterate(fail())
    assert 1 == next(stream)
    with pytest.raises(LookupError, match="no route"):
        next(stream)


def test_a_run_that_was_cancelled_from_elsewhere_raises() -> None:
    """It does not return as if it were done."""

    async def cancelled() -> None:
        raise asyncio.CancelledError

    with pytest.raises(CancelledError):
        run(cancelled())


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
def test_an_exit_inside_a_run_is_the_callers(error: type[BaseException]) -> None:
    """It ends neither the loop nor the patience of those who come later."""

    async def leave() -> None:
        raise error

    with pytest.raises(error):
        run(leave())
    assert 42 == run(double(21))


def test_run_inside_a_run_raises_and_names_the_twin() -> None:
    """It would wait for itself."""

    async def outer() -> object:
        return run(double(1))

    with pytest.raises(RuntimeError, match="from inside a run: await double instead"):
        run(outer())


def test_iterate_inside_a_run_raises_and_names_the_twin() -> None:
    """It would wait for itself."""

    async def outer() -> object:
        return list(iterate(count(1)))

    with pytest.raises(RuntimeError, match="from inside a run: use its a-prefixed twin, such as astream"):
        run(outer())


def test_leaving_a_stream_early_closes_it_before_going_on() -> None:
    """No task is left on the private loop, and no request is open."""
    before, endless = tasks_on_the_private_loop(), Endless()
    for _ in iterate(endless()):
        break
    gc.collect()
    assert endless.closed
    assert before == tasks_on_the_private_loop()


def test_closing_a_stream_waits_until_it_is_closed() -> None:
    """As leaving the loop does."""
    endless = Endless()
    stream = iterate(endless())
    assert 1 == next(stream)
    stream.close()
    assert endless.closed


def test_a_stream_that_is_never_read_starts_nothing() -> None:
    """And leaves nothing behind."""
    before, endless = tasks_on_the_private_loop(), Endless()
    iterate(endless()).close()
    assert not endless.closed
    assert before == tasks_on_the_private_loop()


def test_a_forgotten_stream_may_be_collected_on_the_private_loop() -> None:
    """The loop closes it and does not wait for itself."""
    endless = Endless()
    gc.disable()
    try:
        cycle: list[object] = [iterate(endless())]
        cycle.append(cycle)
        next(cycle[0])  # type: ignore[call-overload]  # a generator
        del cycle

        async def collect_garbage() -> bool:
            gc.collect()
            for _ in range(100):
                await asyncio.sleep(0)
            return endless.closed

        assert run(collect_garbage())
    finally:
        gc.enable()


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="this system cannot interrupt one thread")
def test_an_interrupt_cancels_the_run_and_waits_for_its_end() -> None:
    """Ctrl-C in a script leaves no request open."""
    code = """
        import asyncio, signal, threading
        from skeleton_of_thought._threads import run
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a process in the background ignores it
        async def endless():
            try:
                signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0)
                print("closed")
        try:
            run(endless())
        except KeyboardInterrupt:
            print("interrupted")
    """
    assert "closed\ninterrupted\n" == script(code)


@anywhere
def test_context_reaches_the_run(where: Callable[..., object]) -> None:
    """Tracing spans and settings of the caller are there."""

    async def span() -> str:
        return SPAN.get()

    async def spans() -> AsyncGenerator[str, None]:
        yield SPAN.get()

    def work() -> tuple[str, list[str]]:
        SPAN.set("caller")
        return run(span()), list(iterate(spans()))

    assert ("caller", ["caller"]) == where(lambda: copy_context().run(work))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_gets_a_loop_of_its_own() -> None:
    """Servers load the application first and fork then."""
    code = """
        import os, warnings
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of every fork beside a thread
        from skeleton_of_thought._threads import run, iterate
        async def number(): return 42
        async def numbers(): yield 1; yield 2
        assert run(number()) == 42
        for generation in range(2):
            child = os.fork()
            if child == 0:
                assert (run(number()), list(iterate(numbers()))) == (42, [1, 2])
                assert os.fork() == 0 or os.wait()[1] == 0
                assert run(number()) == 42
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
            assert run(number()) == 42
        print("both")
    """
    assert "both\n" == script(code)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_fork_while_the_loop_is_being_started() -> None:
    """The child does not inherit a lock that nobody in it will open."""
    code = """
        import asyncio, os, threading, time, warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        starting, make = threading.Event(), asyncio.new_event_loop
        def slowly():
            starting.set()
            time.sleep(0.2)
            return make()
        asyncio.new_event_loop = slowly
        from skeleton_of_thought._threads import run
        async def number(): return 42
        thread = threading.Thread(target=lambda: run(number()))
        thread.start()
        starting.wait()
        child = os.fork()
        if child == 0:
            os._exit(0 if run(number()) == 42 else 1)
        assert os.waitpid(child, 0)[1] == 0
        thread.join()
        print("both")
    """
    assert "both\n" == script(code)


def test_the_private_loop_does_not_hold_up_the_end_of_a_script() -> None:
    """A stream that is still open when the script ends does not either."""
    code = """
        import asyncio
        from skeleton_of_thought._threads import iterate
        async def endless():
            yield 1
            await asyncio.Event().wait()
        stream = iterate(endless())
        print(next(stream))
    """
    assert "1\n" == script(code)


# -- a blocking model takes part in a run --------------------------------------------------------------


class Blocking:
    """What a blocking model's stream looks like: an iterator that waits, and can be closed."""

    def __init__(self, items: int = 3) -> None:
        self.items = items
        self.go_on = threading.Semaphore(0)
        self.begun = threading.Event()
        self.closed = threading.Event()
        self.threads = set[int]()

    def __call__(self) -> Iterator[int]:
        try:
            for number in range(self.items):
                self.threads.add(threading.get_ident())
                self.begun.set()
                yield number
                assert self.go_on.acquire(timeout=LONG)
        finally:
            self.threads.add(threading.get_ident())
            self.closed.set()


def test_in_thread_yields_what_the_iterator_yields() -> None:
    """All of it runs in one thread, which is not ours."""
    blocking = Blocking()
    blocking.go_on.release(3)
    assert [0, 1, 2] == asyncio.run(collect(in_thread(blocking)))
    assert 1 == len(blocking.threads - {threading.get_ident()}) == len(blocking.threads)


def test_in_thread_does_not_hold_up_the_loop() -> None:
    """Blocking models are written to side by side: each waits here until the other is being written."""
    barrier = threading.Barrier(4, timeout=LONG)

    def blocking() -> Iterator[int]:
        yield barrier.wait()

    async def main() -> list[list[int]]:
        return await asyncio.gather(*(collect(in_thread(blocking)) for _ in range(4)))

    assert [[0], [1], [2], [3]] == sorted(asyncio.run(main()))


@pytest.mark.parametrize("error", [LookupError("no route"), SystemExit(3)])
def test_in_thread_raises_what_the_iterator_raises(error: BaseException) -> None:
    """As it is, after what came before it."""

    def fail() -> Iterator[int]:
        yield 1
        raise error

    async def main() -> None:
        stream = in_thread(fail)
        assert 1 == await anext(stream)
        with pytest.raises(type(error)) as caught:
            await anext(stream)
        assert error is caught.value

    asyncio.run(main())


def test_in_thread_raises_what_making_the_iterator_raises() -> None:
    """A request that is refused is an error of the run."""

    def fail() -> Iterator[int]:
        raise LookupError("no route")

    with pytest.raises(LookupError, match="no route"):
        asyncio.run(collect(in_thread(fail)))


def test_leaving_closes_the_iterator_at_its_next_item() -> None:
    """A thread cannot be interrupted, but it stops as soon as it comes back."""
    blocking = Blocking(items=1_000)

    async def main() -> None:
        stream = in_thread(blocking)
        assert 0 == await anext(stream)
        await stream.aclose()
        assert not blocking.closed.is_set()

    asyncio.run(main())
    blocking.go_on.release()
    assert blocking.closed.wait(LONG)


def test_cancelling_closes_the_iterator_at_its_next_item() -> None:
    """As leaving does."""
    blocking = Blocking(items=1_000)

    async def main() -> None:
        reader = asyncio.create_task(collect(in_thread(blocking)))
        assert await asyncio.to_thread(blocking.begun.wait, LONG)
        reader.cancel()
        await asyncio.wait([reader])
        assert reader.cancelled()

    asyncio.run(main())
    blocking.go_on.release()
    assert blocking.closed.wait(LONG)


def test_an_iterator_that_cannot_be_closed_is_just_dropped() -> None:
    """Any iterator will do."""
    assert [1, 2] == asyncio.run(collect(in_thread(lambda: iter([1, 2]))))


def test_a_thread_outlives_its_loop_in_silence() -> None:
    """What it still says is said to nobody; no error is printed."""
    code = """
        import asyncio, threading
        from skeleton_of_thought._threads import in_thread
        go_on, done = threading.Event(), threading.Event()
        def blocking():
            yield 1
            go_on.wait()
            try:
                yield 2
            finally:
                done.set()
        async def main():
            stream = in_thread(blocking)
            print(await anext(stream))
            await stream.aclose()
        asyncio.run(main())
        go_on.set()
        done.wait()
    """
    assert "1\n" == script(code)


def test_context_reaches_the_thread() -> None:
    """Tracing of a blocking model hangs below the right span."""

    def span() -> Iterator[str]:
        yield SPAN.get()

    async def main() -> list[str]:
        SPAN.set("run")
        return await collect(in_thread(span))

    assert ["run"] == asyncio.run(main())


def test_threads_do_not_hold_up_the_end_of_a_script() -> None:
    """A model that blocks forever blocks nobody else."""
    code = """
        import asyncio, threading
        from skeleton_of_thought._threads import in_thread
        def blocking():
            yield 1
            threading.Event().wait()
        async def main():
            stream = in_thread(blocking)
            print(await anext(stream))
            await stream.aclose()
        asyncio.run(main())
    """
    assert "1\n" == script(code)


def test_the_private_loop_is_named() -> None:
    """So that a stack dump tells whose thread it is."""
    run(double(1))
    assert "skeleton-of-thought" in {thread.name for thread in threading.enumerate()}
    assert _threads._loop() is _threads._loop()
