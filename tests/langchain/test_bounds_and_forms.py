"""What the caller has told the model counts: its bounds, its tools, and a form that an answer in points would break."""

import pickle
from typing import Any

import pytest

from ..script import DIRECT, QUESTION, TEXT

pytest.importorskip("langchain_core")

from langchain_core.documents import Document
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, SystemMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.runnables import RunnableLambda

from langchain_sot import SoTChain, create_sot_retrieval_chain
from skeleton_of_thought import ConfigurationError, InputError

from .fakes import Native, Script, WithTools
from .ways import FOUR, ask

CAPITAL = "What is the capital of France?"


def bounds(script: Script) -> list[Any]:
    return sorted((call.options.get("max_tokens") for call in script.calls), key=str)


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens", "max_output_tokens"])
def test_a_bound_of_the_callers_is_the_only_one(name: str) -> None:
    """Whatever it is called; a second one beside it would win inside the client."""
    script = Script()
    SoTChain(llm=Native(script=script).bind(**{name: 4000})).invoke(QUESTION)
    SoTChain(llm=Native(script=script)).bind(**{name: 4000}).invoke(QUESTION)
    assert [{name: 4000}] * 8 == [
        {key: value for key, value in call.options.items() if "tokens" in key} for call in script.calls
    ]


def test_a_bound_of_the_models_own_is_never_raised() -> None:
    """It is lowered where a point is shorter."""
    script = Script()
    SoTChain(llm=Native(script=script, max_tokens=100), point_max_tokens=50).invoke(QUESTION)
    SoTChain(llm=Native(script=script, max_tokens=40), point_max_tokens=50).invoke(QUESTION)
    assert [100, 40, 40, 40, 40, 50, 50, 50] == bounds(script)


def test_a_model_that_thinks_gets_no_bound() -> None:
    """Its thoughts would count against it, and some providers refuse one that is below their budget."""
    script = Script()
    llm = Native(script=script, profile={"reasoning_output": True})
    assert TEXT == SoTChain(llm=llm).invoke(QUESTION).text
    assert [None] * 4 == bounds(script)


@FOUR
@pytest.mark.parametrize("how", ["bound before", "bound after"])
def test_an_answer_by_a_schema_is_none_in_points(way: str, how: str) -> None:
    """It goes to the model as it is, whatever the router would say."""
    script, schema = Script(), {"type": "json_object"}
    llm: Any = Native(script=script)
    chain: Any = SoTChain(llm=llm.bind(response_format=schema) if how == "bound before" else llm, router="always")
    chain = chain.bind(response_format=schema) if how == "bound after" else chain
    message = ask(way, chain, QUESTION)
    by = message.response_metadata["sot"]["route"]["by"]
    assert (DIRECT, "form", ["direct"]) == (message.text, by, script.stages)


@pytest.mark.parametrize("wanted", ["Answer as JSON only.", "Reply with exactly one word."])
def test_a_format_that_the_system_message_wants_is_kept(wanted: str) -> None:
    """As when the question itself asks for it."""
    message = SoTChain(llm=Native(script=Script())).invoke([SystemMessage(wanted), HumanMessage(QUESTION)])
    assert (DIRECT, "the answer has a strict format") == (
        message.text,
        message.response_metadata["sot"]["route"]["why"],
    )


def test_tools_that_the_model_has_already_come_first() -> None:
    """Bound before or after, once or twice: they are offered once, and points are told to call none."""

    def look_up(subject: str) -> str:
        """Look a subject up."""
        return subject

    tasks = []
    for tools in (1, 2):
        script = Script()
        chain = SoTChain(llm=WithTools(script=script).bind_tools([look_up]))
        (chain.bind_tools([look_up]) if tools == 2 else chain).invoke(QUESTION)
        skeleton, *points = sorted(script.calls, key=lambda call: str(call.stage), reverse=True)
        tasks.append(skeleton.messages[-1].text)
        assert [1, 1, 1] == [call.messages[-1].text.count("Call no tool.") for call in points]
        assert all("tools" in call.options for call in script.calls)
    assert [1, 1] == [task.count("If you need a tool") for task in tasks]


def test_a_structured_skeleton_leaves_no_room_for_tools() -> None:
    """It is one itself; who wants both is told."""
    with pytest.raises(ConfigurationError, match="structured_skeleton=True leaves a model no call of a tool"):
        SoTChain(llm=WithTools(script=Script()), structured_skeleton=True).bind_tools([])


@FOUR
def test_a_direct_answer_keeps_what_its_model_tells_of_its_cost(way: str) -> None:
    """Also what no sum of ours has a place for."""
    usage = UsageMetadata(
        input_tokens=90,
        output_tokens=50,
        total_tokens=140,
        input_token_details={"cache_creation": 80},
        output_token_details={"reasoning": 40},
    )

    class Telling(Native):
        async def ainvoke(self, *_: Any, **__: Any) -> AIMessage:
            return AIMessage("Paris.", usage_metadata=usage)

        def invoke(self, *_: Any, **__: Any) -> AIMessage:
            return AIMessage("Paris.", usage_metadata=usage)

        async def astream(self, *_: Any, **__: Any) -> Any:
            yield AIMessageChunk("Paris.", usage_metadata=usage)

        def stream(self, *_: Any, **__: Any) -> Any:
            yield AIMessageChunk("Paris.", usage_metadata=usage)

    assert usage == ask(way, SoTChain(llm=Telling(script=Script())), CAPITAL).usage_metadata


def test_a_summary_is_not_the_question() -> None:
    """LangChain's summarization puts it into a message of the user's."""
    script = Script()
    summary = HumanMessage("So far: a poem was asked for.", additional_kwargs={"lc_source": "summarization"})
    SoTChain(llm=Native(script=script)).invoke([HumanMessage(QUESTION), AIMessage("Well."), summary])
    assert ["skeleton", 1, 2, 3] == script.stages
    with pytest.raises(InputError):
        SoTChain(llm=Native(script=script)).invoke([summary])


@pytest.mark.parametrize("history", ["Human: hi", 3])
def test_a_history_is_a_list_of_messages(history: Any) -> None:
    """A text would be taken sign by sign."""
    chain = create_sot_retrieval_chain(RunnableLambda(lambda _: [Document("Dark.")]), Native(script=Script()))
    with pytest.raises(InputError, match="chat_history is a list of messages"):
        chain.invoke({"input": QUESTION, "chat_history": history})


def test_a_model_that_returns_no_message_is_told() -> None:
    """Such as one that has a form of its own."""
    chain = SoTChain(llm=RunnableLambda(lambda _: {"answer": 1}), router="never")
    with pytest.raises(ConfigurationError, match=r"the model returned \{'answer': 1\}"):
        chain.invoke(QUESTION)


def test_a_bound_survives_other_processes_and_copies() -> None:
    """As a width: whose places are taken is known here only."""
    chain = SoTChain(llm=Native(script=Script()), max_concurrency=3)
    assert 3 == pickle.loads(pickle.dumps(chain.max_concurrency)).width  # noqa: S301 -- our own
    assert TEXT == chain.model_copy(update={"max_concurrency": 2}).invoke(QUESTION).text


@pytest.mark.parametrize("value", [3, "why", None])
def test_an_expansion_takes_a_dict(value: Any) -> None:
    """Anything else is told what is missing."""
    with pytest.raises(InputError, match="an expansion needs point, question, skeleton"):
        SoTChain(llm=Native(script=Script())).expansion_chain.invoke(value)
