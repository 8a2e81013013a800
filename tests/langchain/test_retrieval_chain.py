"""`create_sot_retrieval_chain`: question in; sources and a cited answer out, piece by piece or whole."""

import asyncio
import threading
from collections.abc import Iterator
from functools import reduce
from operator import add, itemgetter
from typing import Any

import pytest

from skeleton_of_thought import InputError, PointError
from skeleton_of_thought.testing import LatencyModel, LatencyServer, collect

from ..script import ALONE, DIRECT, POINTS, QUESTION, REPLY, TEXT

ChatOpenAI = pytest.importorskip("langchain_openai").ChatOpenAI

from langchain_core.load import dumpd  # noqa: E402 -- only where the framework is
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage  # noqa: E402
from langchain_core.runnables import ConfigurableField, RunnableLambda  # noqa: E402
from langchain_core.runnables.utils import AddableDict  # noqa: E402

from langchain_sot import create_sot_retrieval_chain  # noqa: E402

from .retrievers import (  # noqa: E402
    CAPITAL,
    KINDS,
    LIGHT,
    NIGHT,
    NUMBERED,
    PARIS,
    SOURCES,
    TITLES,
    WAYS,
    Gated,
    Native,
    Record,
    Store,
    find,
    given,
    prompts,
    told,
)

ASKED = {"input": QUESTION}
ANSWERED = {"input": QUESTION, "context": NUMBERED, "answer": TEXT}


@pytest.fixture(scope="module")
def endpoint() -> Iterator[LatencyServer]:
    with LatencyServer(LatencyModel(reply=REPLY)) as endpoint:
        yield endpoint


@pytest.fixture
def server(endpoint: LatencyServer) -> LatencyServer:
    endpoint.requests.clear()
    return endpoint


@pytest.fixture
def llm(server: LatencyServer) -> Any:
    return ChatOpenAI(base_url=server.base_url, model="scripted", api_key="none", max_retries=0, default_headers=ALONE)


@pytest.fixture
def chain(llm: Any) -> Any:
    return create_sot_retrieval_chain(Native(), llm)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", KINDS)
def test_sources_and_answer_come_out(llm: Any, server: LatencyServer, kind: str, way: str) -> None:
    """The Documents themselves, in the order of their numbers; pieces add up to the whole."""
    output = told(create_sot_retrieval_chain(KINDS[kind](), llm), way, ASKED)
    assert ANSWERED == output
    tasks = prompts(server)
    assert SOURCES == {number: [source for source, _ in given(tasks[number])] for number in TITLES}


@pytest.mark.parametrize("way", WAYS)
def test_what_was_said_and_all_else_is_handed_through(chain: Any, server: LatencyServer, way: str) -> None:
    """Earlier messages stand first in every call, unchanged; other keys are for who comes after."""
    history = [SystemMessage("Be kind."), ("human", "Hello"), AIMessage("Hi there"), HumanMessage("I am tired.")]
    output = told(chain, way, {**ASKED, "chat_history": history, "language": ["en"]})
    assert {**ANSWERED, "chat_history": history, "language": ["en"]} == output
    for request in server.requests:
        earlier = request.body["messages"][:3]
        assert [("system", "Be kind."), ("user", "Hello"), ("assistant", "Hi there")] == [
            (message["role"], message["content"]) for message in earlier
        ]
        assert "I am tired." in str(request.body["messages"][3])


@pytest.mark.parametrize("sync", [True, False], ids=["sync", "async"])
def test_pieces_come_in_reading_order(chain: Any, sync: bool) -> None:
    """The input first; then each piece has one key, and sources come before the text that may cite them."""
    pieces = collect(chain.stream(ASKED)) if sync else asyncio.run(collect(chain.astream(ASKED)))
    assert AddableDict(ASKED) == pieces[0]
    assert {AddableDict} == {type(piece) for piece in pieces}
    assert {("context",), ("answer",)} == {tuple(piece) for piece in pieces[1:]}
    for place, piece in enumerate(pieces):
        total = reduce(add, pieces[: place + 1])
        assert TEXT.startswith(total.get("answer", ""))
        if POINTS[1].split()[0] in piece.get("answer", ""):
            assert [NIGHT, LIGHT] == total["context"][:2]


@pytest.mark.parametrize("way", WAYS)
def test_a_direct_answer_has_the_questions_sources(chain: Any, way: str) -> None:
    """What is found for the question itself."""
    assert {"input": CAPITAL, "context": [PARIS], "answer": DIRECT} == told(chain, way, {"input": CAPITAL})


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("asked", [QUESTION, CAPITAL], ids=["points", "direct"])
def test_the_key_is_there_where_nothing_is_found(llm: Any, asked: str, way: str) -> None:
    """Whoever comes after reads ``context``, empty or not."""
    chain = create_sot_retrieval_chain(RunnableLambda(lambda _: []), llm)
    assert [] == told(chain, way, {"input": asked})["context"]


@pytest.mark.parametrize("way", WAYS)
def test_keys_of_an_earlier_answer_are_replaced(chain: Any, way: str) -> None:
    """A pipeline may hand its whole dict on from chain to chain."""
    assert ANSWERED == told(chain, way, {**ASKED, "context": [PARIS], "answer": "Paris."})


@pytest.mark.parametrize("way", WAYS)
def test_plain_text_comes_out_as_documents(llm: Any, way: str) -> None:
    """There is only one kind of context."""
    texts = RunnableLambda(lambda query: [document.page_content for document in find(query)])
    context = told(create_sot_retrieval_chain(texts, llm), way, ASKED)["context"]
    assert [(document.page_content, None) for document in NUMBERED] == [
        (each.page_content, each.id) for each in context
    ]


@pytest.mark.parametrize("way", WAYS)
def test_it_stands_in_a_pipeline(chain: Any, way: str) -> None:
    """What comes next may take one key, whole or piece by piece."""
    assert TEXT == told(chain | RunnableLambda(itemgetter("answer")), way, ASKED)
    assert TEXT == told(RunnableLambda(lambda asked: {"input": asked}) | chain.pick("answer"), way, QUESTION)
    assert {**ANSWERED, "length": len(TEXT)} == told(chain.assign(length=lambda out: len(out["answer"])), way, ASKED)


def test_a_key_is_picked_as_it_comes(llm: Any) -> None:
    """The first point is handed on while the last is still being searched for."""
    passed, last, never = threading.Event(), threading.Event(), threading.Event()
    passed.set()
    gates = [(TITLES[1], passed, never), (TITLES[2], passed, never), (TITLES[3], last, never)]
    text = ""
    for piece in create_sot_retrieval_chain(Gated(gates=gates), llm).pick("answer").stream(ASKED):
        text += piece
        if POINTS[1] in text:
            last.set()
    assert TEXT == text


@pytest.mark.parametrize("sync", [True, False], ids=["sync", "async"])
def test_batches_keep_their_order(chain: Any, sync: bool) -> None:
    """Also where one of them cannot be asked."""
    asked: list[Any] = [ASKED, {"input": CAPITAL}, {}, {"input": QUESTION, "who": "me"}]
    first, second, wrong, last = (
        chain.batch(asked, return_exceptions=True) if sync else asyncio.run(chain.abatch(asked, return_exceptions=True))
    )
    assert [ANSWERED, {"input": CAPITAL, "context": [PARIS], "answer": DIRECT}] == [first, second]
    assert (InputError, {**ANSWERED, "who": "me"}) == (type(wrong), last)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("wrong", [QUESTION, {"question": QUESTION}, {"input": [QUESTION]}, {"input": "  "}])
def test_what_is_no_question_is_refused(chain: Any, server: LatencyServer, way: str, wrong: Any) -> None:
    """Before any request."""
    with pytest.raises(InputError):
        told(chain, way, wrong)
    assert [] == server.requests


@pytest.mark.parametrize("way", WAYS)
def test_a_failing_retriever_is_one_error(llm: Any, way: str) -> None:
    """That of its point, with the cause, and the run knows it."""

    def fail(query: str) -> Any:
        return find(query) if TITLES[3] not in query else {}["store"]

    record = Record()
    with pytest.raises(PointError) as caught:
        told(create_sot_retrieval_chain(RunnableLambda(fail), llm), way, ASKED, {"callbacks": [record]})
    assert (3, "'store'", [caught.value]) == (caught.value.number, str(caught.value.__cause__), record.errors)


@pytest.mark.parametrize("way", WAYS)
def test_it_is_one_run_with_all_steps_below(chain: Any, way: str) -> None:
    """Retrievals are its own children, not those of a chain in between."""
    record = Record()
    told(chain, way, ASKED, {"callbacks": [record]})
    assert {record.own} == {parent for parent, _, _ in record.retrievals}
    assert [1, 2, 3] == sorted(metadata["sot_point"] for _, _, metadata in record.retrievals)


def test_events_tell_what_happens(chain: Any) -> None:
    """Each retrieval with what it found, each step, each piece, and the whole output at the end."""
    events = asyncio.run(collect(chain.astream_events(ASKED, version="v2")))
    assert ("on_chain_start", "SoTRetrievalChain") == (events[0]["event"], events[0]["name"])
    assert ("on_chain_end", ANSWERED) == (events[-1]["event"], events[-1]["data"]["output"])
    found = {
        event["metadata"]["sot_point"]: event["data"]["output"]
        for event in events
        if event["event"] == "on_retriever_end"
    }
    assert {number: find(title) for number, title in TITLES.items()} == found
    steps = [event["name"] for event in events if event["event"] == "on_chain_end"]
    assert ["SoTRetrievalChain", "expand", "expand", "expand", "skeleton"] == sorted(steps)
    pieces = [event["data"]["chunk"] for event in events if event["event"] == "on_chain_stream"]
    assert ANSWERED == reduce(add, pieces)
    assert {"sot_route", "sot_skeleton", "sot_point_start", "sot_point_end"} == {
        event["name"] for event in events if event["event"] == "on_custom_event"
    }


def test_its_config_is_that_of_its_parts(llm: Any) -> None:
    """A retriever that can be configured can be configured for one call, and the chain tells so."""
    retriever = Store().as_retriever(search_kwargs={"k": 9})
    retriever = retriever.configurable_fields(search_kwargs=ConfigurableField(id="search"))
    chain = create_sot_retrieval_chain(retriever, llm)
    config = {"configurable": {"search": {"k": 1}}}
    for way in WAYS:
        assert ["Nights", "Cups", "Light"] == [each.id for each in told(chain, way, ASKED, config)["context"]]
    assert NUMBERED == chain.invoke(ASKED)["context"]
    assert ["search", "sot_deadline", "sot_resume", "sot_timeout"] == [spec.id for spec in chain.config_specs]


def test_it_can_be_saved(llm: Any) -> None:
    """With its settings and models; a retriever that cannot be saved is named."""
    saved = dumpd(create_sot_retrieval_chain(Store().as_retriever(), llm, max_points=5))
    assert ("constructor", "SoTRetrievalChain") == (saved["type"], saved["id"][-1])
    inner = saved["kwargs"]["chain"]
    assert ("constructor", "SoTChain", 5) == (inner["type"], inner["id"][-1], inner["kwargs"]["max_points"])
    assert ("constructor", "ChatOpenAI") == (inner["kwargs"]["llm"]["type"], inner["kwargs"]["llm"]["id"][-1])
    assert "VectorStoreRetriever" == inner["kwargs"]["retriever"]["id"][-1]


def test_bad_settings_are_refused(llm: Any) -> None:
    """Those of the chain inside, when it is made."""
    with pytest.raises(ValueError, match="max_points=1"):
        create_sot_retrieval_chain(Native(), llm, max_points=1)
    with pytest.raises(ValueError, match="max_pionts"):
        create_sot_retrieval_chain(Native(), llm, max_pionts=3)
    with pytest.raises(ValueError, match=r"retriever of type .* cannot work"):
        create_sot_retrieval_chain(find, llm)
