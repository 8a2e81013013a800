"""Every thread of this project, in both directions.

A synchronous caller borrows one private event loop that lives in a daemon thread: so the twin of an
asynchronous method is one line, works in scripts, in worker threads and inside a running loop, and a
client that belongs to one loop is reused from call to call.

A model that only blocks takes part in an asynchronous run from a daemon thread of its own. How many of
those there are is bounded where calls are bounded, in ``_limits``; a pool of its own would be a second
bound, and its threads would hold up the end of the interpreter.
"""

import asyncio
import contextlib
import os
import queue
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Iterator
from concurrent.futures import CancelledError, Future, wait
from contextvars import copy_context
from typing import Any, Generic, TypeVar

T = TypeVar("T")
_END: Any = object()


# -- a synchronous caller borrows a loop ---------------------------------------------------------------


class _Loop:
    """An event loop that runs for as long as the process does. It is started by the first who asks."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    def get(self) -> asyncio.AbstractEventLoop:
        with self._lock:  # two that ask at once get one loop
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._run, args=(self._loop,), name="skeleton-of-thought", daemon=True).start()
            return self._loop

    def is_running_here(self) -> bool:
        try:
            return asyncio.get_running_loop() is self._loop
        except RuntimeError:  # no loop runs in this thread
            return False

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        while True:
            with contextlib.suppress(SystemExit, KeyboardInterrupt):  # they are for the caller, who gets them too
                loop.run_forever()


_LOOP = _Loop()

if hasattr(os, "register_at_fork"):  # a forked child has the loop, but not its thread
    os.register_at_fork(after_in_child=_LOOP.__init__)  # type: ignore[misc]  # begin anew, whoever held the lock


class _Job(Generic[T]):
    """Work on the private loop, in the caller's context.

    ``future`` is done when the task has ended, cancelled or not. (That of ``run_coroutine_threadsafe`` is
    done as soon as it is cancelled, while the task may still be closing its requests.)
    """

    def __init__(self, work: Coroutine[Any, Any, T], twin: str) -> None:
        if _LOOP.is_running_here():
            work.close()
            raise RuntimeError(
                f"a synchronous method was called from inside a run, which would wait for itself: {twin}"
            )
        self.future: Future[T] = Future()
        self._work = work
        self._loop = _LOOP.get()
        self._loop.call_soon_threadsafe(self._begin)

    def _begin(self) -> None:
        self._task = self._loop.create_task(self._work)
        self._task.add_done_callback(self._finish)

    def _finish(self, task: asyncio.Task[T]) -> None:
        if task.cancelled():
            self.future.set_exception(CancelledError())
        elif error := task.exception():
            self.future.set_exception(error)
        else:
            self.future.set_result(task.result())

    def end(self) -> None:
        """Cancel what still runs, and wait until it has ended."""
        if not self.future.done():
            self._loop.call_soon_threadsafe(lambda: self._task.cancel())
            if not _LOOP.is_running_here():  # there, the collector is closing a stream that was forgotten
                wait([self.future])


def run(work: Coroutine[Any, Any, T]) -> T:
    """Wait for *work* on the private loop. An interrupt cancels it and waits until it has ended."""
    job = _Job(work, f"await {work.__name__} instead")
    try:
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
