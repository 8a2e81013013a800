"""Config, callbacks and events: what a caller tells a `SoTChain`, and what it tells the caller."""

import asyncio
from collections import Counter
from contextvars import ContextVar
from typing import Any

import pytest

from ..script import DIRECT, POINTS, QUESTION, TEXT

pytest.importorskip("langchain_core")

from langchain_core.callbacks import AsyncCallbackHandler
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import ConfigurableField, RunnableParallel

from langchain_sot import SoTChain
from skeleton_of_thought import PointError

from .fakes import TITLES, Blocking, Gate, Native, Script
from .ways import EVERY, FOUR, WHOLE, Recorder, ask, run, total

CAPITAL = "What is the capital of France?"
MODELS = pytest.mark.parametrize("kind", [Native, Blocking])


@MODELS
@EVERY
def test_tags_and_metadata_reach_every_run(kind: Any, way: str) -> None:
    """The caller's on all of them, the stage and the point on those of models; the name on the chain's own alone."""
    record = Recorder()
    chain = SoTChain(llm=kind(script=Script())).with_config(tags=["bound"], metadata={"who": "me"})
    config = {"callbacks": [record], "tags": ["mine"], "metadata": {"when": "now"}, "run_name": "essay"}
    ask(way, chain, QUESTION, config)
    assert ["essay"] == [run.name for run in record.roots] == [run.name for run in record.named("essay")]
    for run_ in record.runs.values():
        assert {"bound", "mine"} <= set(run_.tags)
        assert ("me", "now") == (run_.metadata["who"], run_.metadata["when"])
    told = [(model.metadata["sot_stage"], model.metadata.get("sot_point")) for model in record.models]
    assert [("point", 1), ("point", 2), ("point", 3), ("skeleton", None)] == sorted(told)
    assert {f"sot:{stage}" for stage, _ in told} == {
        tag for model in record.models for tag in model.tags if tag.startswith("sot:")
    }


@FOUR
def test_a_direct_call_is_told_apart(way: str) -> None:
    """By its stage."""
    record = Recorder()
    ask(way, SoTChain(llm=Native(script=Script())), CAPITAL, {"callbacks": [record]})
    assert ["direct"] == [model.metadata["sot_stage"] for model in record.models]


@MODELS
def test_events_can_be_taken_apart_by_point(kind: Any) -> None:
    """Tokens of points come in any order; metadata says to which point each belongs."""
    chain = ChatPromptTemplate.from_template("{question}") | SoTChain(llm=kind(script=Script())) | StrOutputParser()

    async def collect() -> list[Any]:
        return [event async for event in chain.astream_events({"question": QUESTION}, version="v2")]

    texts: dict[int, str] = {}
    for event in run(collect()):
        if event["event"] == "on_chat_model_stream" and event["metadata"]["sot_stage"] == "point":
            number = event["metadata"]["sot_point"]
            texts[number] = texts.get(number, "") + event["data"]["chunk"].text
    assert POINTS == dict(sorted(texts.items()))


EXPECTED = [
    ("sot_route", {"kind": "skeleton", "by": "rules", "why": "it asks how something is done well"}),
    ("sot_skeleton", {"points": [{"number": number, "title": title} for number, title in TITLES.items()]}),
]


@MODELS
@EVERY
def test_custom_events_tell_of_the_steps(kind: Any, way: str) -> None:
    """Sent by the chain's own run, with its tags and metadata."""
    record = Recorder()
    chain = SoTChain(llm=kind(script=Script()))
    ask(way, chain, QUESTION, {"callbacks": [record], "tags": ["mine"], "metadata": {"who": "me"}})
    (route, told), skeleton, *points = record.custom
    assert ("sot_route", {"kind", "by", "why"}, "skeleton") == (route, set(told), told["kind"])
    assert EXPECTED[1] == skeleton
    assert {"sot_point_start": 3, "sot_point_end": 3} == Counter(name for name, _ in points)
    starts = sorted((data["number"], data["title"]) for name, data in points if name == "sot_point_start")
    assert list(TITLES.items()) == starts
    ends = {data["number"]: data["text"] for name, data in points if name == "sot_point_end"}
    assert POINTS == dict(sorted(ends.items()))
    keys = {"number", "title", "text", "span", "seconds", "finish", "failure", "usage", "sources"}
    assert [keys] * 3 == [set(data) for name, data in points if name == "sot_point_end"]
    assert {own.id for own in record.named("SoTChain")} == record.sent_by
    assert all("mine" in tags and metadata["who"] == "me" for tags, metadata in record.context)


@MODELS
@FOUR
def test_custom_events_tell_of_a_failing_point(kind: Any, way: str) -> None:
    """Once, with the model's error."""
    record = Recorder()
    with pytest.raises(PointError):
        ask(way, SoTChain(llm=kind(script=Script(fails={2: 1}))), QUESTION, {"callbacks": [record]})
    failed = [data for name, data in record.custom if name == "sot_point_error"]
    assert [{"number": 2, "title": TITLES[2], "error": "FakeModelError('2 fails')"}] == failed


@FOUR
def test_custom_events_tell_that_a_list_was_none(way: str) -> None:
    """The route is told again."""
    record = Recorder()
    chain = SoTChain(llm=Native(script=Script(replies={"skeleton": "It depends."})))
    ask(way, chain, QUESTION, {"callbacks": [record]})
    assert [("sot_route", "skeleton"), ("sot_route", "direct")] == [
        (name, data["kind"]) for name, data in record.custom
    ]


def test_custom_events_are_events() -> None:
    """For those who listen to `astream_events`, and for asynchronous handlers."""
    heard: list[str] = []

    class Handler(AsyncCallbackHandler):
        async def on_custom_event(self, name: str, data: Any, **kwargs: Any) -> None:
            heard.append(name)

    async def collect() -> list[str]:
        events = SoTChain(llm=Native(script=Script())).astream_events(
            QUESTION, {"callbacks": [Handler()]}, version="v2"
        )
        return [event["name"] async for event in events if event["event"] == "on_custom_event"]

    names = run(collect())
    assert ["sot_route", "sot_skeleton"] + ["sot_point_end", "sot_point_start"] * 3 == names[:2] + [
        name for pair in zip(sorted(names[2:])[:3], sorted(names[2:])[3:], strict=True) for name in pair
    ]
    assert names == heard


@EVERY
def test_a_setting_can_be_given_with_a_call(way: str) -> None:
    """As a configurable field, of the chain and of the model in it."""
    script = Script()
    llm = Native(script=script).configurable_fields(temperature=ConfigurableField(id="temperature"))
    chain = SoTChain(llm=llm).configurable_fields(max_points=ConfigurableField(id="max_points"))
    configured = {"configurable": {"max_points": 2, "temperature": 0.5}}
    said = ask(way, chain, QUESTION, configured)
    assert TEXT.rpartition("\n\n")[0] == said.text
    assert {0.5} == {call.options["temperature"] for call in script.calls}
    assert TEXT == ask(way, chain, QUESTION).text
    assert {0.0} == {call.options["temperature"] for call in script.calls[3:]}
    assert {"max_points", "temperature"} <= {spec.id for spec in chain.config_specs}


@FOUR
def test_another_chain_or_model_can_be_chosen_with_a_call(way: str) -> None:
    """As a configurable alternative."""
    other = Native(script=Script(replies={"direct": "Other."}))
    llm = Native(script=Script()).configurable_alternatives(ConfigurableField(id="llm"), other=other)
    chain = SoTChain(llm=llm).configurable_alternatives(ConfigurableField(id="way"), plain=other)
    pipeline = ChatPromptTemplate.from_template("{question}") | chain | StrOutputParser()
    assert {"llm", "way"} <= {spec.id for spec in pipeline.config_specs}
    texts = [
        ask(way, pipeline, {"question": question}, {"configurable": chosen})
        for question, chosen in [
            (CAPITAL, {}),
            (CAPITAL, {"llm": "other"}),
            (QUESTION, {"way": "plain"}),
            (QUESTION, {}),
        ]
    ]
    assert "Other." == texts[1]
    assert (DIRECT, TEXT) == (texts[0], texts[3])


PER_CALL = ["sot_deadline", "sot_resume", "sot_timeout"]
"""What can be set for a call of any chain."""


def test_what_can_be_set_in_the_models_is_known_outside() -> None:
    """Each once, of both models."""
    field = ConfigurableField(id="temperature")
    llm = Native(script=Script()).configurable_fields(temperature=field)
    chain = SoTChain(llm=llm, point_llm=llm)
    assert [*PER_CALL, "temperature"] == [spec.id for spec in chain.config_specs]
    assert [*PER_CALL, "temperature"] == [spec.id for spec in chain.skeleton_chain.config_specs]
    assert [*PER_CALL, "temperature"] == [spec.id for spec in chain.expansion_chain.config_specs]


@MODELS
@pytest.mark.parametrize("way", ["batch", "abatch", "batch_as_completed", "abatch_as_completed"])
@pytest.mark.parametrize("width", [1, 2, 4])
def test_a_bound_holds_over_a_whole_batch(width: int, way: str, kind: Any) -> None:
    """Model calls of all runs together, not of each."""
    script = Script(gate=Gate(width))
    chain, config = SoTChain(llm=kind(script=script)), {"max_concurrency": width}

    async def collect() -> list[Any]:
        return [each async for each in chain.abatch_as_completed([QUESTION] * 4, config)]

    if way == "abatch":
        said = run(chain.abatch([QUESTION] * 4, config))
    elif way == "abatch_as_completed":
        said = [answer for _, answer in run(collect())]
    else:
        said = [each[1] if isinstance(each, tuple) else each for each in getattr(chain, way)([QUESTION] * 4, config)]
    assert [TEXT] * 4 == [answer.text for answer in said]
    assert (width, 16) == (script.peak, len(script.calls))


@MODELS
@WHOLE
def test_the_chains_own_bound_holds_over_all_its_runs(way: str, kind: Any) -> None:
    """Runs beside each other, and copies that were configured."""
    script = Script(gate=Gate(2))
    chain = SoTChain(llm=kind(script=script), max_concurrency=2)
    beside = RunnableParallel(
        one=chain,
        two=chain.configurable_fields(max_points=ConfigurableField(id="max_points")),
        three=chain.bind(stop=["END"]),
        four=chain | StrOutputParser(),
    )
    said = ask(way, beside, QUESTION, {"configurable": {"max_points": 3}})
    assert [TEXT] * 4 == [said["one"].text, said["two"].text, said["three"].text, said["four"]]
    assert 2 == script.peak


def test_the_chains_own_bound_holds_on_any_loop_and_thread() -> None:
    """Synchronous and asynchronous callers share it."""
    script = Script(gate=Gate(3))
    chain = SoTChain(llm=Native(script=script), max_concurrency=3)

    async def ask_all() -> list[Any]:
        here = [chain.ainvoke(QUESTION) for _ in range(3)]
        there = [asyncio.to_thread(chain.invoke, QUESTION) for _ in range(3)]
        return await asyncio.gather(*here, *there)

    assert [TEXT] * 6 == [said.text for said in run(ask_all())]
    assert 3 == script.peak


@pytest.mark.parametrize("way", ["stream", "astream"])
def test_a_bound_of_one_is_enough(way: str) -> None:
    """Points then come one after the other, in reading order."""
    script = Script()
    assert TEXT == ask(way, SoTChain(llm=Native(script=script)), QUESTION, {"max_concurrency": 1}).text
    assert (["skeleton", 1, 2, 3], 1) == ([call.stage for call in script.calls], script.peak)


@FOUR
def test_keyword_arguments_are_the_models(way: str) -> None:
    """Given with a call or bound, they win over ours; a list is not ended by what ends a text."""
    script = Script()
    chain = SoTChain(llm=Native(script=script)).bind(temperature=0.25)
    ask(way, chain, QUESTION, stop=["END"], max_tokens=7)
    told = [(call.options["temperature"], call.options["stop"], call.options["max_tokens"]) for call in script.calls]
    assert [(0.25, None, 7), *[(0.25, ["END"], 7)] * 3] == told


def test_a_bound_of_tokens_is_always_sent() -> None:
    """A point that never ends would hold up the whole answer."""
    script = Script()
    assert TEXT == total(SoTChain(llm=Native(script=script), point_max_tokens=50).stream(QUESTION)).text
    assert [1024, 50, 50, 50] == sorted((call.options["max_tokens"] for call in script.calls), reverse=True)


TENANT: ContextVar[str] = ContextVar("tenant", default="nobody")


@FOUR
@pytest.mark.parametrize("kind", [Native, Blocking])
def test_every_model_call_sees_the_callers_context(way: str, kind: Any) -> None:
    """Variables of the caller, in threads as well: tracers and clients keep theirs there."""
    seen: list[str] = []

    class Aware(kind):
        def _get_ls_params(self, *args: Any, **options: Any) -> Any:
            seen.append(TENANT.get())
            return super()._get_ls_params(*args, **options)

    token = TENANT.set("me")
    try:
        ask(way, SoTChain(llm=Aware(script=Script())), QUESTION)
    finally:
        TENANT.reset(token)
    assert ["me"] * 4 == seen
