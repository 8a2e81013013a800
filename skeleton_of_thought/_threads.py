"""Every thread of a run, in both directions.

A synchronous caller borrows one private event loop that lives in a daemon thread: so the twin of an
asynchronous method is one line, works in scripts, in worker threads and inside a running loop, and a
client that belongs to one loop is reused from call to call.

A model that only blocks takes part in an asynchronous run from a daemon thread of its own. How many of
those there are is bounded where calls are bounded, in ``_limits``; a pool of its own would be a second
bound, and its threads would hold up the end of the interpreter.
"""

import asyncio
import atexit
import contextlib
import os
import queue
import sys
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Iterator
from concurrent.futures import CancelledError, Future, wait
from contextvars import copy_context
from functools import cache
from typing import Any, Generic, TypeVar

T = TypeVar("T")
_END: Any = object()


# -- a synchronous caller borrows a loop ---------------------------------------------------------------


_starting = threading.Lock()
_PATIENCE = 5.0  # seconds for requests to be closed at the end of a script


def _loop() -> asyncio.AbstractEventLoop:
    with _starting:  # two that ask at once get one loop
        return _started()


@cache
def _started() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    threading.Thread(target=_serve, args=(loop,), name="skeleton-of-thought", daemon=True).start()
    return loop


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    while True:
        with contextlib.suppress(SystemExit, KeyboardInterrupt):  # for the caller, who gets it too, not for the loop
            loop.run_forever()


@atexit.register
def _close() -> None:
    """End what a script left open. Daemon threads stand still soon after, and nobody could wait for them then."""

    async def end_all() -> None:
        if tasks := asyncio.all_tasks() - {asyncio.current_task()}:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        await asyncio.get_running_loop().shutdown_asyncgens()  # one of them holds the connections of this loop

    if _started.cache_info().currsize:
        with contextlib.suppress(TimeoutError):
            asyncio.run_coroutine_threadsafe(end_all(), _loop()).result(_PATIENCE)


def _begin_anew() -> None:
    _started.cache_clear()  # a forked child has the loop, but not its thread
    _starting.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_starting.acquire, after_in_parent=_starting.release, after_in_child=_begin_anew)


class _Job(Generic[T]):
    """Work on the private loop, in the caller's context.

    ``future`` is done when the task has ended, cancelled or not. (That of ``run_coroutine_threadsafe`` is
    done as soon as it is cancelled, while the task may still be closing its requests.)
    """

    def __init__(self, work: Coroutine[Any, Any, T], twin: str) -> None:
        self._loop = _loop()
        if _runs_here(self._loop):
            work.close()
            raise RuntimeError(f"a synchronous method was called from inside a run: {twin}")
        self.future: Future[T] = Future()
        self._work = work
        self._task: asyncio.Task[T] | None = None

    def start(self) -> None:
        """Begin. From now on `end` has to be called: an interrupt may come at any time."""
        self._loop.call_soon_threadsafe(self._begin)

    def _begin(self) -> None:
        self._task = self._loop.create_task(self._work)
        self._task.add_done_callback(self._finish)

    def _cancel(self) -> None:
        if self._task is None:  # the interrupt came first
            self._begin()
        assert self._task is not None
        self._task.cancel()

    def _finish(self, task: asyncio.Task[T]) -> None:
        if task.cancelled():
            self.future.set_exception(CancelledError())
        elif error := task.exception():
            self.future.set_exception(error)
        else:
            self.future.set_result(task.result())

    def end(self) -> None:
        """Cancel what still runs, and wait until it has ended."""
        if not self.future.done() and not sys.is_finalizing():  # then the loop's thread stands still for ever
            self._loop.call_soon_threadsafe(self._cancel)
            if not _runs_here(self._loop):  # there, the garbage collector closes a stream that was forgotten
                wait([self.future])


def _runs_here(loop: asyncio.AbstractEventLoop) -> bool:
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:  # no loop runs in this thread
        return False


def run(work: Coroutine[Any, Any, T]) -> T:
    """Wait for *work* on the private loop. An interrupt cancels it and waits until it has ended."""
    job = _Job(work, f"await {getattr(work, '__name__', 'its a-prefixed twin')} instead")
    try:
        job.start()
        return job.future.result()
    finally:
        job.end()


def iterate(stream: AsyncGenerator[T, None]) -> Generator[T, None, None]:
    """Yield what *stream* yields. Leaving early closes it and waits until it is closed."""
    items: queue.SimpleQueue[T] = queue.SimpleQueue()

    async def drain() -> None:
        async with contextlib.aclosing(stream):
            async for item in stream:
                items.put(item)

    job = _Job(drain(), "use its a-prefixed twin, such as astream, with `async for`")
    job.future.add_done_callback(lambda _: items.put(_END))
    try:
        job.start()
        while (item := items.get()) is not _END:
            yield item
        job.future.result()
    finally:
        job.end()


# -- a blocking model takes part in a run --------------------------------------------------------------


async def in_thread(start: Callable[[], Iterator[T]]) -> AsyncGenerator[T, None]:
    """Yield what the blocking iterator made by *start* yields; all of it runs in one daemon thread.

    A thread cannot be interrupted: after this generator is closed, the iterator is closed at its next item.
    """
    loop, left = asyncio.get_running_loop(), threading.Event()
    items: asyncio.Queue[tuple[T, BaseException | None]] = asyncio.Queue()

    def send(item: T, error: BaseException | None = None) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended, so nobody listens any more
            loop.call_soon_threadsafe(items.put_nowait, (item, error))

    def work() -> None:
        error: BaseException | None = None
        try:
            iterator = start()
            try:
                for item in iterator:
                    if left.is_set():
                        break
                    send(item)
            finally:
                getattr(iterator, "close", lambda: None)()
        except BaseException as raised:  # noqa: BLE001 -- it is raised again, in the run that asked
            error = raised
        send(_END, error)

    threading.Thread(target=copy_context().run, args=(work,), name="sot-model", daemon=True).start()
    try:
        while True:
            item, error = await items.get()
            if error is not None:
                raise error
            if item is _END:
                return
            yield item
    finally:
        left.set()
