"""What a run has done so far. An answer can be made of it at any time, also where the run fails."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from time import perf_counter

from ._merge import BETWEEN_POINTS
from .answer import Answer, Question, Route, Section, Source, Timings, critical_path
from .calls import Call, Stage, Usage
from .skeleton import Skeleton


@dataclass(slots=True)
class Record:
    """The state of one run."""

    question: Question
    route: Route = field(default_factory=lambda: Route("direct", "router", "not decided"))
    skeleton: Skeleton | None = None
    skeleton_first: float | None = None
    skeleton_seconds: float | None = None
    finish: str | None = None
    sources: tuple[Source, ...] = ()
    retrieval: dict[int, float] = field(default_factory=dict)
    begun: dict[int, float] = field(default_factory=dict)
    """When each point was known, in seconds after the skeleton's call began."""
    pieces: dict[int, list[str]] = field(default_factory=dict)
    """What is written of each point."""
    done: dict[int, Section] = field(default_factory=dict)
    headings: dict[int, str] = field(default_factory=dict)
    """What stands before the text of each point, by number, in reading order."""
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
        text = "".join(self._text)
        return Answer(
            question=self.question.text,
            route=self.route,
            text=text,
            skeleton=self.skeleton,
            sections=tuple(self._sections(len(text))),
            usage=dict(self._usage),
            finish=self.finish,
            sources=self.sources,
            timings=self._timings(),
            origins=tuple(self.origins),
        )

    def _sections(self, shown: int) -> Iterator[Section]:
        start = 0
        for point in self.skeleton.points if self.skeleton else ():
            section = self.done.get(point.number) or Section(point, "".join(self.pieces.get(point.number, ())))
            start += len(self.headings.get(point.number, ""))
            end = start + len(section.text)
            whole = point.number in self.done and end <= shown
            yield replace(section, span=(start, end) if whole else None)
            start = end + len(BETWEEN_POINTS)

    def _timings(self) -> Timings:
        points = {number: section.seconds or 0.0 for number, section in sorted(self.done.items())}
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
