"""The wording, changed by LlamaIndex's own templates."""

from typing import Any

import pytest

from skeleton_of_thought import ConfigurationError, Prompts
from skeleton_of_thought.testing import LatencyServer

from ..script import DIRECT, QUESTION, TEXT

pytest.importorskip("llama_index.llms.openai_like")

from llama_index.core.base.llms.types import ChatMessage, MessageRole
from llama_index.core.prompts import (
    ChatPromptTemplate,
    PromptTemplate,
    PromptType,
    RichPromptTemplate,
    SelectorPromptTemplate,
)
from llama_index.core.prompts.utils import is_chat_model

from llama_index_sot import SoTSynthesizer

from .ways import CAPITAL, FOUR, PASSAGES, SWAPS, TITLES, ask, engine_of, model

POINT = "Write only point {number}, {title}, for a child."
CHAT = [ChatMessage(role=MessageRole.SYSTEM, content="Be kind."), ChatMessage(role=MessageRole.USER, content=POINT)]
TEMPLATES: dict[str, Any] = {
    "plain": PromptTemplate(POINT),
    "typed": PromptTemplate(POINT, prompt_type=PromptType.CUSTOM),
    "rich": RichPromptTemplate("Write only point {{ number }}, {{ title }}, for a child."),
    "rich chat": RichPromptTemplate(
        "{% chat role='system' %}Be kind.{% endchat %}"
        "{% chat role='user' %}Write only point {{ number }}, {{ title }}, for a child.{% endchat %}"
    ),
    "chat": ChatPromptTemplate(CHAT),
    "selector": SelectorPromptTemplate(
        PromptTemplate("{number} {title}: not this one"), [(is_chat_model, PromptTemplate(POINT))]
    ),
    "mapped": PromptTemplate(
        "Write only point {place}, {heading}, for a child.",
        template_var_mappings={"number": "place", "title": "heading"},
    ),
    "function": PromptTemplate(
        "Write only point {number}, {title}, for {who}.", function_mappings={"who": lambda **_: "a child"}
    ),
    "partial": PromptTemplate("Write only point {number}, {title}, for {who}.").partial_format(who="a child"),
}


def tasks(server: LatencyServer) -> list[str]:
    """Return the last messages of the requests for points, by number."""
    said = [str(request.body["messages"][-1]["content"]) for request in server.requests]
    return sorted(task for task in said if "Write only point" in task)


@FOUR
@pytest.mark.parametrize("kind", TEMPLATES)
def test_a_template_of_any_kind_is_filled(llm: Any, server: LatencyServer, index: Any, kind: str, way: str) -> None:
    """Roles of a chat template are the adapter's; the texts of its messages are joined."""
    engine = engine_of("engine", index, llm)
    engine.update_prompts({"response_synthesizer:point_template": TEMPLATES[kind]})
    assert TEXT == ask(engine, way)[1]
    for number, task in enumerate(tasks(server), 1):
        before = "Be kind.\n\n" if "chat" in kind else ""
        assert task.startswith(f"{before}Write only point {number}, {TITLES[number]}, for a child.")


def test_a_selector_chooses_by_the_model(server: LatencyServer, index: Any) -> None:
    """The variant for completion goes to what is no chat model."""
    llm = model(server, is_chat_model=False)
    engine = engine_of("engine", index, llm)
    variants = SelectorPromptTemplate(PromptTemplate(POINT), [(is_chat_model, PromptTemplate("{title}: not this one"))])
    engine.update_prompts({"response_synthesizer:point_template": variants})
    engine.query(QUESTION)
    prompts = [request.body["prompt"] for request in server.requests]
    assert 3 == sum("for a child." in prompt for prompt in prompts)
    assert not any("not this one" in prompt for prompt in prompts)


def test_llama_index_names_are_known(llm: Any, server: LatencyServer, index: Any) -> None:
    """``query_str`` and ``context_str`` are filled as well."""
    engine = engine_of("engine", index, llm)
    engine.update_prompts({
        "response_synthesizer:passages_template": PromptTemplate("Context: {context_str} Question:"),
        "response_synthesizer:skeleton_template": PromptTemplate(
            "Write only the skeleton for {query_str} in {max_points}."
        ),
    })  # fmt: skip
    engine.query(QUESTION)
    first = server.requests[0].body["messages"][0]["content"]
    assert first.startswith("Context: [1] ")
    assert all(passage in first for passage in PASSAGES)
    assert first.endswith(f"Question:\n\n{QUESTION}\n\nWrite only the skeleton for {QUESTION} in 10.")


def test_braces_in_what_is_filled_are_left_alone(llm: Any, server: LatencyServer) -> None:
    """A passage may be code, and a question may have any sign."""
    synthesizer = SoTSynthesizer(llm)
    synthesizer.update_prompts({"passages_template": PromptTemplate("Context: {context_str}")})
    synthesizer.get_response(QUESTION, ["dict = {title}", "{{ x }} {% y %}"])
    first = server.requests[0].body["messages"][0]["content"]
    assert first.startswith("Context: [1] dict = {title}\n\n[2] {{ x }} {% y %}")


@pytest.mark.parametrize("way", ["synthesize", "get_response"])
def test_further_keyword_arguments_are_filled_in(llm: Any, server: LatencyServer, way: str) -> None:
    """As LlamaIndex's synthesizers fill them; also into those of the default one."""
    synthesizer = SoTSynthesizer(llm)
    synthesizer.update_prompts({
        "point_template": PromptTemplate("Write only point {number}, {title}, for {who}."),
        "text_qa_template": PromptTemplate("{context_str} {query_str} Tell {who}."),
    })  # fmt: skip
    if way == "get_response":
        said = [synthesizer.get_response(asked, ["A passage."], who="a child") for asked in (QUESTION, CAPITAL)]
    else:
        from .test_responses import named

        said = [str(synthesizer.synthesize(asked, named("sleep"), who="a child")) for asked in (QUESTION, CAPITAL)]
    assert [TEXT, DIRECT] == said
    assert 4 == sum("a child." in str(request.body["messages"]) for request in server.requests)


def test_prompts_of_the_default_synthesizer_are_changed_too(llm: Any, server: LatencyServer, index: Any) -> None:
    """It is asked where a question gets no skeleton."""
    engine = engine_of("engine", index, llm)
    template = PromptTemplate("Of {context_str}: {query_str}")
    engine.update_prompts({"response_synthesizer:text_qa_template": template})
    assert DIRECT == str(engine.query(CAPITAL))
    assert server.requests[0].body["messages"][-1]["content"].startswith("Of ")


def test_prompts_are_those_of_the_settings_until_they_are_changed(llm: Any) -> None:
    """One name for a prompt, whichever way it is changed."""
    synthesizer = SoTSynthesizer(llm, prompts=Prompts(point=POINT))
    prompts = synthesizer.get_prompts()
    assert POINT == prompts["point_template"].get_template()
    assert Prompts().skeleton == prompts["skeleton_template"].get_template()
    assert {"text_qa_template", "refine_template"} < set(prompts)


def test_engines_do_not_share_what_is_changed(llm: Any, index: Any) -> None:
    """Also where one retrieves for points, and so has a synthesizer of its own."""
    one, other = engine_of("engine", index, llm), engine_of("engine", index, llm, point_retrieval=True)
    key = "response_synthesizer:point_template"
    other.update_prompts({key: PromptTemplate(POINT)})
    assert [Prompts().point, POINT] == [engine.get_prompts()[key].get_template() for engine in (one, other)]


@pytest.mark.parametrize("swap", SWAPS[1:])
@pytest.mark.parametrize(
    ("key", "template", "complaint"),
    [
        ("point_template", PromptTemplate("Write."), "point_template needs {title} somewhere"),
        ("point_template", RichPromptTemplate("Write {{ number }}."), "point_template needs {title} somewhere"),
        ("point_template", ChatPromptTemplate(CHAT[:1]), "point_template needs {title} somewhere"),
        ("passages_template", PromptTemplate("Read."), "passages_template needs {passages} somewhere"),
        ("query_template", PromptTemplate("{question}"), "query_template needs {title} somewhere"),
        ("point_tmplate", PromptTemplate(POINT), "no prompt is named point_tmplate: use one of "),
    ],
)
def test_what_cannot_work_is_refused(llm: Any, index: Any, swap: str, key: str, template: Any, complaint: str) -> None:
    """And nothing is changed, whatever was right beside it."""
    engine = engine_of(swap, index, llm)
    before = {name: prompt.get_template() for name, prompt in engine.get_prompts().items()}
    good = {"response_synthesizer:text_qa_template": PromptTemplate("{context_str} {query_str}")}
    with pytest.raises(ConfigurationError) as caught:
        engine.update_prompts(good | {f"response_synthesizer:{key}": template})
    assert str(caught.value).startswith(complaint)
    assert before == {name: prompt.get_template() for name, prompt in engine.get_prompts().items()}
