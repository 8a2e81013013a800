"""The points of an answer: begun, written at the same time, and given up where they cannot be written."""

import inspect
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ._attempts import Calls
from ._page import Page
from ._record import Record
from ._relay import Emit
from ._replies import PointReply
from ._schedule import Give, write_given
from ._search import Search
from .answer import GAP, Question, Section
from .calls import LLM
from .errors import ConfigurationError, PointError
from .events import Event, PointFailed, PointStarted
from .prompts import Form
from .skeleton import Point, Skeleton

if TYPE_CHECKING:
    from .engine import SkeletonOfThought


class Points:
    """Write points, and show them on the page."""

    def __init__(
        self,
        sot: "SkeletonOfThought",
        question: Question,
        record: Record,
        emit: Emit[Event],
        calls: Calls,
        form: Callable[[LLM], Form],
    ) -> None:
        self._sot = sot
        self._question = question
        self._record = record
        self._emit = emit
        self._calls = calls
        self._form = form
        self.page = Page(record, emit, sot.heading, patient=sot.on_point_error not in ("raise", "mark"))
        self.search = Search(sot.retriever, sot.prompts, question, record, emit)
        self.begun: dict[int, Skeleton] = {}
        """What was known of the skeleton when each point was begun."""
        self.policy = sot.on_point_error
        self._given_up: list[PointError] = []

    def add(self, point: Point, skeleton: Skeleton, *, alone: bool = False) -> None:
        """Add a point, the last so far in reading order."""
        self.begun[point.number] = skeleton
        self.page.begin(point, alone=alone)

    def begin(self, skeleton: Skeleton, give: Give) -> None:
        """Let all points be written, each once and with what is known of the skeleton now."""
        new = [point for point in skeleton.points if point.number not in self.begun]
        for point in new:
            self.add(point, skeleton)
            self.search.expect(point)
        give(*new)

    async def write(self, plan: Callable[[Give], Awaitable[None]]) -> None:
        """Write all points that *plan* gives.

        Raises:
            PointError: a point could not be written.
        """
        try:
            await write_given(plan, self._write_point, self.search.find if self._sot.retriever else None)
            if self._given_up and not self._record.done:  # gaps alone are no answer
                raise self._given_up[0]
        except PointError as error:  # the first, where several failed at once
            if error.number not in self._record.failed:
                assert isinstance(error.__cause__, Exception)  # as `_point_error` raises it
                self._emit(PointFailed(self.begun[error.number].point(error.number), error.__cause__))
            self._record.keep(error)
            raise

    async def _write_point(self, point: Point) -> None:
        try:
            with _point_error(point):
                section = await self._expand(point)
        except PointError as error:
            if self.policy == "raise":
                raise
            await self.give_up(point, error)
        else:
            self.page.done(section)

    async def _expand(self, point: Point) -> Section:
        llm, number, skeleton = self._sot.point_llm or self._sot.llm, point.number, self.begun[point.number]
        pieces = self._record.pieces.setdefault(number, [])
        passages = await self.search.passages(point)
        call = self._sot.prompts.point_call(self._question, self._form(llm), skeleton, point, passages)
        reply = PointReply(point, pieces, lambda text: self.page.take(point, text))
        heard = await self._calls.hear(llm, call, reply, lambda: self._emit(PointStarted(point)))
        found = self.search.numbers_of(point)
        return Section(point, "".join(pieces), heard.seconds, heard.finish, heard.usage, found)

    async def give_up(self, point: Point, error: PointError, *, late: bool = False) -> None:
        """Do as ``on_point_error`` says; when it is *late*, nobody waits for what a function would wait for."""
        assert isinstance(error.__cause__, Exception)  # as whoever raises it sees to
        self._record.keep(error)
        self._given_up.append(error)
        instead: object = GAP if self.policy in ("raise", "mark") else ""
        if callable(self.policy):
            instead = self.policy(error)
            if late and inspect.iscoroutine(instead):
                instead.close()
                instead = GAP
            instead = await instead if inspect.isawaitable(instead) else instead
        if not isinstance(instead, str):
            raise ConfigurationError(f"on_point_error returned {instead!r}: return a text, '' for none")
        if not instead and self.page.is_shown(point):
            instead = GAP
        self.page.give_up(point, error.__cause__, instead or None)


@contextmanager
def _point_error(point: Point) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        raise PointError(point.number, point.title) from error
