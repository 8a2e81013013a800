"""Connections for the points of an answer, opened while its skeleton is being written.

Over TLS a new connection takes two or three round trips and some milliseconds of CPU time, and all points of a first
answer would need one at the same moment. While a skeleton is written there is time for it. How many points there will
be is not known yet: what is too many is there for the next answer, and what is too few is opened when it is needed.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Any

from ..calls import Piece
from ._openai_pool import lanes_here

_SPARE = 7
"""Connections besides that of the skeleton, which is free by then: answers have 5 to 8 points, or 10."""
_BEHIND = 0.03
"""Seconds by which the skeleton's own request goes ahead."""
_PATIENCE = 5.0
"""Seconds for a connection to be there."""


async def warmed(pieces: AsyncGenerator[Piece, None], address: Callable[[], Any]) -> AsyncGenerator[Piece, None]:
    """Yield what *pieces* yields, and open connections to the host of an address meanwhile.

    Only over TLS, which takes so long. What fails of it is silent.
    """
    url = address().copy_with(raw_path=b"/")
    opening = [asyncio.create_task(_open(url))] if url.scheme == "https" else []
    try:
        async for piece in pieces:
            yield piece
    finally:
        for task in opening:
            task.cancel()
        try:
            await pieces.aclose()
        finally:
            await asyncio.gather(*opening, return_exceptions=True)


async def _open(url: Any) -> None:
    """Ask for the headers of the host's front page, without a key: that is no call that anybody counts."""
    await asyncio.sleep(_BEHIND)
    lanes = await lanes_here()
    async with asyncio.TaskGroup() as group:
        for _ in range(lanes.missing(url, _SPARE)):
            group.create_task(lanes.open(url, _PATIENCE))
