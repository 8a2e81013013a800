"""`SoTWorkflow`: its events, its ends; and the engine as a tool of another framework."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from skeleton_of_thought import ConfigurationError, InputError, PointError
from skeleton_of_thought.models.generation import Generation
from skeleton_of_thought.testing import LatencyModel, LatencyServer

from ..script import DIRECT, POINTS, QUESTION, TEXT

pytest.importorskip("llama_index.llms.openai_like")

from llama_index.core.base.response.schema import Response
from llama_index.core.callbacks import CallbackManager, CBEventType, LlamaDebugHandler
from workflows.errors import WorkflowCancelledByUser, WorkflowTimeoutError

from llama_index_sot import SoTQueryEngine, SoTSynthesizer
from llama_index_sot.workflow import (
    PointBegun,
    PointDelta,
    PointWritten,
    Retrieved,
    RouteChosen,
    SkeletonWritten,
    SoTWorkflow,
    TextDelta,
)

from .ways import CAPITAL, PASSAGES, TITLES, engine_of, idle, index_of, model, no_task_left, run, say, task_of


@pytest.fixture
def engine(index: Any, llm: Any) -> Any:
    return engine_of("engine", index, llm)


async def told(engine: Any, query: str = QUESTION) -> tuple[Any, list[Any]]:
    """Run a workflow; return what comes of it and its events, in their order."""
    handler = SoTWorkflow(engine, timeout=30).run(query=query)
    events = [event async for event in handler.stream_events()]
    return await handler, events


def test_a_workflow_tells_of_every_step(engine: Any) -> None:
    """And its result is the response that the engine would give."""
    response, events = run(told(engine))
    assert (Response, TEXT) == (type(response), str(response))
    retrieved, route, ready = (
        event for event in events if isinstance(event, Retrieved | RouteChosen | SkeletonWritten)
    )
    assert sorted(PASSAGES) == sorted(each.node.get_content() for each in retrieved.nodes)
    assert ("skeleton", TITLES) == (route.kind, ready.points)
    assert list(TITLES) == [event.number for event in events if isinstance(event, PointBegun)]
    assert POINTS == {event.number: event.text for event in events if isinstance(event, PointWritten)}
    assert TEXT == "".join(event.delta for event in events if isinstance(event, TextDelta))
    for number, text in POINTS.items():
        pieces = [event.delta for event in events if isinstance(event, PointDelta) and event.number == number]
        assert (text, True) == ("".join(pieces), len(pieces) > 1)


def test_a_direct_answer_is_told_as_text(engine: Any) -> None:
    """Piece by piece too."""
    response, events = run(told(engine, CAPITAL))
    assert DIRECT == str(response)
    assert ["direct"] == [event.kind for event in events if isinstance(event, RouteChosen)]
    assert DIRECT == "".join(event.delta for event in events if isinstance(event, TextDelta))


def test_where_the_default_answers_there_is_its_response(llm: Any) -> None:
    """Without nodes, or where the answer has a form."""
    response, events = run(told(engine_of("engine", index_of(), llm)))
    assert "Empty Response" == str(response)
    assert [Retrieved] == [type(event) for event in events[:-1]]


def test_a_workflow_without_a_question_is_refused(engine: Any, server: LatencyServer) -> None:
    """By name, and before any model is called."""

    async def ask() -> None:
        await SoTWorkflow(engine).run(question=QUESTION)

    with pytest.raises(InputError, match=r"there is no question: run\(query='...'\)"):
        run(ask())
    assert [] == server.requests


def test_a_workflow_needs_our_synthesizer(llm: Any, index: Any) -> None:
    """Another one has no events to tell of."""
    default = index.as_query_engine(llm=llm)._response_synthesizer
    with pytest.raises(ConfigurationError, match="a SoTWorkflow needs an engine with a SoTSynthesizer"):
        SoTWorkflow(SoTQueryEngine(index.as_retriever(), default))


def test_a_workflow_is_a_synthesis_as_any_other(server: LatencyServer, index: Any) -> None:
    """For callbacks: one synthesis, and each call once."""
    debug = LlamaDebugHandler(print_trace_on_end=False)
    synthesizer = SoTSynthesizer(model(server), callback_manager=CallbackManager([debug]))
    run(told(SoTQueryEngine(index.as_retriever(), synthesizer)))
    assert (1, 4) == tuple(len(debug.get_event_pairs(kind)) for kind in (CBEventType.SYNTHESIZE, CBEventType.LLM))


@pytest.fixture
def endless() -> Iterator[LatencyServer]:
    """Serve points that take minutes."""

    def reply(generation: Generation) -> str:
        return "and " * 10_000 if task_of(generation) in TITLES else say(generation)

    with LatencyServer(LatencyModel(reply=reply, per_token=0.02)) as server:
        yield server


@pytest.mark.parametrize("end", [WorkflowCancelledByUser, WorkflowTimeoutError])
def test_ending_a_workflow_leaves_nothing(endless: LatencyServer, index: Any, end: type[Exception]) -> None:
    """No request goes on, and no task."""
    engine = engine_of("engine", index, model(endless))

    async def main() -> None:
        async with no_task_left():
            cancelled = end is WorkflowCancelledByUser
            handler = SoTWorkflow(engine, timeout=30 if cancelled else 1).run(query=QUESTION)
            if cancelled:
                await asyncio.to_thread(endless.wait_until, 3)
                await handler.cancel_run()
            with pytest.raises(end):
                await handler
            await idle(endless)

    run(main())


def test_a_failing_point_is_the_error_of_the_workflow(index: Any) -> None:
    """With its number and its cause."""

    def reply(generation: Generation) -> str:
        if task_of(generation) == 2:
            raise RuntimeError("no")
        return say(generation)

    with LatencyServer(LatencyModel(reply=reply)) as server, pytest.raises(PointError) as caught:
        run(told(engine_of("engine", index, model(server))))
    assert (2, TITLES[2]) == (caught.value.number, caught.value.title)


# -- a tool of LangChain -------------------------------------------------------------------------------


@pytest.mark.parametrize("streaming", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("way", ["invoke", "ainvoke", "on a loop"])
def test_an_engine_is_a_tool_of_langchain(index: Any, llm: Any, way: str, streaming: bool) -> None:
    """It takes a question and returns text; its asynchronous method is the engine's."""
    pytest.importorskip("langchain_core")
    tool = engine_of("engine", index, llm, streaming=streaming).as_langchain_tool(name="sleep", description="Of sleep.")
    assert ("sleep", "Of sleep.", {"question"}) == (tool.name, tool.description, set(tool.args))

    async def ask() -> str:
        return tool.invoke({"question": QUESTION}) if way == "on a loop" else await tool.ainvoke({"question": QUESTION})

    assert TEXT == (tool.invoke({"question": QUESTION}) if way == "invoke" else run(ask()))


def test_a_tool_has_a_name_and_a_description_of_its_own(index: Any, llm: Any) -> None:
    """Which an agent can choose by."""
    pytest.importorskip("langchain_core")
    tool = engine_of("engine", index, llm).as_langchain_tool()
    assert ("query_engine", "Answer a question from the documents, point by point.") == (tool.name, tool.description)
