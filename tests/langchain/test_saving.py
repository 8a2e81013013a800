"""`SoTChain` saved with ``dumpd``, and as a tool."""

import json
import warnings
from typing import Any

import pytest

from ..script import QUESTION, TEXT

ChatOpenAI = pytest.importorskip("langchain_openai").ChatOpenAI

from langchain_core.load import dumpd, dumps, load  # noqa: E402 -- only where the framework is
from langchain_core.prompts import (  # noqa: E402
    ChatPromptTemplate,
    HumanMessagePromptTemplate,
    MessagesPlaceholder,
    PromptTemplate,
)
from pydantic import BaseModel  # noqa: E402

from langchain_sot import ChatPrompts, SoTChain  # noqa: E402
from skeleton_of_thought import Abilities, ConfigurationError, Prompts  # noqa: E402
from skeleton_of_thought.testing import LatencyModel, LatencyServer  # noqa: E402

from ..script import REPLY  # noqa: E402
from .fakes import Blocking, Native, Script  # noqa: E402
from .ways import WHOLE, Recorder, ask  # noqa: E402

KEY = "sk-very-secret"


def _llm(base_url: str = "http://127.0.0.1:9/v1") -> Any:
    return ChatOpenAI(base_url=base_url, model="scripted", api_key=KEY, max_retries=0)


def _loaded(saved: Any) -> Any:
    prompts = [ChatPromptTemplate, HumanMessagePromptTemplate, MessagesPlaceholder, PromptTemplate]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*in beta")  # LangChain tells so once
        return load(
            json.loads(json.dumps(saved)),
            allowed_objects=[SoTChain, ChatOpenAI, *prompts],
            valid_namespaces=["langchain_sot"],
            secrets_map={"OPENAI_API_KEY": KEY},
        )


SETTINGS: dict[str, Any] = {
    "max_points": 5,
    "min_points": 3,
    "detail": "long",
    "point_max_tokens": 99,
    "heading": "bold",
    "router": "always",
    "max_concurrency": 3,
    "abilities": Abilities(prefill=True),
    "prompts": Prompts(point="Explain {title}.", skeleton_start="-"),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_survives(name: str) -> None:
    """Each by itself, and saved again it is the same."""
    chain = SoTChain(llm=_llm(), **{name: SETTINGS[name]})
    saved = dumpd(chain)
    loaded = _loaded(saved)
    value = getattr(loaded, name)
    expected = SETTINGS[name]
    if name == "max_concurrency":
        assert expected == value.width
    elif name == "prompts":
        assert (expected.point, expected.skeleton_start, expected.skeleton) == (
            value.point,
            value.skeleton_start,
            value.skeleton,
        )
    else:
        assert expected == value
    assert saved == dumpd(loaded)


def test_a_saved_chain_answers() -> None:
    """A prompt and a second model survive as well."""
    with LatencyServer(LatencyModel(reply=REPLY)) as server:
        pipeline = SoTChain(llm=_llm(server.base_url), point_llm=_llm(server.base_url))
        loaded = _loaded(dumpd(pipeline))
        assert (SoTChain, TEXT) == (type(loaded), loaded.invoke(QUESTION).text)


def test_templates_survive() -> None:
    """Those of `ChatPrompts` are LangChain's own, and saved as such."""
    template = ChatPromptTemplate([MessagesPlaceholder("messages"), ("human", "Only {title}.")])
    loaded = _loaded(dumpd(SoTChain(llm=_llm(), prompts=ChatPrompts(point_messages=template))))
    assert (ChatPrompts, template) == (type(loaded.prompts), loaded.prompts.point_messages)


def test_a_key_is_not_saved() -> None:
    """It stays a reference to where it comes from."""
    saved = dumps(SoTChain(llm=_llm(), point_llm=_llm()))
    assert KEY not in saved
    assert "OPENAI_API_KEY" in saved
    assert "not_implemented" not in saved


@WHOLE
@pytest.mark.parametrize("kind", [Native, Blocking])
def test_a_tool_answers_a_question(kind: Any, way: str) -> None:
    """Its runs stand in the run of the tool."""
    record = Recorder()
    tool = SoTChain(llm=kind(script=Script())).as_tool(name="essay", description="Answer at length.")
    assert ("essay", "Answer at length.", ["question"]) == (tool.name, tool.description, list(tool.args))
    assert TEXT == ask(way, tool, {"question": QUESTION}, {"callbacks": [record], "metadata": {"who": "me"}})
    assert [("essay", "tool")] == [(run.name, run.kind) for run in record.roots]
    assert ["essay"] == [record.parent(run).name for run in record.named("SoTChain")]
    assert {"me"} == {model.metadata["who"] for model in record.models}
    assert 4 == len(record.models)


@WHOLE
def test_a_call_of_the_tool_gives_a_message(way: str) -> None:
    """As an agent asks it."""
    tool = SoTChain(llm=Native(script=Script())).as_tool()
    call = {"name": tool.name, "args": {"question": QUESTION}, "id": "1", "type": "tool_call"}
    message = ask(way, tool, call)
    assert (TEXT, "1", "answer_in_points") == (message.content, message.tool_call_id, message.name)


def test_a_tool_of_other_arguments_is_a_pipeline() -> None:
    """The chain's own says what to do instead."""

    class Arguments(BaseModel):
        subject: str

    chain = SoTChain(llm=Native(script=Script()))
    for asked in ({"args_schema": Arguments}, {"arg_types": {"subject": str}}):
        with pytest.raises(ConfigurationError, match="this tool takes a question"):
            chain.as_tool(**asked)
