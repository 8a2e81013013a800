"""What the benchmarks of reliability share: questions whose answers are known, and an endpoint that says them.

The endpoint is a `LatencyServer` in another process, so that its CPU time does not count as the client's. Its log would
hold every request for ever; here those that have ended are counted and forgotten.
"""

import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from math import ceil
from multiprocessing.connection import Connection
from random import Random
from typing import Any

from skeleton_of_thought.models.generation import Generation
from skeleton_of_thought.testing import (
    LatencyModel,
    LatencyServer,
    ScriptReply,
    go_on,
    go_on_with_a_word,
    repeat_words,
    start_again,
)
from skeleton_of_thought.testing.faults import FaultPlan

from .elsewhere import Endpoint, elsewhere

WAYS_ON = (go_on, go_on_with_a_word, repeat_words(3), start_again)
"""How models go on with a reply that broke off."""
_NUMBER = re.compile(r"Question (-?\d+)")
_QUOTED = re.compile(r'"[^"]*"')


@dataclass(frozen=True)
class Book:
    """Questions by number, and their answers. No word of a point is in any other point, or there twice."""

    points: int = 8
    words: int = 8

    def question(self, number: int) -> str:
        """Return a question."""
        return f"Question {number}: what makes a good day?"

    def title(self, number: int, point: int) -> str:
        """Return the title of a point of an answer."""
        return f"Reason {point} of {number}"

    def text(self, number: int, point: int) -> str:
        """Return the text of a point of an answer."""
        return " ".join(f"a{number}p{point}w{word}" for word in range(self.words)) + "."

    def skeleton(self, number: int) -> str:
        """Return the skeleton of an answer."""
        return "\n".join(f"{n}. {self.title(number, n)}" for n in range(1, self.points + 1))

    def answer(self, number: int) -> str:
        """Return a whole answer."""
        points = range(1, self.points + 1)
        return "\n\n".join(f"{n}. {self.title(number, n)}: {self.text(number, n)}" for n in points)

    def __call__(self, asked: Generation) -> str:
        """Say what a request asks for, or what is left of it, in one of the ways in which models go on."""
        chance = Random(" ".join(message.text for message in asked.messages))  # noqa: S311 -- no secret
        script = self._script(_number("\n".join(message.text for message in asked.messages)))
        return replace(script, going_on=chance.choice(WAYS_ON))(_unquoted(asked))

    def stage_of(self, asked: Generation) -> str | int:
        """Tell what a request asks for."""
        return self._script(_number("\n".join(message.text for message in asked.messages))).stage_of(_unquoted(asked))

    @lru_cache(256)  # noqa: B019 -- there is one book
    def _script(self, number: int) -> ScriptReply:
        points = {n: self.text(number, n) for n in range(1, self.points + 1)}
        return ScriptReply(skeleton=self.skeleton(number), points=points)


def _number(text: str) -> int:
    found = _NUMBER.search(text)
    assert found
    return int(found[1])


def _unquoted(asked: Generation) -> Generation:
    """Take out the last words that a model shall go on from: a script knows points by their titles, also in them."""
    *before, last = asked.messages
    return replace(asked, messages=(*before, replace(last, text=_QUOTED.sub("", last.text))))


# -- the endpoint --------------------------------------------------------------------------------------


@dataclass
class Told:
    """What an endpoint tells of the requests since it told last."""

    requests: int = 0
    statuses: Counter[int | None] = field(default_factory=Counter)
    faults: list[tuple[int, str]] = field(default_factory=list)
    """The number of the question, and what went wrong."""
    peak: int = 0
    """Most that were in flight."""
    cpu: float = 0.0
    """Seconds."""


class Counted:
    """A server that counts its requests and forgets them."""

    def __init__(self, book: Book, model: LatencyModel, faults: FaultPlan | None = None) -> None:
        self._book = book
        self._told = Told()
        self._cpu = time.process_time()
        self.server = LatencyServer(model, faults=faults, stage_of=self._stage_of)

    def tell(self) -> Told:
        """Tell of the requests since the last time, when none is in flight."""
        self.server.wait_until_idle()
        self._forget()
        told, self._told, began, self._cpu = self._told, Told(), self._cpu, time.process_time()
        told.peak, self.server.peak, told.cpu = self.server.peak, 0, self._cpu - began
        return told

    def _stage_of(self, asked: Generation) -> str | int:
        if len(self.server.requests) > 64 + 2 * self.server.in_flight:
            self._forget()  # here, as the server's own thread may change its log
        return self._book.stage_of(asked)

    def _forget(self) -> None:
        ended = [request for request in self.server.requests if request.ended is not None]
        self.server.requests[:] = [request for request in self.server.requests if request.ended is None]
        self.server.model._load.seen.clear()  # the words of all requests, to tell what a prefix cache would have
        for request in ended:
            self._told.requests += 1
            self._told.statuses[request.status] += 1
            if request.fault is not None:
                self._told.faults.append((_number(str(request.body)), _name(request.fault)))


def _name(fault: Any) -> str:
    kind, after = type(fault).__name__, getattr(fault, "after", 0)
    if kind == "Rejected":
        return f"status {fault.status}"
    when = "before the reply" if after is None else "in mid-stream"
    return f"{kind}{' by reset' * getattr(fault, 'reset', False)} {when}"


def _serve(make: Callable[[], Counted], talk: Connection) -> None:
    counted = make()
    with counted.server as server, suppress(EOFError, KeyboardInterrupt):
        talk.send(server.base_url)
        while talk.recv():
            talk.send(counted.tell())


@contextmanager
def endpoint(make: Callable[[], Counted]) -> Iterator[Endpoint[Told]]:
    """Run what *make* returns in another process."""
    served: Endpoint[Told]
    with elsewhere(partial(_serve, make)) as served:
        yield served


# -- numbers -------------------------------------------------------------------------------------------


def percentile(values: list[float], share: float) -> float:
    """Return the least value that so many of all do not exceed."""
    return sorted(values)[max(0, ceil(share * len(values)) - 1)] if values else float("nan")
