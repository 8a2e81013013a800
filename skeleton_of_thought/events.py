"""What a run says while it goes on. A closed union: ``match`` on it and end with ``assert_never``."""

from dataclasses import dataclass, field
from typing import Annotated, TypeAlias

from pydantic import Field

from .answer import Answer, Route, Section, Source
from .calls import Stage
from .skeleton import Point, Skeleton


@dataclass(frozen=True, slots=True)
class Routed:
    """The way to the answer is decided. Said again when a skeleton turns out to be none."""

    route: Route


@dataclass(frozen=True, slots=True)
class SkeletonText:
    """A piece of the skeleton, as the model writes it."""

    text: str


@dataclass(frozen=True, slots=True)
class PointFound:
    """A line of the skeleton is complete and is a point."""

    point: Point


@dataclass(frozen=True, slots=True)
class SkeletonReady:
    """The skeleton is complete; its points are being written from now on."""

    skeleton: Skeleton


@dataclass(frozen=True, slots=True)
class SourcesFound:
    """Passages were retrieved that had not been found before. They come in the order of their numbers."""

    sources: tuple[Source, ...]


@dataclass(frozen=True, slots=True)
class PointStarted:
    """The call for a point begins: it has waited for its place, its passages and the points it comes after."""

    point: Point


@dataclass(frozen=True, slots=True)
class CallRetried:
    """A request failed, and is made again after some seconds."""

    stage: Stage
    number: int | None
    """That of the point, for the stage ``point``."""
    error: Exception
    seconds: float


@dataclass(frozen=True, slots=True)
class PointText:
    """A piece of a point's text, at once, in whatever order the points are written."""

    number: int
    text: str


@dataclass(frozen=True, slots=True)
class PointDone:
    """A point is written."""

    section: Section


@dataclass(frozen=True, slots=True)
class PointFailed:
    """A point could not be written. Where the run ends with it, it is the first of those that fail at once."""

    point: Point
    error: Exception
    """The model's own."""


@dataclass(frozen=True, slots=True)
class Text:
    """A piece of the answer in reading order. All of them together are the text of the answer."""

    text: str
    origin: Annotated[object, Field(exclude=True)] = field(default=None, compare=False, repr=False)
    """The framework's own message that it came in, for a direct answer. It may hold more than text, or no text."""


@dataclass(frozen=True, slots=True)
class Finished:
    """The answer is complete. Always the last event, unless the run fails."""

    answer: Answer


Event: TypeAlias = (
    Routed
    | SkeletonText
    | PointFound
    | SkeletonReady
    | SourcesFound
    | PointStarted
    | CallRetried
    | PointText
    | PointDone
    | PointFailed
    | Text
    | Finished
)

PIECES = (SkeletonText, PointFound, PointText)
"""What a reader of the answer needs not hear: it comes again, in order or whole."""


def join_texts(events: list[Event]) -> list[Event]:
    """Make one of neighbouring texts, where they came in no message of a framework.

    >>> join_texts([Text("Take "), Text("figs."), PointStarted(Point(2, "Rest"))])
    [Text(text='Take figs.'), PointStarted(point=Point(number=2, title='Rest', after=()))]
    """
    joined: list[Event] = []
    texts: list[str] = []
    for event in events:
        if isinstance(event, Text) and event.origin is None:
            texts.append(event.text)
            continue
        if texts:
            joined.append(Text("".join(texts)))
            texts.clear()
        joined.append(event)
    return [*joined, Text("".join(texts))] if texts else joined
