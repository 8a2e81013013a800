"""`SoTWorkflow`: the same as a workflow, whose events a user interface can follow."""

from typing import Any

from llama_index.core.schema import NodeWithScore, QueryBundle
from llama_index.core.workflow import Context, Event, StartEvent, StopEvent, Workflow, step
from pydantic import SkipValidation

from skeleton_of_thought import ConfigurationError, InputError, events

from .query_engine import SoTQueryEngine
from .synthesizer import SoTSynthesizer


class RouteChosen(Event):
    """Whether the question gets a skeleton."""

    kind: str
    by: str
    why: str


class SkeletonWritten(Event):
    """The skeleton is complete."""

    points: dict[int, str]
    """Titles by number."""


class PointBegun(Event):
    """The call for a point begins."""

    number: int
    title: str


class PointDelta(Event):
    """A piece of a point, at once, in whatever order the points are written."""

    number: int
    delta: str


class PointWritten(Event):
    """A point is written."""

    number: int
    title: str
    text: str
    seconds: float | None


class TextDelta(Event):
    """A piece of the answer in reading order."""

    delta: str


class Retrieved(Event):
    """The nodes that the question is answered from."""

    query: str
    bundle: SkipValidation[QueryBundle]
    nodes: list[NodeWithScore]


class SoTWorkflow(Workflow):
    """Answer as a workflow: ``await workflow.run(query=...)`` returns the ``Response``.

    ``handler.stream_events()`` yields `Retrieved`, `RouteChosen`, `SkeletonWritten`, `PointBegun`, `PointDelta`,
    `PointWritten` and `TextDelta`. Cancelling the run ends all calls.

    Args:
        engine: retrieves and answers.
        options: those of ``Workflow``; its ``timeout`` is in seconds.

    Raises:
        ConfigurationError: the engine's synthesizer is another.
    """

    def __init__(self, engine: SoTQueryEngine, **options: Any) -> None:
        super().__init__(**options)
        synthesizer = engine._response_synthesizer
        if not isinstance(synthesizer, SoTSynthesizer):
            raise ConfigurationError("a SoTWorkflow needs an engine with a SoTSynthesizer")
        self._engine = engine
        self._synthesizer = synthesizer

    @step
    async def retrieve(self, ctx: Context, begin: StartEvent) -> Retrieved:
        """Find the nodes for the question."""
        query = begin.get("query")
        if not isinstance(query, str | QueryBundle):
            raise InputError("there is no question: run(query='...')")
        bundle = QueryBundle(query) if isinstance(query, str) else query
        retrieved = Retrieved(query=bundle.query_str, bundle=bundle, nodes=await self._engine.aretrieve(bundle))
        ctx.write_event_to_stream(retrieved)
        return retrieved

    @step
    async def answer(self, ctx: Context, retrieved: Retrieved) -> StopEvent:
        """Write the answer and tell of it."""

        def tell(event: events.Event) -> None:
            if told := _event_of(event):
                ctx.write_event_to_stream(told)

        return StopEvent(result=await self._synthesizer.aheard(retrieved.bundle, retrieved.nodes, tell))


def _event_of(event: events.Event) -> Event | None:
    match event:
        case events.Routed(route):
            return RouteChosen(kind=route.kind, by=route.by, why=route.why)
        case events.SkeletonReady(skeleton):
            return SkeletonWritten(points={point.number: point.title for point in skeleton.points})
        case events.PointStarted(point):
            return PointBegun(number=point.number, title=point.title)
        case events.PointText(number, text):
            return PointDelta(number=number, delta=text)
        case events.PointDone(section):
            point = section.point
            return PointWritten(number=point.number, title=point.title, text=section.text, seconds=section.seconds)
        case events.Text(text):
            return TextDelta(delta=text)
        case _:
            return None
