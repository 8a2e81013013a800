"""One pool of connections for each event loop, shared by all models.

An HTTP connection belongs to the event loop that opened it, while a model is used from many loops: so a model
keeps nothing. A pool is closed with its loop: it is held by an asynchronous generator, and those are what a loop
closes before it ends, when connections can still be closed.
"""

import asyncio
from collections.abc import AsyncGenerator

from openai import DefaultAsyncHttpxClient

_pools: dict[asyncio.AbstractEventLoop, tuple[DefaultAsyncHttpxClient, AsyncGenerator[None, None]]] = {}


async def pool() -> DefaultAsyncHttpxClient:
    """Return the pool of the loop that runs here."""
    loop = asyncio.get_running_loop()
    if loop not in _pools:
        for other in list(_pools):
            if other.is_closed():  # without closing its generators first, which is all that can be done about it
                _pools.pop(other, None)
        opened = DefaultAsyncHttpxClient()
        keeper = _keep(loop, opened)
        await anext(keeper)
        _pools[loop] = opened, keeper
    return _pools[loop][0]


async def _keep(loop: asyncio.AbstractEventLoop, opened: DefaultAsyncHttpxClient) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        _pools.pop(loop, None)
        await opened.aclose()
