"""The two steps of a `SoTChain` by themselves, its graph, and what its models and prompts may be."""

from typing import Any

import pytest

from ..script import DIRECT, POINTS, QUESTION, SKELETON, TEXT

pytest.importorskip("langchain_core")

from langchain_core.language_models import SimpleChatModel
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder
from langchain_core.runnables import ConfigurableField, Runnable, RunnableLambda

from langchain_sot import ChatPrompts, SoTChain
from skeleton_of_thought import ConfigurationError, InputError, Point, Skeleton
from skeleton_of_thought.errors import SkeletonError
from skeleton_of_thought.skeleton import parse

from .fakes import TITLES, Blocking, FakeModelError, Native, Script, WithTools, usage, words
from .ways import EVERY, FOUR, WHOLE, Recorder, ask, total

MODELS = pytest.mark.parametrize("kind", [Native, Blocking])
ASKED = {"question": QUESTION, "skeleton": SKELETON, "point": 2}


@MODELS
@EVERY
def test_a_skeleton_alone(kind: Any, way: str) -> None:
    """A question goes in as for a chat model, and a `Skeleton` comes out, in a run with the model's in it."""
    script, record = Script(), Recorder()
    step = SoTChain(llm=kind(script=script), router="never").skeleton_chain
    skeleton = ask(way, step, [HumanMessage(QUESTION)], {"callbacks": [record]})
    assert (Skeleton, SKELETON) == (type(skeleton), str(skeleton))
    assert ["skeleton"] == script.stages
    assert ["skeleton"] == [run.name for run in record.roots]
    assert [record.roots[0].id] == [model.parent for model in record.models]
    assert [["end"]] * 2 == [run.ends for run in record.runs.values()]
    assert "skeleton" == record.models[0].metadata["sot_stage"]


@MODELS
@EVERY
def test_a_point_alone(kind: Any, way: str) -> None:
    """Question, skeleton and a number go in; a message with the text of the point comes out."""
    script, record = Script(), Recorder()
    step = SoTChain(llm=kind(script=script)).expansion_chain
    message = ask(way, step, ASKED, {"callbacks": [record]})
    cost = usage(len(words(POINTS[2])))
    assert (POINTS[2], cost) == (message.text, message.usage_metadata)
    about = message.response_metadata["sot"]
    assert (2, TITLES[2], "stop", cost) == (about["number"], about["title"], about["finish"], about["usage"])
    assert [2] == script.stages
    assert ["expand"] == [run.name for run in record.roots]
    assert [record.roots[0].id] == [model.parent for model in record.models]
    assert ("point", 2) == (record.models[0].metadata["sot_stage"], record.models[0].metadata["sot_point"])


@FOUR
def test_the_steps_are_those_of_the_chain(way: str) -> None:
    """By themselves they make the calls that the chain makes."""
    alone, together = Script(), Script()
    chain = SoTChain(llm=Native(script=alone))
    asked = [SystemMessage("Be kind."), HumanMessage(QUESTION)]
    skeleton = ask(way, chain.skeleton_chain, asked)
    texts = [
        ask(way, chain.expansion_chain, {"question": asked, "skeleton": skeleton, "point": point.number}).text
        for point in skeleton.points
    ]
    assert TEXT == "\n\n".join(f"{number}. {TITLES[number]}: {text}" for number, text in enumerate(texts, 1))
    ask(way, SoTChain(llm=Native(script=together)), asked)
    in_order = sorted(together.calls, key=lambda call: (isinstance(call.stage, int), call.stage))
    assert [(call.stage, call.messages, call.options) for call in in_order] == [
        (call.stage, call.messages, call.options) for call in alone.calls
    ]


def test_the_steps_stream() -> None:
    """A skeleton in one piece, a point as it comes."""
    chain = SoTChain(llm=Native(script=Script()))
    assert [SKELETON] == [str(piece) for piece in chain.skeleton_chain.stream(QUESTION)]
    chunks = list(chain.expansion_chain.stream(ASKED))
    assert (POINTS[2], "last") == (total(chunks).text, chunks[-1].chunk_position)
    assert 1 == len({chunk.id for chunk in chunks})


@pytest.mark.parametrize("way", ["batch", "abatch"])
def test_the_steps_in_a_pipeline(way: str) -> None:
    """The method, put together from its steps by hand."""
    chain = SoTChain(llm=Native(script=Script()))
    each = RunnableLambda(lambda skeleton: [ASKED | {"skeleton": skeleton, "point": n.number} for n in skeleton.points])
    pipeline = chain.skeleton_chain | each | (chain.expansion_chain | StrOutputParser()).map()
    assert list(POINTS.values()) == ask(way, pipeline, QUESTION)


@EVERY
@pytest.mark.parametrize(
    ("asked", "error", "told"),
    [
        ({"question": QUESTION}, InputError, "an expansion needs point, skeleton: give a dict with all three"),
        (ASKED | {"point": 4}, SkeletonError, r"there is no point 4: use one of \[1, 2, 3\]"),
        (ASKED | {"skeleton": "none"}, SkeletonError, r"there is no point 2: use one of \[\]"),
        (ASKED | {"question": ""}, InputError, "the question is empty"),
    ],
    ids=["key", "point", "skeleton", "question"],
)
def test_what_cannot_be_expanded_is_refused(asked: Any, error: Any, told: str, way: str) -> None:
    """Before any model is called."""
    script = Script()
    with pytest.raises(error, match=told):
        ask(way, SoTChain(llm=Native(script=script)).expansion_chain, asked)
    assert [] == script.calls


@FOUR
def test_a_failing_step_is_an_error_of_its_run(way: str) -> None:
    """Of the model's run and of the step's, once each."""
    record, chain = Recorder(), SoTChain(llm=Native(script=Script(fails={"skeleton": 1})))
    with pytest.raises(FakeModelError):
        ask(way, chain.skeleton_chain, QUESTION, {"callbacks": [record]})
    assert [[FakeModelError]] * 2 == [[type(end) for end in run.ends] for run in record.runs.values()]


def test_the_graph_shows_the_steps() -> None:
    """Alone and in a pipeline, as text for a drawing."""
    chain = SoTChain(llm=Native(script=Script()))
    names = {node.name for node in chain.get_graph().nodes.values()}
    assert {"route", "skeleton", "expand", "join", "direct"} <= names
    assert all(f"{name}(" in chain.get_graph().draw_mermaid() for name in ("route", "skeleton", "expand", "join"))
    pipeline = ChatPromptTemplate.from_template("{question}") | chain | StrOutputParser()
    assert all(name in pipeline.get_graph().draw_mermaid() for name in ("ChatPromptTemplate", "skeleton", "expand"))


@FOUR
def test_a_skeleton_may_be_structured_output(way: str) -> None:
    """One call that is forced to a form, told as the skeleton in a trace, its cost included."""
    script, record = Script(), Recorder()
    chain = SoTChain(llm=WithTools(script=script), structured_skeleton=True)
    message = ask(way, chain, QUESTION, {"callbacks": [record]})
    assert (TEXT, 4, 40) == (message.text, len(script.calls), message.usage_metadata["input_tokens"])
    assert ["Points"] == [each["function"]["name"] for each in script.calls[0].options["tools"]]
    assert [None] * 3 == [call.options.get("tools") for call in script.calls[1:]]
    (step,) = record.named("skeleton")
    (model,) = [model for model in record.models if model.metadata["sot_stage"] == "skeleton"]
    inside = model
    while inside.id != step.id:
        inside = record.parent(inside)
    assert [["end"]] * len(record.runs) == [run.ends for run in record.runs.values()]


def test_a_model_without_structured_output_says_so() -> None:
    """When the chain is made."""
    with pytest.raises(ValueError, match="structured_skeleton=True cannot work with Native"):
        SoTChain(llm=Native(script=Script()), structured_skeleton=True)
    with pytest.raises(ValueError, match="structured_skeleton=True cannot work with RunnableLambda"):
        SoTChain(llm=RunnableLambda(lambda asked: AIMessage("")), structured_skeleton=True)


@FOUR
def test_prompts_may_be_templates(way: str) -> None:
    """With the caller's messages in their place, as they are, and no word of ours."""
    script = Script()
    prompts = ChatPrompts(
        skeleton_messages=ChatPromptTemplate([
            MessagesPlaceholder("messages"),
            ("human", "A skeleton of {max_points}."),
        ]),
        point_messages=ChatPromptTemplate([
            ("placeholder", "{messages}"),
            ("ai", "{skeleton}"),
            ("human", "{number}, {title}, {length}."),
        ]),
    )
    asked = [SystemMessage("Be {kind}."), HumanMessage(QUESTION)]
    assert TEXT == ask(way, SoTChain(llm=Native(script=script), prompts=prompts, max_points=5), asked).text
    assert [asked] * 4 == [call.messages[:2] for call in script.calls]
    skeleton, *points = sorted(script.calls, key=lambda call: (isinstance(call.stage, int), call.stage))
    assert [HumanMessage("A skeleton of 5.")] == skeleton.messages[2:]
    tasks = [HumanMessage(f"{number}, {title}, 1 to 2 sentences.") for number, title in TITLES.items()]
    assert [[AIMessage(SKELETON), task] for task in tasks] == [call.messages[2:] for call in points]


@pytest.mark.parametrize(
    ("name", "template", "told"),
    [
        ("point_messages", ChatPromptTemplate([("human", "{title} {tone}")]), "wants tone: there are messages"),
        ("skeleton_messages", ChatPromptTemplate([("human", "{title}")]), "wants title: there are messages"),
        ("point_messages", ChatPromptTemplate([("placeholder", "{messages}")]), "needs {title} somewhere"),
        ("skeleton_messages", ChatPromptTemplate([("human", "List!")]), "needs {messages} or {question} somewhere"),
        ("point_messages", "{title}", "is a ChatPromptTemplate, not '{title}'"),
    ],
)
def test_templates_that_cannot_work_are_refused(name: str, template: Any, told: str) -> None:
    """With the names that there are."""
    with pytest.raises(ConfigurationError) as caught:
        ChatPrompts(**{name: template})
    assert f"prompts.{name} {told}" in str(caught.value)


def _by_function(llm: Any) -> Any:
    return RunnableLambda(llm.invoke, llm.ainvoke, name="by_function")


NEVER: Any = dict.fromkeys(["skeleton", 1, 2, 3], 99)
DRESSES: dict[str, Any] = {
    "bind": lambda llm: llm.bind(stop=["END"]),
    "config": lambda llm: llm.with_config(tags=["mine"]),
    "fallbacks": lambda llm: llm.with_fallbacks([RunnableLambda(lambda asked: 1 / 0)]),
    "the fallback": lambda llm: Native(script=Script(fails=NEVER, fails_after=0)).with_fallbacks([llm]),
    "retry": lambda llm: llm.with_retry(stop_after_attempt=2),
    "retry of bind": lambda llm: llm.bind(stop=["END"]).with_retry(stop_after_attempt=2),
    "function": _by_function,
    "parser": lambda llm: llm | StrOutputParser(),
    "sequence": lambda llm: RunnableLambda(lambda asked: asked) | llm,
}


@MODELS
@FOUR
@pytest.mark.parametrize("dress", DRESSES)
def test_any_runnable_may_be_the_model(dress: str, way: str, kind: Any) -> None:
    """For the skeleton, for the points, and for both; every run of a model tells its stage."""
    script, record = Script(), Recorder()
    llm: Runnable[Any, Any] = DRESSES[dress](kind(script=script))
    plain = kind(script=Script())
    for chain in (SoTChain(llm=llm), SoTChain(llm=plain, point_llm=llm), SoTChain(llm=llm, point_llm=plain)):
        assert TEXT == ask(way, chain, QUESTION, {"callbacks": [record]}).text
    assert ["skeleton"] * 2 + [1, 1, 2, 2, 3, 3] == script.stages
    assert {"skeleton", "point"} == {model.metadata["sot_stage"] for model in record.models}
    if "bind" in dress:
        assert {"END"} == {call.options["stop"][0] for call in script.calls}


class Strict(SimpleChatModel):
    """A chat model that takes no option with a call, and streams nothing."""

    script: Any

    def _call(self, messages: Any, stop: Any = None, run_manager: Any = None) -> str:
        with self.script.call(messages, {}, streamed=False) as stage:
            return str(self.script.message(stage, {}).text)

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None) -> Any:
        return super()._generate(messages, stop, run_manager)

    @property
    def _llm_type(self) -> str:
        return "strict"


@FOUR
@pytest.mark.parametrize("stands_in", ["fallback", "alternative"])
def test_what_stands_in_for_a_model_may_be_of_another_kind(stands_in: str, way: str) -> None:
    """What the one is told with a call, such as a bound, must not break the other."""
    broken, script = Native(script=Script(fails=NEVER, fails_after=0)), Script()
    strict, field = Strict(script=script), ConfigurableField(id="llm")
    both = broken.with_fallbacks([strict]), broken.configurable_alternatives(field, strict=strict)
    chain = SoTChain(llm=both[stands_in == "alternative"])
    assert TEXT == ask(way, chain, QUESTION, {"configurable": {"llm": "strict"}}).text
    assert ["skeleton", 1, 2, 3] == script.stages


@WHOLE
def test_a_model_that_tries_again_is_one_step(way: str) -> None:
    """The retry is the caller's; the chain sees what comes of it."""
    script, record = Script(fails={1: 1, "skeleton": 1}), Recorder()
    llm = Native(script=script).with_retry(wait_exponential_jitter=False, stop_after_attempt=2)
    assert TEXT == ask(way, SoTChain(llm=llm), QUESTION, {"callbacks": [record]}).text
    assert ["skeleton", "skeleton", 1, 1, 2, 3] == script.stages
    assert 4 == len(record.named("skeleton", "expand"))


@FOUR
def test_a_point_model_writes_the_points(way: str) -> None:
    """And nothing else: skeletons and direct answers are the other's."""
    large, small = Script(), Script()
    chain = SoTChain(llm=Native(script=large), point_llm=Native(script=small))
    assert (TEXT, DIRECT) == (ask(way, chain, QUESTION).text, ask(way, chain, "What is the capital of France?").text)
    assert (["direct", "skeleton"], [1, 2, 3]) == (large.stages, small.stages)


def test_points_that_lean_on_others_are_written_alone_as_well() -> None:
    """A skeleton from elsewhere may have any numbers and dependencies."""
    skeleton = Skeleton((Point(1, TITLES[1]), Point(2, TITLES[2], after=(1,))))
    chain = SoTChain(llm=Native(script=Script()))
    asked = {"question": QUESTION, "skeleton": skeleton, "point": 2}
    assert POINTS[2] == chain.expansion_chain.invoke(asked).text
    assert Skeleton(parse(SKELETON)) == chain.skeleton_chain.invoke(QUESTION)
