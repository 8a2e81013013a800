"""Retrieval from Chroma, in memory."""

from collections.abc import Iterator
from typing import Any

import pytest

from skeleton_of_thought.testing import LatencyModel, LatencyServer

ChatOpenAI = pytest.importorskip("langchain_openai").ChatOpenAI
pytest.importorskip("wordllama")
Chroma = pytest.importorskip("langchain_chroma").Chroma

import chromadb  # noqa: E402 -- only where the store is

from langchain_sot import SoTChain, create_sot_retrieval_chain  # noqa: E402

from ..script import ALONE  # noqa: E402
from .embedding import DIRECT, DOCUMENTS, POINTS, QUESTION, REPLY, TOPICS, WordEmbeddings  # noqa: E402
from .retrievers import WAYS, given, prompts, told  # noqa: E402


@pytest.fixture(scope="module")
def store() -> Iterator[Any]:
    client = chromadb.EphemeralClient(chromadb.Settings(anonymized_telemetry=False))
    cosine = {"hnsw": {"space": "cosine"}}
    store = Chroma.from_documents(DOCUMENTS, WordEmbeddings(), client=client, collection_configuration=cosine)
    yield store
    store.delete_collection()


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
def test_passages_reach_the_point_that_they_are_about(llm: Any, server: LatencyServer, store: Any, way: str) -> None:
    """Two for each, searched for at the same time, numbered as they come out."""
    chain = create_sot_retrieval_chain(store.as_retriever(search_kwargs={"k": 2}), llm)
    output = told(chain, way, {"input": QUESTION})
    context = output["context"]
    assert [topic for topic in TOPICS.values() for _ in "12"] == [each.metadata["topic"] for each in context]
    assert all(text in output["answer"] for text in POINTS.values())
    tasks = prompts(server)
    numbered = list(enumerate((document.page_content for document in context), 1))
    assert {point: numbered[2 * point - 2 : 2 * point] for point in TOPICS} == {
        point: given(tasks[point]) for point in TOPICS
    }


@pytest.mark.parametrize("way", WAYS)
def test_a_filter_is_the_stores_own(llm: Any, store: Any, way: str) -> None:
    """All points then cite the same three passages."""
    search = {"k": 9, "filter": {"topic": "boots"}}
    about = told(SoTChain(llm=llm, retriever=store.as_retriever(search_kwargs=search)), way, QUESTION)
    about = about.response_metadata["sot"]
    assert {"boots-1", "boots-2", "boots-3"} == {source["id"] for source in about["sources"]}
    assert [[1, 2, 3]] * len(TOPICS) == [sorted(point["sources"]) for point in about["points"]]
    assert [[*TOPICS]] * 3 == [source["points"] for source in about["sources"]]


# Chroma warns of langchain-chroma's embedding function when it reads how distances are measured.
@pytest.mark.filterwarnings("ignore:legacy embedding function config:DeprecationWarning")
@pytest.mark.parametrize("way", WAYS)
def test_what_is_far_off_is_no_source(llm: Any, store: Any, way: str) -> None:
    """How a store is searched is the retriever's business."""
    search = {"k": 1, "score_threshold": 0.35}
    retriever = store.as_retriever(search_type="similarity_score_threshold", search_kwargs=search)
    about = told(SoTChain(llm=llm, retriever=retriever), way, QUESTION).response_metadata["sot"]
    assert ["boots", "food", "weather"] == [source["metadata"]["topic"] for source in about["sources"]]
    assert [[1], [2], [3], []] == [point["sources"] for point in about["points"]]


@pytest.mark.parametrize("way", WAYS)
def test_a_direct_answer_has_what_the_question_is_about(llm: Any, store: Any, way: str) -> None:
    """It is searched by its own words."""
    chain = create_sot_retrieval_chain(store.as_retriever(search_kwargs={"k": 2}), llm)
    output = told(chain, way, {"input": "Which map should I take?"})
    assert (DIRECT, ["map"] * 2) == (output["answer"], [each.metadata["topic"] for each in output["context"]])
