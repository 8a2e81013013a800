"""What a run has done so far. An answer can be made of it at any time, also where the run fails."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from time import perf_counter

from ._critical_path import critical_path
from ._merge import BETWEEN_POINTS
from .answer import Answer, Question, Route, Section, Source, Timings
from .calls import Call, Stage, Usage
from .skeleton import Point, Skeleton


@dataclass(slots=True)
class Record:
    """The state of one run."""

    question: Question
    route: Route = field(default_factory=lambda: Route("direct", "router", "not decided"))
    skeleton: Skeleton | None = None
    planned: bool = False
    """Whether the skeleton is complete."""
    skeleton_first: float | None = None
    skeleton_seconds: float | None = None
    finish: str | None = None
    complete: bool = False
    """Whether a direct answer is: of one in points its points tell."""
    sources: tuple[Source, ...] = ()
    retrieval: dict[int, float] = field(default_factory=dict)
    begun: dict[int, float] = field(default_factory=dict)
    """When each point was known, in seconds after the skeleton's call began."""
    pieces: dict[int, list[str]] = field(default_factory=dict)
    """What is written of each point."""
    done: dict[int, Section] = field(default_factory=dict)
    headings: dict[int, str] = field(default_factory=dict)
    """What stands before the text of each point, by number, in reading order."""
    failed: dict[int, Section] = field(default_factory=dict)
    """Points that were given up."""
    endings: dict[int, str | None] = field(default_factory=dict)
    """What stands behind the text of such a point; ``None`` where nothing of it is shown."""
    resumed: set[int] = field(default_factory=set)
    """Points that an earlier run had written."""
    origins: list[object] = field(default_factory=list)
    _text: list[str] = field(default_factory=list)
    _usage: dict[Stage, Usage] = field(default_factory=dict)
    _started: float = field(default_factory=perf_counter)
    _first_text: float | None = None

    def say(self, text: str) -> None:
        """Take note of what the reader sees."""
        self._first_text = self._first_text or perf_counter() - self._started
        self._text.append(text)

    def spend(self, call: Call, usage: Usage) -> None:
        """Take note of what a call cost."""
        self._usage[call.stage] = self._usage.get(call.stage, Usage()) + usage

    def answer(self) -> Answer:
        """Make an answer of what is there."""
        text = self.text
        sections = tuple(self._sections(len(text)))
        return Answer(
            question=self.question.text,
            route=self.route,
            text=text,
            skeleton=self.skeleton,
            sections=sections,
            usage=dict(self._usage),
            finish=self.finish,
            planned=self.planned or self.skeleton is None,
            complete=self.planned and all(section.done for section in sections) if self.skeleton else self.complete,
            sources=self.sources,
            timings=self._timings(),
            origins=tuple(self.origins),
        )

    @property
    def text(self) -> str:
        """What the reader sees."""
        return "".join(self._text)

    @property
    def has_words(self) -> bool:
        """Whether a model has written anything of the answer."""
        return any(self.pieces.values()) if self.skeleton else bool(self.text.strip())

    def keep(self, error: Exception) -> None:
        """Let nothing be lost that was written until *error*. A model may raise one object for several runs."""
        with suppress(AttributeError):  # some exceptions take no attributes
            error.answer = self.answer()  # type: ignore[attr-defined]  # read by `Answer.before`

    def give_up(self, point: Point, failure: str, ending: str | None) -> str:
        """Take note that a point will not be written, and return how its text ends.

        Args:
            ending: what stands in the place of what is missing; ``None`` where nothing of the point is shown.
        """
        written = "".join(self.pieces.get(point.number, ()))
        self.failed[point.number] = Section(point, written, failure=failure)
        self.endings[point.number] = shown = f" {ending}" if ending is not None and written else ending
        return shown or ""

    def _sections(self, shown: int) -> Iterator[Section]:
        start = 0
        for point in self.skeleton.points if self.skeleton else ():
            number = point.number
            ended = self.done.get(number) or self.failed.get(number)
            section = ended or Section(point, "".join(self.pieces.get(number, ())))
            ending = self.endings.get(number, "")
            if ending is None:
                yield section
                continue
            start += len(self.headings.get(number, ""))
            end = start + len(section.text)
            yield replace(section, span=(start, end) if ended and end <= shown else None)
            start = end + len(ending) + len(BETWEEN_POINTS)

    def _timings(self) -> Timings:
        new = {number: section for number, section in self.done.items() if number not in self.resumed}
        points = {number: section.seconds or 0.0 for number, section in sorted(new.items())}
        retrieval = dict(sorted(self.retrieval.items()))
        path = (
            critical_path(self.skeleton, self.skeleton_seconds or 0.0, points, retrieval, self.begun)
            if self.skeleton
            else None
        )
        return Timings(
            total=perf_counter() - self._started,
            first_text=self._first_text,
            skeleton=self.skeleton_seconds,
            skeleton_first=self.skeleton_first,
            points=points,
            retrieval=retrieval,
            critical_path=path,
        )
