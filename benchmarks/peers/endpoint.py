"""The endpoint that all ways ask: a `LatencyServer` in another process, whose CPU time is not ours."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection

from skeleton_of_thought.testing import LatencyServer

from ..elsewhere import Endpoint, elsewhere
from .work import Work


@dataclass(frozen=True)
class Told:
    """What came to the endpoint since it told last."""

    requests: int
    peak: int
    """Most that were in flight."""
    cpu: float
    """Seconds."""


@contextmanager
def endpoint(work: Work) -> Iterator[Endpoint[Told]]:
    """Run an endpoint that says *work*."""
    served: Endpoint[Told]
    with elsewhere(partial(_serve, work)) as served:
        yield served


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
