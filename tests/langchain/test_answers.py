"""What `SoTChain` returns: the message of a chat model, which tells how it came about."""

from typing import Any

import pytest

from ..script import DIRECT, POINTS, QUESTION, SKELETON, TEXT

pytest.importorskip("langchain_core")

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.tools import tool
from pydantic import BaseModel

from langchain_sot import SoTChain
from skeleton_of_thought import ConfigurationError

from .fakes import TITLES, Blocking, Native, Script, WithTools, usage, words
from .ways import EVERY, FOUR, ask, run, total

CAPITAL = "What is the capital of France?"
MODELS = pytest.mark.parametrize("kind", [Native, Blocking])
CALL = {"name": "look_up", "args": {"what": "France"}, "id": "call-1", "type": "tool_call"}
OTHER = {"name": "look_up", "args": {"what": "Paris"}, "id": "call-2", "type": "tool_call"}
DIRECTLY = {
    "text": AIMessage(DIRECT, id="said"),
    "tool calls": AIMessage("", id="said", tool_calls=[CALL, OTHER]),
    "text and tool call": AIMessage("Let me see.", id="said", tool_calls=[CALL]),
    "blocks": AIMessage(
        [{"type": "reasoning", "reasoning": "Hm.", "index": 0}, {"type": "text", "text": DIRECT, "index": 1}], id="said"
    ),
    "more": AIMessage(DIRECT, id="said", additional_kwargs={"refusal": None}, response_metadata={"logprobs": "few"}),
}


@tool
def look_up(what: str) -> str:
    """Look something up."""
    return what


def _own(message: Any) -> Any:
    """Return a message without what the chain adds."""
    told = {name: value for name, value in message.response_metadata.items() if name != "sot"}
    return message.model_copy(update={"response_metadata": told})


@MODELS
@FOUR
@pytest.mark.parametrize("said", DIRECTLY)
def test_a_direct_answer_is_the_models_own_message(said: str, way: str, kind: Any) -> None:
    """Text, blocks, tool calls, id, cost and whatever else: as the model itself gives it, whole and streamed."""
    llm = kind(script=Script(replies={"direct": DIRECTLY[said]}))
    expected, answer = ask(way, llm, CAPITAL), ask(way, SoTChain(llm=llm), CAPITAL)
    assert type(expected) is type(answer)
    assert expected == _own(answer)
    assert "direct" == answer.response_metadata["sot"]["route"]["kind"]


@FOUR
def test_usage_of_a_direct_answer_is_told_once(way: str) -> None:
    """Not by the model's chunk and by ours."""
    message = ask(way, SoTChain(llm=Native(script=Script())), CAPITAL)
    assert usage(len(words(DIRECT))) == message.usage_metadata
    assert {"direct": usage(len(words(DIRECT)))} == message.response_metadata["sot"]["usage"]


@MODELS
@EVERY
@pytest.mark.parametrize("text", ["", "Let me see."])
def test_tool_calls_in_the_place_of_a_skeleton_are_the_answer(text: str, way: str, kind: Any) -> None:
    """After one call; asking again would only cost time."""
    script = Script(replies={"skeleton": AIMessage(text, tool_calls=[CALL], id="said")})
    message = ask(way, SoTChain(llm=kind(script=script)), QUESTION)
    assert ["skeleton"] == script.stages
    assert ([CALL], text, "said") == (message.tool_calls, message.text, message.id)
    assert usage(len(words(text))) == message.usage_metadata
    route = message.response_metadata["sot"]["route"]
    assert ("direct", "skeleton", "the model calls tools") == (route["kind"], route["by"], route["why"])


@FOUR
def test_tool_call_chunks_add_up(way: str) -> None:
    """Cut as the model cut them, so that they can be put together."""
    script = Script(replies={"skeleton": AIMessage("", tool_calls=[CALL, OTHER])})
    chain = SoTChain(llm=WithTools(script=script)).bind_tools([look_up])
    message = ask(way, chain, QUESTION)
    assert [CALL, OTHER] == message.tool_calls
    assert [] == message.invalid_tool_calls
    assert ["look_up"] == [each["function"]["name"] for each in script.calls[0].options["tools"]]


@FOUR
def test_a_list_that_is_none_is_answered_directly(way: str) -> None:
    """The cost of the skeleton is told as well."""
    script = Script(replies={"skeleton": "Well, it depends."})
    message = ask(way, SoTChain(llm=Native(script=script)), QUESTION)
    assert (DIRECT, ["direct", "skeleton"]) == (message.text, script.stages)
    assert 20 == message.usage_metadata["input_tokens"]
    assert "skeleton" == message.response_metadata["sot"]["route"]["by"]


@MODELS
@FOUR
def test_it_tells_how_it_came_about(kind: Any, way: str) -> None:
    """Route, skeleton, points, cost by stage, timings, in types that JSON knows."""
    message = ask(way, SoTChain(llm=kind(script=Script())), QUESTION)
    about = message.response_metadata["sot"]
    told = {"question", "route", "skeleton", "planned", "points", "usage", "finish", "complete", "sources", "timings"}
    assert told == set(about)
    assert ("skeleton", "rules", []) == (about["route"]["kind"], about["route"]["by"], about["sources"])
    assert SKELETON == "\n".join(f"{point['number']}. {point['title']}" for point in about["skeleton"]["points"])
    keys = {"number", "title", "span", "seconds", "finish", "failure", "usage", "sources"}
    assert [keys] * 3 == [set(point) for point in about["points"]]
    assert list(TITLES.items()) == [(point["number"], point["title"]) for point in about["points"]]
    assert list(POINTS.values()) == [message.text[slice(*point["span"])] for point in about["points"]]
    assert [usage(len(words(text))) for text in POINTS.values()] == [point["usage"] for point in about["points"]]
    assert [("stop", [])] * 3 == [(point["finish"], point["sources"]) for point in about["points"]]
    timings = about["timings"]
    assert timings["total"] >= timings["critical_path"] >= timings["skeleton"] > 0
    assert sorted(point["seconds"] for point in about["points"]) == sorted(timings["points"].values())
    assert message == type(message).model_validate_json(message.model_dump_json())


@FOUR
def test_messages_stand_in_a_history(way: str) -> None:
    """An answer is given back with the next question, to this chain or to any model."""
    script = Script()
    chain = SoTChain(llm=Native(script=script))
    first = ask(way, chain, QUESTION)
    assert TEXT == ask(way, chain, [("human", QUESTION), first, ("human", QUESTION)]).text
    assert [first] * 4 == [call.messages[1] for call in script.calls[4:]]


@FOUR
def test_usage_that_a_model_does_not_tell_is_not_known(way: str) -> None:
    """Zero would be believed."""
    chain = SoTChain(llm=Native(script=Script()) | (lambda said: said.text))
    message = ask(way, chain, QUESTION)
    assert (TEXT, None) == (message.text, message.usage_metadata)


def test_the_text_is_streamed_in_reading_order() -> None:
    """Beginning with the first heading, before any point is written."""
    script = Script(hangs=[1])

    async def begin() -> Any:
        stream = SoTChain(llm=Native(script=script)).astream(QUESTION)
        first = await anext(stream)
        await stream.aclose()
        return first

    first = run(begin())
    assert isinstance(first, AIMessageChunk)
    assert f"1. {TITLES[1]}: ".startswith(first.text)


class Verdict(BaseModel):
    """A verdict."""

    points: list[str]


@pytest.mark.parametrize("way", ["invoke", "ainvoke"])
def test_structured_output_is_the_models_own(way: str) -> None:
    """It is never an answer in points."""
    script = Script()
    asked = SoTChain(llm=WithTools(script=script)).with_structured_output(Verdict)
    assert Verdict(points=list(TITLES.values())) == ask(way, asked, QUESTION)
    assert 1 == len(script.calls)


@FOUR
def test_tools_are_known_to_the_model(way: str) -> None:
    """A smaller one writes points and calls none; the chain that they are given to stays as it is."""
    script, smaller = Script(), Script()
    chain = SoTChain(llm=WithTools(script=script), point_llm=WithTools(script=smaller))
    bound = chain.bind_tools([look_up], tool_choice=None)
    assert (SoTChain, TEXT) == (type(bound), ask(way, bound, QUESTION).text)
    assert ["skeleton"] == script.stages
    assert ["look_up"] == [each["function"]["name"] for each in script.calls[0].options["tools"]]
    assert [False] * 3 == ["tools" in call.options for call in smaller.calls]
    assert "tools" not in (ask(way, chain, QUESTION) and script.calls[-1].options)


def test_a_model_that_knows_no_tools_says_so() -> None:
    """When the tools are given, not when it is asked."""
    with pytest.raises(ConfigurationError, match="Native knows no tools: use a model with bind_tools"):
        SoTChain(llm=Native(script=Script())).bind_tools([look_up])


@MODELS
@FOUR
def test_chunks_of_blocks_add_up_to_text(kind: Any, way: str) -> None:
    """Models that answer in blocks write skeletons and points as others do."""
    texts = {"skeleton": SKELETON} | POINTS
    replies = {stage: AIMessage([{"type": "text", "text": text, "index": 0}]) for stage, text in texts.items()}
    message = ask(way, SoTChain(llm=kind(script=Script(replies=replies))), QUESTION)
    assert TEXT == message.text


def test_a_direct_answer_streams_the_models_chunks() -> None:
    """One for one, and one more that tells of the chain."""
    llm = Native(script=Script())
    own, chunks = list(llm.stream(CAPITAL)), list(SoTChain(llm=llm).stream(CAPITAL))
    assert [chunk.text for chunk in own if chunk.text] == [chunk.text for chunk in chunks if chunk.text]
    assert total(own).text == total(chunks).text
