"""`SoTMiddleware` in an agent: long answers in points, every other turn as it is without it."""

import asyncio
from collections import defaultdict
from typing import Any

import pytest

from skeleton_of_thought import ConfigurationError, PointError
from skeleton_of_thought.testing import LatencyModel, LatencyServer

from ..script import DIRECT, POINTS, QUESTION, REPLY, SKELETON, TEXT

pytest.importorskip("langchain")

from langchain.agents import create_agent
from langchain.agents.middleware import (
    AgentMiddleware,
    ExtendedModelResponse,
    ModelCallLimitMiddleware,
    ModelRetryMiddleware,
    wrap_model_call,
)
from langchain.agents.structured_output import ToolStrategy
from langchain_core.documents import Document
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import interrupt
from pydantic import BaseModel

from langchain_sot import ChatPrompts
from langchain_sot.middleware import SoTMiddleware

from .agents_fakes import AgentModel, ModelDownError, Watch

FACT = "What is the capital of France?"
ONE_ANSWER = ["1", "2", "3", "skeleton"]
"""The calls of an answer in points."""
LOOK_UP: Any = {"name": "look_up", "args": {"subject": "sleep"}, "id": "call_1"}
BOTH = pytest.mark.parametrize("way", ["invoke", "ainvoke"])
STREAMS = pytest.mark.parametrize("way", ["stream", "astream"])


@tool
def look_up(subject: str) -> str:
    """Look a subject up in the almanac."""
    return f"The almanac on {subject}: dark rooms."


class Verdict(BaseModel):
    """An answer that has a form."""

    text: str


def _ask(agent: Any, question: Any = QUESTION, *, way: str = "invoke", config: Any = None) -> Any:
    asked = {"messages": question if isinstance(question, list) else [HumanMessage(question)]}
    return agent.invoke(asked, config) if way == "invoke" else asyncio.run(agent.ainvoke(asked, config))


def _stream(agent: Any, way: str, mode: str, question: str = QUESTION, config: Any = None) -> list[Any]:
    asked = {"messages": [HumanMessage(question)]}
    if way == "stream":
        return list(agent.stream(asked, config, stream_mode=mode))

    async def gather() -> list[Any]:
        return [item async for item in agent.astream(asked, config, stream_mode=mode)]

    return asyncio.run(gather())


def _middleware(**settings: Any) -> Any:
    return [SoTMiddleware(**settings)]


# -- which turns are answered in points ----------------------------------------------------------------


@BOTH
def test_a_long_answer_is_written_in_points(way: str) -> None:
    """The last message is that of the chain: its text, and what led to it."""
    model = AgentModel()
    message = _ask(create_agent(model, middleware=_middleware()), way=way)["messages"][-1]
    assert (AIMessage, TEXT) == (type(message), message.text)
    about = message.response_metadata["sot"]
    assert "skeleton" == about["route"]["kind"]
    assert SKELETON == "\n".join(f"{point['number']}. {point['title']}" for point in about["points"])
    assert 4 * 15 == message.usage_metadata["total_tokens"]
    assert ONE_ANSWER == model.stages


@BOTH
def test_a_turn_that_calls_tools_is_untouched(way: str) -> None:
    """It costs one call; the message is the model's own; the answer after the tool's result is in points."""
    model = AgentModel(wants=LOOK_UP)
    _, called, result, answer = _ask(create_agent(model, [look_up], middleware=_middleware()), way=way)["messages"]
    assert [("look_up", {"subject": "sleep"}, "call_1")] == [
        (call["name"], call["args"], call["id"]) for call in called.tool_calls
    ]
    assert ({"model_name": "agent-model"}, "") == (called.response_metadata, called.text)
    assert "The almanac on sleep: dark rooms." == result.text
    assert TEXT == answer.text
    assert sorted([*ONE_ANSWER, "skeleton"]) == model.stages


def test_the_result_of_a_tool_is_in_the_prefix_of_every_call() -> None:
    """The question, the call and the result stand first, as the agent has them, and tools stay bound."""
    model = AgentModel(wants=LOOK_UP)
    messages = _ask(create_agent(model, [look_up], middleware=_middleware()))["messages"]
    calls = model.calls[1:]
    assert 4 == len(calls)
    assert [messages[:3]] * 4 == [asked[:3] for _, asked, _ in calls]
    assert [["look_up"]] * 4 == [[tool["function"]["name"] for tool in options["tools"]] for _, _, options in calls]


@BOTH
def test_a_direct_turn_is_the_agents_own_response(way: str) -> None:
    """One call with the agent's own messages, and the very object that came back."""
    model, before, after = AgentModel(), Watch("before"), Watch("after")
    agent = create_agent(model, middleware=[before, *_middleware(), after])
    message = _ask(agent, FACT, way=way)["messages"][-1]
    assert (DIRECT, ["direct"]) == (message.text, model.stages)
    assert "sot" not in message.response_metadata
    assert before.responses[0] is after.responses[0]
    assert before.requests[0].messages == after.requests[0].messages
    assert all(map(lambda mine, its: mine is its, before.requests[0].messages, after.requests[0].messages))


@BOTH
def test_a_skeleton_of_too_few_points_is_asked_again_directly(way: str) -> None:
    """Two calls, and the second one's response is the turn's."""
    model, before, after = AgentModel(skeleton="I would just sleep."), Watch("before"), Watch("after")
    message = _ask(create_agent(model, middleware=[before, *_middleware(), after]), way=way)["messages"][-1]
    assert (DIRECT, ["direct", "skeleton"]) == (message.text, model.stages)
    assert before.responses[0] is after.responses[1]


@BOTH
def test_a_form_is_no_answer_in_points(way: str) -> None:
    """A response format goes to the model as it is."""
    model = AgentModel()
    state = _ask(create_agent(model, middleware=_middleware(), response_format=ToolStrategy(Verdict)), way=way)
    assert Verdict(text=DIRECT) == state["structured_response"]
    assert ["direct"] == model.stages


@BOTH
def test_a_forced_tool_is_no_answer_in_points(way: str) -> None:
    """Nor is a turn in which other middleware wants a tool called; the answer after it is."""
    model = AgentModel(wants=LOOK_UP)

    class Force(AgentMiddleware):
        def _forced(self, request: Any) -> Any:
            done = any(message.type == "tool" for message in request.messages)
            return request if done else request.override(tool_choice="look_up")

        def wrap_model_call(self, request: Any, handler: Any) -> Any:
            return handler(self._forced(request))

        async def awrap_model_call(self, request: Any, handler: Any) -> Any:
            return await handler(self._forced(request))

    agent = create_agent(model, [look_up], middleware=[Force(), *_middleware()])
    assert TEXT == _ask(agent, way=way)["messages"][-1].text
    assert ("direct", "look_up") == (model.calls[0][0], model.calls[0][2]["tool_choice"])
    assert sorted([*ONE_ANSWER, "direct"]) == model.stages


@BOTH
@pytest.mark.parametrize(
    "messages",
    [
        [],
        [SystemMessage("Say something.")],
        [HumanMessage(QUESTION), AIMessage("1. Keep")],
        [HumanMessage("")],
    ],
    ids=["nothing", "system", "prefill", "empty"],
)
def test_a_turn_without_a_question_is_the_agents_own(way: str, messages: Any) -> None:
    """An agent that works without this middleware works with it."""

    class Answering(AgentModel):
        def _said(self, messages: Any, options: Any) -> AIMessage:
            self.calls.append(("direct", messages, options))
            return AIMessage(DIRECT)

    model, plain = Answering(), Answering()
    said = [
        _ask(create_agent(each, system_prompt="Be kind.", middleware=middleware), messages, way=way)["messages"][-1]
        for each, middleware in ((model, _middleware()), (plain, []))
    ]
    assert [DIRECT, DIRECT] == [message.text for message in said]
    assert [asked for _, asked, _ in plain.calls] == [asked for _, asked, _ in model.calls]


def test_the_router_is_a_setting() -> None:
    """All settings of the chain are taken."""
    model = AgentModel()
    assert TEXT == _ask(create_agent(model, middleware=_middleware(router="always")), FACT)["messages"][-1].text
    direct = AgentModel()
    assert DIRECT == _ask(create_agent(direct, middleware=_middleware(router="never")))["messages"][-1].text
    assert (ONE_ANSWER, ["direct"]) == (model.stages, direct.stages)


# -- what every call is told ---------------------------------------------------------------------------


@BOTH
def test_the_system_prompt_is_kept(way: str) -> None:
    """It stands first in every call, once."""
    model = AgentModel()
    _ask(create_agent(model, system_prompt="Be kind.", middleware=_middleware()), way=way)
    assert [["system"]] * 4 == [
        [message.type for message in asked if message.type == "system"] for _, asked, _ in model.calls
    ]
    assert ["Be kind."] * 4 == [asked[0].text for _, asked, _ in model.calls]


def test_a_prompt_of_yours_is_kept_whole() -> None:
    """Also one that says something else in the place of the system prompt, or nothing."""
    model = AgentModel()
    prompts = ChatPrompts(
        skeleton_messages=ChatPromptTemplate([("human", "{question} Only the skeleton.")]),
        point_messages=ChatPromptTemplate([
            ("system", "Be brief."),
            ("human", "{question} Write only point {number}: {title}"),
        ]),
    )
    agent = create_agent(model, system_prompt="Be kind.", middleware=_middleware(prompts=prompts))
    assert TEXT == _ask(agent)["messages"][-1].text
    told = {str(stage): [message.text for message in asked] for stage, asked, _ in model.calls}
    assert [f"{QUESTION} Only the skeleton."] == told["skeleton"]
    assert ["Be brief.", f"{QUESTION} Write only point 2: Avoid late coffee"] == told["2"]


def test_tools_come_first_in_the_wording_of_the_skeleton() -> None:
    """A model with tools is told that it may call one; a model without them is not."""
    with_tools, without = AgentModel(), AgentModel()
    _ask(create_agent(with_tools, [look_up], middleware=_middleware()))
    _ask(create_agent(without, middleware=_middleware()))
    asked = [model.calls[0][1][-1].text for model in (with_tools, without)]
    assert [True, False] == ["call it now" in text for text in asked]


@BOTH
def test_passages_reach_a_direct_answer(way: str) -> None:
    """A retriever is a setting as any other."""
    model = AgentModel()
    retriever = RunnableLambda(lambda query: [Document("Paris, since 987.")])
    message = _ask(create_agent(model, middleware=_middleware(retriever=retriever)), FACT, way=way)["messages"][-1]
    assert DIRECT == message.text
    assert ["Paris, since 987." in model.calls[0][1][-1].text] == [True]


def test_the_agents_own_bound_is_kept() -> None:
    """What the agent sets for its model is stronger than what a point usually gets."""

    @wrap_model_call
    def short(request: Any, handler: Any) -> Any:
        return handler(request.override(model_settings={"max_tokens": 77}))

    bounded, usual = AgentModel(), AgentModel()
    _ask(create_agent(bounded, middleware=[short, *_middleware()]))
    _ask(create_agent(usual, middleware=_middleware(point_max_tokens=99)))
    assert [77] * 4 == [options["max_tokens"] for _, _, options in bounded.calls]
    assert [99] * 3 == [options["max_tokens"] for stage, _, options in usual.calls if stage != "skeleton"]


@BOTH
def test_the_agents_name_is_on_the_message(way: str) -> None:
    """Supervisors tell the answers of their agents apart by it."""
    agents = [create_agent(AgentModel(), name="sleeper", middleware=each) for each in (_middleware(), [])]
    assert ["sleeper", "sleeper"] == [_ask(agent, way=way)["messages"][-1].name for agent in agents]


@BOTH
def test_another_model_writes_the_points(way: str) -> None:
    """The agent's model writes the skeleton, the other one the points, without the agent's tools."""
    model, points, after = AgentModel(), AgentModel(), Watch()
    agent = create_agent(model, [look_up], middleware=[*_middleware(point_llm=points), after])
    assert TEXT == _ask(agent, way=way)["messages"][-1].text
    assert (["skeleton"], ["1", "2", "3"]) == (model.stages, points.stages)
    assert 1 == len(after.requests)
    assert all("tools" not in options for _, _, options in points.calls)


# -- beside other middleware ---------------------------------------------------------------------------


@BOTH
def test_middleware_after_it_sees_every_call_and_middleware_before_it_sees_one(way: str) -> None:
    """The order of the list decides, as with all middleware."""
    before, after = Watch("before"), Watch("after")
    agent = create_agent(AgentModel(), middleware=[before, *_middleware(), after], system_prompt="Be kind.")
    _ask(agent, way=way)
    assert (1, 4) == (len(before.requests), len(after.requests))
    assert {"Be kind."} == {request.system_prompt for request in after.requests}
    assert all("system" not in {message.type for message in request.messages} for request in after.requests)


@BOTH
def test_a_retry_after_it_is_one_call_and_before_it_a_turn(way: str) -> None:
    """A point that fails once is written at the second try."""
    retry: Any = ModelRetryMiddleware(max_retries=1, initial_delay=0.0, jitter=False, on_failure="error")
    inner, outer = AgentModel(failures={2: 1}), AgentModel(failures={2: 1})
    assert TEXT == _ask(create_agent(inner, middleware=[*_middleware(), retry]), way=way)["messages"][-1].text
    assert sorted([*ONE_ANSWER, "2"]) == inner.stages
    assert TEXT == _ask(create_agent(outer, middleware=[retry, *_middleware()]), way=way)["messages"][-1].text
    assert 2 == outer.stages.count("skeleton")


@BOTH
def test_an_answer_in_points_is_one_call_for_limits_of_turns(way: str) -> None:
    """They count turns of the agent, wherever they stand: a tool and an answer are two."""
    limit: Any = ModelCallLimitMiddleware(run_limit=2, exit_behavior="error")
    agent = create_agent(AgentModel(wants=LOOK_UP), [look_up], middleware=[*_middleware(), limit])
    assert TEXT == _ask(agent, way=way)["messages"][-1].text


@BOTH
def test_other_middleware_may_answer_in_its_own_way(way: str) -> None:
    """It may return a message, or a response with more, and change the request."""

    class Own(AgentMiddleware):
        def wrap_model_call(self, request: Any, handler: Any) -> Any:
            return handler(request.override(system_message=SystemMessage("Be brief."))).result[-1]

        async def awrap_model_call(self, request: Any, handler: Any) -> Any:
            response = await handler(request.override(system_message=SystemMessage("Be brief.")))
            return ExtendedModelResponse(model_response=response)

    model = AgentModel()
    agent = create_agent(model, middleware=[*_middleware(), Own()], system_prompt="Be kind.")
    assert TEXT == _ask(agent, way=way)["messages"][-1].text
    assert ["Be brief."] * 4 == [asked[0].text for _, asked, _ in model.calls]


@BOTH
def test_calls_see_the_agents_run(way: str) -> None:
    """Middleware and models inside can use the run's context: its config, and its custom stream."""

    class Tell(AgentMiddleware):
        def wrap_model_call(self, request: Any, handler: Any) -> Any:
            request.runtime.stream_writer("here")
            return handler(request)

        async def awrap_model_call(self, request: Any, handler: Any) -> Any:
            request.runtime.stream_writer("here")
            return await handler(request)

    agent = create_agent(AgentModel(), middleware=[*_middleware(), Tell()])
    seen = _stream(agent, "stream" if way == "invoke" else "astream", "custom")
    assert ["here"] * 4 == seen


def test_one_bound_holds_for_all_turns() -> None:
    """As it does for all runs of a chain: the bound belongs to the middleware, not to a turn."""
    peak = now = 0

    class Count(AgentMiddleware):
        async def awrap_model_call(self, request: Any, handler: Any) -> Any:
            nonlocal peak, now
            now += 1
            peak = max(peak, now)
            try:
                await asyncio.sleep(0.002)  # so that others could come in between
                return await handler(request)
            finally:
                now -= 1

    agent = create_agent(AgentModel(), middleware=[*_middleware(max_concurrency=1), Count()])

    async def ask() -> list[Any]:
        asked = {"messages": [HumanMessage(QUESTION)]}
        return await asyncio.gather(*(agent.ainvoke(asked) for _ in range(3)))

    assert [TEXT] * 3 == [state["messages"][-1].text for state in asyncio.run(ask())]
    assert 1 == peak


# -- streams and state ---------------------------------------------------------------------------------


@STREAMS
def test_tokens_tell_which_point_they_belong_to(way: str) -> None:
    """In the stream of messages each point can be put together while it is written; the whole message comes last."""
    items = _stream(create_agent(AgentModel(), middleware=_middleware()), way, "messages")
    texts: dict[Any, str] = defaultdict(str)
    for chunk, metadata in items:
        texts[metadata.get("sot_stage"), metadata.get("sot_point")] += chunk.text
    assert {
        ("skeleton", None): SKELETON,
        ("point", 1): POINTS[1],
        ("point", 2): POINTS[2],
        ("point", 3): POINTS[3],
        (None, None): TEXT,
    } == texts
    whole, metadata = items[-1]
    assert (AIMessage, "model") == (type(whole), metadata["langgraph_node"])
    assert "skeleton" == whole.response_metadata["sot"]["route"]["kind"]
    assert all(len([chunk for chunk, metadata in items if metadata.get("sot_point") == each]) > 5 for each in POINTS)


@STREAMS
def test_a_direct_turn_streams_once(way: str) -> None:
    """Its tokens have their stage, and its message does not come a second time."""
    items = _stream(create_agent(AgentModel(), middleware=_middleware()), way, "messages", FACT)
    assert {"direct"} == {metadata["sot_stage"] for _, metadata in items}
    assert DIRECT == "".join(chunk.text for chunk, _ in items)


@STREAMS
def test_a_call_of_a_tool_streams_once(way: str) -> None:
    """It is what the call for a skeleton gave."""
    agent = create_agent(AgentModel(wants=LOOK_UP), [look_up], middleware=_middleware())
    items = _stream(agent, way, "messages")
    called = [(chunk, metadata) for chunk, metadata in items if getattr(chunk, "tool_calls", None)]
    assert ["skeleton"] == [metadata["sot_stage"] for _, metadata in called]
    assert 1 == len([chunk for chunk, _ in items if isinstance(chunk, ToolMessage)])


@STREAMS
def test_updates_are_one_for_each_turn(way: str) -> None:
    """A tool and an answer: three updates, each with its message."""
    agent = create_agent(AgentModel(wants=LOOK_UP), [look_up], middleware=_middleware())
    updates = _stream(agent, way, "updates")
    assert [["model"], ["tools"], ["model"]] == [list(update) for update in updates]
    assert [1, 1, 1] == [len(each["messages"]) for update in updates for each in update.values()]
    assert TEXT == updates[-1]["model"]["messages"][-1].text


@BOTH
def test_a_checkpoint_keeps_the_message(way: str) -> None:
    """What led to the answer is saved with it, and the next turn goes on from it."""
    model = AgentModel()
    agent = create_agent(model, middleware=_middleware(), checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "one"}}
    message = _ask(agent, way=way, config=config)["messages"][-1]
    saved = agent.get_state(config).values["messages"][-1]
    assert message == saved
    assert message.response_metadata["sot"]["points"] == saved.response_metadata["sot"]["points"]
    assert 4 == len(_ask(agent, FACT, way=way, config=config)["messages"])
    assert [QUESTION, TEXT, FACT] == [asked.text for asked in model.calls[-1][1]]


# -- errors --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"llm": AgentModel()}, "llm= belongs to the agent"),
        ({"max_pionts": 3}, "max_pionts"),
        ({"max_points": 0}, "max_points=0 cannot work"),
        ({"point_llm": "gpt"}, "point_llm of type str cannot work"),
        ({"structured_skeleton": True}, "structured_skeleton=True cannot work in an agent"),
    ],
)
def test_what_cannot_work_is_refused_at_once(settings: Any, told: str) -> None:
    """Not in the first turn of an agent."""
    with pytest.raises(ValueError, match=told):
        SoTMiddleware(**settings)


def test_errors_of_settings_have_their_name() -> None:
    """A misplaced model can be told from a bug."""
    with pytest.raises(ConfigurationError):
        SoTMiddleware(llm=AgentModel())


@BOTH
def test_a_failing_point_is_one_error_of_the_agent(way: str) -> None:
    """It says which, keeps what was written, and what the model raised is its cause."""
    agent = create_agent(AgentModel(failures={2: 9}), middleware=_middleware())
    with pytest.raises(PointError) as caught:
        _ask(agent, way=way)
    assert (2, "Avoid late coffee") == (caught.value.number, caught.value.title)
    assert isinstance(caught.value.__cause__, ModelDownError)
    assert caught.value.answer.question == QUESTION


@BOTH
def test_a_middleware_after_it_may_interrupt_a_point(way: str) -> None:
    """LangGraph pauses, as it does without us."""

    class Ask(AgentMiddleware):  # type: ignore[type-arg]  # it keeps no state
        def wrap_model_call(self, request: Any, handler: Any) -> Any:
            if "Write only point 2" in request.messages[-1].text:
                interrupt("May I?")
            return handler(request)

        async def awrap_model_call(self, request: Any, handler: Any) -> Any:
            if "Write only point 2" in request.messages[-1].text:
                interrupt("May I?")
            return await handler(request)

    agent = create_agent(AgentModel(), middleware=[*_middleware(), Ask()], checkpointer=InMemorySaver())
    state = _ask(agent, way=way, config={"configurable": {"thread_id": "1"}})
    assert ["May I?"] == [asked.value for asked in state["__interrupt__"]]


# -- a real client -------------------------------------------------------------------------------------


@BOTH
def test_an_agent_of_a_real_client_answers_in_points(way: str) -> None:
    """Over HTTP: four requests that begin with the same messages."""
    openai, httpx = pytest.importorskip("langchain_openai"), pytest.importorskip("httpx")

    def agent(**clients: Any) -> Any:
        llm = openai.ChatOpenAI(base_url=server.base_url, model="scripted", api_key="none", max_retries=0, **clients)
        return create_agent(llm, tools=[], middleware=_middleware(), system_prompt="Be kind.")

    async def ask() -> Any:
        async with httpx.AsyncClient() as client:
            return await agent(http_async_client=client).ainvoke({"messages": [HumanMessage(QUESTION)]})

    with LatencyServer(LatencyModel(reply=REPLY)) as server:
        state = _ask(agent()) if way == "invoke" else asyncio.run(ask())
    assert TEXT == state["messages"][-1].text
    assert [{"role": "system", "content": "Be kind."}] * 4 == [each.body["messages"][0] for each in server.requests]
    assert [True] * 4 == [each.body["messages"][1]["content"].startswith(QUESTION) for each in server.requests]
