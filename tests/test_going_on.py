"""Limits, retries and answers that are gone on with, where chains and engines stand inside others."""

import asyncio
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.runnables import RunnableLambda

from langchain_sot import SoTChain, create_sot_retrieval_chain
from langchain_sot.middleware import SoTMiddleware
from llama_index_sot import SoTQueryBundle
from llama_index_sot.workflow import SoTWorkflow
from skeleton_of_thought import InputError, PointError, Retry
from skeleton_of_thought.testing import Rejected

from .faulty import Faulty, one_place, requests, settings
from .langchain.agents_fakes import AgentModel
from .langchain.endpoints import chain_of
from .langchain.fakes import Native, Script
from .langchain.retrievers import KINDS, NUMBERED
from .langchain.test_reliability_settings import model
from .langchain.ways import FOUR, WHOLE, ask
from .llama_index.endpoints import engine_of
from .llama_index.ways import PASSAGES, index_of
from .script import QUESTION, TEXT


def resuming(given: Any) -> Any:
    return {"configurable": {"sot_resume": given}}


# -- attempts multiply ---------------------------------------------------------------------------------

WRAPPED: dict[str, Any] = {  # how it is made, requests of a whole call, and of a streamed one
    "retries, client none": (lambda url: model(url, max_retries=0).with_retry(wait_exponential_jitter=False), 3, 4),
    "retries, client two": (lambda url: model(url).with_retry(wait_exponential_jitter=False), 9, 3),
    "fallback, client none": (lambda url: model(url, max_retries=0).with_fallbacks([model(url, max_retries=0)]), 4, 4),
    "fallback, client one": (lambda url: model(url, max_retries=1).with_fallbacks([model(url, max_retries=1)]), 4, 4),
    "function, client none": (lambda url: model(url, max_retries=0) | RunnableLambda(lambda said: said), 4, 4),
    "function, client two": (lambda url: model(url) | RunnableLambda(lambda said: said), 3, 3),
}


@FOUR
@pytest.mark.parametrize("wrap", WRAPPED)
def test_attempts_of_wrappers_do_not_multiply(endpoint: Faulty, wrap: str, way: str) -> None:
    """Those that a wrapper of LangChain makes by itself are attempts too."""
    make, whole, streamed = WRAPPED[wrap]
    endpoint.faults = {2: [Rejected(503, {"retry-after": "0.01"})] * 50}

    with pytest.raises(PointError):
        ask(way, SoTChain(llm=make(endpoint.base_url), retry=Retry(first_wait=0.01)), QUESTION)

    assert (whole if way.endswith("invoke") else streamed) == endpoint.counts[2]


# -- a message to another question ---------------------------------------------------------------------


@FOUR
def test_a_message_to_another_question_is_refused(way: str) -> None:
    """Otherwise it would be the answer to this one."""
    chain = SoTChain(llm=Native(script=Script()), router="always")
    first = ask(way, chain, QUESTION)

    with pytest.raises(InputError, match="the answer to resume is to another question"):
        ask(way, chain, "How do I cook?", resuming(first))


# -- a retrieval chain goes on -------------------------------------------------------------------------


@FOUR
def test_a_retrieval_chain_goes_on(endpoint: Faulty, way: str) -> None:
    """With an answer from an error; all sources are its context."""
    endpoint.faults = {3: [Rejected(400)]}
    llm = model(endpoint.base_url, max_retries=0)
    chain = create_sot_retrieval_chain(KINDS["native"](), llm, router="always", **one_place())
    with pytest.raises(PointError) as raised:
        ask(way, chain, {"input": QUESTION})

    again = ask(way, chain, {"input": QUESTION}, resuming(raised.value.answer))

    assert (TEXT, NUMBERED) == (again["answer"], again["context"])
    assert requests(3) == endpoint.counts


# -- an agent goes on ----------------------------------------------------------------------------------


@WHOLE
@pytest.mark.parametrize("router", ["always", "never"])
@pytest.mark.parametrize("gap", [True, False])
def test_an_agent_goes_on(router: Any, gap: bool, way: str) -> None:
    """Or says again what is complete."""
    llm = AgentModel(failures={2: 1} if gap else {})
    agent = create_agent(llm, middleware=[SoTMiddleware(router=router, on_point_error="mark")], name="sleeper")
    asked = {"messages": [HumanMessage(QUESTION)]}
    first = SoTChain(llm=llm, router=router, on_point_error="mark").invoke(QUESTION)
    llm.calls.clear()

    last = ask(way, agent, asked, resuming(first))["messages"][-1]

    assert SoTChain(llm=AgentModel(), router=router).invoke(QUESTION).text == last.text
    assert ("sleeper" if llm.stages else None) == last.name
    assert (["2"] if gap and router == "always" else []) == llm.stages


# -- a complete direct message -------------------------------------------------------------------------

CALL = {"name": "look_up", "args": {"what": "Paris"}, "id": "c1"}
SAID = {
    "a call of a tool": AIMessage("", id="m1", tool_calls=[CALL]),
    "a text and a call": AIMessage("Let me see.", id="m1", tool_calls=[CALL]),
    "blocks": AIMessage([{"type": "reasoning", "reasoning": "Hm."}, {"type": "text", "text": "Yes."}], id="m1"),
}


@FOUR
@pytest.mark.parametrize("said", SAID)
def test_a_complete_direct_message_is_said_again_whole(said: str, way: str) -> None:
    """With all that it holds, and without asking anyone."""
    script = Script(replies={"direct": SAID[said]})
    chain = SoTChain(llm=Native(script=script), router="never")
    first = ask(way, chain, QUESTION)
    script.calls.clear()

    again = ask(way, chain, QUESTION, resuming(first))

    assert (first.content, first.tool_calls, first.id) == (again.content, again.tool_calls, again.id)
    assert "direct" == again.response_metadata["sot"]["route"]["kind"]
    assert "fake" == again.response_metadata["model_name"]
    assert again.usage_metadata is None
    assert [] == script.stages


# -- what is gone on with is for this chain alone ------------------------------------------------------


@FOUR
def test_a_chain_inside_a_chain_is_not_gone_on_with(endpoint: Faulty, way: str) -> None:
    """A retriever may ask a chain of its own; what is said for one call is for that call."""
    inner = SoTChain(llm=Native(script=Script()), router="never")
    retriever = RunnableLambda(lambda query: inner.invoke(query) and query) | KINDS["lambda"]()
    endpoint.faults = {2: [Rejected(400)]}
    chain = chain_of(endpoint, **settings(2, on_point_error="mark", retriever=retriever))
    first = ask(way, chain, QUESTION)

    assert TEXT == ask(way, chain, QUESTION, resuming(first)).text


# -- a workflow takes a bundle -------------------------------------------------------------------------


def test_a_workflow_takes_a_bundle(endpoint: Faulty) -> None:
    """With its limits, and with what is gone on with."""
    endpoint.faults = {2: [Rejected(400)]}
    engine = engine_of(endpoint, index_of(*PASSAGES), **settings(2, on_point_error="mark"))

    async def work() -> str:
        first = await SoTWorkflow(engine, timeout=30).run(query=QUESTION)
        bundle = SoTQueryBundle(QUESTION, deadline=60, resume=first)
        return str(await SoTWorkflow(engine, timeout=30).run(query=bundle))

    assert TEXT == asyncio.run(work())
    assert requests(2) == endpoint.counts
