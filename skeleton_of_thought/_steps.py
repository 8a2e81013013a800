"""The order of the steps: route, skeleton, points, answer. And nothing but the order."""

import inspect
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from time import perf_counter
from typing import TYPE_CHECKING

from ._expansion import ExpansionText
from ._limits import Limit
from ._listen import Heard, listen
from ._merge import Merger
from ._record import Record
from ._relay import Emit
from ._schedule import Give, write_given
from ._search import Search
from .answer import Question, Route, Section, heading_of
from .calls import LLM, TOOL_CALLS, Call, abilities_of
from .errors import ConfigurationError, EmptyTextError, PointError
from .events import (
    Event,
    Finished,
    PointDone,
    PointFailed,
    PointFound,
    PointStarted,
    PointText,
    Routed,
    SkeletonReady,
    SkeletonText,
    Text,
)
from .prompts import Form
from .routers import named
from .skeleton import Point, Skeleton, SkeletonParser

if TYPE_CHECKING:
    from .engine import SkeletonOfThought

_BEYOND = 200
"""Signs that a model may write after its list is over before it is cut off. Most end by themselves, and tell usage."""


class Run:
    """One run: which steps, in which order."""

    def __init__(
        self, sot: "SkeletonOfThought", limit: Limit, question: Question, emit: Emit[Event], *, stream: bool
    ) -> None:
        self._sot = sot
        self._limit = limit
        self._question = question
        self._emit = emit
        self._stream = stream
        self._record = Record(question)
        self._search = Search(sot.retriever, sot.prompts, question, self._record, emit)
        self._page = Merger({})
        self._seen: dict[int, Skeleton] = {}
        self._planning = perf_counter()

    async def answer(self) -> None:
        """Answer the question."""
        route = await self._decide()
        self._routed(route)
        if route.kind == "direct":
            await self._write_directly()
        else:
            await self._answer_with_skeleton()
        self._emit(Finished(self._record.answer()))

    async def skeleton(self) -> None:
        """Write the skeleton and no more."""
        plan = await self._plan(None)
        self._emit(SkeletonReady(plan.skeleton))

    async def point(self, skeleton: Skeleton, point: Point) -> None:
        """Write one point and no more."""
        self._record.skeleton, self._seen = skeleton, {point.number: skeleton}
        self._page.add(point.number, "")
        self._search.expect(point)
        alone = replace(point, after=())

        async def plan(give: Give) -> None:
            give(alone)

        await self._writing(plan)

    async def _decide(self) -> Route:
        if self._question.has_form:
            return Route("direct", "form", "the answer has a form of its own")
        router = self._sot.router
        route = (named(router) if isinstance(router, str) else router)(self._question)
        route = await route if inspect.isawaitable(route) else route
        if not isinstance(route, Route) or route.kind not in {"skeleton", "direct"}:
            raise ConfigurationError(f"the router returned {route!r}: return Route('skeleton' or 'direct', by, why)")
        return route

    def _routed(self, route: Route) -> None:
        self._record.route = route
        self._emit(Routed(route))

    async def _answer_with_skeleton(self) -> None:
        plans: list[_Plan] = []

        async def plan(give: Give) -> None:
            plan = await self._plan(give if self._sot.pipelined else None)
            points = plan.skeleton.points
            if self._seen or (plan.heard.finish != TOOL_CALLS and len(points) >= self._sot.min_points):
                self._record.skeleton = plan.skeleton
                self._emit(SkeletonReady(plan.skeleton))
                self._begin(plan.skeleton, give)
            else:
                plans.append(plan)

        await self._writing(plan)
        for none in plans:
            await self._answer_without(none)

    async def _answer_without(self, plan: "_Plan") -> None:
        """Answer directly after all."""
        if plan.heard.finish == TOOL_CALLS:  # that is its answer; asking again would only cost time
            self._routed(Route("direct", "skeleton", "the model calls tools"))
            self._record.finish = TOOL_CALLS
            for text, origin in plan.said:
                self._say(text, origin)
        else:
            found = len(plan.skeleton.points)
            self._routed(Route("direct", "skeleton", f"{found} of at least {self._sot.min_points} points found"))
            await self._write_directly()

    async def _write_directly(self) -> None:
        self._search.expect(None)
        await self._search.find(None)
        form, passages = self._form(self._sot.llm), await self._search.passages(None)
        call = self._sot.prompts.direct_call(self._question, form, passages)
        self._record.finish = (await self._listen(self._sot.llm, call, self._say)).finish

    async def _plan(self, give: Give | None) -> "_Plan":
        """Write the skeleton; begin points while it is being written, where *give* takes them."""
        form, prompts = self._form(self._sot.llm), self._sot.prompts
        parser, said = SkeletonParser(self._sot.max_points), []
        beyond = 0

        def hear(text: str, origin: object) -> bool:
            nonlocal beyond
            said.append((text, origin))
            if text:
                self._emit(SkeletonText(text))
            self._found(parser, parser.feed(text), give)
            beyond += len(text) if parser.done else 0
            return beyond > _BEYOND

        parser.feed(prompts.skeleton_prefill(form))
        call = prompts.skeleton_call(self._question, replace(form, stream=form.stream or give is not None))
        heard = await self._listen(self._sot.llm, call, hear, self._time_planning)
        self._found(parser, parser.flush(cut=heard.finish == "length"), None)
        self._record.skeleton_first, self._record.skeleton_seconds = heard.first, heard.seconds
        return _Plan(Skeleton(tuple(parser.points)), heard, said)

    def _time_planning(self) -> None:
        self._planning = perf_counter()

    def _found(self, parser: SkeletonParser, points: list[Point], give: Give | None) -> None:
        for point in points:
            self._emit(PointFound(point))
        if give and points and len(parser.points) >= self._sot.min_points:
            parser.keep()
            so_far = Skeleton(tuple(parser.points))
            self._record.skeleton = so_far
            for point in so_far.points:
                self._record.begun.setdefault(point.number, perf_counter() - self._planning)
            self._begin(so_far, give)

    def _begin(self, skeleton: Skeleton, give: Give) -> None:
        """Let all points be written, each once and with what is known of the skeleton now."""
        new = [point for point in skeleton.points if point.number not in self._seen]
        for point in new:
            self._seen[point.number] = skeleton
            self._record.headings[point.number] = heading_of(point, self._sot.heading)
            self._say(self._page.add(point.number, self._record.headings[point.number]))
            self._search.expect(point)
        give(*new)

    async def _writing(self, plan: Callable[[Give], Awaitable[None]]) -> None:
        try:
            await write_given(plan, self._write_point, self._prepare if self._sot.retriever else None)
        except PointError as error:  # the first, where several failed at once
            assert isinstance(error.__cause__, Exception)  # as `_point_error` raises it
            self._emit(PointFailed(self._seen[error.number].point(error.number), error.__cause__))
            error.answer = self._record.answer()
            raise

    async def _prepare(self, point: Point) -> None:
        with _point_error(point):
            await self._search.find(point)

    async def _write_point(self, point: Point) -> None:
        llm, number, skeleton = self._sot.point_llm or self._sot.llm, point.number, self._seen[point.number]
        cleaned, pieces = ExpansionText(point), self._record.pieces.setdefault(number, [])

        def show(text: str) -> None:
            if text:
                pieces.append(text)
                self._emit(PointText(number, text))
                self._say(self._page.feed(number, text))

        with _point_error(point):
            passages = await self._search.passages(point)
            call = self._sot.prompts.point_call(self._question, self._form(llm), skeleton, point, passages)
            heard = await self._listen(
                llm, call, lambda text, _: show(cleaned.feed(text)), lambda: self._emit(PointStarted(point))
            )
            show(cleaned.flush())
            if not pieces:
                raise EmptyTextError(heard.finish)
        found = self._search.numbers_of(point)
        section = Section(point, "".join(pieces), heard.seconds, heard.finish, heard.usage, found)
        self._record.done[number] = section
        self._emit(PointDone(section))
        self._say(self._page.close(number))

    async def _listen(
        self,
        llm: LLM,
        call: Call,
        hear: Callable[[str, object], bool | None],
        begin: Callable[[], None] | None = None,
    ) -> Heard:
        async with self._limit:
            if begin:
                begin()
            return await listen(llm, call, hear, self._record.spend)

    def _say(self, text: str, origin: object = None) -> None:
        if origin is not None:
            self._record.origins.append(origin)
        if text:
            self._record.say(text)
        if text or origin is not None:
            self._emit(Text(text, origin))

    def _form(self, llm: LLM) -> Form:
        return Form(
            max_points=self._sot.max_points,
            detail=self._sot.detail,
            point_max_tokens=self._sot.point_max_tokens,
            abilities=abilities_of(llm),
            stream=self._stream,
        )


@dataclass(frozen=True, slots=True)
class _Plan:
    """What came of the call for a skeleton."""

    skeleton: Skeleton
    heard: Heard
    said: list[tuple[str, object]]


@contextmanager
def _point_error(point: Point) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        raise PointError(point.number, point.title) from error
