"""What a run tells LlamaIndex's instrumentation. Each event has the span of the query that it belongs to."""

from typing import Any

try:
    from llama_index.core.instrumentation.events import BaseEvent
except ImportError as error:  # all of the package comes by here
    raise ImportError(
        'llama_index_sot needs llama-index-core: pip install "skeleton-of-thought[llama-index]"'
    ) from error

from llama_index_instrumentation import get_dispatcher

from skeleton_of_thought.events import CallRetried, Event, PointDone, PointFailed, PointStarted, Routed, SkeletonReady

_dispatcher = get_dispatcher(__name__)


class RouteEvent(BaseEvent):
    """Whether the question gets a skeleton; said again where a skeleton turns out to be none."""

    kind: str
    by: str
    why: str

    @classmethod
    def class_name(cls) -> str:
        """Return the name of the kind of event."""
        return "RouteEvent"


class SkeletonReadyEvent(BaseEvent):
    """The skeleton is complete."""

    points: dict[int, str]
    """Titles by number."""

    @classmethod
    def class_name(cls) -> str:
        """Return the name of the kind of event."""
        return "SkeletonReadyEvent"


class PointStartEvent(BaseEvent):
    """The call for a point begins."""

    number: int
    title: str

    @classmethod
    def class_name(cls) -> str:
        """Return the name of the kind of event."""
        return "PointStartEvent"


class PointEndEvent(BaseEvent):
    """A point is written."""

    number: int
    title: str
    text: str
    seconds: float | None
    finish: str | None

    @classmethod
    def class_name(cls) -> str:
        """Return the name of the kind of event."""
        return "PointEndEvent"


class PointErrorEvent(BaseEvent):
    """A point could not be written."""

    number: int
    title: str
    error: Any
    """The LLM's own exception."""

    @classmethod
    def class_name(cls) -> str:
        """Return the name of the kind of event."""
        return "PointErrorEvent"


class CallRetryEvent(BaseEvent):
    """A request failed, and is made again."""

    stage: str
    number: int | None
    """That of the point, for the stage ``point``."""
    error: Any
    """The LLM's own exception."""
    seconds: float
    """Until then."""

    @classmethod
    def class_name(cls) -> str:
        """Return the name of the kind of event."""
        return "CallRetryEvent"


def event_of(event: Event) -> BaseEvent | None:
    """Say an event in LlamaIndex's words, where there is one for it."""
    match event:
        case Routed(route):
            return RouteEvent(kind=route.kind, by=route.by, why=route.why)
        case SkeletonReady(skeleton):
            return SkeletonReadyEvent(points={point.number: point.title for point in skeleton.points})
        case PointStarted(point):
            return PointStartEvent(number=point.number, title=point.title)
        case PointDone(section):
            point = section.point
            return PointEndEvent(
                number=point.number,
                title=point.title,
                text=section.text,
                seconds=section.seconds,
                finish=section.finish,
            )
        case CallRetried(stage, number, error, seconds):
            return CallRetryEvent(stage=stage, number=number, error=error, seconds=seconds)
        case PointFailed(point, error):
            return PointErrorEvent(number=point.number, title=point.title, error=error)
        case _:
            return None


def report(event: Event) -> None:
    """Tell the instrumentation of *event*, in the span that is open here."""
    if told := event_of(event):
        _dispatcher.event(told)
