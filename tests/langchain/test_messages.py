"""What `SoTChain` takes: all that a chat model takes, of which every call gets one unchanged beginning."""

import copy
from typing import Any

import pytest

from ..script import DIRECT, QUESTION, TEXT

pytest.importorskip("langchain_core")

from langchain_core.messages import (
    AIMessage,
    ChatMessage,
    HumanMessage,
    HumanMessageChunk,
    SystemMessage,
    ToolMessage,
)
from langchain_core.prompt_values import ChatPromptValue, StringPromptValue
from langchain_core.prompts import ChatPromptTemplate, PromptTemplate

from langchain_sot import SoTChain
from skeleton_of_thought import InputError

from .fakes import Blocking, Native, Script
from .ways import EVERY, FOUR, ask

IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
CALL = {"name": "look_up", "args": {"what": "sleep"}, "id": "1", "type": "tool_call"}
PLAIN = [HumanMessage(QUESTION)]
FORMS: dict[str, Any] = {
    "text": QUESTION,
    "prompt of text": StringPromptValue(text=QUESTION),
    "prompt": ChatPromptValue(messages=PLAIN),
    "template": PromptTemplate.from_template("{question}").invoke({"question": QUESTION}),
    "chat template": ChatPromptTemplate.from_messages([("human", "{question}")]).invoke({"question": QUESTION}),
    "tuples": [("human", QUESTION)],
    "a tuple of tuples": (("user", QUESTION),),
    "dicts": [{"role": "user", "content": QUESTION}],
    "dict with blocks": [{"role": "user", "content": [{"type": "text", "text": QUESTION}]}],
    "a list of text": [QUESTION],
    "messages": PLAIN,
    "chat message": [ChatMessage(QUESTION, role="user")],
    "chunk": [HumanMessageChunk(QUESTION)],
}
HISTORY = [
    SystemMessage("Be kind.", name="rules"),
    HumanMessage("Hello", additional_kwargs={"mine": 1}, id="first"),
    AIMessage("", tool_calls=[CALL], id="call"),
    ToolMessage("Much is known.", tool_call_id="1", artifact=["raw"]),
    AIMessage([{"type": "text", "text": "Hi there"}], response_metadata={"model_name": "other"}),
]
PICTURED = HumanMessage([{"type": "text", "text": QUESTION}, IMAGE], id="asked")
CONVERSATIONS: dict[str, list[Any]] = {
    "history": [*HISTORY, HumanMessage(QUESTION)],
    "history and image": [*HISTORY, PICTURED],
    "chat message": [ChatMessage("Be kind.", role="developer"), ChatMessage(QUESTION, role="user")],
    "chunk": [SystemMessage("Be kind."), HumanMessageChunk(QUESTION)],
    "two questions": [HumanMessage("I am tired."), HumanMessage(QUESTION)],
    "system message last": [HumanMessage(QUESTION), SystemMessage("Be brief.")],
    "image alone before": [HumanMessage([IMAGE]), AIMessage("A bed."), HumanMessage(QUESTION)],
}
SINCE = [AIMessage("Let me look.", tool_calls=[CALL]), ToolMessage("Much is known.", tool_call_id="1", id="result")]


@FOUR
@pytest.mark.parametrize("form", FORMS)
def test_any_form_of_a_question_will_do(form: str, way: str) -> None:
    """Text, prompts and messages of all kinds."""
    script = Script()
    assert TEXT == ask(way, SoTChain(llm=Native(script=script)), FORMS[form]).text
    assert ["skeleton", 1, 2, 3] == script.stages


def _blocks(message: Any) -> list[Any]:
    return message.content if isinstance(message.content, list) else [message.content]


def _begins_with(message: Any, asked: Any) -> bool:
    """Whether *message* is *asked*, with nothing before and perhaps something behind its content."""
    if isinstance(asked.content, str):
        return type(message) is type(asked) and message.content.startswith(asked.content)
    return type(message) is type(asked) and message.content[: len(asked.content)] == asked.content


@FOUR
@pytest.mark.parametrize("kind", [Native, Blocking])
@pytest.mark.parametrize("conversation", CONVERSATIONS)
def test_every_call_begins_with_the_conversation(conversation: str, kind: Any, way: str) -> None:
    """The messages before the question are handed on as they are, and the question's own content comes first."""
    asked = CONVERSATIONS[conversation]
    script, before = Script(), copy.deepcopy(asked)
    said = ask(way, SoTChain(llm=kind(script=script)), asked)
    assert (TEXT, ["skeleton", 1, 2, 3]) == (said.text, script.stages)
    for call in script.calls:
        assert asked[:-1] == call.messages[: len(asked) - 1]
        assert _begins_with(call.messages[len(asked) - 1], asked[-1])
    skeleton, *points = script.calls
    prefix = len(skeleton.messages)
    assert [skeleton.messages] * 3 == [point.messages[:prefix] for point in points]
    assert before == asked


@FOUR
@pytest.mark.parametrize("question", [HumanMessage(QUESTION), PICTURED])
def test_results_of_tools_stay_behind_the_question(question: Any, way: str) -> None:
    """All that was said until now is one unchanged beginning; our words are a message of their own."""
    script, asked = Script(), [*HISTORY, question, *SINCE]
    assert TEXT == ask(way, SoTChain(llm=Native(script=script)), asked).text
    assert [asked] * 4 == [call.messages[: len(asked)] for call in script.calls]
    assert ["human", "human", "human", "human"] == [call.messages[-1].type for call in script.calls]


@FOUR
@pytest.mark.parametrize("conversation", [*CONVERSATIONS, "tools"])
def test_a_direct_call_adds_nothing(conversation: str, way: str) -> None:
    """The model is asked what the chain was asked."""
    script, asked = Script(), (CONVERSATIONS | {"tools": [*HISTORY, PICTURED, *SINCE]})[conversation]
    assert DIRECT == ask(way, SoTChain(llm=Native(script=script), router="never"), asked).text
    assert [asked] == [call.messages for call in script.calls]


@FOUR
def test_an_image_alone_is_a_question(way: str) -> None:
    """A model that sees may answer it; what the words would ask for is not known, so directly."""
    script, asked = Script(), [HumanMessage([IMAGE])]
    assert DIRECT == ask(way, SoTChain(llm=Native(script=script)), asked).text
    assert [asked] == [call.messages for call in script.calls]


@FOUR
def test_an_image_alone_may_have_a_skeleton(way: str) -> None:
    """Where somebody says so; the task is a block behind the image."""
    script, asked = Script(), [HumanMessage([IMAGE])]
    assert TEXT == ask(way, SoTChain(llm=Native(script=script), router="always"), asked).text
    assert [[IMAGE]] * 4 == [_blocks(call.messages[0])[:1] for call in script.calls]


def test_no_message_of_the_caller_is_changed_by_what_follows() -> None:
    """One that a model is given may be kept, as by a history, and asked again."""
    question = HumanMessage(QUESTION, id="asked")
    chain = SoTChain(llm=Native(script=Script()))
    assert TEXT == chain.invoke([question]).text == chain.invoke([question]).text
    assert HumanMessage(QUESTION, id="asked") == question


REFUSED: dict[str, Any] = {
    "no message": [],
    "no text": "",
    "blank": "  \n",
    "only a system message": [SystemMessage("Be kind.")],
    "an empty message": [HumanMessage("")],
    "an empty list of blocks": [HumanMessage([])],
    "a blank block": [HumanMessage([{"type": "text", "text": " "}])],
    "the model's turn": [HumanMessage(QUESTION), AIMessage("Sleep.")],
    "the model's call": [HumanMessage(QUESTION), SINCE[0]],
    "the model's turn as a tuple": [("human", QUESTION), ("ai", "Sleep.")],
    "a number": 7,
    "nothing": None,
    "a dict": {"question": QUESTION},
    "one message": HumanMessage(QUESTION),
}


@EVERY
@pytest.mark.parametrize("asked", REFUSED)
def test_what_is_no_question_is_refused(asked: str, way: str) -> None:
    """Before any model is called."""
    script = Script()
    with pytest.raises(InputError):
        ask(way, SoTChain(llm=Native(script=script)), REFUSED[asked])
    assert [] == script.calls
