"""What ``config["configurable"]`` says for one call of a `SoTChain`: how far it reaches, and what is gone on with."""

import asyncio
import json
from typing import Any

import pytest

from skeleton_of_thought import Answer, ConfigurationError, DeadlineError, InputError, PointError, Retry
from skeleton_of_thought.errors import ModelTimeoutError
from skeleton_of_thought.testing import Dropped, Rejected, Stalled

from ..faulty import Faulty, answer_by, one_place, settings
from ..script import DIRECT, QUESTION, SKELETON, TEXT

pytest.importorskip("langchain_openai")

from langchain_core.messages import AIMessage, HumanMessage, messages_from_dict, messages_to_dict
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate

from langchain_sot import SoTChain, create_sot_retrieval_chain

from .endpoints import chain_of
from .fakes import Native, Script
from .retrievers import KINDS, SOURCES
from .ways import EVERY, FOUR, WHOLE, ask, run

NEVER = Retry(attempts=1)
EXPANSION = {"question": QUESTION, "skeleton": SKELETON, "point": 1}


def configured(**named: Any) -> Any:
    """Return a config that says so, each name with ``sot_`` before it."""
    return {"configurable": {f"sot_{name}": value for name, value in named.items()}}


# -- how long --------------------------------------------------------------------------------------------

LIMITS = pytest.mark.parametrize(("name", "error"), [("deadline", DeadlineError), ("timeout", ModelTimeoutError)])
BAD = pytest.mark.parametrize("value", [0, -1, "5", True, float("nan"), {"first_token": 1}])


@EVERY
@LIMITS
def test_a_call_has_limits_of_its_own(name: str, error: Any, way: str) -> None:
    """In whatever way it is asked; the chain has none."""
    script = Script(hangs=["skeleton"])
    chain = SoTChain(llm=Native(script=script), router="always", retry=NEVER)

    with pytest.raises(error):
        ask(way, chain, QUESTION, configured(**{name: 0.05}))

    script.released.set()
    assert set(script.stages) <= {"skeleton"}


def _agent(llm: Any) -> Any:
    agents = pytest.importorskip("langchain.agents")
    from langchain_sot.middleware import SoTMiddleware  # needs LangChain itself

    return agents.create_agent(llm, middleware=[SoTMiddleware(router="always")])


def _prompt(llm: Any) -> Any:
    return ChatPromptTemplate.from_template("{question}") | SoTChain(llm=llm, router="always") | StrOutputParser()


PLACES: dict[str, Any] = {
    "a prompt and a parser": (_prompt, {"question": QUESTION}),
    "a retrieval chain": (lambda llm: create_sot_retrieval_chain(KINDS["native"](), llm), {"input": QUESTION}),
    "the skeleton": (lambda llm: SoTChain(llm=llm).skeleton_chain, QUESTION),
    "a point": (lambda llm: SoTChain(llm=llm).expansion_chain, EXPANSION),
    "an agent": (_agent, {"messages": [HumanMessage(QUESTION)]}),
}


@WHOLE
@pytest.mark.parametrize("binds", [False, True], ids=["given", "bound"])
@pytest.mark.parametrize("place", PLACES)
def test_limits_reach_a_chain_wherever_it_stands(place: str, binds: bool, way: str) -> None:
    """Given with the call, or bound by ``with_config``."""
    script = Script(hangs=["skeleton", 1])
    make, value = PLACES[place]
    runnable, config = make(Native(script=script)), configured(deadline=0.05)

    with pytest.raises(DeadlineError):
        ask(way, runnable.with_config(config) if binds else runnable, value, None if binds else config)

    script.released.set()


@WHOLE
@BAD
@pytest.mark.parametrize("name", ["deadline", "timeout"])
@pytest.mark.parametrize("place", PLACES)
def test_a_limit_that_cannot_work_is_refused_at_once(place: str, name: str, value: Any, way: str) -> None:
    """Before any model is called."""
    script = Script()
    make, asked = PLACES[place]

    with pytest.raises(ConfigurationError, match=f"{name}=.* cannot work: use seconds, more than 0"):
        ask(way, make(Native(script=script)), asked, configured(**{name: value}))

    assert [] == script.stages


@FOUR
def test_a_call_can_have_all_the_time(way: str) -> None:
    """``None`` lifts the limit that the chain has."""
    chain = SoTChain(llm=Native(script=Script()), deadline=1e-9)

    with pytest.raises(DeadlineError):
        ask(way, chain, QUESTION)

    assert TEXT == ask(way, chain, QUESTION, configured(deadline=None)).text


@pytest.mark.parametrize("way", ["batch", "abatch"])
def test_each_of_a_batch_has_its_own(way: str) -> None:
    """And none of another."""
    script = Script()
    chain = SoTChain(llm=Native(script=script))
    said = chain.invoke(QUESTION)
    configs = [configured(deadline=-1), {}, configured(resume=said)]

    asked = getattr(chain, way)([QUESTION] * 3, configs, return_exceptions=True)
    refused, *answers = run(asked) if way == "abatch" else asked

    assert ConfigurationError is type(refused)
    assert [TEXT, TEXT] == [answer.text for answer in answers]
    assert 8 == len(script.calls)


def test_what_is_said_for_one_call_is_for_no_other() -> None:
    """Also where they go on at the same time, on one object."""
    script = Script(hangs=["direct"])
    chain = SoTChain(llm=Native(script=script), retry=NEVER)

    async def ask_all() -> list[Any]:
        late = (chain.ainvoke("What is the capital of France?", configured(timeout=0.05)) for _ in range(3))
        others = (chain.ainvoke(QUESTION) for _ in range(3))
        return await asyncio.gather(*late, *others, return_exceptions=True)

    *late, one, two, three = run(ask_all())

    assert [ModelTimeoutError] * 3 == list(map(type, late))
    assert [TEXT] * 3 == [one.text, two.text, three.text]


def test_what_can_be_said_is_known_outside() -> None:
    """As JSON schema, also of a pipeline."""
    for runnable in (SoTChain(llm=Native(script=Script())), _prompt(Native(script=Script()))):
        told = runnable.get_config_jsonschema()["$defs"]["Configurable"]["properties"]
        assert {"sot_deadline", "sot_resume", "sot_timeout"} == set(told)
        assert [{"type": "number"}, {"type": "null"}] == told["sot_deadline"]["anyOf"]


# -- going on --------------------------------------------------------------------------------------------


def _saved(message: AIMessage) -> Any:
    return messages_from_dict(json.loads(json.dumps(messages_to_dict([message]))))[0]


FORMS: dict[str, Any] = {"message": lambda message: message, "saved message": _saved}


@FOUR
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("heading", ["numbered", "bold", "markdown", "none"])
@pytest.mark.parametrize("policy", ["mark", "leave_out"])
def test_a_message_with_a_gap_is_gone_on_with(endpoint: Faulty, policy: Any, heading: Any, form: str, way: str) -> None:
    """What it has is kept, the gap is filled, and it costs what the gap costs."""
    chain = chain_of(endpoint, **settings(2, on_point_error=policy, heading=heading))
    whole = ask(way, chain, QUESTION)
    endpoint.begin()
    endpoint.faults = {2: [Rejected(400)]}
    first = ask(way, chain, QUESTION)

    again = ask(way, chain, QUESTION, configured(resume=FORMS[form](first)))

    assert whole.text == again.text != first.text
    assert {"skeleton": 1, 1: 1, 2: 2, 3: 1} == endpoint.counts
    about = again.response_metadata["sot"]
    assert (True, ["point"]) == (about["complete"], list(about["usage"]))
    assert about["usage"]["point"] == again.usage_metadata
    assert ["2"] == list(about["timings"]["points"])
    assert [None] * 3 == [point["failure"] for point in about["points"]]


@FOUR
@pytest.mark.parametrize("form", [lambda answer: answer, Answer.to_json], ids=["answer", "json"])
def test_what_an_error_holds_is_gone_on_with(endpoint: Faulty, form: Any, way: str) -> None:
    """As it is, or as JSON."""
    endpoint.faults = {2: [Rejected(400)]}
    chain = chain_of(endpoint, **settings(2), **one_place())
    with pytest.raises(PointError) as raised:
        ask(way, chain, QUESTION)

    assert TEXT == ask(way, chain, QUESTION, configured(resume=form(raised.value.answer))).text
    assert {"skeleton": 1, 1: 1, 2: 2, 3: 1} == endpoint.counts


@pytest.mark.parametrize("way", ["ainvoke", "astream"])
@pytest.mark.parametrize("stage", [2, "direct"])
def test_a_message_that_the_deadline_cut_is_gone_on_with(endpoint: Faulty, stage: Any, way: str) -> None:
    """From where it stood."""
    endpoint.faults = {stage: [Stalled(4)]}
    chain = chain_of(endpoint, **settings(stage))
    first = ask(way, chain, QUESTION, configured(deadline=1.0))
    assert "[…]" in first.text

    again = ask(way, chain, QUESTION, configured(resume=_saved(first)))

    assert answer_by(stage) == again.text
    assert again.response_metadata["sot"]["complete"]
    assert stage != "direct" or "stop" == again.response_metadata["finish_reason"]


@FOUR
@pytest.mark.parametrize("stage", [2, "direct"])
def test_a_complete_message_costs_nothing(endpoint: Faulty, stage: Any, way: str) -> None:
    """It is said again, and no model is asked."""
    chain = chain_of(endpoint, **settings(stage))
    first = ask(way, chain, QUESTION)
    endpoint.server.requests.clear()

    again = ask(way, chain, QUESTION, configured(resume=first))

    assert first.text == again.text
    assert {} == endpoint.counts
    assert {} == again.response_metadata["sot"]["usage"]
    assert again.response_metadata["sot"]["complete"]


@FOUR
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", KINDS)
def test_sources_keep_their_numbers(endpoint: Faulty, kind: str, form: str, way: str) -> None:
    """And all that was told of them, however often an answer is gone on with."""
    endpoint.faults = {2: [Rejected(400)] * 2}
    chain = chain_of(endpoint, **settings(2, on_point_error="mark", retriever=KINDS[kind]()))

    messages = [ask(way, chain, QUESTION)]
    for _ in range(2):
        messages.append(ask(way, chain, QUESTION, configured(resume=FORMS[form](messages[-1]))))

    assert TEXT == messages[-1].text
    told = [message.response_metadata["sot"] for message in messages]
    assert [told[0]["sources"]] * 2 == [about["sources"] for about in told[1:]]
    assert SOURCES == {point["number"]: point["sources"] for point in told[-1]["points"]}


@FOUR
def test_sources_keep_their_identifiers_in_json(endpoint: Faulty, way: str) -> None:
    """So that what is found again is not numbered again."""
    endpoint.faults = {2: [Rejected(400)] * 2}
    failing = chain_of(endpoint, **settings(2, retriever=KINDS["native"]()), **one_place())
    marking = failing.model_copy(update={"on_point_error": "mark"})
    with pytest.raises(PointError) as raised:
        ask(way, failing, QUESTION)

    marked = ask(way, marking, QUESTION, configured(resume=raised.value.answer.to_json()))
    again = ask(way, marking, QUESTION, configured(resume=marked))

    assert TEXT == again.text
    for message in (marked, again):
        sources = message.response_metadata["sot"]["sources"]
        assert [(1, "Nights"), (2, "Light"), (3, "Cups"), (4, "Lamps")] == [
            (source["number"], source["id"]) for source in sources
        ]


@FOUR
def test_an_answer_that_breaks_off_again_is_not_lost(endpoint: Faulty, way: str) -> None:
    """Each error holds all that was written until then."""
    endpoint.faults = {3: [Dropped(2)] * 6}
    chain = chain_of(endpoint, **settings(3), **one_place())
    left = None
    for _ in range(2):
        with pytest.raises(PointError) as raised:
            ask(way, chain, QUESTION, configured(resume=left))
        left = raised.value.answer

    assert TEXT == ask(way, chain, QUESTION, configured(resume=left)).text
    assert {"skeleton": 1, 1: 1, 2: 1, 3: 7} == endpoint.counts


POINT = {"number": 1, "title": "Move", "span": None, "seconds": 1.0, "sources": [1]}
NO_ANSWERS: dict[str, Any] = {
    "no JSON": "garbage",
    "other JSON": "{}",
    "a number": 3,
    "a dict": {"role": "assistant", "content": "Hello."},
    "a question": HumanMessage("Hello."),
    "another model's message": AIMessage("Hello."),
    "a point's message": AIMessage("Hello.", response_metadata={"sot": POINT}),
    "a message of which much is lost": AIMessage("Hello.", response_metadata={"sot": {"sources": [], "skeleton": 3}}),
    "a message of which all is lost": AIMessage("Hello.", response_metadata={"sot": None}),
}


@FOUR
@pytest.mark.parametrize("given", NO_ANSWERS)
def test_what_is_no_answer_is_refused(given: str, way: str) -> None:
    """By its type and with the cure, before any model is called; its words are not in the error."""
    script = Script()

    with pytest.raises(InputError) as raised:
        ask(way, SoTChain(llm=Native(script=script)), QUESTION, configured(resume=NO_ANSWERS[given]))

    kind = type(NO_ANSWERS[given]).__name__
    cure = "give an Answer, its JSON, or a message of a SoTChain"
    assert f"sot_resume of type {kind} holds no answer: {cure}" == str(raised.value)
    assert [] == script.stages


@FOUR
def test_an_answer_to_another_question_is_refused(endpoint: Faulty, way: str) -> None:
    """Before any model is called."""
    endpoint.faults = {2: [Rejected(400)]}
    chain = chain_of(endpoint, **settings(2), **one_place())
    with pytest.raises(PointError) as raised:
        ask(way, chain, QUESTION)
    endpoint.server.requests.clear()

    for given in (raised.value.answer, raised.value.answer.to_json()):
        with pytest.raises(InputError, match="the answer to resume is to another question"):
            ask(way, chain, "How do I cook?", configured(resume=given))

    assert {} == endpoint.counts


@FOUR
def test_a_pipeline_goes_on_as_well(endpoint: Faulty, way: str) -> None:
    """A prompt that makes the same question of the same input makes it again."""
    endpoint.faults = {"direct": [Dropped(4)]}
    chain = chain_of(endpoint, **settings("direct", retry=NEVER))
    pipeline = ChatPromptTemplate.from_messages([("system", "Be kind."), ("human", "{question}")]) | chain
    with pytest.raises(Exception) as raised:  # noqa: PT011 -- the client's own, which differs from way to way
        ask(way, pipeline, {"question": QUESTION})
    left = Answer.before(raised.value)
    assert left

    text = ask(way, pipeline | StrOutputParser(), {"question": QUESTION}, configured(resume=left))

    assert DIRECT == text
