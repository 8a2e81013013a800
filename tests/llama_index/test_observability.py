"""What can be seen of a run: instrumentation's events and spans, and the older callbacks."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from skeleton_of_thought import PointError
from skeleton_of_thought.testing import LatencyModel, LatencyServer

from ..script import DIRECT, POINTS, QUESTION, TEXT

pytest.importorskip("llama_index.llms.openai_like")

from llama_index.core import Settings
from llama_index.core.base.llms.types import CompletionResponse, CompletionResponseGen, LLMMetadata
from llama_index.core.callbacks import CallbackManager, CBEventType, LlamaDebugHandler, TokenCountingHandler
from llama_index.core.callbacks.schema import EventPayload
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.span_handlers import SimpleSpanHandler
from llama_index.core.llms import CustomLLM
from llama_index.core.llms.callbacks import llm_completion_callback
from pydantic import Field

from llama_index_sot import (
    PointEndEvent,
    PointErrorEvent,
    PointStartEvent,
    RouteEvent,
    SkeletonReadyEvent,
    SoTQueryEngine,
    SoTSynthesizer,
)
from skeleton_of_thought.models.generation import Generation

from .watching import told_events, told_spans
from .ways import CAPITAL, FOUR, PASSAGES, TITLES, ask, engine_of, in_thread, index_of, model, say, task_of

SITUATIONS: dict[str, Callable[[Any, str], Any]] = {
    "here": ask,
    "thread": lambda engine, way: in_thread(lambda: ask(engine, way)),
}
ANYWHERE = pytest.mark.parametrize("situation", SITUATIONS)


class Watch(BaseEventHandler):
    events: list[Any] = Field(default_factory=list)

    def handle(self, event: Any, **_: Any) -> None:
        self.events.append(event)

    @property
    def ours(self) -> list[Any]:
        return [event for event in self.events if type(event).__module__.startswith("llama_index_sot")]


class Spans(SimpleSpanHandler):
    seen: dict[str, tuple[str | None, dict[str, Any]]] = Field(default_factory=dict)

    def new_span(
        self, id_: str, bound_args: Any, instance: Any = None, parent_span_id: Any = None, tags: Any = None, **more: Any
    ) -> Any:
        self.seen[id_] = (parent_span_id, tags or {})
        return super().new_span(id_, bound_args, instance, parent_span_id, tags, **more)

    def named(self, start: str) -> list[str]:
        return [id_ for id_ in self.seen if id_.startswith(start)]


@pytest.fixture
def watch() -> Iterator[Watch]:
    with told_events(Watch()) as handler:
        yield handler


@pytest.fixture
def spans() -> Iterator[Spans]:
    with told_spans(Spans()) as handler:
        yield handler


# -- instrumentation -----------------------------------------------------------------------------------


@FOUR
@ANYWHERE
def test_events_tell_of_every_step(llm: Any, index: Any, watch: Watch, spans: Spans, way: str, situation: str) -> None:
    """Each with the span that the response is made in, also where that has ended before a stream is read."""
    SITUATIONS[situation](engine_of("engine", index, llm), way)
    route, ready, *points = watch.ours
    assert [RouteEvent, SkeletonReadyEvent] == [type(route), type(ready)]
    assert ("skeleton", "rules", TITLES) == (route.kind, route.by, ready.points)
    assert Counter({PointStartEvent: 3, PointEndEvent: 3}) == Counter(map(type, points))
    ended = {event.number: event for event in points if isinstance(event, PointEndEvent)}
    assert POINTS == {number: event.text for number, event in sorted(ended.items())}
    assert all(event.seconds > 0 and event.title == TITLES[event.number] for event in ended.values())
    for number in TITLES:
        assert [PointStartEvent, PointEndEvent] == [type(event) for event in points if event.number == number]
    (synthesis,) = spans.named("SoTSynthesizer.")
    assert {synthesis} == {event.span_id for event in watch.ours}


@FOUR
@ANYWHERE
def test_spans_of_all_calls_are_below_the_synthesis(
    llm: Any, index: Any, spans: Spans, way: str, situation: str
) -> None:
    """One for each call, with what it is for; nothing is left open."""
    SITUATIONS[situation](engine_of("engine", index, llm), way)
    (synthesis,) = spans.named("SoTSynthesizer.")
    calls = spans.named("OpenAILike.")
    outer = {id_: spans.seen[id_] for id_ in calls if spans.seen[id_][0] not in calls}
    assert [synthesis] * 4 == [parent for parent, _ in outer.values()]
    tags = [(tags["sot_stage"], tags.get("sot_point", 0)) for _, tags in outer.values()]
    assert [("point", 1), ("point", 2), ("point", 3), ("skeleton", 0)] == sorted(tags)
    (inner,), (query,) = (
        spans.named("SoTQueryEngine._"),
        [id_ for id_ in spans.named("SoTQueryEngine.") if "._" not in id_],
    )
    assert (inner, query, None) == (spans.seen[synthesis][0], spans.seen[inner][0], spans.seen[query][0])
    assert ({}, []) == (spans.open_spans, spans.dropped_spans)


@FOUR
def test_a_direct_answer_is_one_event_and_the_spans_of_the_default_synthesizer(
    llm: Any, index: Any, watch: Watch, spans: Spans, way: str
) -> None:
    """Below ours."""
    ask(engine_of("engine", index, llm), way, CAPITAL)
    assert ["direct"] == [event.kind for event in watch.ours]
    (synthesis,), (response,) = spans.named("SoTSynthesizer."), [
        id_ for id_ in spans.named("CompactAndRefine.") if spans.seen[id_][0] in spans.named("SoTSynthesizer.")
    ]  # fmt: skip
    assert (synthesis, {"sot_stage": "direct"}) == spans.seen[response]


@FOUR
def test_spans_of_searches_are_below_the_synthesis(llm: Any, spans: Spans, way: str) -> None:
    """Those for single points, with their numbers."""
    retriever = index_of("Of sleep.").as_retriever()
    ask(SoTQueryEngine.from_args(retriever, llm=llm, point_retrieval=True), way)
    (synthesis,) = spans.named("SoTSynthesizer.")
    searches = [spans.seen[id_] for id_ in spans.named("SoTQueryEngine.") if spans.seen[id_][0] == synthesis]
    retrievals = [spans.seen[id_] for id_ in spans.named("VectorIndexRetriever.") if spans.seen[id_][0] == synthesis]
    assert [1, 2, 3] == sorted(tags["sot_point"] for _, tags in searches + retrievals)


@FOUR
def test_a_failing_point_is_an_event(index: Any, watch: Watch, spans: Spans, way: str) -> None:
    """With the LLM's own exception; points that were written before it have their events."""

    def reply(generation: Generation) -> str:
        if task_of(generation) == 2:
            raise RuntimeError("no")
        return say(generation)

    with LatencyServer(LatencyModel(reply=reply)) as server, pytest.raises(PointError) as caught:
        ask(engine_of("engine", index, model(server)), way)
    (failed,) = [event for event in watch.ours if isinstance(event, PointErrorEvent)]
    assert (2, TITLES[2], caught.value.__cause__) == (failed.number, failed.title, failed.error)
    assert failed.span_id in spans.named("SoTSynthesizer.")
    assert {} == spans.open_spans


@FOUR
def test_events_of_the_framework_are_those_of_any_synthesizer(llm: Any, index: Any, watch: Watch, way: str) -> None:
    """In its order; those of the calls besides."""
    around = (
        "QueryStartEvent",
        "RetrievalStartEvent",
        "RetrievalEndEvent",
        "SynthesizeStartEvent",
        "SynthesizeEndEvent",
        "QueryEndEvent",
    )
    seen = {}
    for swap in ("default", "engine"):
        watch.events.clear()
        response, _ = ask(engine_of(swap, index, llm), way)
        names = [event.class_name() for event in watch.events]
        seen[swap] = [name for name in names if name in around]
        assert [response] == [event.response for event in watch.events if event.class_name() == "SynthesizeEndEvent"]
    assert list(around) == seen["default"] == seen["engine"]
    assert 4 == names.count("LLMChatEndEvent")


def test_several_queries_at_once_keep_their_events_apart(llm: Any, index: Any, watch: Watch, spans: Spans) -> None:
    """On one loop, with one engine."""
    engine = engine_of("engine", index, llm)

    async def ask_all() -> None:
        await asyncio.gather(*(engine.aquery(QUESTION) for _ in range(3)))

    asyncio.run(ask_all())
    assert Counter(dict.fromkeys(spans.named("SoTSynthesizer."), 8)) == Counter(event.span_id for event in watch.ours)


# -- callbacks -----------------------------------------------------------------------------------------


class Completing(CustomLLM):
    """A model as LlamaIndex's guide has it: without chat, and without asynchronous methods of its own."""

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(context_window=10_000)

    @llm_completion_callback()
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        return CompletionResponse(text=say(Generation(prompt=prompt)))

    @llm_completion_callback()
    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseGen:
        text = ""
        for word in say(Generation(prompt=prompt)).split(" "):
            text += word + " "
            yield CompletionResponse(text=text, delta=word + " ")


@pytest.fixture
def debug() -> LlamaDebugHandler:
    return LlamaDebugHandler(print_trace_on_end=False)


@pytest.fixture
def tokens() -> TokenCountingHandler:
    return TokenCountingHandler(tokenizer=str.split)


@pytest.fixture
def callbacks(
    debug: LlamaDebugHandler, tokens: TokenCountingHandler, monkeypatch: pytest.MonkeyPatch
) -> CallbackManager:
    manager = CallbackManager([debug, tokens])
    monkeypatch.setattr(Settings, "_callback_manager", manager)
    return manager


@pytest.fixture(params=["chat", "completion"])
def told(request: pytest.FixtureRequest, callbacks: CallbackManager, server: LatencyServer) -> Any:
    if request.param == "chat":
        return model(server, callback_manager=callbacks)
    return Completing(callback_manager=callbacks)


@FOUR
@ANYWHERE
@pytest.mark.parametrize("swap", ["engine", "synthesizer"])
def test_callbacks_get_each_step_once(told: Any, debug: LlamaDebugHandler, way: str, situation: str, swap: str) -> None:
    """A query, a synthesis, and every call of the model."""
    response, text = SITUATIONS[situation](engine_of(swap, index_of(*PASSAGES), told), way)
    assert TEXT == text
    kinds = {CBEventType.QUERY: 1, CBEventType.SYNTHESIZE: 1, CBEventType.LLM: 4}
    assert kinds == {kind: len(debug.get_event_pairs(kind)) for kind in kinds}
    (synthesis,) = debug.get_event_pairs(CBEventType.SYNTHESIZE)
    assert QUESTION == synthesis[0].payload[EventPayload.QUERY_STR]
    assert response is synthesis[1].payload[EventPayload.RESPONSE]


@FOUR
@ANYWHERE
def test_tokens_of_each_call_are_counted_once(
    told: Any, index: Any, tokens: TokenCountingHandler, way: str, situation: str
) -> None:
    """Also of a model whose asynchronous methods are the blocking ones, which LlamaIndex itself counts twice."""
    SITUATIONS[situation](engine_of("engine", index, told), way)
    counted = [event.completion_token_count for event in tokens.llm_token_counts]
    assert 4 == len(counted)
    assert sum(len(text.split()) for text in POINTS.values()) <= tokens.completion_llm_token_count


@FOUR
def test_a_direct_answer_is_counted_once(
    told: Any, index: Any, debug: LlamaDebugHandler, tokens: TokenCountingHandler, way: str
) -> None:
    """As the default engine's."""
    assert DIRECT == ask(engine_of("engine", index, told), way, CAPITAL)[1].strip()
    assert (1, 1) == (len(debug.get_event_pairs(CBEventType.LLM)), len(tokens.llm_token_counts))
    assert 1 == len(debug.get_event_pairs(CBEventType.SYNTHESIZE))


def test_a_callback_manager_reaches_both_models(server: LatencyServer, debug: LlamaDebugHandler) -> None:
    """As LlamaIndex hands it to the one that it knows."""
    synthesizer = SoTSynthesizer(model(server), point_llm=model(server), callback_manager=CallbackManager([debug]))
    assert TEXT == synthesizer.get_response(QUESTION, ["Of sleep."])
    assert 4 == len(debug.get_event_pairs(CBEventType.LLM))
