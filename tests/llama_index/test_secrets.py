"""Keys are in no error, no log, no event and no span of ours. LlamaIndex's own events of an LLM hold all it knows."""

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from skeleton_of_thought import PointError, SkeletonOfThought
from skeleton_of_thought.testing import LatencyServer

from ..secret import KEY, NOWHERE, QUESTION, TEXTS, refusing, secrets_in, shown

pytest.importorskip("llama_index.llms.openai_like")

from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events.llm import LLMChatEndEvent, LLMChatInProgressEvent, LLMChatStartEvent
from llama_index.core.instrumentation.span_handlers import SimpleSpanHandler
from pydantic import Field

from llama_index_sot import SoTQueryEngine, SoTSynthesizer

from .watching import told_events, told_spans
from .ways import FOUR, PASSAGES, ask, engine_of, index_of, model

THEIRS = (LLMChatEndEvent, LLMChatInProgressEvent, LLMChatStartEvent)


class Everything(BaseEventHandler):
    events: list[Any] = Field(default_factory=list)

    def handle(self, event: Any, **_: Any) -> None:
        self.events.append(event)

    @property
    def shown(self) -> list[str]:
        """Return all events as they are shown and sent, but for those of an LLM itself."""
        kept = [event for event in self.events if not isinstance(event, THEIRS)]
        return [text for event in kept for text in (repr(event), str(event.model_dump()))]


class Spans(SimpleSpanHandler):
    """Keeps what spans are told; those of an LLM's methods have the LLM itself, which is theirs."""

    told: list[str] = Field(default_factory=list)

    def new_span(self, id_: str, bound_args: Any, instance: Any = None, *more: Any, **named: Any) -> Any:
        self.told += [id_, repr(bound_args), repr(named), *map(repr, more)]
        if type(instance).__module__.startswith("llama_index_sot"):
            self.told.append(repr(instance))
        return super().new_span(id_, bound_args, instance, *more, **named)

    def prepare_to_drop_span(self, id_: str, bound_args: Any, *more: Any, err: Any = None, **named: Any) -> Any:
        self.told += [shown(err)] if err else []
        return super().prepare_to_drop_span(id_, bound_args, *more, err=err, **named)


@pytest.fixture
def watch() -> Iterator[Everything]:
    with told_events(Everything()) as handler:
        yield handler


@pytest.fixture
def spans() -> Iterator[Spans]:
    with told_spans(Spans()) as handler:
        yield handler


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG)
    return caplog


class At:
    """An address, for `model`."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url


def test_an_engine_shows_no_key() -> None:
    """Its LLM does."""
    llm = model(At(NOWHERE), api_key=KEY)
    synthesizer = SoTSynthesizer(llm=llm, point_llm=llm)
    engine = SoTQueryEngine.from_args(index_of(*PASSAGES).as_retriever(), llm=llm)
    assert [] == secrets_in(repr(synthesizer), str(synthesizer), repr(engine), str(engine), engine.get_prompts())


@FOUR
def test_events_and_spans_have_no_key(
    server: LatencyServer, index: Any, watch: Everything, spans: Spans, log: pytest.LogCaptureFixture, way: str
) -> None:
    """Of a run that goes well."""
    response, text = ask(engine_of("engine", index, model(server, api_key=KEY)), way, QUESTION)
    assert [] == secrets_in(*watch.shown, *spans.told, repr(response.metadata), text)
    assert "SoTSynthesizer" in "".join(spans.told)
    assert any("SkeletonReadyEvent" in text for text in watch.shown)
    ours = [record for record in log.records if record.name.startswith(("skeleton_of_thought", "llama_index_sot"))]
    assert [] == [record for record in ours for text in TEXTS if text in record.getMessage()]


@FOUR
@pytest.mark.parametrize("points_only", [True, False])
def test_a_run_that_fails_shows_no_key(
    index: Any, watch: Everything, spans: Spans, log: pytest.LogCaptureFixture, way: str, points_only: bool
) -> None:
    """Neither its error, nor events, spans and logs of it."""
    with refusing(points_only=points_only) as url, pytest.raises(Exception, match=r"point|401") as raised:
        ask(engine_of("engine", index, model(At(url), api_key=KEY)), way, QUESTION)
    messages = [record.getMessage() for record in log.records]
    assert [] == secrets_in(shown(raised.value), *watch.shown, *spans.told, *messages)
    assert points_only == isinstance(raised.value, PointError)


@pytest.mark.parametrize("way", ["query", "astream"])
def test_an_endpoint_that_is_not_there_shows_no_key(index: Any, watch: Everything, spans: Spans, way: str) -> None:
    """It takes no key, but the request had one."""
    with pytest.raises(Exception, match="Connection error") as raised:
        ask(engine_of("engine", index, model(At(NOWHERE), api_key=KEY), router="always"), way, QUESTION)
    assert [] == secrets_in(shown(raised.value), *watch.shown, *spans.told)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda llm: SkeletonOfThought(llm=llm),  # a model of the framework where the core wants one of its own
        lambda llm: SkeletonOfThought(llm=lambda call: call, point_llm=llm),
        lambda llm: SkeletonOfThought(llm=lambda call: call, retriever=llm),
        lambda llm: SoTSynthesizer(llm=llm, retriever=llm),
        lambda llm: SoTSynthesizer(llm=llm, prompts=llm),
        lambda llm: SoTSynthesizer(llm=llm, api_key=KEY),
    ],
)
def test_settings_that_cannot_work_show_no_key(wrong: Any) -> None:
    """An LLM that shows its key may stand in the wrong place."""
    with pytest.raises(ValueError, match=r"cannot|no setting") as raised:
        wrong(model(At(NOWHERE), api_key=KEY))
    assert [] == secrets_in(shown(raised.value))
