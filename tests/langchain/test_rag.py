"""Retrieval with real embeddings, from a scripted endpoint and from the embedded model."""

from collections.abc import Iterator
from typing import Any

import pytest

from skeleton_of_thought import Abilities
from skeleton_of_thought.testing import LatencyModel, LatencyServer

ChatOpenAI = pytest.importorskip("langchain_openai").ChatOpenAI
pytest.importorskip("wordllama")

from langchain_core.runnables import ConfigurableField  # noqa: E402 -- only where the framework is
from langchain_core.vectorstores import InMemoryVectorStore  # noqa: E402

from langchain_sot import SoTChain, create_sot_retrieval_chain  # noqa: E402

from ..script import ALONE  # noqa: E402
from .embedding import DIRECT, DOCUMENTS, POINTS, QUESTION, REPLY, TOPICS, WordEmbeddings  # noqa: E402
from .retrievers import WAYS, given, prompts, told  # noqa: E402

MAP = "Which map should I take?"


@pytest.fixture(scope="module")
def store() -> InMemoryVectorStore:
    return InMemoryVectorStore.from_documents(DOCUMENTS, WordEmbeddings())


@pytest.fixture
def retriever(store: InMemoryVectorStore) -> Any:
    return store.as_retriever(search_kwargs={"k": 2})


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
def test_passages_reach_the_point_that_they_are_about(
    llm: Any, server: LatencyServer, retriever: Any, way: str
) -> None:
    """Two for each, found by its title, and numbered as they come out."""
    output = told(create_sot_retrieval_chain(retriever, llm), way, {"input": QUESTION})
    context = output["context"]
    assert [topic for topic in TOPICS.values() for _ in "12"] == [each.metadata["topic"] for each in context]
    assert all(text in output["answer"] for text in POINTS.values())
    tasks = prompts(server)
    numbered = list(enumerate((document.page_content for document in context), 1))
    assert {point: numbered[2 * point - 2 : 2 * point] for point in TOPICS} == {
        point: given(tasks[point]) for point in TOPICS
    }


@pytest.mark.parametrize("way", WAYS)
def test_a_direct_answer_has_what_the_question_is_about(llm: Any, retriever: Any, way: str) -> None:
    """It is searched by its own words."""
    output = told(create_sot_retrieval_chain(retriever, llm), way, {"input": MAP})
    assert (DIRECT, ["map"] * 2) == (output["answer"], [each.metadata["topic"] for each in output["context"]])


@pytest.mark.parametrize("way", WAYS)
def test_what_is_found_may_be_diverse(llm: Any, store: InMemoryVectorStore, way: str) -> None:
    """How a store is searched is the retriever's business."""
    retriever = store.as_retriever(search_type="mmr", search_kwargs={"k": 1, "fetch_k": 2})
    about = told(SoTChain(llm=llm, retriever=retriever), way, QUESTION).response_metadata["sot"]
    assert [*TOPICS.values()] == [source["metadata"]["topic"] for source in about["sources"]]


@pytest.mark.parametrize("way", WAYS)
def test_how_many_are_found_can_be_set_for_a_call(llm: Any, retriever: Any, way: str) -> None:
    """The caller's config reaches the retriever."""
    chain = SoTChain(llm=llm, retriever=retriever.configurable_fields(search_kwargs=ConfigurableField(id="search")))
    one = told(chain, way, QUESTION, {"configurable": {"search": {"k": 1}}})
    assert [[1], [2], [3], [4]] == [point["sources"] for point in one.response_metadata["sot"]["points"]]


@pytest.fixture(scope="module")
def embedded() -> Iterator[Any]:
    """The embedded model behind an endpoint."""
    pytest.importorskip("openvino_genai")
    from skeleton_of_thought.models._openvino import engine_for
    from skeleton_of_thought.models._store import find
    from skeleton_of_thought.server import running

    with running(engine_for(find("smollm2-135m"))) as endpoint:
        yield ChatOpenAI(
            base_url=endpoint.base_url, model="smollm2-135m", api_key="none", stream_usage=True, default_headers=ALONE
        )


@pytest.mark.parametrize("way", WAYS)
def test_a_real_model_answers_from_real_passages(embedded: Any, retriever: Any, way: str) -> None:
    """Each point has two sources, whose numbers ascend as they are first met."""
    chain = SoTChain(
        llm=embedded,
        abilities=Abilities(prefill=True, grammar=True, small=True),
        retriever=retriever,
        router="always",
        max_points=3,
        point_max_tokens=24,
    )
    message = told(chain, way, QUESTION)
    about = message.response_metadata["sot"]
    numbers = [number for point in about["points"] for number in point["sources"]]
    assert [2] * len(about["points"]) == [len(point["sources"]) for point in about["points"]]
    assert [source["number"] for source in about["sources"]] == list(dict.fromkeys(numbers))
    assert [*range(1, len(about["sources"]) + 1)] == [source["number"] for source in about["sources"]]
    assert {source["number"]: source["points"] for source in about["sources"]} == {
        number: [point["number"] for point in about["points"] if number in point["sources"]] for number in numbers
    }
    known = {document.page_content for document in DOCUMENTS}
    assert known >= {source["text"] for source in about["sources"]}
    assert len(about["points"]) >= 2
    assert all(message.text[slice(*point["span"])].strip() for point in about["points"])
