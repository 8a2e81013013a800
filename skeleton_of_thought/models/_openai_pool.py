"""Connections: a small pool to each request, on the event loop that asks, and kept there for the next one.

An HTTP connection belongs to the event loop that opened it, while a model is used from many loops: so a model
keeps none, and each loop has connections that all models share. They are closed with their loop: an asynchronous
generator holds them, and those are what a loop closes before it ends, when connections can still be closed.

The pool of the HTTP package looks at all its connections for each of them whenever a request comes or goes
(encode/httpcore#1035): ten requests at a time pay for it already, and a thousand stand still. So there are many pools,
*lanes*, and each request has one to itself. The lane that was left last is taken first.
"""

import asyncio
import os
import ssl
from collections import Counter, defaultdict, deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from functools import lru_cache, partial
from importlib import import_module
from typing import Any, TypeAlias

from openai import DEFAULT_CONNECTION_LIMITS, DefaultAsyncHttpxClient

KEPT = 55.0
"""Seconds for which a connection is kept that nobody uses. Load balancers keep it for 60 and more, and what others
close sooner (uvicorn after 5) is seen before it is used."""
_MOST = 1000
"""Requests in flight on one loop; more wait. The ``openai`` package has as many."""
_ROUND = 30
"""Requests that are made in one round of a loop, a tenth of a second of CPU time. Where a thousand are made before the
loop looks at its connections again, those that it began to open are given up, and servers close those that it has."""
_LIMITS = type(DEFAULT_CONNECTION_LIMITS)(max_connections=None, max_keepalive_connections=1, keepalive_expiry=KEPT)
_http = import_module(DefaultAsyncHttpxClient.send.__module__.partition(".")[0])  # from openai 3.0 on, another one
_Host: TypeAlias = tuple[str, str, int | None]
_Lane: TypeAlias = DefaultAsyncHttpxClient


class LaneClient(DefaultAsyncHttpxClient):
    """Same as `DefaultAsyncHttpxClient`, but for any number of event loops, with a lane to each request.

    It has nothing to close: connections end with their loop.
    """

    def __init__(self) -> None:
        super().__init__(verify=_trusted())

    async def send(self, request: Any, **told: Any) -> Any:
        """Send *request* on the loop that runs here. Its lane is free again when the response is closed."""
        lanes = await lanes_here()
        lane = await lanes.take(_host(request.url))
        leave = partial(lanes.leave, lane, _host(request.url))
        try:
            await lanes.turn()
            response = await lane.send(request, **told)
        except BaseException:
            await leave(False)
            raise
        if response.is_closed:
            await leave(True)
        else:
            response.stream = _Stream(response.stream, leave)
        return response


class _Stream(_http.AsyncByteStream):  # type: ignore[misc, name-defined]  # it is one of two packages
    """A body that tells when it was left, and whether at its end: then its connection can be used again."""

    def __init__(self, stream: Any, leave: Callable[[bool], Awaitable[None]]) -> None:
        self._stream, self._leave, self._whole = stream, leave, False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for part in self._stream:
            yield part
        self._whole = True

    async def aclose(self) -> None:
        try:
            await self._stream.aclose()
        finally:
            await self._leave(self._whole)


class Lanes:
    """All lanes of one loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._room = asyncio.Semaphore(_MOST)
        self._left = _ROUND
        self._waiting = deque[asyncio.Future[None]]()
        self._free: dict[_Host, deque[tuple[_Lane, float]]] = defaultdict(deque)
        """Those of a host, and when they were left; the last is the latest."""
        self._open: set[_Lane] | None = set()
        self._opening = Counter[_Host]()

    async def take(self, host: _Host) -> _Lane:
        """Return a lane that nobody uses; `leave` it in any case."""
        await self._room.acquire()
        free = self._free[host]
        return free.pop()[0] if free else self._begin()

    async def turn(self) -> None:
        """Wait until this round of the loop has room for another request."""
        if not self._left:
            self._waiting.append(turn := self._loop.create_future())
            await turn
            return
        if self._left == _ROUND:
            self._loop.call_soon(self._next_round)
        self._left -= 1

    def _next_round(self) -> None:
        self._left = _ROUND
        while self._waiting and self._left:
            turn = self._waiting.popleft()
            if not turn.done():  # its task was not cancelled
                turn.set_result(None)
                self._left -= 1
        if self._left < _ROUND:
            self._loop.call_soon(self._next_round)

    async def leave(self, lane: _Lane, host: _Host, whole: bool) -> None:
        """Let others use *lane*, unless its request broke off: it has no connection any more."""
        self._room.release()
        free, now = self._free[host], self._loop.time()
        if whole and self._open is not None:
            free.append((lane, now))
        else:
            await self._end(lane)
        while free and free[0][1] < now - KEPT:
            await self._end(free.popleft()[0])

    def missing(self, url: Any, wanted: int) -> int:
        """Tell how many lanes to *url* there are too few, of those that nobody uses and that have a connection."""
        host, since = _host(url), self._loop.time() - KEPT
        return wanted - self._opening[host] - sum(left > since for _, left in self._free[host])

    async def open(self, url: Any, seconds: float) -> None:
        """Open a connection to *url* and keep it, in so many seconds; if that fails, nothing has happened."""
        lane, host = self._begin(), _host(url)
        self._opening[host] += 1
        try:
            await lane.head(url, follow_redirects=False, timeout=seconds)
        except Exception:  # noqa: BLE001 -- who needs a connection gets the error that it has
            await self._end(lane)
        except BaseException:
            await self._end(lane)
            raise
        else:
            self._free[host].append((lane, self._loop.time()))
        finally:
            self._opening[host] -= 1

    def _begin(self) -> _Lane:
        lane = DefaultAsyncHttpxClient(verify=_trusted(), limits=_LIMITS)
        if self._open is not None:
            self._open.add(lane)
        return lane

    async def _end(self, lane: _Lane) -> None:
        await lane.aclose()
        if self._open is not None:
            self._open.discard(lane)

    async def close(self) -> None:
        """Close all connections, those in use too."""
        lanes, self._open = self._open or set(), None
        self._free.clear()
        for lane in lanes:
            await lane.aclose()


_lanes: dict[asyncio.AbstractEventLoop, tuple[Lanes, AsyncGenerator[None, None]]] = {}


async def lanes_here() -> Lanes:
    """Return the lanes of the loop that runs here."""
    loop = asyncio.get_running_loop()
    if loop not in _lanes:
        for other in list(_lanes):
            if other.is_closed():  # without closing its generators first, which is all that can be done about it
                _lanes.pop(other, None)
        opened = Lanes()
        keeper = _keep(loop, opened)
        await anext(keeper)
        _lanes[loop] = opened, keeper
    return _lanes[loop][0]


async def _keep(loop: asyncio.AbstractEventLoop, opened: Lanes) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        _lanes.pop(loop, None)
        await opened.close()


def _host(url: Any) -> _Host:
    return url.scheme, url.host, url.port


def _trusted() -> ssl.SSLContext:
    return _context(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))


@lru_cache(4)
def _context(*_: str | None) -> ssl.SSLContext:
    """Read the certificates as the HTTP package does, which takes 20 ms: once, as long as they are told to be these."""
    context: ssl.SSLContext = _http.create_ssl_context()
    return context
