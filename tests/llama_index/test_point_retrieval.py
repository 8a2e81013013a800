"""Each point retrieves by its own words: what is searched by, what it sees, how it is numbered."""

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from skeleton_of_thought import ConfigurationError, PointError
from skeleton_of_thought.testing import LatencyServer

from ..script import DIRECT, QUESTION, TEXT

pytest.importorskip("llama_index.llms.openai_like")

from llama_index.core import VectorStoreIndex
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.prompts import PromptTemplate
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode
from pydantic import Field

from llama_index_sot import SoTQueryEngine, SoTSynthesizer

from .ways import CAPITAL, FOUR, TITLES, aread, ask, engine_of, index_of, read, run

CITE = "Put the number of each passage that you use behind"
TEXTS = {"sleep": "Of sleep.", "night": "Of nights.", "cup": "Of cups.", "lamp": "Of lamps.", "junk": "Of nothing."}
FOUND = {1: ["night", "sleep"], 2: ["cup", "junk"], 3: ["night", "lamp"]}
NUMBERS = {"sleep": 1, "night": 2, "cup": 3, "lamp": 4}


def found(query: str) -> list[NodeWithScore]:
    names = next((FOUND[number] for number, title in TITLES.items() if query.startswith(title)), ["sleep", "junk"])
    return [NodeWithScore(node=TextNode(text=TEXTS[name], id_=name), score=1.0) for name in names]


class Store(BaseRetriever):
    """It writes into the bundle that it is given, as that of a vector index does."""

    def __init__(self, fails: str = "never") -> None:
        super().__init__()
        self.fails = fails
        self.asked: list[tuple[str, Any, str]] = []

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        query = query_bundle.query_str
        self.asked.append((query, query_bundle.embedding, threading.current_thread().name))
        query_bundle.embedding = [1.0]
        if query.startswith(self.fails):
            raise OSError("the store is away")
        return found(query)


class AsyncStore(Store):
    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        await asyncio.sleep(0)
        return self._retrieve(query_bundle)


class WithoutJunk(BaseNodePostprocessor):
    asked: list[str] = Field(default_factory=list)

    def _postprocess_nodes(self, nodes: list[NodeWithScore], query_bundle: Any = None) -> list[NodeWithScore]:
        self.asked.append(query_bundle.query_str)
        return [each for each in nodes if each.node.node_id != "junk"]


@pytest.fixture(params=[Store, AsyncStore])
def store(request: pytest.FixtureRequest) -> Any:
    return request.param()


@pytest.fixture
def clean() -> WithoutJunk:
    return WithoutJunk()


@pytest.fixture
def engine(llm: Any, store: Store, clean: WithoutJunk) -> Any:
    return SoTQueryEngine.from_args(store, llm=llm, node_postprocessors=[clean], point_retrieval=True)


def prompts(server: LatencyServer) -> dict[int, str]:
    """Return the last messages of the requests for points, by number."""
    said = [request.body["messages"][-1]["content"] for request in server.requests]
    return {
        number: task
        for number, title in TITLES.items()
        for task in said
        if f"Write only point {number}, {title}" in task
    }


@FOUR
def test_each_point_is_written_from_its_own_nodes(engine: Any, server: LatencyServer, way: str) -> None:
    """Besides those of the question, which stand in front; numbered over the whole answer, with the word to cite."""
    response, text = ask(engine, way)
    assert TEXT == text
    assert list(NUMBERS) == [each.node.node_id for each in response.source_nodes]
    about = response.metadata["sot"]
    assert list(NUMBERS.items()) == [(each["node"], each["number"]) for each in about["sources"]]
    assert [[1], [1, 3], [2], [3]] == [each["points"] for each in about["sources"]]
    assert [["night", "sleep"], ["cup"], ["night", "lamp"]] == [point["nodes"] for point in about["points"]]
    assert {"1", "2", "3"} == set(about["timings"]["retrieval"])
    assert all(request.body["messages"][0]["content"].count("[1] Of sleep.") == 1 for request in server.requests)
    shown = {
        number: [name for name in NUMBERS if f"[{NUMBERS[name]}] {TEXTS[name]}" in task]
        for number, task in prompts(server).items()
    }
    assert {1: ["night"], 2: ["cup"], 3: ["night", "lamp"]} == shown
    assert [True] * 3 == [CITE in task for task in prompts(server).values()]


@FOUR
def test_each_search_has_a_bundle_of_its_own(engine: Any, store: Store, clean: WithoutJunk, way: str) -> None:
    """With nothing of another search in it; what was found goes through the postprocessors with it."""
    ask(engine, way)
    queries = [QUESTION, *(f"{title} ({QUESTION})" for title in TITLES.values())]
    assert sorted(queries) == sorted(query for query, _, _ in store.asked)
    assert [None] * 4 == [embedding for _, embedding, _ in store.asked]
    assert sorted(queries) == sorted(clean.asked)


@FOUR
def test_what_only_blocks_is_searched_in_threads(engine: Any, store: Store, way: str) -> None:
    """A store without an asynchronous search of its own would hold up the loop."""
    ask(engine, way)
    native = way.startswith("a") and isinstance(store, AsyncStore)
    assert {"MainThread" if native else "sot-model"} == {
        thread for query, _, thread in store.asked if query != QUESTION
    }


@FOUR
def test_a_direct_answer_searches_once(engine: Any, llm: Any, server: LatencyServer, store: Store, way: str) -> None:
    """For the question, as the default engine does, with the same request."""
    assert DIRECT == ask(engine, way, CAPITAL)[1]
    assert [CAPITAL] == [query for query, _, _ in store.asked]
    ask(engine_of("default", index_of(TEXTS["sleep"]), llm), way, CAPITAL)
    assert server.requests[0].body == server.requests[1].body


@FOUR
def test_a_search_that_fails_is_the_error_of_its_point(llm: Any, server: LatencyServer, way: str) -> None:
    """With the store's own exception as the cause; nothing is left running."""
    engine = SoTQueryEngine.from_args(Store(fails=TITLES[2]), llm=llm, point_retrieval=True)
    with pytest.raises(PointError) as caught:
        ask(engine, way)
    assert (2, "the store is away") == (caught.value.number, str(caught.value.__cause__))
    server.wait_until_idle()


@FOUR
def test_a_synthesizer_may_have_a_retriever(llm: Any, store: Store, way: str) -> None:
    """In a default engine, over another retriever."""
    synthesizer = SoTSynthesizer(llm, retriever=store)
    engine = index_of("Of the rest.").as_query_engine(llm=llm, response_synthesizer=synthesizer)
    response, text = ask(engine, way)
    assert TEXT == text
    assert ["n1", "night", "sleep", "cup", "junk", "lamp"] == [each.node.node_id for each in response.source_nodes]
    assert QUESTION not in {query for query, _, _ in store.asked}


@FOUR
@pytest.mark.parametrize(
    ("asked", "expected"), [(QUESTION, TEXT), (CAPITAL, "Empty Response")], ids=["points", "direct"]
)
def test_points_find_what_the_question_does_not(llm: Any, way: str, asked: str, expected: str) -> None:
    """Without nodes for the question there is an answer in points, and none without them."""
    synthesizer = SoTSynthesizer(llm, retriever=Store(), streaming=way.endswith("stream"))

    async def answer() -> str:
        return await aread(await synthesizer.asynthesize(asked, []))

    assert expected == (run(answer()) if way.startswith("a") else read(synthesizer.synthesize(asked, [])))


@FOUR
def test_another_retriever_serves_the_points_too(engine: Any, store: Store, way: str) -> None:
    """``with_retriever`` is the same engine in all else."""
    other = Store()
    assert TEXT == ask(engine.with_retriever(other), way)[1]
    assert (4, 0) == (len(other.asked), len(store.asked))


def test_what_is_searched_by_is_a_prompt(engine: Any, store: Store) -> None:
    """It can be changed as the others can."""
    engine.update_prompts({"response_synthesizer:query_template": PromptTemplate("{title}: {query_str}")})
    engine.query(QUESTION)
    assert {f"{title}: {QUESTION}" for title in TITLES.values()} < {query for query, _, _ in store.asked}


class Words(BaseEmbedding):
    """Texts are near each other that have a word in common."""

    def _get_text_embedding(self, text: str) -> list[float]:
        words = ("hours", "coffee", "bedroom", "cold")
        return [0.1 + 9 * (word in text.lower()) for word in words]

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)


@FOUR
def test_a_vector_index_finds_other_nodes_for_each_point(llm: Any, way: str) -> None:
    """Its retriever keeps the embedding in the bundle, so a bundle that is used again finds the same again."""
    nodes = [TextNode(text=f"Of {word}.", id_=word) for word in ("hours", "coffee", "bedroom", "cold")]
    retriever = VectorStoreIndex(nodes, embed_model=Words()).as_retriever(similarity_top_k=1)
    response, _ = ask(SoTQueryEngine.from_args(retriever, llm=llm, point_retrieval=True), way)
    assert [["hours"], ["coffee"], ["bedroom"]] == [point["nodes"] for point in response.metadata["sot"]["points"]]


@pytest.fixture
def default(llm: Any, index: Any) -> Iterator[Any]:
    return index.as_query_engine(llm=llm)._response_synthesizer


def test_what_cannot_retrieve_is_refused(llm: Any, index: Any, default: Any) -> None:
    """When the object is made."""
    with pytest.raises(ConfigurationError, match="point_retrieval=True needs a SoTSynthesizer"):
        SoTQueryEngine(index.as_retriever(), default, point_retrieval=True)
    with pytest.raises(ConfigurationError, match=r"cannot work: use index.as_retriever\(\)"):
        SoTSynthesizer(llm, retriever=index)
