"""Closing a stream of LlamaIndex down to the request that it reads.

Its streams are generators in generators, and none closes the one inside. What is innermost may be in a cycle with its
own generator, as that of ``openai`` is. So a stream that is merely closed is answered on, and paid for, until the
garbage collector finds it. A task that is cancelled needs none of this: the exception begins inside.
"""

import gc
import inspect
from collections.abc import AsyncIterator, Iterator
from types import AsyncGeneratorType, CellType, GeneratorType
from typing import Any


def close(stream: Iterator[Any]) -> None:
    """Close *stream*, and what it reads from."""
    for each in _nested(stream):
        getattr(each, "close", lambda: None)()


async def aclose(stream: AsyncIterator[Any]) -> None:
    """Close *stream*, and what it reads from."""
    for each in _nested(stream):
        closed = getattr(each, "aclose", getattr(each, "close", lambda: None))()
        if inspect.isawaitable(closed):
            await closed


def _nested(stream: Any) -> list[Any]:
    """Return *stream* and all streams that it reads from, outermost first. One that has ended has none."""
    found = [stream]
    if isinstance(stream, GeneratorType | AsyncGeneratorType):
        for held in map(_content, gc.get_referents(stream)):
            if isinstance(held, Iterator | AsyncIterator):  # so no client, which others use
                found += _nested(held)
    return found


def _content(held: Any) -> Any:
    try:
        return held.cell_contents if isinstance(held, CellType) else held
    except ValueError:  # nothing is in it yet
        return None
