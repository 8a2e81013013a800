"""`SkeletonOfThought`: the settings, the models, and every way to ask."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import aclosing
from dataclasses import dataclass, replace

from . import _threads
from ._limits import Limit
from ._relay import Emit, relay
from ._steps import Run
from .answer import Answer, Question
from .calls import LLM
from .errors import ConfigurationError, InputError
from .events import PIECES, Event, Finished, join_texts
from .settings import Settings
from .skeleton import Skeleton


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

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("llm", "point_llm"):
            value = getattr(self, name)
            if not callable(value) and not (name == "point_llm" and value is None):
                raise ConfigurationError.of_kind(name, value, "use a model, such as OpenAIModel(...)")
        if isinstance(self.max_concurrency, int):  # one bound for the object and its copies
            object.__setattr__(self, "max_concurrency", Limit(self.max_concurrency))

    @property
    def limit(self) -> Limit:
        """What bounds the calls of all runs."""
        assert isinstance(self.max_concurrency, Limit)
        return self.max_concurrency

    def astream(
        self, question: str | Question, *, whole: bool = False, terse: bool = False, resume: Answer | None = None
    ) -> AsyncGenerator[Event, None]:
        """Answer *question* and yield what happens, text in reading order included.

        The run starts with the first event that is asked for, and ends when the stream is closed: use
        ``contextlib.aclosing`` where you may leave early.

        Args:
            whole: ask the models for whole texts at once, as `aask` does. Streaming costs time on this machine.
            terse: leave out the pieces that come again (``events.PIECES``), and join text that waits to be read.
            resume: an answer to the same question that is not complete. What it has is shown, and only what is
                missing is written.

        Raises:
            InputError: the question is empty, or is not that of *resume*; raised at once, before any model is called.
            PointError: a point could not be written.
            DeadlineError: nothing was written until the deadline.
        """
        return self._run(question, whole, Run.answer, terse, resume)

    def astream_skeleton(self, question: str | Question, *, whole: bool = False) -> AsyncGenerator[Event, None]:
        """Write only the skeleton, wherever the router would send the question; end with `SkeletonReady`.

        It may have any number of points from none up to ``max_points``. Raises what `astream` raises.
        """
        return self._run(question, whole, Run.skeleton)

    def astream_point(
        self, question: str | Question, skeleton: Skeleton, number: int, *, whole: bool = False
    ) -> AsyncGenerator[Event, None]:
        """Write only the point *number* of *skeleton*; end with `PointDone`. Raises what `astream` raises.

        Raises:
            SkeletonError: *skeleton* has no such point.
        """
        point = skeleton.point(number)
        return self._run(question, whole, lambda run: run.point(skeleton, point))

    async def aask(self, question: str | Question, *, resume: Answer | None = None) -> Answer:
        """Answer *question*. Takes and raises what `astream` does."""
        async with aclosing(self.astream(question, whole=True, terse=True, resume=resume)) as events:
            async for event in events:
                if isinstance(event, Finished):
                    return event.answer
        raise AssertionError("a run ends with Finished or with an exception")

    def stream(
        self, question: str | Question, *, whole: bool = False, terse: bool = False, resume: Answer | None = None
    ) -> Generator[Event, None, None]:
        """Do as `astream` does, for callers that are not asynchronous."""
        return _threads.iterate(self.astream(question, whole=whole, terse=terse, resume=resume))

    def stream_skeleton(self, question: str | Question, *, whole: bool = False) -> Generator[Event, None, None]:
        """Do as `astream_skeleton` does, for callers that are not asynchronous."""
        return _threads.iterate(self.astream_skeleton(question, whole=whole))

    def stream_point(
        self, question: str | Question, skeleton: Skeleton, number: int, *, whole: bool = False
    ) -> Generator[Event, None, None]:
        """Do as `astream_point` does, for callers that are not asynchronous."""
        return _threads.iterate(self.astream_point(question, skeleton, number, whole=whole))

    def ask(self, question: str | Question, *, resume: Answer | None = None) -> Answer:
        """Do as `aask` does, for callers that are not asynchronous."""
        return _threads.run(self.aask(question, resume=resume))

    def _run(
        self,
        question: str | Question,
        whole: bool,
        steps: Callable[[Run], Awaitable[None]],
        terse: bool = False,
        resume: Answer | None = None,
    ) -> AsyncGenerator[Event, None]:
        asked = question if isinstance(question, Question) else Question(question)
        if resume and resume.question != asked.text:
            raise InputError("the answer to resume is to another question: ask the same")
        if resume and resume.sources:  # what is cited keeps its numbers, whatever is found now
            asked = replace(asked, passages=tuple(source.passage for source in resume.sources))
        timed = self.timeout is not None or self.deadline is not None  # a text that comes whole cannot be cut

        def begin(emit: Emit[Event]) -> Awaitable[None]:
            def emit_whole(event: Event) -> None:
                if not isinstance(event, PIECES):
                    emit(event)

            emitted = emit_whole if terse else emit
            return steps(Run(self, asked, emitted, stream=timed or not whole, resume=resume))

        return relay(begin, join_texts if terse else None)
