"""The runs of a `SoTChain` in a trace: one of its own, its steps in it, wherever the chain stands."""

import asyncio
from typing import Any

import pytest

from ..script import DIRECT, QUESTION, TEXT

pytest.importorskip("langchain_core")

from langchain_core.callbacks import AsyncCallbackHandler
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import (
    RunnableBranch,
    RunnableLambda,
    RunnableParallel,
    RunnablePassthrough,
)
from langchain_core.runnables import (
    chain as as_runnable,
)

from langchain_sot import SoTChain
from skeleton_of_thought import PointError

from .fakes import Blocking, FakeModelError, Native, Script
from .ways import EVERY, FOUR, WHOLE, Recorder, ask, run

CAPITAL = "What is the capital of France?"
MODELS = pytest.mark.parametrize("kind", [Native, Blocking])
PROMPT = ChatPromptTemplate.from_messages([("system", "Be kind."), ("human", "{question}")])
ASKED = {"question": QUESTION}


def _chain(kind: Any = Native, **script: Any) -> SoTChain:
    return SoTChain(llm=kind(script=Script(**script)))


def _own(record: Recorder) -> list[Any]:
    """Return the runs of chains, without those that `with_retry` opens around them under the same name."""
    named = record.named("SoTChain")
    return [run for run in named if run.id not in {other.parent for other in named}]


def _check(record: Recorder, *, runs: int = 1) -> None:
    """Every run began and ended once; steps stand in a run of the chain, models in their steps."""
    assert runs == len(_own(record))
    assert [1] * len(record.runs) == [len(run.ends) for run in record.runs.values()]
    assert 1 == len(record.roots)
    steps = record.named("skeleton", "expand")
    assert {"SoTChain"} == {record.parent(step).name for step in steps}
    assert ["expand"] * 3 + ["skeleton"] == sorted(step.name for step in steps if "end" in step.ends)
    assert {"skeleton": "skeleton", "point": "expand"} == {
        model.metadata["sot_stage"]: record.parent(model).name for model in record.models
    }
    assert len(steps) == len({model.parent for model in record.models}) == len(record.models)
    told = [(step.inputs["number"], step.inputs["title"]) for step in record.named("expand")]
    assert [(1, "Keep regular hours"), (2, "Avoid late coffee"), (3, "Darken the bedroom")] == sorted(told)


@MODELS
@EVERY
def test_it_has_one_run(kind: Any, way: str) -> None:
    """With its steps in it, and a model in each step, in threads as well."""
    record = Recorder()
    ask(way, _chain(kind), QUESTION, {"callbacks": [record]})
    _check(record)
    assert ["SoTChain"] == [run.name for run in record.roots]


@MODELS
@EVERY
def test_a_direct_answer_has_one_run(kind: Any, way: str) -> None:
    """The model's run stands in the chain's own: there is no step."""
    record = Recorder()
    ask(way, _chain(kind), CAPITAL, {"callbacks": [record]})
    assert ["SoTChain"] == [run.name for run in record.roots]
    assert [record.roots[0].id] == [model.parent for model in record.models]
    assert [["end"], ["end"]] == [run.ends for run in record.runs.values()]


@MODELS
@FOUR
def test_a_failure_is_told_once_for_each_run_it_ends(kind: Any, way: str) -> None:
    """The model's, the step's and the chain's own; the chain's is the error that is raised."""
    record = Recorder()
    with pytest.raises(PointError) as caught:
        ask(way, _chain(kind, fails={2: 1}), QUESTION, {"callbacks": [record]})
    (own,) = record.named("SoTChain")
    assert [caught.value] == own.ends
    failed = [step.ends for step in record.named("expand") if step.inputs["number"] == 2]
    assert [[FakeModelError]] == [[type(end) for end in ends] for ends in failed]
    assert [["end"]] == [step.ends for step in record.named("skeleton")]


@WHOLE
def test_a_refused_question_is_told_once(way: str) -> None:
    """It is an error of the chain's own run."""
    record = Recorder()
    with pytest.raises(ValueError, match="the question is empty") as caught:
        ask(way, _chain(), "", {"callbacks": [record]})
    assert [[caught.value]] == [run.ends for run in record.runs.values()]


def _by_lambda(chain: SoTChain) -> Any:
    """Call the chain in a function, which hands no config on: that is in the context."""

    def call(asked: Any) -> str:
        return str(chain.invoke(PROMPT.invoke(asked)).text)

    async def acall(asked: Any) -> str:
        return str((await chain.ainvoke(await PROMPT.ainvoke(asked))).text)

    return RunnableLambda(call, acall)


def _by_stream_in_a_lambda(chain: SoTChain) -> Any:
    """Stream the chain in a generator."""

    def call(asked: Any) -> Any:
        for chunk in chain.stream(asked["question"]):
            yield chunk.text

    async def acall(asked: Any) -> Any:
        async for chunk in chain.astream(asked["question"]):
            yield chunk.text

    return RunnableLambda(call, acall)


def _by_decorator(chain: SoTChain) -> Any:
    """Return the chain from a function; it is asked in its place."""

    @as_runnable
    def pick(asked: Any) -> Any:
        return PROMPT | chain | StrOutputParser()

    return pick


_BROKEN = RunnableLambda(lambda asked: 1 / 0, name="broken")
PLACES: dict[str, Any] = {
    "sequence": lambda chain: PROMPT | chain | StrOutputParser(),
    "parallel": lambda chain: RunnableParallel(answer=PROMPT | chain | StrOutputParser()).pick("answer"),
    "parallel beside another": lambda chain: (
        PROMPT | {"answer": chain | StrOutputParser(), "asked": RunnablePassthrough()} | RunnablePassthrough()
    ).pick("answer"),
    "lambda": _by_lambda,
    "generator": _by_stream_in_a_lambda,
    "decorator": _by_decorator,
    "assign": lambda chain: RunnablePassthrough.assign(answer=PROMPT | chain | StrOutputParser()).pick("answer"),
    "fallbacks": lambda chain: PROMPT | chain.with_fallbacks([_BROKEN]) | StrOutputParser(),
    "the fallback": lambda chain: PROMPT | _BROKEN.with_fallbacks([chain]) | StrOutputParser(),
    "retry": lambda chain: PROMPT | chain.with_retry() | StrOutputParser(),
    "branch": lambda chain: (
        PROMPT | RunnableBranch((lambda asked: bool(asked.messages), chain), _BROKEN) | StrOutputParser()
    ),
    "default of a branch": lambda chain: (
        PROMPT | RunnableBranch((lambda asked: False, _BROKEN), chain) | StrOutputParser()
    ),
    "config": lambda chain: PROMPT | chain.with_config(tags=["mine"]) | StrOutputParser(),
    "bind": lambda chain: PROMPT | chain.bind(stop=["END"]) | StrOutputParser(),
    "types": lambda chain: PROMPT | chain.with_types(input_type=Any) | StrOutputParser(),
    "listeners": lambda chain: PROMPT | chain.with_listeners(on_start=lambda run: None) | StrOutputParser(),
    "map": lambda chain: (
        RunnableLambda(lambda asked: [asked], name="list")
        | (PROMPT | chain | StrOutputParser()).map()
        | RunnableLambda(lambda said: said[0], name="first")
    ),
}


@MODELS
@FOUR
@pytest.mark.parametrize("place", PLACES)
def test_it_stands_anywhere(place: str, way: str, kind: Any) -> None:
    """The text is the same, and every run is in the place where it was asked for."""
    record = Recorder()
    pipeline = PLACES[place](_chain(kind))
    assert TEXT == ask(way, pipeline, ASKED, {"callbacks": [record]})
    broken = [run for run in record.runs.values() if any(isinstance(end, ZeroDivisionError) for end in run.ends)]
    assert ("the fallback" == place) == bool(broken)
    _check(record)
    assert record.roots != _own(record)


@FOUR
def test_a_chain_that_fails_gives_way_to_another(way: str) -> None:
    """Both have a run: one with an error, one with an end."""
    record = Recorder()
    broken, good = _chain(fails={"skeleton": 1}), _chain()
    pipeline = PROMPT | broken.with_fallbacks([good])  # alone, LangChain puts both beside the run of the fallbacks
    assert TEXT == ask(way, pipeline, ASKED, {"callbacks": [record]}).text
    ends = [[type(end) for end in run.ends] for run in record.named("SoTChain")]
    assert [[FakeModelError], [str]] == ends
    _check(record, runs=2)


@WHOLE
def test_a_chain_that_fails_is_tried_again(way: str) -> None:
    """Each try has a run; the steps of both are told apart by it."""
    record = Recorder()
    chain = _chain(fails={"skeleton": 1}).with_retry(wait_exponential_jitter=False, stop_after_attempt=2)
    assert TEXT == ask(way, chain, QUESTION, {"callbacks": [record]}).text
    _check(record, runs=2)


@FOUR
def test_chains_in_chains(way: str) -> None:
    """A chain may be the model of another chain, whose steps it then answers."""
    record = Recorder()
    inner = SoTChain(llm=Native(script=Script()), router="never")
    assert TEXT == ask(way, SoTChain(llm=inner), QUESTION, {"callbacks": [record]}).text
    outer, *inners = record.named("SoTChain")
    assert ["expand"] * 3 + ["skeleton"] == sorted(record.parent(run).name for run in inners)
    assert {outer.id} == {record.parent(run).parent for run in inners}
    assert {run.id for run in inners} == {model.parent for model in record.models}


@pytest.mark.parametrize("way", ["ainvoke", "astream"])
def test_asynchronous_handlers_are_told_the_same(way: str) -> None:
    """Each start has its end, in the order they come."""
    told: list[str] = []

    class Handler(AsyncCallbackHandler):
        async def on_chain_start(self, serialized: Any, inputs: Any, **kwargs: Any) -> None:
            await asyncio.sleep(0)
            told.append(f"start {kwargs['name']}")

        async def on_chain_end(self, outputs: Any, **kwargs: Any) -> None:
            await asyncio.sleep(0)
            told.append("end")

    ask(way, _chain(), QUESTION, {"callbacks": [Handler()]})
    starts = [each for each in told if each.startswith("start")]
    assert ["start SoTChain", "start skeleton"] + ["start expand"] * 3 == starts
    assert (5, "end") == (told.count("end"), told[-1])


def test_runs_at_the_same_time_are_kept_apart() -> None:
    """The steps of many runs, each in its own."""
    records = [Recorder() for _ in range(5)]
    chain = _chain()

    async def ask_all() -> list[Any]:
        asked = [chain.ainvoke(QUESTION, {"callbacks": [record]}) for record in records[:-1]]
        return await asyncio.gather(*asked, chain.ainvoke(CAPITAL, {"callbacks": [records[-1]]}))

    assert [TEXT] * 4 + [DIRECT] == [said.text for said in run(ask_all())]
    for record in records[:-1]:
        _check(record)


@FOUR
def test_the_outputs_of_a_step_are_its_text(way: str) -> None:
    """What a trace shows of a step is what its model wrote."""
    outputs: list[Any] = []

    class Handler(Recorder):
        def on_chain_end(self, outputs_: Any, *, run_id: Any, **told: Any) -> None:
            super().on_chain_end(outputs_, run_id=run_id)
            if self.runs[run_id].name == "skeleton":
                outputs.append(outputs_)

    ask(way, _chain(), QUESTION, {"callbacks": [Handler()]})
    assert ["1. Keep regular hours\n2. Avoid late coffee\n3. Darken the bedroom"] == outputs
