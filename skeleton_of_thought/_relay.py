"""The output of one task as an asynchronous generator.

A run is one task. Task groups and timeouts live in it and nothing in it yields, because whoever resumes
a generator may do so from a new task each time (LangChain does), and a scope that was entered in one
task cannot be left in another (PEP 789). The generator that the caller sees only empties a queue.

The context is copied when the stream is asked for, not when it is first read: tracing spans that are
open now may be closed by then. Nothing is started before the first read, and everything is started on
the loop that reads: a stream may be made on one loop and read on another.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextvars import Context, copy_context
from typing import TypeAlias, TypeVar

T = TypeVar("T")

Emit: TypeAlias = Callable[[T], None]
Join: TypeAlias = Callable[[list[T]], list[T]]


def relay(work: Callable[[Emit[T]], Awaitable[None]], join: Join[T] | None = None) -> AsyncGenerator[T, None]:
    """Run *work* in a task of its own and yield what it emits; closing the stream cancels the task.

    Args:
        join: takes what waits to be read, and returns it as fewer items.
    """
    return _drain(work, join or list, copy_context())


async def _drain(
    work: Callable[[Emit[T]], Awaitable[None]], join: Join[T], context: Context
) -> AsyncGenerator[T, None]:
    items: asyncio.Queue[T | None] = asyncio.Queue()

    async def main() -> None:
        await work(items.put_nowait)

    task = asyncio.create_task(main(), context=context)

    def end(task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            task.exception()  # retrieved: an error after the reader has left is nobody's
        items.put_nowait(None)

    task.add_done_callback(end)
    try:
        last = False
        while not last:
            waiting = [await items.get()]
            while not items.empty():
                waiting.append(items.get_nowait())
            last = waiting[-1] is None
            for item in join([item for item in waiting if item is not None]):
                yield item
        task.result()
    finally:
        task.cancel()
        if not task.done():  # waiting suspends, and at the end of a loop all nested generators are closed at once
            await asyncio.wait([task])
