"""An endpoint that fails as a test wants it to, what may fail once, and what has to be left of it: nothing.

Starting a server takes longer than most tests, so the tests of a module share one, and each sets what goes wrong.
"""

import asyncio
import gc
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any, TypeVar

from skeleton_of_thought import Answer, Limit, PointError, Retry, _threads
from skeleton_of_thought.testing import (
    Dropped,
    EndedEarly,
    ErrorEvent,
    Fault,
    Garbage,
    LatencyModel,
    LatencyServer,
    LoggedRequest,
    Rejected,
    go_on,
    go_on_with_a_word,
    repeat_words,
    start_again,
)

from .script import DIRECT, POINTS, REPLY, SKELETON, TEXT

T = TypeVar("T")
Key = str | int
GoingOn = Callable[[str, str], str]
Plan = Callable[[LoggedRequest, int], Fault | None]

PATIENCE = 20.0
"""Seconds after which a test that waits has failed."""
RETRY = Retry(attempts=3, first_wait=0.01)
STAGES: list[Key] = ["skeleton", 1, 2, 3, "direct"]
SOME: list[Key] = ["skeleton", 2, "direct"]
WAYS_ON = {"exactly": go_on, "with a word": go_on_with_a_word, "again": repeat_words(3), "anew": start_again}
"""How models go on with a reply that broke off."""

STATUSES = {f"status {status}": Rejected(status) for status in (408, 409, 425, 500, 502, 503, 504)}
"""What may go well the next time."""
BEFORE: dict[str, Fault] = {
    "refused": Rejected(429, {"retry-after": "0.01"}),
    "overloaded": Rejected(529, kind="overloaded_error"),
    "dropped": Dropped(),
    "reset": Dropped(reset=True),
    "dropped behind the headers": Dropped(0),
    "error at once": ErrorEvent(0),
    "garbage at once": Garbage(0),
}
"""So may these, which happen before any text."""
MIDWAY: dict[str, Fault] = {
    "dropped midway": Dropped(6),
    "reset midway": Dropped(6, reset=True),
    "error midway": ErrorEvent(6),
    "overloaded midway": ErrorEvent(6, kind="overloaded_error"),
    "garbage midway": Garbage(6),
}
"""What breaks a reply of which six words were said; of one that is not streamed, nothing is heard then."""
CUT: dict[str, Fault] = {"ended at once": EndedEarly(0), "ended midway": EndedEarly(6)}
"""What only a stream shows, by the lack of an end."""
HOPELESS: dict[str, Fault] = {
    **{f"status {status}": Rejected(status) for status in (400, 401, 403, 404, 422)},
    "spent": Rejected(429, code="insufficient_quota"),
}
"""What no waiting cures."""


class Faulty:
    """A server that goes wrong by a table, which each test sets, and a model that goes on in a way."""

    def __init__(self) -> None:
        self.faults: Mapping[Key, Sequence[Fault | None]] = {}
        self.going_on: GoingOn = go_on
        self.plan: Plan = self._by_table
        script = replace(REPLY, going_on=lambda said, rest: self.going_on(said, rest))
        self.server = LatencyServer(
            LatencyModel(reply=script),
            faults=lambda asked, _: self.plan(asked, len(self.of(asked.stage)) - 1),
            stage_of=script.stage_of,
        )

    def begin(self) -> None:
        """Forget the test before."""
        self.server.wait_until_idle()
        self.server.requests.clear()
        self.faults, self.going_on, self.plan = {}, go_on, self._by_table

    @property
    def base_url(self) -> str:
        """Where it listens."""
        return self.server.base_url

    @property
    def counts(self) -> Counter[Key]:
        """How many requests there were for each stage and point."""
        return Counter(request.stage for request in self.server.requests)

    def of(self, stage: Key) -> list[LoggedRequest]:
        """Return the requests of one stage or point."""
        return [request for request in self.server.requests if request.stage == stage]

    def told(self, stage: Key) -> str:
        """Return what the last request of a stage told the model that it has said, in single blanks."""
        messages = self.of(stage)[-1].body["messages"]
        said = [message["content"] for message in messages if message["role"] == "assistant"]
        return " ".join(" ".join(said).split())

    def cancelled(self, stage: Key) -> list[bool]:
        """Tell of each request of a stage whether the client left it, once all have ended."""
        self.server.wait_until_idle()
        return [request.cancelled for request in self.of(stage)]

    def _by_table(self, asked: LoggedRequest, earlier: int) -> Fault | None:
        row = self.faults.get(asked.stage, ())
        return row[earlier] if earlier < len(row) else None


# -- what is expected ----------------------------------------------------------------------------------


def settings(stage: Key, **more: Any) -> dict[str, Any]:
    """Return settings of a run that has this stage."""
    return {"router": "never" if stage == "direct" else "always", "retry": RETRY, **more}


def one_place() -> dict[str, Any]:
    """Return settings for calls one after another, so that it is known which were made."""
    return {"max_concurrency": Limit(1, adaptive=False)}


def said_by(stage: Key) -> str:
    """Return all that the script says at a stage."""
    return POINTS[stage] if isinstance(stage, int) else {"skeleton": SKELETON, "direct": DIRECT}[stage]


def words(text: str, count: int) -> str:
    """Return what has been said after so many words."""
    return " ".join(text.split()[:count])


def answer_by(stage: Key) -> str:
    """Return the answer of a run that has this stage."""
    return DIRECT if stage == "direct" else TEXT


def requests(stage: Key, count: int = 2) -> Counter[Key]:
    """Return the requests of an answer of which one stage or point takes so many."""
    return Counter({**dict.fromkeys(["direct"] if stage == "direct" else ["skeleton", *POINTS], 1), stage: count})


def until_failing(stage: Key, count: int = 1) -> Counter[Key]:
    """Return the requests of a run whose calls are made one after another, up to one that fails for good."""
    order: list[Key] = ["direct"] if stage == "direct" else ["skeleton", *POINTS]
    return Counter({**dict.fromkeys(order[: order.index(stage)], 1), stage: count})


def cause_of(error: Exception, stage: Key) -> BaseException:
    """Return the model's own error, which stands behind that of a point only."""
    if not isinstance(stage, int):
        return error
    assert isinstance(error, PointError)
    assert stage == error.number
    assert error.__cause__ is not None
    return error.__cause__


def written(answer: Answer | None) -> dict[int, str]:
    """Return what was written of each point."""
    assert answer
    return {section.point.number: section.text for section in answer.sections}


# -- what is left --------------------------------------------------------------------------------------


@contextmanager
def faulty() -> Iterator[Faulty]:
    """Serve; the modules that are loaded by then are not looked through when a test ends."""
    with warnings.catch_warnings(action="ignore"):  # what earlier tests have left to be collected is not of these
        gc.collect()
    gc.freeze()
    served = Faulty()
    with served.server:
        yield served
    gc.unfreeze()


@contextmanager
def nothing_left(served: Faulty, *, keeps: bool = False) -> Iterator[Faulty]:
    """Begin anew, and see to it that no request, connection, thread and task is left, and nobody complains.

    Args:
        keeps: connections stay open, for other tests too.
    """
    served.begin()
    before = served.server.connections
    yield served
    served.server.wait_until_idle()
    gc.collect()  # what was left open complains, and a complaint is an error
    assert keeps or _comes(lambda: served.server.connections <= before)
    assert [] == _model_threads()
    assert _comes(lambda: not _private_tasks())


def _model_threads() -> list[str]:
    """Give threads of models the time to end, and name those that did not."""
    threads = [thread for thread in threading.enumerate() if thread.name == "sot-model"]
    for thread in threads:
        thread.join(PATIENCE)
    return [thread.name for thread in threads if thread.is_alive()]


def _private_tasks() -> int:
    """Count the tasks on the loop that synchronous callers borrow."""
    return len(asyncio.all_tasks(_threads._loop())) if _threads._started.cache_info().currsize else 0


def _comes(condition: Callable[[], bool]) -> bool:
    """Wait for something that has to come."""
    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.001)
    return True


def run(work: Coroutine[Any, Any, T]) -> T:
    """Wait for *work* on a loop of its own, on which no task is left and nobody has complained."""
    complaints: list[Any] = []

    async def main() -> T:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context["message"]))
        try:
            return await work
        finally:
            with suppress(TimeoutError):
                async with asyncio.timeout(PATIENCE):
                    while len(asyncio.all_tasks()) > 1:  # noqa: ASYNC110 -- tasks end, and tell nobody
                        await asyncio.sleep(0.001)
            assert 1 == len(asyncio.all_tasks())

    try:
        return asyncio.run(main())
    finally:
        assert [] == complaints
