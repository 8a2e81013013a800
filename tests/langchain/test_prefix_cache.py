"""All calls of a run begin with the same bytes, and providers that need a breakpoint get one at their end."""

import json
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from skeleton_of_thought.testing import LatencyModel, LatencyServer

from ..messages_endpoint import MARK, MessagesEndpoint, blocks_of, prefix_of
from ..script import QUESTION, REPLY, TEXT

pytest.importorskip("langchain_core")

from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.prompts import ChatPromptTemplate
from pydantic import Field

from langchain_sot import ChatPrompts, SoTChain

from .fakes import Native, Script, WithTools
from .ways import FOUR, ask

KEEP = {"cache_control": {"type": "ephemeral"}}
CALL = {"name": "look_up", "args": {"what": "sleep"}, "id": "1", "type": "tool_call"}
HISTORY = [SystemMessage("Be kind."), HumanMessage("Hello"), AIMessage("Hi there")]
ASKED: dict[str, list[Any]] = {
    "question": [HumanMessage(QUESTION)],
    "history": [*HISTORY, HumanMessage(QUESTION)],
    "blocks": [*HISTORY, HumanMessage(["I am tired.", {"type": "text", "text": QUESTION}])],
    "tools": [HumanMessage(QUESTION), AIMessage("", tool_calls=[CALL]), ToolMessage("Much.", tool_call_id="1")],
}


class Claude(WithTools):
    """One that says that it is reached as Anthropic's models are."""

    client: str = "anthropic-chat"
    model: str = "claude-sonnet-4-5"
    model_kwargs: dict[str, Any] = Field(default_factory=dict)

    @property
    def _llm_type(self) -> str:
        return self.client


def marked(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text} | KEEP


def marks_in(messages: list[Any]) -> list[tuple[int, int]]:
    """Tell which blocks of which messages have a mark, or are one."""
    return [
        (place, number)
        for place, message in enumerate(messages)
        for number, block in enumerate(message.content if isinstance(message.content, list) else [])
        if "cache_control" in block or "cachePoint" in block
    ]


def asked(question: Any = QUESTION, kind: Any = Claude, **settings: Any) -> dict[Any, list[Any]]:
    """Return the messages of each call of a run, by stage."""
    script = Script()
    chain = SoTChain(llm=kind(script=script), router="always", **settings)
    assert TEXT == chain.invoke(question).text
    return {call.stage: call.messages for call in script.calls}


# -- one prefix --------------------------------------------------------------------------------------------


@FOUR
def test_all_requests_begin_with_the_same_bytes(way: str) -> None:
    """As a real client sends them; what came from the cache is told."""
    chat = pytest.importorskip("langchain_openai").ChatOpenAI
    with LatencyServer(LatencyModel(reply=REPLY)) as server:
        model = {"model": "scripted", "api_key": "none", "stream_usage": True, "max_retries": 0}
        llm = chat(base_url=server.base_url, default_headers={"Connection": "close"}, **model)
        said = ask(way, SoTChain(llm=llm), ASKED["history"])
        skeleton, *points = [json.dumps(request.body["messages"]) for request in server.requests]
    assert [True] * 3 == [point.startswith(skeleton[:-1] + ", ") for point in points]
    used = said.response_metadata["sot"]["usage"]
    assert 0 == used["skeleton"]["input_token_details"]["cache_read"]
    assert (
        0
        < used["point"]["input_token_details"]["cache_read"]
        == said.usage_metadata["input_token_details"]["cache_read"]
    )


# -- a real client -----------------------------------------------------------------------------------------


@pytest.fixture
def endpoint() -> Iterator[MessagesEndpoint]:
    with MessagesEndpoint() as endpoint:
        yield endpoint


@pytest.fixture
def claude(endpoint: MessagesEndpoint) -> Any:
    """Make Anthropic's own chat model, which asks the endpoint."""
    chat = pytest.importorskip("langchain_anthropic").ChatAnthropic
    return chat(model="scripted", base_url=endpoint.base_url, api_key="none", max_retries=0)


@FOUR
@pytest.mark.parametrize("question", ASKED)
def test_points_read_what_the_skeleton_left(endpoint: MessagesEndpoint, claude: Any, question: str, way: str) -> None:
    """Each request has one breakpoint, behind what all have in common, and no point pays for that again."""
    said = ask(way, SoTChain(llm=claude, router="always"), ASKED[question])
    assert TEXT == said.text
    skeleton, *points = [blocks_of(request) for request in endpoint.requests]
    shared = len(skeleton)
    assert [[shared - 1]] * 4 == [
        [place for place, (_, block) in enumerate(blocks) if MARK in block] for blocks in (skeleton, *points)
    ]
    assert {prefix_of(skeleton)} == {prefix_of(point[:shared]) for point in points}
    used = said.response_metadata["sot"]["usage"]
    kept = used["skeleton"]["input_tokens"]
    assert [0, 3 * kept] == [used[stage]["input_token_details"]["cache_read"] for stage in ("skeleton", "point")]
    assert 3 * kept == said.usage_metadata["input_token_details"]["cache_read"]


@FOUR
def test_points_that_start_early_read_it_too(endpoint: MessagesEndpoint, claude: Any, way: str) -> None:
    """In `pipelined` mode the reply to the skeleton's call has begun, so the entry is there."""
    said = ask(way, SoTChain(llm=claude, pipelined=True), QUESTION)
    used = said.response_metadata["sot"]["usage"]
    assert 3 * used["skeleton"]["input_tokens"] == used["point"]["input_token_details"]["cache_read"]


def test_a_direct_answer_has_no_breakpoint(endpoint: MessagesEndpoint, claude: Any) -> None:
    """Nobody would read what it keeps."""
    SoTChain(llm=claude, router="never").invoke(QUESTION)
    assert [[]] == [[block for _, block in blocks_of(request) if MARK in block] for request in endpoint.requests]


def test_breakpoints_that_the_client_sets_are_left_to_it(endpoint: MessagesEndpoint, claude: Any) -> None:
    """Another of another lifetime in the same place would be refused."""
    hour = {"type": "ephemeral", "ttl": "1h"}
    SoTChain(llm=claude.bind(cache_control=hour)).invoke(QUESTION)
    assert [hour] * 4 == [request["cache_control"] for request in endpoint.requests]
    assert [] == [block for request in endpoint.requests for _, block in blocks_of(request) if MARK in block]


@pytest.mark.parametrize("first", [0, 1])
def test_in_an_agent_its_middleware_sets_them(endpoint: MessagesEndpoint, claude: Any, first: int) -> None:
    """Ours would stand where its own may have another lifetime. Points read what the skeleton left all the same."""
    agents = pytest.importorskip("langchain.agents")
    from langchain_anthropic.middleware import AnthropicPromptCachingMiddleware

    from langchain_sot.middleware import SoTMiddleware

    both: list[Any] = [SoTMiddleware(), AnthropicPromptCachingMiddleware(ttl="1h")]
    agent = agents.create_agent(claude, middleware=[both[first], both[1 - first]])
    said = agent.invoke({"messages": [HumanMessage(QUESTION)]})["messages"][-1]
    assert TEXT == said.text
    assert ["1h"] * 4 == [request["cache_control"]["ttl"] for request in endpoint.requests]
    assert [] == [block for request in endpoint.requests for _, block in blocks_of(request) if MARK in block]
    used = said.response_metadata["sot"]["usage"]
    assert 3 * used["skeleton"]["input_tokens"] == used["point"]["input_token_details"]["cache_read"]


# -- where it goes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("question", ASKED)
def test_the_breakpoint_is_the_last_thing_that_all_share(question: str) -> None:
    """It is on the task of the skeleton, and nowhere else."""
    calls = asked(ASKED[question])
    last = len(calls["skeleton"]) - 1
    where = [(last, len(calls["skeleton"][last].content) - 1)]
    assert [where] * 4 == [marks_in(messages) for messages in calls.values()]
    assert [calls["skeleton"]] * 3 == [calls[point][: last + 1] for point in (1, 2, 3)]


def test_the_callers_messages_stay_as_they_are() -> None:
    """The mark is on a copy."""
    question = HumanMessage([{"type": "text", "text": QUESTION}])
    before = question.model_copy(deep=True)
    asked([question])
    assert before == question


def test_bedrock_gets_a_block_of_its_own() -> None:
    """That is how its Converse API is told."""
    name = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
    calls = asked(kind=partial(Claude, client="amazon_bedrock_converse_chat", model=name))
    assert [[{"cachePoint": {"type": "default"}}]] * 4 == [
        [block for message in messages for block in message.content if block == message.content[-1] and len(block) == 1]
        for messages in ([each for each in messages if isinstance(each.content, list)] for messages in calls.values())
    ]


SYSTEM = SystemMessage([marked("Be kind.")])
TOOL = {"name": "look_up", "input_schema": {"type": "object"}} | KEEP


@pytest.mark.parametrize(
    ("question", "tools", "expected"),
    [
        ([SYSTEM, HumanMessage(QUESTION)], 0, 2),
        ([SYSTEM, HumanMessage(QUESTION)], 2, 2),
        ([SYSTEM, HumanMessage(QUESTION)], 3, 1),
        ([SystemMessage([marked("Be"), marked("kind"), marked(".")]), HumanMessage([marked(QUESTION)])], 0, 4),
        ([HumanMessage([marked(QUESTION)])], 0, 2),
    ],
    ids=["one", "with tools", "with too many tools", "all four", "on the question"],
)
def test_the_callers_own_breakpoints_count(question: Any, tools: int, expected: int) -> None:
    """A request may have four, those of tools included; where they are all taken, there is none of ours."""
    script = Script()
    chain = SoTChain(llm=Claude(script=script).bind(tools=[TOOL] * tools), router="always")
    chain.invoke(question)
    assert [expected] * 4 == [len(marks_in(call.messages)) for call in script.calls]


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        (Native, {}),
        (partial(Claude, client="openai-chat"), {}),
        (partial(Claude, client="amazon_bedrock_converse_chat", model="us.deepseek.r1-v1:0"), {}),
        (partial(Claude, model_kwargs=KEEP), {}),
        (lambda script: Claude(script=script).bind(**KEEP), {}),
        (lambda script: Claude(script=script).with_fallbacks([Native(script=script)]), {}),
        (lambda script: Claude(script=script).with_fallbacks([Claude(script=script, client="x")]), {}),
        (Claude, {"structured_skeleton": True}),
        (Claude, {"prompts": ChatPrompts(point_messages=ChatPromptTemplate([("human", "Write only {title}.")]))}),
    ],
    ids=[
        "no provider",
        "another provider",
        "a model that refuses it",
        "set for the model",
        "bound",
        "a fallback without",
        "a fallback elsewhere",
        "a skeleton by a tool",
        "prompts of one's own",
    ],
)
def test_where_it_could_not_help_or_would_be_refused_there_is_none(kind: Any, settings: dict[str, Any]) -> None:
    """The messages are what they are everywhere else."""
    calls = asked(kind=kind, **settings)
    assert [[]] * 4 == [marks_in(messages) for messages in calls.values()]


def test_another_model_for_the_points_finds_nothing_to_read() -> None:
    """A cache belongs to one model, so that each point would pay for writing what nobody reads."""
    script = Script()
    SoTChain(llm=Claude(script=script), point_llm=Claude(script=script), router="always").invoke(QUESTION)
    assert [[]] * 4 == [marks_in(call.messages) for call in script.calls]


def test_fallbacks_of_one_provider_take_one_breakpoint() -> None:
    """Whichever answers, it is told in the same words."""
    calls = asked(kind=lambda script: Claude(script=script).with_fallbacks([Claude(script=script)]))
    assert [1] * 4 == [len(marks_in(messages)) for messages in calls.values()]
