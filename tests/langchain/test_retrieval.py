"""`SoTChain` with a retriever: what is asked of it, what each point sees, and how it is numbered."""

import asyncio
import threading
from collections.abc import Iterator
from itertools import permutations
from typing import Any

import pytest

from skeleton_of_thought import ConfigurationError, PointError
from skeleton_of_thought.testing import LatencyModel, LatencyServer

from ..script import ALONE, DIRECT, POINTS, QUESTION, REPLY, SKELETON, TEXT

ChatOpenAI = pytest.importorskip("langchain_openai").ChatOpenAI

from langchain_core.documents import Document  # noqa: E402 -- only where the framework is
from langchain_core.runnables import RunnableLambda  # noqa: E402
from pydantic import Field  # noqa: E402

from langchain_sot import SoTChain  # noqa: E402

from .retrievers import (  # noqa: E402
    CAPITAL,
    CITE,
    CUP,
    KINDS,
    LAMP,
    LIGHT,
    NIGHT,
    NUMBERED,
    PARIS,
    SOURCES,
    TITLES,
    WAYS,
    Blocking,
    Gated,
    Native,
    Record,
    Store,
    find,
    given,
    prompts,
    told,
)


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


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", KINDS)
def test_each_point_is_answered_from_its_own_passages(llm: Any, server: LatencyServer, kind: str, way: str) -> None:
    """Numbered in its prompt and in no other's, with the word to cite; a document found twice has one number."""
    message = told(SoTChain(llm=llm, retriever=KINDS[kind]()), way)
    about = message.response_metadata["sot"]
    assert TEXT == message.text
    assert [
        {"number": 1, "points": [1], "text": NIGHT.page_content, "id": "Nights", "metadata": {"page": 0}},
        {"number": 2, "points": [1, 3], "text": LIGHT.page_content, "id": "Light", "metadata": {"page": 1}},
        {"number": 3, "points": [2], "text": CUP.page_content, "id": "Cups", "metadata": {"page": 2}},
        {"number": 4, "points": [3], "text": LAMP.page_content, "id": "Lamps", "metadata": {"page": 3}},
    ] == about["sources"]
    assert SOURCES == {point["number"]: point["sources"] for point in about["points"]}
    assert {1, 2, 3} == {int(number) for number in about["timings"]["retrieval"]}
    tasks = prompts(server)
    for number in TITLES:
        task = tasks.pop(number)
        assert [(source, NUMBERED[source - 1].page_content) for source in SOURCES[number]] == given(task)
        assert CITE in task
    (skeleton,) = tasks.values()
    assert ([], False) == (given(skeleton), CITE in skeleton)
    earlier = [str(request.body["messages"][:-1]) for request in server.requests]
    assert not any(document.page_content in said for said in earlier for document in NUMBERED)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", [Blocking, Native])
def test_each_query_is_the_points_own(llm: Any, kind: type[Blocking], way: str) -> None:
    """Its title and the question; what only blocks does so in a thread of its own, not in a pool."""
    retriever = kind()
    told(SoTChain(llm=llm, retriever=retriever), way)
    assert sorted(f"{title} ({QUESTION})" for title in TITLES.values()) == sorted(retriever.asked)
    native = kind is Native and way.startswith("a")
    assert {"MainThread" if native else "sot-model"} == retriever.threads


@pytest.mark.parametrize("way", ["stream", "ainvoke"])
@pytest.mark.parametrize("order", list(permutations(TITLES)), ids=str)
def test_numbers_ascend_in_reading_order(llm: Any, order: tuple[int, ...], way: str) -> None:
    """Whatever order passages are found in, and all points are searched for at the same time."""
    events = [threading.Event() for _ in range(4)]
    events[0].set()
    gates = [(TITLES[number], events[place], events[place + 1]) for place, number in enumerate(order)]
    about = told(SoTChain(llm=llm, retriever=Gated(gates=gates)), way).response_metadata["sot"]
    assert [(place, NUMBERED[place - 1].id) for place in (1, 2, 3, 4)] == [
        (source["number"], source["id"]) for source in about["sources"]
    ]
    assert SOURCES == {point["number"]: point["sources"] for point in about["points"]}


def test_a_point_waits_only_for_those_before_it(llm: Any) -> None:
    """The first is written while the third is still being searched for."""
    passed, never = threading.Event(), threading.Event()
    passed.set()
    gates = [(TITLES[1], passed, never), (TITLES[2], passed, never), (TITLES[3], last := threading.Event(), never)]
    text = ""
    for chunk in SoTChain(llm=llm, retriever=Gated(gates=gates)).stream(QUESTION):
        text += chunk.text
        if POINTS[2] in text:
            last.set()
    assert TEXT == text


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", KINDS)
def test_retrievals_are_runs_below_the_chain(llm: Any, kind: str, way: str) -> None:
    """With stage, point and all that the caller gave; the chain is one run."""
    record = Record()
    config = {"callbacks": [record], "metadata": {"who": "me"}, "tags": ["mine"]}
    told(SoTChain(llm=llm, retriever=KINDS[kind]()), way, config=config)
    assert {record.own} == {parent for parent, _, _ in record.retrievals}
    assert [("me", 1), ("me", 2), ("me", 3)] == sorted(
        (metadata["who"], metadata["sot_point"]) for _, _, metadata in record.retrievals
    )
    assert all({"mine", "sot:retrieval"} <= set(tags) for _, tags, _ in record.retrievals)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_direct_answer_retrieves_once(llm: Any, server: LatencyServer, kind: str, way: str) -> None:
    """For the question as it stands; its passages belong to no point."""
    record = Record()
    message = told(SoTChain(llm=llm, retriever=KINDS[kind]()), way, CAPITAL, {"callbacks": [record]})
    assert DIRECT == message.text
    (source,) = message.response_metadata["sot"]["sources"]
    assert (1, [], PARIS.page_content) == (source["number"], source["points"], source["text"])
    assert [(record.own, False)] == [(parent, "sot_point" in about) for parent, _, about in record.retrievals]
    (request,) = server.requests
    said = "\n".join(message["content"] for message in request.body["messages"])
    assert said.startswith(CAPITAL)
    assert ([(1, PARIS.page_content)], True) == (given(said), CITE in said)


class Failing(Native):
    """It fails for the second point, and for the others it searches until it is cancelled."""

    left: list[str] = Field(default_factory=list)

    def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
        if query.startswith((TITLES[2], CAPITAL)):
            raise OSError("the store is away")
        return find(query)

    async def _aget_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
        if query.startswith((TITLES[1], TITLES[3])):
            try:
                await asyncio.Event().wait()
            finally:
                self.left.append(query)
        return self._get_relevant_documents(query, run_manager=run_manager)


@pytest.mark.parametrize("way", WAYS)
def test_a_failing_retriever_is_one_error(llm: Any, server: LatencyServer, way: str) -> None:
    """That of its point, with the cause; nothing is left running."""
    retriever, record = Failing(), Record()
    with pytest.raises(PointError) as caught:
        told(SoTChain(llm=llm, retriever=retriever), way, config={"callbacks": [record]})
    assert (2, TITLES[2], "the store is away") == (caught.value.number, caught.value.title, str(caught.value.__cause__))
    assert [caught.value] == record.errors
    assert (2 if way.startswith("a") else 0) == len(retriever.left)
    server.wait_until_idle()
    for thread in threading.enumerate():
        if thread.name == "sot-model":
            thread.join(timeout=10)
    assert "sot-model" not in {thread.name for thread in threading.enumerate()}
    with pytest.raises(OSError, match="the store is away"):  # no point, so as it is
        told(SoTChain(llm=llm, retriever=retriever), way, CAPITAL)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("found", ["Sleep.", None, [1, 2], NIGHT], ids=["text", "nothing", "numbers", "document"])
def test_what_is_no_list_of_documents_is_refused(llm: Any, way: str, found: Any) -> None:
    """The error tells what was returned, and what should have been."""
    chain = SoTChain(llm=llm, retriever=RunnableLambda(lambda _: found))
    with pytest.raises(PointError) as caught:
        told(chain, way)
    assert ConfigurationError is type(caught.value.__cause__)
    assert f"the retriever returned {found!r}: it has to return a list of Documents" == str(caught.value.__cause__)


@pytest.mark.parametrize("asked", [QUESTION, CAPITAL], ids=["points", "direct"])
def test_where_nothing_is_found_nothing_is_said_of_it(llm: Any, server: LatencyServer, asked: str) -> None:
    """The prompts are those of a chain without a retriever."""
    message = SoTChain(llm=llm, retriever=RunnableLambda(lambda _: [])).invoke(asked)
    about = message.response_metadata["sot"]
    assert [[]] == [about["sources"], *{tuple(point["sources"]): [] for point in about["points"] if point["sources"]}]
    found, calls = prompts(server), len(server.requests)
    SoTChain(llm=llm).invoke(asked)
    assert (found, 2 * calls) == (prompts(server), len(server.requests))


def test_plain_text_is_a_passage(llm: Any, server: LatencyServer) -> None:
    """The same text is the same passage."""
    retriever = RunnableLambda(lambda query: [document.page_content for document in find(query)])
    about = SoTChain(llm=llm, retriever=retriever).invoke(QUESTION).response_metadata["sot"]
    texts = [document.page_content for document in NUMBERED]
    assert texts == [source["text"] for source in about["sources"]]
    assert SOURCES == {point["number"]: point["sources"] for point in about["points"]}


def test_one_point_alone_has_its_own_numbers(llm: Any, server: LatencyServer) -> None:
    """From one up, as no other point is retrieved for."""
    retriever = Blocking()
    chain = SoTChain(llm=llm, retriever=retriever).expansion_chain
    message = chain.invoke({"question": QUESTION, "skeleton": SKELETON, "point": 3})
    assert (POINTS[3], [1, 2]) == (message.text, message.response_metadata["sot"]["sources"])
    assert [f"{TITLES[3]} ({QUESTION})"] == retriever.asked
    assert [(1, LIGHT.page_content), (2, LAMP.page_content)] == given(prompts(server)[3])


def test_what_is_no_retriever_is_refused(llm: Any) -> None:
    """A function, or a store itself: before any model is called."""
    for wrong in (find, Store()):
        with pytest.raises(ValueError, match=r"cannot work: use store.as_retriever\(\), or a Runnable"):
            SoTChain(llm=llm, retriever=wrong)
