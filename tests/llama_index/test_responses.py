"""What a response holds besides its text: nodes and their numbers, how it was made, and what went wrong."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from skeleton_of_thought import InputError, PointError
from skeleton_of_thought.testing import LatencyModel, LatencyServer

from ..script import DIRECT, POINTS, QUESTION, TEXT

pytest.importorskip("llama_index.llms.openai_like")

from llama_index.core.base.response.schema import AsyncStreamingResponse, Response, StreamingResponse
from llama_index.core.schema import NodeWithScore, TextNode

from llama_index_sot import SoTQueryEngine, SoTSynthesizer

from .ways import CAPITAL, FOUR, PASSAGES, TITLES, aread, ask, engine_of, index_of, model, read, run, say, task_of

KINDS = {"query": Response, "aquery": Response, "stream": StreamingResponse, "astream": AsyncStreamingResponse}


@pytest.fixture
def engine(index: Any, llm: Any) -> Any:
    return engine_of("engine", index, llm)


def named(*names: str) -> list[NodeWithScore]:
    return [NodeWithScore(node=TextNode(text=f"Of {name}.", id_=name, metadata={"page": name})) for name in names]


@FOUR
def test_a_response_tells_how_it_was_made(engine: Any, way: str) -> None:
    """Route, skeleton, and of each point where its text stands, how long it took and what it cost."""
    response, text = ask(engine, way)
    about = response.metadata["sot"]
    assert (KINDS[way], TEXT) == (type(response), text)
    assert ("skeleton", "rules") == (about["route"]["kind"], about["route"]["by"])
    assert list(TITLES.values()) == [point["title"] for point in about["skeleton"]["points"]]
    assert list(TITLES.items()) == [(point["number"], point["title"]) for point in about["points"]]
    assert list(POINTS.values()) == [text[slice(*point["span"])] for point in about["points"]]
    assert all(point["seconds"] > 0 and point["finish"] == "stop" for point in about["points"])
    assert {"1", "2", "3"} == set(about["timings"]["points"])
    assert 0 < about["timings"]["first_text"] <= about["timings"]["total"]
    assert about == json.loads(json.dumps(about))


@pytest.mark.parametrize("way", ["query", "aquery"])
def test_what_the_server_counted_is_summed(engine: Any, way: str) -> None:
    """By stage. LlamaIndex asks for no counts of a stream."""
    usage = ask(engine, way)[0].metadata["sot"]["usage"]
    assert {"skeleton", "point"} == set(usage)
    assert sum(len(text.split()) for text in POINTS.values()) == usage["point"]["output_tokens"]


def test_an_end_is_known_from_a_stream_that_also_counts(index: Any, server: LatencyServer) -> None:
    """Its last chunk has the counts, and the one before it the reason."""
    llm = model(server, additional_kwargs={"stream_options": {"include_usage": True}})
    about = ask(engine_of("engine", index, llm), "stream")[0].metadata["sot"]
    assert ["stop"] * 3 == [point["finish"] for point in about["points"]]
    assert [len(text.split()) for text in POINTS.values()] == [
        point["usage"]["output_tokens"] for point in about["points"]
    ]


@FOUR
def test_a_direct_answer_tells_so_too(engine: Any, way: str) -> None:
    """No points, and the same response types."""
    response, text = ask(engine, way, CAPITAL)
    about = response.metadata["sot"]
    assert (KINDS[way], DIRECT) == (type(response), text)
    assert ("direct", "rules") == (about["route"]["kind"], about["route"]["by"])
    assert ([], None) == (about["points"], about["skeleton"])


@FOUR
def test_nodes_are_in_the_order_of_their_numbers_and_each_once(llm: Any, way: str) -> None:
    """Whatever a retriever found twice, and whatever else a caller names as a source."""
    synthesizer = SoTSynthesizer(llm, streaming=way.endswith("stream"))
    nodes, more = named("a", "b", "a", "c"), named("c", "d")
    if way in {"query", "stream"}:
        response: Any = synthesizer.synthesize(QUESTION, nodes, more)
        read(response)
    else:

        async def answer() -> Any:
            response = await synthesizer.asynthesize(QUESTION, nodes, more)
            await aread(response)
            return response

        response = run(answer())
    assert ["a", "b", "c", "d"] == [each.node.node_id for each in response.source_nodes]
    assert [(1, "a"), (2, "b"), (3, "c")] == [
        (each["number"], each["node"]) for each in response.metadata["sot"]["sources"]
    ]
    assert [{"page": name} for name in "abcd"] == [response.metadata[name] for name in "abcd"]


def test_metadata_is_short_where_a_model_reads_it(engine: Any) -> None:
    """LlamaIndex makes nodes of responses, with all their metadata, and gives them to models."""
    response = engine.query(QUESTION)
    node = TextNode(text=str(response), metadata=response.metadata)
    assert "sot: skeleton, 3 points" in node.get_content("llm").splitlines()


# -- failures ------------------------------------------------------------------------------------------


@pytest.fixture
def failing() -> Iterator[LatencyServer]:
    """Serve no second point, and no direct answer."""

    def reply(generation: Any) -> str:
        if task_of(generation) in {2, "direct"}:
            raise RuntimeError("no")
        return say(generation)

    with LatencyServer(LatencyModel(reply=reply)) as server:
        yield server


@FOUR
def test_a_failing_point_is_one_error_with_all_that_was_written(failing: LatencyServer, index: Any, way: str) -> None:
    """Its cause is the LLM's own; a stream yields what stands before it."""
    with pytest.raises(PointError) as caught:
        ask(engine_of("engine", index, model(failing)), way)
    error = caught.value
    assert (2, TITLES[2]) == (error.number, error.title)
    assert "openai" in type(error.__cause__).__module__
    assert error.answer.text.startswith("1. Keep regular hours: ")
    failing.wait_until_idle()


@pytest.mark.parametrize("sync", [True, False], ids=["sync", "async"])
def test_the_metadata_of_a_failed_stream_tell_of_it(failing: LatencyServer, index: Any, sync: bool) -> None:
    """The response is in the reader's hands already."""
    engine = engine_of("engine", index, model(failing), streaming=True)

    async def failed() -> Any:
        response = await engine.aquery(QUESTION)
        with pytest.raises(PointError):
            await aread(response)
        return response

    if sync:
        response = engine.query(QUESTION)
        with pytest.raises(PointError):
            read(response)
    else:
        response = run(failed())
    error = response.metadata["sot"]["error"]
    assert (2, TITLES[2]) == (error["number"], error["title"])
    assert "InternalServerError" in error["error"] or "APIError" in error["error"]
    assert 3 == len(response.metadata["sot"]["points"])
    assert sorted(PASSAGES) == sorted(each.node.get_content() for each in response.source_nodes)


@FOUR
def test_a_direct_answer_that_fails_fails_as_without_us(failing: LatencyServer, index: Any, way: str) -> None:
    """With the LLM's own exception."""
    llm = model(failing)
    with pytest.raises(Exception) as usual:  # noqa: PT011 -- whatever it is
        ask(engine_of("default", index, llm), way, CAPITAL)
    with pytest.raises(type(usual.value)):
        ask(engine_of("engine", index, llm), way, CAPITAL)


@FOUR
def test_an_empty_question_is_refused(engine: Any, server: LatencyServer, way: str) -> None:
    """Before any model is called."""
    with pytest.raises(InputError, match="the question is empty"):
        ask(engine, way, "  ")
    assert [] == server.requests


# -- nothing to answer from ----------------------------------------------------------------------------


@FOUR
@pytest.mark.parametrize("asked", [QUESTION, CAPITAL], ids=["points", "direct"])
def test_without_nodes_the_response_is_empty_as_without_us(
    llm: Any, server: LatencyServer, way: str, asked: str
) -> None:
    """The same text, no request."""
    index = index_of()
    usual, text = ask(engine_of("default", index, llm), way, asked)
    response, ours = ask(engine_of("engine", index, llm), way, asked)
    assert (type(usual), text, usual.metadata) == (type(response), ours, response.metadata)
    assert ("Empty Response", []) == (ours, server.requests)


@FOUR
@pytest.mark.parametrize(("asked", "expected"), [(QUESTION, TEXT), (CAPITAL, DIRECT)], ids=["points", "direct"])
def test_an_engine_without_retrieval_answers(
    llm: Any, server: LatencyServer, way: str, asked: str, expected: str
) -> None:
    """From what the model knows; nothing is said of passages."""
    response, text = ask(SoTQueryEngine.without_retrieval(llm), way, asked)
    assert (KINDS[way], expected, []) == (type(response), text, response.source_nodes)
    assert {asked} == {request.body["messages"][0]["content"].split("\n")[0] for request in server.requests}


def test_switching_streams_between_calls_is_no_matter_of_the_earlier_one(engine: Any) -> None:
    """Chat engines switch back before a stream is read."""

    async def ask_both() -> list[str]:
        engine._response_synthesizer._streaming = True
        stream = await engine.aquery(QUESTION)
        engine._response_synthesizer._streaming = False
        whole = await engine.aquery(QUESTION)
        assert (AsyncStreamingResponse, Response) == (type(stream), type(whole))
        return await asyncio.gather(aread(stream), aread(whole))

    assert [TEXT, TEXT] == run(ask_both())
