"""The order of the steps: route, skeleton, points, answer. And nothing but the order."""

import inspect
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import aclosing
from dataclasses import dataclass, field
from time import perf_counter

from . import _threads
from ._expansion import ExpansionText
from ._limits import Limit
from ._merge import Merger
from ._relay import Emit, relay
from ._schedule import write_points
from .answer import Answer, Question, Route, Section, Timings, critical_path, heading_of
from .calls import LLM, Call, Finish, Stage, Usage, abilities_of
from .errors import ConfigurationError, EmptyTextError, PointError
from .events import (
    Event,
    Finished,
    PointDone,
    PointFailed,
    PointFound,
    PointText,
    Routed,
    SkeletonReady,
    SkeletonText,
    Text,
)
from .prompts import Form
from .routers import named
from .settings import Settings
from .skeleton import Point, Skeleton, SkeletonParser


@dataclass(frozen=True, kw_only=True)
class SkeletonOfThought(Settings):
    """Answer questions with Skeleton-of-Thought (arXiv 2307.15337): a short skeleton, then all points at once.

    Where a skeleton does not pay, as the router decides, or where the model writes none, the question is
    answered directly. An object holds nothing of a run: use it for any number of questions at a time, from
    any thread or event loop.

    Args:
        llm: the model. See `LLM`.
        point_llm: another, usually smaller, model for the points.

    Raises:
        ConfigurationError: a setting cannot work.

    >>> from skeleton_of_thought.testing import ScriptedLLM
    >>> llm = ScriptedLLM(skeleton="1. Move\\n2. Rest", points={1: "Walk every day.", 2: "Sleep enough."})
    >>> print(SkeletonOfThought(llm=llm).ask("How do I stay healthy?").text)
    1. Move: Walk every day.
    <BLANKLINE>
    2. Rest: Sleep enough.
    """

    llm: LLM
    point_llm: LLM | None = None
    _limit: Limit = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("llm", "point_llm"):
            value = getattr(self, name)
            if not callable(value) and not (name == "point_llm" and value is None):
                raise ConfigurationError(f"{name}={value!r} cannot be called: use a model, such as OpenAIModel(...)")
        limit = self.max_concurrency if isinstance(self.max_concurrency, Limit) else Limit(self.max_concurrency)
        object.__setattr__(self, "_limit", limit)

    def astream(self, question: str | Question) -> AsyncGenerator[Event, None]:
        """Answer *question* and yield what happens, text in reading order included.

        The run starts with the first event that is asked for, and ends when the stream is closed: use
        ``contextlib.aclosing`` where you may leave early.

        Raises:
            InputError: the question is empty; raised at once, before any model is called.
            PointError: a point could not be written.
        """
        return self._events(_question(question), stream=True)

    async def aask(self, question: str | Question) -> Answer:
        """Answer *question*. Raises what `astream` raises."""
        async with aclosing(self._events(_question(question), stream=False)) as events:
            async for event in events:
                if isinstance(event, Finished):
                    return event.answer
        raise AssertionError("a run ends with Finished or with an exception")

    def stream(self, question: str | Question) -> Generator[Event, None, None]:
        """Do as `astream` does, for callers that are not asynchronous."""
        return _threads.iterate(self.astream(question))

    def ask(self, question: str | Question) -> Answer:
        """Do as `aask` does, for callers that are not asynchronous."""
        return _threads.run(self.aask(question))

    def _events(self, question: Question, *, stream: bool) -> AsyncGenerator[Event, None]:
        return relay(lambda emit: _Run(self, question, emit, stream).run())


_BEYOND = 200
"""Signs that a model may write after its list is over before it is cut off. Most end by themselves, and tell usage."""


@dataclass(frozen=True, slots=True)
class _Heard:
    """How a call went."""

    finish: str | None
    usage: Usage | None
    first: float | None
    seconds: float


class _Run:
    """The state of one run."""

    def __init__(self, sot: SkeletonOfThought, question: Question, emit: Emit[Event], stream: bool) -> None:
        self._sot = sot
        self._question = question
        self._emit = emit
        self._stream = stream
        self._started = perf_counter()
        self._route = Route("direct", "router", "not decided")
        self._skeleton: Skeleton | None = None
        self._skeleton_first: float | None = None
        self._skeleton_seconds: float | None = None
        self._first_text: float | None = None
        self._finish: str | None = None
        self._text: list[str] = []
        self._usage: dict[Stage, Usage] = {}
        self._beyond = 0
        self._pieces: dict[int, list[str]] = {}
        self._done: dict[int, Section] = {}

    async def run(self) -> None:
        self._routed(await self._decide())
        if self._route.kind == "skeleton":
            skeleton = await self._write_skeleton()
            if len(skeleton.points) >= self._sot.min_points:
                await self._write_points(skeleton)
            else:
                found = len(skeleton.points)
                self._routed(Route("direct", "skeleton", f"{found} of at least {self._sot.min_points} points found"))
        if self._route.kind == "direct":
            await self._write_directly()
        self._emit(Finished(self._answer()))

    async def _decide(self) -> Route:
        router = self._sot.router
        route = (named(router) if isinstance(router, str) else router)(self._question)
        route = await route if inspect.isawaitable(route) else route
        if not isinstance(route, Route) or route.kind not in {"skeleton", "direct"}:
            raise ConfigurationError(f"the router returned {route!r}: return Route('skeleton' or 'direct', by, why)")
        return route

    def _routed(self, route: Route) -> None:
        self._route = route
        self._emit(Routed(route))

    async def _write_directly(self) -> None:
        call = self._sot.prompts.direct_call(self._question, self._form(self._sot.llm))
        heard = await self._hear(self._sot.llm, call, self._say)
        self._finish = heard.finish

    async def _write_skeleton(self) -> Skeleton:
        form, prompts = self._form(self._sot.llm), self._sot.prompts
        parser = SkeletonParser(self._sot.max_points)

        def hear(text: str) -> bool:
            self._emit(SkeletonText(text))
            for point in parser.feed(text):
                self._emit(PointFound(point))
            self._beyond += len(text) if parser.done else 0
            return self._beyond > _BEYOND

        parser.feed(prompts.skeleton_prefill(form))
        heard = await self._hear(self._sot.llm, prompts.skeleton_call(self._question, form), hear)
        for point in parser.flush(cut=heard.finish == "length"):
            self._emit(PointFound(point))
        self._skeleton_first, self._skeleton_seconds = heard.first, heard.seconds
        return Skeleton(tuple(parser.points))

    async def _write_points(self, skeleton: Skeleton) -> None:
        self._skeleton = skeleton
        self._emit(SkeletonReady(skeleton))
        page = Merger({point.number: heading_of(point, self._sot.heading) for point in skeleton.points})
        self._say(page.open())
        try:
            await write_points(skeleton, lambda point: self._write_point(skeleton, point, page))
        except PointError as error:  # the first, where several failed at once
            failed = next(point for point in skeleton.points if point.number == error.number)
            assert isinstance(error.__cause__, Exception)  # as `_write_point` raises it
            self._emit(PointFailed(failed, error.__cause__))
            error.answer = self._answer()
            raise

    async def _write_point(self, skeleton: Skeleton, point: Point, page: Merger) -> None:
        llm = self._sot.point_llm or self._sot.llm
        call = self._sot.prompts.point_call(self._question, self._form(llm), skeleton, point)
        cleaned, pieces = ExpansionText(point), self._pieces.setdefault(point.number, [])

        def show(text: str) -> None:
            if text:
                pieces.append(text)
                self._emit(PointText(point.number, text))
                self._say(page.feed(point.number, text))

        try:
            heard = await self._hear(llm, call, lambda text: show(cleaned.feed(text)))
            show(cleaned.flush())
            if not pieces:
                raise EmptyTextError(heard.finish)
        except Exception as error:
            raise PointError(point.number, point.title) from error
        section = Section(point, "".join(pieces), heard.seconds, heard.finish, heard.usage)
        self._done[point.number] = section
        self._emit(PointDone(section))
        self._say(page.close(point.number))

    async def _hear(self, llm: LLM, call: Call, hear: Callable[[str], bool | None]) -> _Heard:
        """Make a call and pass its text on, until it ends or *hear* has heard enough."""
        finish, usage, first = None, None, None
        async with self._sot._limit:
            started, pieces = perf_counter(), llm(call)
            try:
                async for piece in pieces:
                    match piece:
                        case Usage():
                            usage = piece + (usage or Usage())
                        case Finish(reason):
                            finish = reason
                        case text if text:
                            first = first or perf_counter() - started
                            if hear(text):
                                break
            finally:
                if usage:
                    self._usage[call.stage] = self._usage.get(call.stage, Usage()) + usage
                if close := getattr(pieces, "aclose", None):  # `async for` does not close what it iterates
                    await close()
            return _Heard(finish, usage, first if call.stream else None, perf_counter() - started)

    def _say(self, text: str) -> None:
        if text:
            self._first_text = self._first_text or perf_counter() - self._started
            self._text.append(text)
            self._emit(Text(text))

    def _form(self, llm: LLM) -> Form:
        return Form(
            max_points=self._sot.max_points,
            detail=self._sot.detail,
            point_max_tokens=self._sot.point_max_tokens,
            abilities=abilities_of(llm),
            stream=self._stream,
        )

    def _answer(self) -> Answer:
        points = self._skeleton.points if self._skeleton else ()
        written = {number: "".join(pieces) for number, pieces in self._pieces.items()}
        return Answer(
            question=self._question.text,
            route=self._route,
            text="".join(self._text),
            skeleton=self._skeleton,
            sections=tuple(
                self._done.get(point.number, Section(point, written.get(point.number, ""))) for point in points
            ),
            usage=dict(self._usage),
            finish=self._finish,
            timings=self._timings(),
        )

    def _timings(self) -> Timings:
        seconds = {number: section.seconds or 0.0 for number, section in sorted(self._done.items())}
        total = perf_counter() - self._started
        return Timings(
            total=total,
            first_text=self._first_text,
            skeleton=self._skeleton_seconds,
            skeleton_first=self._skeleton_first,
            points=seconds,
            critical_path=critical_path(self._skeleton, self._skeleton_seconds or 0.0, seconds)
            if self._skeleton
            else None,
        )


def _question(question: str | Question) -> Question:
    return question if isinstance(question, Question) else Question(question)
