"""The endpoint that all ways ask: a `LatencyServer` in another process, whose CPU time is not ours."""

import multiprocessing
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection

from skeleton_of_thought.testing import LatencyServer

from .work import Work


@dataclass(frozen=True)
class Told:
    """What came to the endpoint since it told last."""

    requests: int
    peak: int
    """Most that were in flight."""
    cpu: float
    """Seconds."""


class Endpoint:
    """A server in another process."""

    def __init__(self, talk: Connection) -> None:
        self._talk = talk
        self.url: str = talk.recv()

    def tell(self) -> Told:
        """Ask what came since the last time, when nothing is in flight any more."""
        self._talk.send(True)
        told: Told = self._talk.recv()
        return told


@contextmanager
def endpoint(work: Work) -> Iterator[Endpoint]:
    """Run an endpoint that says *work*."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(work, there), daemon=True)
    process.start()
    there.close()
    try:
        yield Endpoint(here)
    finally:
        here.close()
        process.join()


def _serve(work: Work, talk: Connection) -> None:
    with LatencyServer(work.model(), stage_of=lambda _: "point") as server, suppress(EOFError, KeyboardInterrupt):
        talk.send(server.base_url)
        before = time.process_time()
        while talk.recv():
            server.wait_until_idle()
            now = time.process_time()
            told = Told(len(server.requests), server.peak, now - before)
            server.requests.clear()  # or the log of all runs would be looked through with each request
            server.peak, before = 0, now
            talk.send(told)
