"""What a `SoTQueryBundle` says for one query: its limits, and the answer that is gone on with."""

import asyncio
import copy
import json
import pickle
from collections.abc import Iterator
from typing import Any

import pytest

from skeleton_of_thought import Answer, ConfigurationError, DeadlineError, InputError, PointError, Retry, Timeout
from skeleton_of_thought.errors import ModelTimeoutError
from skeleton_of_thought.testing import Rejected, Stalled

from ..faulty import Faulty, answer_by, one_place, requests, run, settings
from ..script import QUESTION, TEXT

pytest.importorskip("llama_index.llms.openai_like")

from llama_index.core.base.response.schema import Response
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode
from pydantic import Field

from llama_index_sot import SoTQueryBundle, SoTQueryEngine, SoTSynthesizer
from llama_index_sot.instrumentation import CallRetryEvent
from llama_index_sot.workflow import SoTWorkflow

from .compositions import router, sub_questions
from .endpoints import TWO, ask, engine_of, respond
from .test_point_retrieval import NUMBERS, Store, WithoutJunk
from .watching import told_events
from .ways import FOUR, aread, model, read

NEVER = Retry(attempts=1)
NODES = [NodeWithScore(node=TextNode(text="Sleep comes with the dark.", id_="n1"))]


@pytest.fixture
def marking(endpoint: Faulty, index: Any) -> SoTQueryEngine:
    """Make an engine whose answer lacks the second point, as often as it is asked for a new one."""
    endpoint.faults = {2: [Rejected(400)]}
    return engine_of(endpoint, index, **settings(2, on_point_error="mark"))


def synthesize(synthesizer: SoTSynthesizer, way: str, query: Any) -> tuple[Any, str]:
    """Let a synthesizer answer by itself, in one of the ways of an engine."""
    synthesizer._streaming = way.endswith("stream")
    if way in {"query", "stream"}:
        response = synthesizer.synthesize(query, NODES)
        return response, read(response)

    async def work() -> tuple[Any, str]:
        response = await synthesizer.asynthesize(query, NODES)
        return response, await aread(response)

    return run(work())


# -- limits ----------------------------------------------------------------------------------------------

LIMITS: dict[str, tuple[dict[str, Any], Any]] = {
    "deadline": ({"deadline": 0.2}, DeadlineError),
    "timeout": ({"timeout": 0.2}, ModelTimeoutError),
    "timeout in parts": ({"timeout": Timeout(first_token=0.2)}, ModelTimeoutError),
}


@FOUR
@pytest.mark.parametrize("alone", [False, True], ids=["engine", "synthesizer"])
@pytest.mark.parametrize("limit", LIMITS)
def test_a_query_has_limits_of_its_own(endpoint: Faulty, index: Any, limit: str, alone: bool, way: str) -> None:
    """The engine, and its synthesizer by itself, have none."""
    given, error = LIMITS[limit]
    endpoint.faults = {"skeleton": [Stalled(None, seconds=60 if way.startswith("a") else 0.5)]}
    engine = engine_of(endpoint, index, **settings(2, retry=NEVER))
    query = SoTQueryBundle(QUESTION, **given)

    with pytest.raises(error):
        synthesize(engine._response_synthesizer, way, query) if alone else ask(engine, way, query)

    assert set(endpoint.counts) <= {"skeleton"}
    endpoint.begin()
    assert TEXT == ask(engine, way, QueryBundle(QUESTION))


@FOUR
def test_limits_that_are_kept_change_nothing(endpoint: Faulty, index: Any, way: str) -> None:
    """The text is the same, and so are the requests."""
    engine = engine_of(endpoint, index, **settings(2))

    assert TEXT == ask(engine, way, SoTQueryBundle(QUESTION, deadline=60, timeout=60))
    assert requests(2, 1) == endpoint.counts


@pytest.mark.parametrize("name", ["deadline", "timeout"])
@pytest.mark.parametrize("value", [0, -1, "5", True, float("nan"), {"first_token": 1}])
def test_a_limit_that_cannot_work_makes_no_query(name: str, value: Any) -> None:
    """So nothing is retrieved for it, and no model is called."""
    with pytest.raises(ConfigurationError, match=f"{name}=.* cannot work: use seconds, more than 0"):
        SoTQueryBundle(QUESTION, **{name: value})


def test_what_is_said_for_one_query_is_for_no_other(endpoint: Faulty, index: Any) -> None:
    """Also where they are answered at the same time, by one engine."""
    endpoint.faults = {"direct": [Stalled(None)] * 3}
    engine = engine_of(endpoint, index)
    late = SoTQueryBundle("What is the capital of France?", deadline=0.2)

    async def ask_all() -> list[Any]:
        queries = [late, QUESTION, late, QueryBundle(QUESTION), late, SoTQueryBundle(QUESTION)]
        return await asyncio.gather(*map(engine.aquery, queries), return_exceptions=True)

    answers = run(ask_all())

    assert [DeadlineError] * 3 == list(map(type, answers[::2]))
    assert [TEXT] * 3 == list(map(str, answers[1::2]))


CONSUMERS: dict[str, Any] = {
    "router": lambda engine: router(engine, 1),
    "router of two": lambda engine: router(engine, 2),
    "sub-questions": lambda engine: sub_questions(engine, use_async=False),
}


@pytest.mark.parametrize("bundle", [QueryBundle, SoTQueryBundle])
@pytest.mark.parametrize("consumer", CONSUMERS)
def test_engines_over_ours_take_either_bundle(endpoint: Faulty, index: Any, consumer: str, bundle: Any) -> None:
    """What they do with ours is what they do with LlamaIndex's own."""
    outer = CONSUMERS[consumer](engine_of(endpoint, index, **settings(2)))

    assert str(outer.query(QUESTION)) == str(outer.query(bundle(QUESTION)))


def test_a_router_hands_limits_on(endpoint: Faulty, index: Any) -> None:
    """It asks the engine that it chose what it was asked itself."""
    endpoint.faults = {"skeleton": [Stalled(None, seconds=0.5)]}
    outer = router(engine_of(endpoint, index, **settings(2)), 1)

    with pytest.raises(DeadlineError):
        outer.query(SoTQueryBundle(QUESTION, deadline=0.2))


# -- going on --------------------------------------------------------------------------------------------


def _rebuilt(response: Any) -> Response:
    """Return what is left of a response whose parts were saved as JSON."""
    nodes = [NodeWithScore(node=TextNode.from_json(each.node.to_json())) for each in response.source_nodes]
    text = response.response if isinstance(response, Response) else response.response_txt
    return Response(text, nodes, json.loads(json.dumps(response.metadata)))


FORMS: dict[str, Any] = {
    "response": lambda response: response,
    "copied": lambda response: copy.copy(response),
    "answer": lambda response: response.metadata["sot"].answer,
    "json": lambda response: response.metadata["sot"].answer.to_json(),
}
WHOLE_FORMS = {
    "pickled": lambda response: pickle.loads(pickle.dumps(response)),  # noqa: S301 -- it is our own
    "deeply copied": copy.deepcopy,
    "rebuilt": _rebuilt,
}


@FOUR
@pytest.mark.parametrize("form", FORMS)
def test_a_response_with_a_gap_is_gone_on_with(endpoint: Faulty, marking: Any, form: str, way: str) -> None:
    """What it has is kept, the gap is filled, and it tells what the gap cost."""
    first, text = respond(marking, way)
    assert "[…]" in text

    again, whole = respond(marking, way, SoTQueryBundle(QUESTION, resume=FORMS[form](first)))

    assert TEXT == whole
    assert requests(2) == endpoint.counts
    about = again.metadata["sot"]
    assert (True, ["2"]) == (about["complete"], list(about["timings"]["points"]))
    assert [None] * 3 == [point["failure"] for point in about["points"]]
    assert set(about["usage"]) <= {"point"}
    before, after = ({each.node_id: each.score for each in told.source_nodes} for told in (first, again))
    assert before == after


@TWO
@pytest.mark.parametrize("form", WHOLE_FORMS)
def test_so_is_one_that_was_kept(endpoint: Faulty, marking: Any, form: str, way: str) -> None:
    """In whatever way responses are kept."""
    first, _ = respond(marking, "query")

    assert TEXT == ask(marking, way, SoTQueryBundle(QUESTION, resume=WHOLE_FORMS[form](first)))
    assert requests(2) == endpoint.counts


READERS: dict[str, Any] = {
    "its generator": lambda response: list(response.response_gen),
    "as a text": str,
    "as a response": lambda response: response.get_response(),
    "printed": lambda response: response.print_response_stream(),
}


@pytest.mark.parametrize("reader", READERS)
def test_so_is_a_stream_however_it_was_read(endpoint: Faulty, marking: Any, reader: str) -> None:
    """LlamaIndex itself keeps the text of only some of its readers."""
    marking._response_synthesizer._streaming = True
    response = marking.query(QUESTION)
    READERS[reader](response)

    assert TEXT == ask(marking, "query", SoTQueryBundle(QUESTION, resume=response))
    assert requests(2) == endpoint.counts


@pytest.mark.parametrize("way", ["stream", "astream"])
def test_so_is_a_stream_that_failed(endpoint: Faulty, index: Any, way: str) -> None:
    """What was written is in it as well as in the error."""
    endpoint.faults = {2: [Rejected(400)]}
    engine = engine_of(endpoint, index, **settings(2), **one_place(), streaming=True)

    async def aquery() -> Any:
        response = await engine.aquery(QUESTION)
        with pytest.raises(PointError):
            await aread(response)
        return response

    if way == "astream":
        response: Any = run(aquery())
    else:
        response = engine.query(QUESTION)
        with pytest.raises(PointError):
            read(response)

    assert TEXT == ask(engine, way, SoTQueryBundle(QUESTION, resume=response))
    assert requests(2) == endpoint.counts


@TWO
@pytest.mark.parametrize("stage", [2, "direct"])
def test_so_is_one_that_the_deadline_cut(endpoint: Faulty, index: Any, stage: Any, way: str) -> None:
    """From where it stood."""
    endpoint.faults = {stage: [Stalled(4, seconds=60 if way.startswith("a") else 2)]}
    engine = engine_of(endpoint, index, **settings(stage))
    first, text = respond(engine, way, SoTQueryBundle(QUESTION, deadline=1.0))
    assert (False, True) == (first.metadata["sot"]["complete"], "[…]" in text)

    again, whole = respond(engine, way, SoTQueryBundle(QUESTION, resume=first))

    assert answer_by(stage) == whole
    assert again.metadata["sot"]["complete"]


@FOUR
@pytest.mark.parametrize("stage", [2, "direct"])
def test_a_complete_response_costs_nothing(endpoint: Faulty, index: Any, stage: Any, way: str) -> None:
    """It is said again, and no model is asked."""
    engine = engine_of(endpoint, index, **settings(stage))
    first, text = respond(engine, way)
    endpoint.server.requests.clear()

    again, whole = respond(engine, way, SoTQueryBundle(QUESTION, resume=first))

    assert answer_by(stage) == text == whole
    assert {} == endpoint.counts
    assert (True, {}) == (again.metadata["sot"]["complete"], again.metadata["sot"]["usage"])


@FOUR
@pytest.mark.parametrize("form", FORMS)
def test_a_synthesizer_goes_on_by_itself(endpoint: Faulty, index: Any, form: str, way: str) -> None:
    """With nodes that its caller has retrieved."""
    endpoint.faults = {2: [Rejected(400)]}
    synthesizer = SoTSynthesizer(model(endpoint.server), **settings(2, on_point_error="mark"))
    first, _ = synthesize(synthesizer, way, QUESTION)

    query = SoTQueryBundle(QUESTION, resume=FORMS[form](first))

    assert TEXT == synthesize(synthesizer, way, query)[1]
    assert requests(2) == endpoint.counts


@FOUR
@pytest.mark.parametrize("form", FORMS)
def test_nodes_of_points_keep_their_numbers(endpoint: Faulty, form: str, way: str) -> None:
    """However often an answer is gone on with; those that only its JSON knows have their texts."""
    endpoint.faults = {2: [Rejected(400)] * 2}
    told = settings(2, on_point_error="mark", node_postprocessors=[WithoutJunk()], point_retrieval=True)
    engine = SoTQueryEngine.from_args(Store(), model(endpoint.server), **told)

    responses = [respond(engine, way)[0]]
    for _ in range(2):
        query = SoTQueryBundle(QUESTION, resume=FORMS[form](responses[-1]))
        responses.append(respond(engine, way, query)[0])

    assert TEXT == responses[-1].metadata["sot"].answer.text
    for response in responses:
        sources = response.metadata["sot"]["sources"]
        assert NUMBERS == {source["node"]: source["number"] for source in sources}
        assert list(NUMBERS) == [each.node_id for each in response.source_nodes]
        assert ["Of sleep.", "Of nights."] == [each.node.get_content() for each in response.source_nodes[:2]]


UNREAD = "an unread stream"
NO_ANSWERS: dict[str, Any] = {
    "no JSON": "garbage",
    "other JSON": "{}",
    "a number": 3,
    "another engine's response": Response("Hello."),
    "a response of which much is lost": Response("Hello.", [], {"sot": {"sources": []}}),
    "one without its nodes": Response("Hello.", [], {"sot": {"sources": [{"number": 1, "node": "n", "points": []}]}}),
    UNREAD: None,
}


@FOUR
@pytest.mark.parametrize("given", NO_ANSWERS)
def test_what_is_no_answer_is_refused(endpoint: Faulty, index: Any, given: str, way: str) -> None:
    """By its type and with the cure, before any model is called; a stream is not read for it."""
    engine = engine_of(endpoint, index, **settings(2), streaming=True)
    resume = engine.query(QUESTION) if given == UNREAD else NO_ANSWERS[given]

    with pytest.raises(InputError) as raised:
        ask(engine, way, SoTQueryBundle(QUESTION, resume=resume))

    cure = "give an Answer, its JSON, or a response that was read"
    assert f"resume of type {type(resume).__name__} holds no answer: {cure}" == str(raised.value)
    assert {} == endpoint.counts


@FOUR
@pytest.mark.parametrize("form", FORMS)
def test_an_answer_to_another_question_is_refused(endpoint: Faulty, marking: Any, form: str, way: str) -> None:
    """Before any model is called."""
    first, _ = respond(marking, way)
    endpoint.server.requests.clear()

    with pytest.raises(InputError, match="the answer to resume is to another question"):
        ask(marking, way, SoTQueryBundle("How do I cook?", resume=FORMS[form](first)))

    assert {} == endpoint.counts


# -- settings, and what is told --------------------------------------------------------------------------


class Watch(BaseEventHandler):
    """What is told of requests that are made again."""

    told: list[CallRetryEvent] = Field(default_factory=list)

    def handle(self, event: Any, **_: Any) -> None:
        if isinstance(event, CallRetryEvent):
            self.told.append(event)


@pytest.fixture
def watch() -> Iterator[Watch]:
    with told_events(Watch()) as handler:
        yield handler


def _workflow(engine: Any, way: str) -> str:
    async def work() -> str:
        return str(await SoTWorkflow(engine, timeout=30).run(query=QUESTION))

    return run(work())


@pytest.mark.parametrize("way", ["query", "aquery", "stream", "astream", "workflow"])
@pytest.mark.parametrize("stage", ["skeleton", 2, "direct"])
def test_a_retry_is_an_event(endpoint: Faulty, index: Any, watch: Watch, stage: Any, way: str) -> None:
    """It tells what is asked again, why, and when; in a workflow too."""
    endpoint.faults = {stage: [Rejected(503)]}
    engine = engine_of(endpoint, index, **settings(stage))

    assert answer_by(stage) == (_workflow if way == "workflow" else ask)(engine, way)
    (told,) = watch.told
    number = stage if isinstance(stage, int) else None
    assert ("point" if number else stage, number) == (told.stage, told.number)
    assert (503, True) == (told.error.status_code, 0 <= told.seconds < 60)
    assert requests(stage) == endpoint.counts


@pytest.mark.parametrize("way", ["query", "aquery", "stream", "astream", "workflow"])
def test_an_engine_takes_the_settings_of_a_run(endpoint: Faulty, index: Any, way: str) -> None:
    """By ``from_args``, whatever asks it."""
    endpoint.faults = {1: [Rejected(503)], 2: [Rejected(503)] * 9}
    limits = {"timeout": Timeout(first_token=60), "deadline": 60}
    engine = engine_of(endpoint, index, **settings(2, on_point_error=lambda error: f"({error.title})"), **limits)

    text = (_workflow if way == "workflow" else ask)(engine, way)

    assert "2. Avoid late coffee: (Avoid late coffee)" == text.split("\n\n")[1]
    assert {"skeleton": 1, 1: 2, 2: 3, 3: 1} == endpoint.counts


def test_a_workflow_ends_at_the_deadline_of_its_engine(endpoint: Faulty, index: Any) -> None:
    """What is written then is its result."""
    endpoint.faults = {2: [Stalled(4)]}
    engine = engine_of(endpoint, index, **settings(2, deadline=1.0))

    assert "[…]" in _workflow(engine, "workflow")


def test_what_a_response_keeps_is_not_shown_to_models(endpoint: Faulty, marking: Any) -> None:
    """Metadata are written into prompts, and as JSON: the answer is in neither."""
    response, _ = respond(marking, "query")
    about = response.metadata["sot"]

    assert isinstance(about.answer, Answer)
    assert "skeleton, 3 points" == str(about)
    assert "Go to bed" not in json.dumps(about)
