"""The order of the steps: route, skeleton, points, answer. And nothing but the order."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, replace
from time import perf_counter
from typing import TYPE_CHECKING

from ._attempts import Calls
from ._listen import Heard
from ._merge import BETWEEN_POINTS
from ._points import Points
from ._record import Record
from ._relay import Emit
from ._replies import DirectReply, SkeletonReply
from ._schedule import Give
from .answer import GAP, Answer, Question, Route, Section
from .calls import LLM, TOOL_CALLS, Call, abilities_of
from .errors import ConfigurationError, DeadlineError, PointError
from .events import (
    CallRetried,
    Event,
    Finished,
    PointFound,
    Routed,
    SkeletonReady,
    SkeletonText,
)
from .prompts import Form
from .routers import named
from .skeleton import Point, Skeleton, SkeletonParser

if TYPE_CHECKING:
    from .engine import SkeletonOfThought


class Run:
    """One run: which steps, in which order."""

    def __init__(
        self,
        sot: "SkeletonOfThought",
        question: Question,
        emit: Emit[Event],
        *,
        stream: bool,
        resume: Answer | None = None,
    ) -> None:
        self._sot = sot
        self._question = question
        self._emit = emit
        self._stream = stream
        self._resume = resume
        self._record = Record(question)
        self._calls = Calls(
            settings=sot, limit=sot.limit, run=self, spend=self._record.spend, retried=self._tell_retried
        )
        self._points = Points(sot, question, self._record, emit, self._calls, self._form)
        self._planning = perf_counter()
        self._last: Exception | None = None
        """Why a call was made again: what a deadline that comes before it goes well is caused by."""

    async def answer(self) -> None:
        """Answer the question. What is written at the deadline is the answer."""
        await self._in_time(self._answer() if self._resume is None else self._go_on(self._resume), self._cut)
        self._emit(Finished(self._record.answer()))

    async def skeleton(self) -> None:
        """Write the skeleton and no more."""

        async def work() -> None:
            self._emit(SkeletonReady((await self._plan(None)).skeleton))

        await self._in_time(work(), self._fail_late)

    async def point(self, skeleton: Skeleton, point: Point) -> None:
        """Write one point and no more. Nothing stands in its place if it fails."""
        self._record.skeleton, self._record.planned, self._points.policy = skeleton, True, "raise"
        self._points.add(point, skeleton, alone=True)
        self._points.search.expect(point)

        async def plan(give: Give) -> None:
            give(replace(point, after=()))

        await self._in_time(self._points.write(plan), self._fail_late)

    async def _in_time(self, work: Coroutine[None, None, None], late: Callable[[], Awaitable[None]]) -> None:
        """Do *work*, or what there is to do when it is late. Nothing is lost that was written before an error."""
        scope = asyncio.timeout(self._sot.deadline)
        try:
            try:
                async with scope:
                    await work
            except TimeoutError:
                if not scope.expired():
                    raise
        except Exception as error:
            if not scope.expired():  # a model may make an error of its cancellation
                self._record.keep(error)
                raise
        if scope.expired():
            await late()

    async def _fail_late(self) -> None:
        late = DeadlineError(self._sot.deadline)
        self._record.keep(late)
        raise late from self._last

    async def _answer(self) -> None:
        route = await self._decide()
        self._routed(route)
        if route.kind == "direct":
            await self._write_directly()
        else:
            await self._answer_with_skeleton()

    async def _go_on(self, answer: Answer) -> None:
        """Show what an earlier run has written, and write what is missing."""
        if answer.skeleton is None and not answer.text and not answer.complete:
            await self._answer()
            return
        self._points.search.know(answer.sources)
        self._routed(answer.route)
        if answer.skeleton is None:
            said = answer.text if answer.complete else answer.text.removesuffix(f" {GAP}")
            self._points.page.say(said, *answer.origins[:1] if answer.complete else ())
            self._record.finish, self._record.complete = answer.finish, answer.complete
            if not answer.complete:
                await self._write_directly(said)
            return
        skeleton, sections = answer.skeleton, {section.point.number: section for section in answer.sections}
        self._record.skeleton = skeleton

        async def plan(give: Give) -> None:
            missing = []
            for point in skeleton.points:
                self._points.add(point, skeleton)
                self._points.page.recall(sections.get(point.number, Section(point, "")))
                if point.number not in self._record.done:
                    self._points.search.expect(point)
                    missing.append(point)
            give(*(replace(point, after=tuple(set(point.after) - set(self._record.done))) for point in missing))
            self._planned(skeleton if answer.planned else (await self._plan(give, skeleton)).skeleton, give)

        await self._points.write(plan)

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
            if self._points.begun or (plan.heard.finish != TOOL_CALLS and len(points) >= self._sot.min_points):
                self._planned(plan.skeleton, give)
            else:
                plans.append(plan)

        await self._points.write(plan)
        for none in plans:
            await self._answer_without(none)

    async def _answer_without(self, plan: "_Plan") -> None:
        """Answer directly after all."""
        if plan.heard.finish == TOOL_CALLS:  # that is its answer; asking again would only cost time
            self._routed(Route("direct", "skeleton", "the model calls tools"))
            self._record.finish, self._record.complete = TOOL_CALLS, True
            for text, origin in plan.said:
                self._points.page.say(text, origin)
        else:
            found = len(plan.skeleton.points)
            self._routed(Route("direct", "skeleton", f"{found} of at least {self._sot.min_points} points found"))
            await self._write_directly()

    async def _write_directly(self, said: str = "") -> None:
        self._record.complete = False
        self._points.search.expect(None)
        await self._points.search.find(None)
        form, passages = self._form(self._sot.llm), await self._points.search.passages(None)
        call = self._sot.prompts.direct_call(self._question, form, passages)
        heard = await self._calls.hear(self._sot.llm, call, DirectReply(self._points.page.say, said))
        self._record.finish, self._record.complete = heard.finish, True

    def _planned(self, skeleton: Skeleton, give: Give) -> None:
        self._record.skeleton, self._record.planned = skeleton, True
        self._emit(SkeletonReady(skeleton))
        self._points.begin(skeleton, give)

    async def _plan(self, give: Give | None, known: Skeleton | None = None) -> "_Plan":
        """Write the skeleton; begin points while it is being written, where *give* takes them.

        Args:
            known: what an earlier run has of it.
        """
        form, prompts = self._form(self._sot.llm), self._sot.prompts
        prefill = prompts.skeleton_prefill(form)

        def parser() -> SkeletonParser:
            new = SkeletonParser(self._sot.max_points)
            new.feed(prefill)
            return new

        def find(parser: SkeletonParser, points: list[Point]) -> None:
            self._found(parser, points, give)

        said = f"{known}\n".removeprefix(prefill) if known else ""
        reply = SkeletonReply(parser, lambda text: self._emit(SkeletonText(text)), find, said)
        call = prompts.skeleton_call(self._question, replace(form, stream=form.stream or give is not None))
        heard = await self._calls.hear(self._sot.llm, call, reply, self._time_planning)
        self._record.skeleton_first = heard.first if call.stream else None
        self._record.skeleton_seconds = heard.seconds
        return _Plan(Skeleton(tuple(reply.parser.points)), heard, reply.heard)

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
            self._points.begin(so_far, give)

    async def _cut(self) -> None:
        """End the answer where the deadline has found it."""
        record = self._record
        if not record.has_words:
            await self._fail_late()
        if record.skeleton is None:
            record.finish, record.complete = "deadline", False
            self._points.page.say(f" {GAP}")
            return
        for point in record.skeleton.points:
            if point.number not in record.done.keys() | record.failed.keys():
                error = PointError(point.number, point.title)
                error.__cause__ = DeadlineError(self._sot.deadline)
                await self._points.give_up(point, error, late=True)
        if not record.planned:
            self._points.page.say(f"{BETWEEN_POINTS}{GAP}")

    def _tell_retried(self, call: Call, error: Exception, seconds: float) -> None:
        self._last = error
        self._emit(CallRetried(call.stage, call.point, error, seconds))

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
