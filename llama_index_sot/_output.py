"""From events to LlamaIndex's responses."""

from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from contextvars import copy_context
from typing import Any

from llama_index.core.base.response.schema import AsyncStreamingResponse, Response, StreamingResponse
from llama_index.core.schema import NodeWithScore, TextNode

from skeleton_of_thought import Answer, Passage, PointError
from skeleton_of_thought.events import Event, Finished, Text

from .instrumentation import report


class About(dict[str, Any]):
    """How an answer was made, in few words for a model: LlamaIndex makes nodes of responses, metadata and all."""

    answer: Answer | None = None
    """That answer, to be gone on with. Where metadata were saved as JSON it is no more."""

    def __str__(self) -> str:
        return f"{self['route']['kind']}, {len(self['points'])} points"


class Sources:
    """The nodes of a response, each once, and its metadata: made at once, and filled when the answer is there."""

    def __init__(self, nodes: Sequence[NodeWithScore], more: Sequence[NodeWithScore]) -> None:
        self.nodes = _each_once([*nodes, *more])
        self.metadata: dict[str, Any] = {each.node.node_id: each.node.metadata for each in self.nodes}

    def take(self, answer: Answer) -> None:
        """Put the nodes in the order of their numbers, with those for single points; tell how the answer was made."""
        retrieved = {each.node.node_id: each for each in self.nodes}
        cited = [_node(source.passage, retrieved) for source in answer.sources]
        self.nodes[:] = _each_once([*cited, *self.nodes])
        self.metadata |= {each.node.node_id: each.node.metadata for each in self.nodes}
        self.metadata["sot"] = _about(answer)

    def fail(self, error: PointError) -> None:
        """Keep what was written, and tell what could not be."""
        self.take(error.answer)
        self.metadata["sot"]["error"] = {"number": error.number, "title": error.title, "error": repr(error.__cause__)}


def whole(events: Generator[Event, None, None], sources: Sources) -> Response:
    """Read to the end."""
    text = "".join(_texts(events, sources))
    return Response(text, source_nodes=sources.nodes, metadata=sources.metadata)


async def awhole(
    events: AsyncGenerator[Event, None], sources: Sources, hear: Callable[[Event], None] = lambda _: None
) -> Response:
    """Read to the end, and let *hear* have every event."""
    text = "".join([text async for text in _atexts(events, sources, hear)])
    return Response(text, source_nodes=sources.nodes, metadata=sources.metadata)


def stream(events: Generator[Event, None, None], sources: Sources) -> StreamingResponse:
    """Read when it is read. Nodes and metadata are complete at its end."""
    return StreamingResponse(_texts(events, sources), source_nodes=sources.nodes, metadata=sources.metadata)


def astream(events: AsyncGenerator[Event, None], sources: Sources) -> AsyncStreamingResponse:
    """Read when it is read. Nodes and metadata are complete at its end."""
    return AsyncStreamingResponse(_atexts(events, sources), source_nodes=sources.nodes, metadata=sources.metadata)


def _texts(events: Generator[Event, None, None], sources: Sources) -> Generator[str, None, None]:
    context = copy_context()  # of who asks: when a stream is read, the spans of the query are closed

    def texts() -> Generator[str, None, None]:
        try:
            for event in events:
                context.run(report, event)
                if text := _heard(event, sources):
                    yield text
        except PointError as error:
            sources.fail(error)
            raise
        finally:
            events.close()

    return texts()


def _atexts(
    events: AsyncGenerator[Event, None], sources: Sources, hear: Callable[[Event], None] = lambda _: None
) -> AsyncGenerator[str, None]:
    context = copy_context()

    async def texts() -> AsyncGenerator[str, None]:
        try:
            async for event in events:
                context.run(report, event)
                hear(event)
                if text := _heard(event, sources):
                    yield text
        except PointError as error:
            sources.fail(error)
            raise
        finally:
            await events.aclose()

    return texts()


def _node(passage: Passage, retrieved: Mapping[str, NodeWithScore]) -> NodeWithScore:
    """Return the node that a passage came in; of an answer that was saved, the same retrieved again, or one like it."""
    if isinstance(passage.origin, NodeWithScore):
        return passage.origin
    return retrieved.get(passage.key) or NodeWithScore(node=TextNode(text=passage.text, id_=passage.key))


def _each_once(nodes: Sequence[NodeWithScore]) -> list[NodeWithScore]:
    once: dict[str, NodeWithScore] = {}
    for each in nodes:
        once.setdefault(each.node.node_id, each)
    return list(once.values())


def _heard(event: Event, sources: Sources) -> str:
    if isinstance(event, Finished):
        sources.take(event.answer)
    return event.text if isinstance(event, Text) else ""


def _about(answer: Answer) -> About:
    about, nodes = answer.about(), {source.number: source.passage.key for source in answer.sources}
    for point in about["points"]:
        point["nodes"] = [nodes[number] for number in point["sources"]]
    told = [
        {"number": source.number, "node": source.passage.key, "points": list(source.points)}
        for source in answer.sources
    ]
    made = About(about | {"sources": told})
    made.answer = answer
    return made
