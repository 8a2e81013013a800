"""What is not answered in points is answered as without us: the same text, the same types, the same requests."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from skeleton_of_thought.models.generation import Generation
from skeleton_of_thought.testing import LatencyModel, LatencyServer

from ..script import DIRECT, QUESTION, TEXT

pytest.importorskip("llama_index.llms.openai_like")

from llama_index.core.output_parsers import PydanticOutputParser
from llama_index.core.prompts import PromptTemplate
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.response_synthesizers import ResponseMode, get_response_synthesizer
from llama_index.core.schema import NodeWithScore, TextNode
from pydantic import BaseModel

from llama_index_sot import SoTQueryEngine, SoTSynthesizer

from .ways import CAPITAL, FOUR, ask, index_of, model, say

pytestmark = pytest.mark.usefixtures("no_key")
LONG = [f"Part {number}: " + "sleep comes with the dark and coffee keeps awake, " * 40 for number in range(4)]


class Advice(BaseModel):
    """What to do."""

    advice: str


@pytest.fixture(scope="module")
def reply() -> Callable[[Generation], str]:
    """Answer in a form where one is asked for."""

    def formed(generation: Generation) -> str:
        asked = generation.prompt or "".join(message.text for message in generation.messages)
        return '{"advice": "Sleep."}' if '"advice"' in asked else say(generation)

    return formed


def outcome(server: LatencyServer, engine: Any, way: str, asked: str) -> Any:
    """Tell all that somebody could see of a query: its response or exception, and what the model was asked."""
    server.requests.clear()
    try:
        response, text = ask(engine, way, asked)
    except Exception as error:  # noqa: BLE001 -- whichever it is
        return type(error), re.sub("0x[0-9a-f]+", "", str(error)), bodies(server)
    metadata = {key: value for key, value in (response.metadata or {}).items() if key != "sot"}
    sources = [each.node.get_content() for each in response.source_nodes]
    return type(response), text, sources, metadata, bodies(server)


def bodies(server: LatencyServer) -> list[str]:
    """Return what was asked; some of it at the same time."""
    return sorted(str(request.body) for request in server.requests)


def assert_same(server: LatencyServer, index: Any, llm: Any, way: str, asked: str = CAPITAL, **options: Any) -> Any:
    retriever = index.as_retriever(similarity_top_k=4)
    usual = outcome(server, RetrieverQueryEngine.from_args(retriever, llm=llm, **options), way, asked)
    synthesizer = SoTSynthesizer(llm, default=get_response_synthesizer(llm, **options))
    engines = [
        SoTQueryEngine.from_args(retriever, llm=llm, **options),
        index.as_query_engine(llm=llm, response_synthesizer=synthesizer, similarity_top_k=4),
    ]
    for engine in engines:
        assert usual == outcome(server, engine, way, asked)
    return usual


@FOUR
@pytest.mark.parametrize(
    "mode", [mode for mode in ResponseMode if mode.value not in {"accumulate", "compact_accumulate"}]
)
@pytest.mark.parametrize("texts", [["Paris.", "Rome."], LONG], ids=["one window", "several"])
def test_a_direct_answer_is_that_of_the_response_mode(
    server: Any, way: str, mode: ResponseMode, texts: list[str]
) -> None:
    """Over one window of text or several."""
    llm = model(server, context_window=1100)
    usual = assert_same(server, index_of(*texts), llm, way, response_mode=mode)
    if mode == ResponseMode.REFINE and len(texts) > 1:
        assert len(usual[-1]) > 1


@pytest.mark.parametrize("way", ["query", "aquery"])
@pytest.mark.parametrize("mode", [ResponseMode.ACCUMULATE, ResponseMode.COMPACT_ACCUMULATE])
def test_a_direct_answer_is_accumulated(server: Any, way: str, mode: ResponseMode) -> None:
    """These modes have no streams."""
    assert_same(server, index_of(*LONG), model(server, context_window=1100), way, response_mode=mode, use_async=True)


@FOUR
def test_refining_goes_over_all_that_was_retrieved(server: Any, way: str) -> None:
    """Not only over what has room beside a skeleton."""
    usual = assert_same(server, index_of(*LONG), model(server, context_window=1100), way)
    assert all(any(text[:200] in body for body in usual[-1]) for text in LONG)


@FOUR
@pytest.mark.parametrize("chat", [True, False], ids=["chat", "completion"])
def test_templates_of_the_default_are_kept(server: Any, way: str, chat: bool) -> None:
    """And the LLM's own system prompt, for both kinds of models."""
    llm = model(server, system_prompt="Be brief.", is_chat_model=chat)
    template = PromptTemplate("Passages: {context_str} Question: {query_str}")
    usual = assert_same(server, index_of("Paris."), llm, way, text_qa_template=template)
    assert (DIRECT, 1) == (usual[1], len(usual[-1]))
    assert "Be brief." in usual[-1][0]
    assert "Passages: Paris. Question: " in usual[-1][0]


@FOUR
@pytest.mark.parametrize("mode", ["no_text", "context_only"])
def test_nodes_alone_are_no_answer_in_points(server: Any, way: str, mode: str) -> None:
    """These modes ask no model, whatever the question."""
    usual = assert_same(server, index_of("Paris."), model(server), way, QUESTION, response_mode=ResponseMode(mode))
    assert [] == usual[-1]


@FOUR
@pytest.mark.parametrize("asked", [QUESTION, CAPITAL], ids=["points", "direct"])
def test_an_answer_of_a_class_has_its_form(server: Any, way: str, asked: str) -> None:
    """``output_cls``, where a model writes JSON."""
    usual = assert_same(server, index_of("Paris."), model(server), way, asked, output_cls=Advice)
    if way.endswith("query"):
        assert '{"advice":"Sleep."}' == usual[1]


@FOUR
@pytest.mark.parametrize("asked", [QUESTION, CAPITAL], ids=["points", "direct"])
def test_a_structured_model_answers_in_its_form(server: Any, way: str, asked: str) -> None:
    """It writes nothing else, so it can write no skeleton."""
    usual = assert_same(server, index_of("Paris."), model(server).as_structured_llm(Advice), way, asked)
    if way.endswith("query"):
        assert '{"advice":"Sleep."}' == usual[1]


@FOUR
def test_a_model_with_an_output_parser_answers_in_its_form(server: Any, way: str) -> None:
    """It parses all that it says."""
    llm = model(server, output_parser=PydanticOutputParser(Advice))
    usual = assert_same(server, index_of("Paris."), llm, way, QUESTION)
    if way.endswith("query"):
        assert "advice='Sleep.'" == usual[1]


@FOUR
@pytest.mark.parametrize("asked", [QUESTION, CAPITAL], ids=["points", "direct"])
def test_multimodal_nodes_are_handed_on_whole(server: Any, way: str, asked: str) -> None:
    """They are messages, not text."""
    usual = assert_same(server, index_of("Paris."), model(server), way, asked, multimodal=True)
    assert 1 == len(usual[-1])


@FOUR
def test_a_question_without_a_skeleton_is_answered_by_the_default(server: Any, way: str) -> None:
    """After one request that was for nothing."""
    index = index_of("Sleep comes with the dark.")

    def none(generation: Generation) -> str:
        return "I do not know." if "Write only the skeleton" in str(generation.messages) else DIRECT

    with LatencyServer(LatencyModel(reply=none)) as server:
        llm = model(server)
        usual = outcome(server, index.as_query_engine(llm=llm), way, QUESTION)
        ours = outcome(server, SoTQueryEngine.from_args(index.as_retriever(), llm=llm), way, QUESTION)
    assert usual[:-1] == ours[:-1]
    assert usual[-1] == [body for body in ours[-1] if "Write only the skeleton" not in body]


@FOUR
def test_where_a_skeleton_has_no_room_the_default_answers(server: Any, way: str) -> None:
    """It gets by with less, in several requests."""
    llm, index = model(server, context_window=1100), index_of(*LONG[:2])
    usual = outcome(server, index.as_query_engine(llm=llm), way, QUESTION)
    engine = SoTQueryEngine.from_args(index.as_retriever(), llm=llm, max_points=60)
    assert usual == outcome(server, engine, way, QUESTION)
    assert "window" == ask(engine, way)[0].metadata["sot"]["route"]["by"]


@FOUR
@pytest.mark.parametrize("asked", [QUESTION, CAPITAL], ids=["points", "direct"])
def test_where_even_the_default_has_no_room_the_error_is_the_same(server: Any, way: str, asked: str) -> None:
    """LlamaIndex's own, before any request."""
    usual = assert_same(server, index_of(*LONG[:2]), model(server, context_window=450), way, asked)
    assert (ValueError, []) == (usual[0], usual[-1])


@FOUR
def test_a_synthesizer_of_your_own_answers_directly(server: Any, way: str) -> None:
    """With what it was made of; its switch stays as it was."""
    llm = model(server)
    default = get_response_synthesizer(llm, text_qa_template=PromptTemplate("{query_str} Of: {context_str}"))
    engine = index_of("Paris.").as_query_engine(llm=llm, response_synthesizer=SoTSynthesizer(llm, default=default))
    assert [TEXT, DIRECT] == [ask(engine, way, asked)[1] for asked in (QUESTION, CAPITAL)]
    assert "Of: Paris." in str(server.requests[-1].body)
    assert default._streaming is False


def test_text_chunks_are_answered_as_nodes_are(server: Any) -> None:
    """``get_response`` is what other synthesizers call."""
    synthesizer = SoTSynthesizer(model(server))
    nodes = [NodeWithScore(node=TextNode(text="Paris."))]
    assert str(synthesizer.synthesize(QUESTION, nodes)) == synthesizer.get_response(QUESTION, ["Paris."])
    assert 4 == len(set(bodies(server)))
