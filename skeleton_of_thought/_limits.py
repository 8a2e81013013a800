"""What may be in flight: one bound per chain object, over all its runs and all event loops.

``asyncio.Semaphore`` belongs to one loop, but a chain object is used from many: ``asyncio.run`` in a
script, a server's loop, the private loop of the synchronous methods.
"""

import asyncio
import threading
from collections import deque
from types import TracebackType

from .errors import ConfigurationError


class Limit:
    """At most *width* holders at a time, first come first served: ``async with limit: ...``.

    Give one to several objects to bound them together; never to one that is the model of another, whose
    calls would wait for the place that the outer call holds. A copy is the same limit.

    Raises:
        ConfigurationError: *width* is not a whole number from 1 up.
    """

    def __init__(self, width: int) -> None:
        if not isinstance(width, int) or width < 1:
            raise ConfigurationError(f"width={width!r} cannot work: use a whole number from 1 up")
        self.width = width
        self._free = width
        self._lock = threading.Lock()
        self._waiting: deque[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = deque()
        self._narrower: dict[int, Limit] = {}
        self._wider: Limit | None = None

    def within(self, width: int) -> "Limit":
        """Return the one limit of *width* inside this one: its holders have a place in both.

        Raises:
            ConfigurationError: *width* is not a whole number from 1 up.
        """
        narrower = Limit(width)
        narrower._wider = self
        with self._lock:
            return self._narrower.setdefault(width, narrower)

    def __copy__(self) -> "Limit":
        return self

    def __deepcopy__(self, _: dict[int, object]) -> "Limit":
        return self

    def __reduce__(self) -> tuple[type["Limit"], tuple[int]]:
        return Limit, (self.width,)  # in another process nobody holds a place yet

    async def __aenter__(self) -> None:
        await self._acquire()
        if self._wider:
            try:
                await self._wider.__aenter__()
            except BaseException:
                self._release()
                raise

    async def _acquire(self) -> None:
        with self._lock:
            if self._free:
                self._free -= 1
                return
            loop = asyncio.get_running_loop()
            turn = loop.create_future()
            self._waiting.append((loop, turn))
        try:
            await turn
        except asyncio.CancelledError:
            with self._lock:
                waited = (loop, turn) in self._waiting
                if waited:
                    self._waiting.remove((loop, turn))
            if not waited:  # the place had been given while we were being cancelled
                self._release()
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._release()
        if self._wider:
            await self._wider.__aexit__(kind, error, trace)

    def _release(self) -> None:
        with self._lock:
            while self._waiting:
                loop, turn = self._waiting.popleft()
                try:
                    loop.call_soon_threadsafe(_give, turn)
                except RuntimeError:  # that loop was closed while its call waited
                    continue
                return
            self._free += 1


def _give(turn: asyncio.Future[None]) -> None:
    if not turn.done():
        turn.set_result(None)
