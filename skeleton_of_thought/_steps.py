"""The order of the steps: route, skeleton, points, answer. And nothing but the order."""

import asyncio
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
from ._schedule import write_points
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
    SourcesFound,
    Text,
)
from .prompts import Form
from .retrieval import Numbering, Retriever, passages_only
from .routers import named
from .skeleton import Point, Skeleton, SkeletonParser

if TYPE_CHECKING:
    from .engine import SkeletonOfThought

_BEYOND = 200
"""Signs that a model may write after its list is over before it is cut off. Most end by themselves, and tell usage."""

_WHOLE_QUESTION = 0
"""Stands in the place of a point's number where passages are retrieved for a direct answer."""


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
        self._numbering = Numbering((), question.given)
        self._record.sources = self._numbering.sources
        self._retrieved: dict[int, asyncio.Future[None]] = {}

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
        plan = await self._plan()
        self._emit(SkeletonReady(plan.skeleton))

    async def point(self, skeleton: Skeleton, point: Point) -> None:
        """Write one point and no more."""
        await self._write_points(skeleton, Skeleton((replace(point, after=()),)))

    async def _decide(self) -> Route:
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
        plan = await self._plan()
        points = len(plan.skeleton.points)
        if plan.heard.finish == TOOL_CALLS:  # that is its answer; asking again would only cost time
            self._routed(Route("direct", "skeleton", "the model calls tools"))
            self._record.finish = TOOL_CALLS
            for text, origin in plan.said:
                self._say(text, origin)
        elif points >= self._sot.min_points:
            self._emit(SkeletonReady(plan.skeleton))
            self._record.headings = {
                point.number: heading_of(point, self._sot.heading) for point in plan.skeleton.points
            }
            await self._write_points(plan.skeleton, plan.skeleton)
        else:
            self._routed(Route("direct", "skeleton", f"{points} of at least {self._sot.min_points} points found"))
            await self._write_directly()

    async def _write_directly(self) -> None:
        if self._sot.retriever:
            self._numbering = Numbering((_WHOLE_QUESTION,), self._question.given)
            await self._retrieve(self._sot.retriever, None)
        form, passages = self._form(self._sot.llm), self._numbering.of(_WHOLE_QUESTION)
        heard = await self._listen(
            self._sot.llm, self._sot.prompts.direct_call(self._question, form, passages), self._say
        )
        self._record.finish = heard.finish

    async def _plan(self) -> "_Plan":
        form, prompts = self._form(self._sot.llm), self._sot.prompts
        parser, said = SkeletonParser(self._sot.max_points), []
        beyond = 0

        def hear(text: str, origin: object) -> bool:
            nonlocal beyond
            said.append((text, origin))
            if text:
                self._emit(SkeletonText(text))
            for point in parser.feed(text):
                self._emit(PointFound(point))
            beyond += len(text) if parser.done else 0
            return beyond > _BEYOND

        parser.feed(prompts.skeleton_prefill(form))
        heard = await self._listen(self._sot.llm, prompts.skeleton_call(self._question, form), hear)
        for point in parser.flush(cut=heard.finish == "length"):
            self._emit(PointFound(point))
        self._record.skeleton_first, self._record.skeleton_seconds = heard.first, heard.seconds
        return _Plan(Skeleton(tuple(parser.points)), heard, said)

    async def _write_points(self, skeleton: Skeleton, wanted: Skeleton) -> None:
        """Write the points of *wanted*, which are all those of *skeleton* or some."""
        self._record.skeleton = skeleton
        page = Merger({point.number: self._record.headings.get(point.number, "") for point in wanted.points})
        self._say(page.open())
        try:
            await write_points(wanted, lambda point: self._write_point(skeleton, point, page), self._prepare(wanted))
        except PointError as error:  # the first, where several failed at once
            assert isinstance(error.__cause__, Exception)  # as `_point_error` raises it
            self._emit(PointFailed(skeleton.point(error.number), error.__cause__))
            error.answer = self._record.answer()
            raise

    async def _write_point(self, skeleton: Skeleton, point: Point, page: Merger) -> None:
        llm, number = self._sot.point_llm or self._sot.llm, point.number
        cleaned, pieces = ExpansionText(point), self._record.pieces.setdefault(number, [])

        def show(text: str) -> None:
            if text:
                pieces.append(text)
                self._emit(PointText(number, text))
                self._say(page.feed(number, text))

        with _point_error(point):
            if self._retrieved:
                await self._retrieved[number]
            passages = self._numbering.of(number)
            call = self._sot.prompts.point_call(self._question, self._form(llm), skeleton, point, passages)
            heard = await self._listen(
                llm, call, lambda text, _: show(cleaned.feed(text)), lambda: self._emit(PointStarted(point))
            )
            show(cleaned.flush())
            if not pieces:
                raise EmptyTextError(heard.finish)
        sources = self._numbering.numbers_of(number)
        section = Section(point, "".join(pieces), heard.seconds, heard.finish, heard.usage, sources)
        self._record.done[number] = section
        self._emit(PointDone(section))
        self._say(page.close(number))

    def _prepare(self, wanted: Skeleton) -> Callable[[Point], Awaitable[None]] | None:
        """Begin to retrieve for all points at once: their numbers depend on each other."""
        retriever = self._sot.retriever
        if retriever is None:
            return None
        numbers = [point.number for point in wanted.points]
        self._numbering = Numbering(numbers, self._question.given)
        self._retrieved = {number: asyncio.get_running_loop().create_future() for number in numbers}

        async def retrieve(point: Point) -> None:
            with _point_error(point):
                await self._retrieve(retriever, point)

        return retrieve

    async def _retrieve(self, retriever: Retriever, point: Point | None) -> None:
        number, known, started = point.number if point else _WHOLE_QUESTION, 0, perf_counter()
        try:
            passages = passages_only(await retriever(self._sot.prompts.query_for(self._question, point), point))
            self._record.retrieval[number] = perf_counter() - started
            known = len(self._record.sources)
            for ready in self._numbering.feed(number, passages):
                if ready in self._retrieved and not self._retrieved[ready].done():
                    self._retrieved[ready].set_result(None)
        except BaseException:  # so that nobody waits for what does not come any more
            for future in self._retrieved.values():
                future.cancel()
            raise
        self._record.sources = self._numbering.sources
        if new := self._record.sources[known:]:
            self._emit(SourcesFound(new))

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
