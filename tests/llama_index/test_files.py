"""`SoTQueryEngine` over real files, found by real embeddings, through the clients that people use."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from skeleton_of_thought import Abilities
from skeleton_of_thought.models.generation import Generation
from skeleton_of_thought.testing import LatencyModel, LatencyServer

from ..script import ALONE

pytest.importorskip("wordllama")
OpenAILike = pytest.importorskip("llama_index.llms.openai_like").OpenAILike

from llama_index.core import VectorStoreIndex  # noqa: E402 -- only where the framework is
from llama_index.core.node_parser import MarkdownNodeParser, SentenceSplitter  # noqa: E402
from llama_index.llms.openai import OpenAI  # noqa: E402

from llama_index_sot import SoTQueryEngine, SoTSynthesizer  # noqa: E402

from .embedding import FILES, QUESTION, SKELETON, TOPICS, index_of_files, write  # noqa: E402
from .ways import FOUR, ask, task_of  # noqa: E402

FACT = "When do storms come?"
TITLES = {int(number): title for number, title in re.findall(r"(\d)\. (.+)", SKELETON)}
POINTS = {number: f"All about {topic} [{number}]." for number, topic in TOPICS.items()}
TEXT = "\n\n".join(f"{number}. {title}: {POINTS[number]}" for number, title in TITLES.items())
DIRECT = "In the afternoon."


def say(generation: Generation) -> str:
    task = task_of(generation)
    return POINTS[task] if isinstance(task, int) else {"skeleton": SKELETON, "direct": DIRECT}[task]


CLIENTS = {
    "openai_like": lambda url: OpenAILike(
        model="scripted", api_base=url, api_key="none", is_chat_model=True, max_retries=0, default_headers=ALONE
    ),
    "openai": lambda url: OpenAI(
        model="gpt-4o-mini", api_base=url, api_key="none", max_retries=0, default_headers=ALONE
    ),
}


@pytest.fixture
def server() -> Iterator[LatencyServer]:
    with LatencyServer(LatencyModel(reply=say)) as server:
        yield server


@pytest.fixture(params=CLIENTS)
def llm(request: pytest.FixtureRequest, server: LatencyServer) -> Any:
    return CLIENTS[request.param](server.base_url)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hike")
    write(folder)
    return folder


@pytest.fixture(
    scope="module",
    params=[MarkdownNodeParser(), SentenceSplitter(chunk_size=128, chunk_overlap=0)],
    ids=["head", "size"],
)
def index(request: pytest.FixtureRequest, folder: Path) -> VectorStoreIndex:
    return index_of_files(folder, request.param)


def topic_of(node: Any) -> str:
    """Tell the topic by the file that a node comes from."""
    return Path(node.metadata["file_name"]).stem


def check_numbers(nodes: list[Any], about: Any) -> None:
    """See to it that the nodes are those of the metadata, each once, in the order of their numbers."""
    assert list(enumerate([node.node_id for node in nodes], 1)) == [
        (source["number"], source["node"]) for source in about["sources"]
    ]
    assert len(nodes) == len({node.node_id for node in nodes})


def said_to(server: LatencyServer, number: int) -> str:
    """Return what was said last in the one request for a point."""
    asked = [request.body["messages"][-1]["content"] for request in server.requests]
    (task,) = [task for task in asked if f"Write only point {number}," in task]
    return str(task)


@FOUR
def test_every_point_gets_the_passages_of_its_own_file(
    index: VectorStoreIndex, llm: Any, server: LatencyServer, way: str
) -> None:
    """What a point is asked with, what the metadata tell, and the numbered source nodes are of one mind."""
    engine = SoTQueryEngine.from_args(index.as_retriever(similarity_top_k=1), llm=llm, point_retrieval=True)
    response, text = ask(engine, way, QUESTION)
    assert TEXT == text
    nodes, about = response.source_nodes, response.metadata["sot"]
    check_numbers(nodes, about)
    own = {number: nodes[point["sources"][0] - 1] for number, point in enumerate(about["points"], 1)}
    assert TOPICS == {number: topic_of(node) for number, node in own.items()}
    assert [[node.node_id] for node in own.values()] == [point["nodes"] for point in about["points"]]
    for number, node in own.items():  # the first node was found for the whole question, so all are asked with it
        told = [] if node is nodes[0] else [str(nodes.index(node) + 1)]
        task = said_to(server, number)
        assert told == re.findall(r"^\[(\d+)\] ", task, re.MULTILINE)
        assert bool(told) == (node.text.strip() in task)
    assert [True] * 5 == [
        "[1] " in head and nodes[0].text.strip() in head
        for head in (request.body["messages"][0]["content"] for request in server.requests)
    ]


@FOUR
def test_source_nodes_tell_their_files(
    index: VectorStoreIndex, folder: Path, llm: Any, server: LatencyServer, way: str
) -> None:
    """What the reader knows of a file is in the node, and under its identifier in the metadata of the response."""
    engine = SoTQueryEngine.from_args(index.as_retriever(similarity_top_k=2), llm=llm, point_retrieval=True)
    response, _ = ask(engine, way, QUESTION)
    markdown = {str(folder / name) for name in FILES if name.endswith(".md")}
    assert markdown == {node.metadata["file_path"] for node in response.source_nodes}
    for node in response.source_nodes:
        assert node.node.metadata == response.metadata[node.node_id]
        assert node.text.strip() in (folder / node.metadata["file_path"]).read_text(encoding="utf-8")
    assert [True] * len(response.source_nodes) == [0.0 < node.score <= 1.0 for node in response.source_nodes]


@FOUR
def test_a_question_for_one_fact_is_answered_by_the_default_synthesizer(
    index: VectorStoreIndex, llm: Any, server: LatencyServer, way: str
) -> None:
    """In one request, with what was retrieved for the question."""
    engine = SoTQueryEngine.from_args(index.as_retriever(similarity_top_k=1), llm=llm, point_retrieval=True)
    response, text = ask(engine, way, FACT)
    assert DIRECT == text
    assert ["weather"] == [topic_of(node) for node in response.source_nodes]
    (request,) = server.requests
    assert response.source_nodes[0].text.strip() in "".join(each["content"] for each in request.body["messages"])


@FOUR
def test_the_synthesizer_retrieves_for_each_point_in_a_default_engine(
    index: VectorStoreIndex, llm: Any, way: str
) -> None:
    """Swapped in alone, with a retriever of its own."""
    synthesizer = SoTSynthesizer(llm=llm, retriever=index.as_retriever(similarity_top_k=1))
    response, text = ask(
        index.as_query_engine(llm=llm, similarity_top_k=1, response_synthesizer=synthesizer), way, QUESTION
    )
    assert TEXT == text
    found = [
        [topic_of(response.source_nodes[number - 1]) for number in point["sources"]]
        for point in response.metadata["sot"]["points"]
    ]
    assert [[topic] for topic in TOPICS.values()] == found


# -- the embedded model --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    pytest.importorskip("openvino_genai")
    from skeleton_of_thought.models._openvino import engine_for
    from skeleton_of_thought.models._store import find
    from skeleton_of_thought.server import running

    with running(engine_for(find("smollm2-135m"))) as there:
        yield there.base_url


@FOUR
def test_a_real_model_answers_from_real_files(index: VectorStoreIndex, folder: Path, endpoint: str, way: str) -> None:
    """In points that have text, from nodes that are numbered, and with the tokens that the endpoint told."""
    counted = {"stream_options": {"include_usage": True}} if way.endswith("stream") else {}
    llm = OpenAILike(
        api_base=endpoint,
        model="smollm2-135m",
        api_key="none",
        is_chat_model=True,
        default_headers=ALONE,
        additional_kwargs=counted,
    )
    engine = SoTQueryEngine.from_args(
        index.as_retriever(similarity_top_k=1),
        llm=llm,
        abilities=Abilities(prefill=True, grammar=True, small=True),
        point_retrieval=True,
        max_points=3,
        point_max_tokens=24,
    )
    response, text = ask(engine, way, QUESTION)
    about = response.metadata["sot"]
    assert "skeleton" == about["route"]["kind"]
    assert 2 <= len(about["points"]) <= 3
    for number, point in enumerate(about["points"], 1):
        start, end = point["span"]
        assert text[start:end].strip()
        assert text[:start].endswith(f"{number}. {point['title']}: ")
        assert 0 < point["usage"]["output_tokens"] <= 24
    assert about["usage"]["skeleton"]["input_tokens"] > 0
    nodes = response.source_nodes
    check_numbers(nodes, about)
    assert [True] * len(nodes) == [str(folder) in node.metadata["file_path"] for node in nodes]
