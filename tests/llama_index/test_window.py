"""No call says more than the context window takes, counted as LlamaIndex counts."""

from typing import Any

import pytest

from skeleton_of_thought.models.generation import Generation
from skeleton_of_thought.testing import LatencyServer

from ..script import QUESTION, TEXT

pytest.importorskip("llama_index.llms.openai_like")

from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.base.llms.types import CompletionResponse, CompletionResponseGen, LLMMetadata
from llama_index.core.indices.prompt_helper import PromptHelper
from llama_index.core.llms import CustomLLM
from llama_index.core.prompts import PromptTemplate
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode
from llama_index.core.utils import get_tokenizer
from pydantic import Field

from llama_index_sot import SoTQueryEngine, SoTSynthesizer

from .ways import FOUR, TITLES, aread, ask, model, read, run, say

OUTPUT = 256
"""What LlamaIndex keeps free for what is written, unless it is told."""
SENTENCE = "Sleep comes with the dark, and coffee keeps people awake. "
TEXTS = {
    "sentences": [f"{number}: {SENTENCE * 60}" for number in range(8)],
    "one": [SENTENCE * 900],
    "tiny": [f"Fact {number}." for number in range(2000)],
    "one word": ["sleep" * 8000],
    "Chinese": ["睡眠随着黑暗而来，咖啡使人清醒。" * 150 for _ in range(3)],
    "table": ["\n".join(f"| {row} | {row * row} |\t{row % 7} |" for row in range(1500))],
    "blank": ["", "  ", SENTENCE, "\n\n", SENTENCE * 500],
}


def nodes_of(texts: list[str], prefix: str = "n") -> list[NodeWithScore]:
    return [NodeWithScore(node=TextNode(text=text, id_=f"{prefix}{number}")) for number, text in enumerate(texts)]


class Finding(BaseRetriever):
    """It finds as much for each point as for the question."""

    def __init__(self, texts: list[str]) -> None:
        super().__init__()
        self.texts = texts

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        own = [number for number, title in TITLES.items() if query_bundle.query_str.startswith(title)]
        return nodes_of(self.texts, f"{own}") if own else nodes_of(self.texts[:2], "given")


def spent(server: LatencyServer, window: int) -> list[int]:
    """Count what each request says, and may make the model write; that is half of the window at most."""
    tokenizer = get_tokenizer()
    said = ["\n\n".join(message["content"] for message in request.body["messages"]) for request in server.requests]
    written = [min(request.body["max_tokens"], window // 2) for request in server.requests]
    return [len(tokenizer(text)) + max(OUTPUT, more) for text, more in zip(said, written, strict=True)]


@FOUR
@pytest.mark.parametrize("window", [1500, 4096])
@pytest.mark.parametrize("kind", TEXTS)
def test_passages_that_do_not_fit_are_left_out(server: LatencyServer, kind: str, window: int, way: str) -> None:
    """From the end; the first ones stay, and the last that stays may be cut."""
    llm, texts = model(server, context_window=window), TEXTS[kind]
    synthesizer = SoTSynthesizer(llm, streaming=way.endswith("stream"))

    async def answer() -> str:
        return await aread(await synthesizer.asynthesize(QUESTION, nodes_of(texts)))

    said = run(answer()) if way.startswith("a") else read(synthesizer.synthesize(QUESTION, nodes_of(texts)))
    assert (TEXT, 4) == (said, len(server.requests))
    assert max(spent(server, window)) <= window
    first = server.requests[0].body["messages"][0]["content"]
    passages = first.partition("[1] ")[2]
    assert passages.startswith(texts[0].strip()[:100])
    assert len(get_tokenizer()(first)) > window // 10  # room is used, though LlamaIndex counts long words sign by sign


@FOUR
@pytest.mark.parametrize("kind", TEXTS)
def test_passages_of_points_fit_beside_those_of_the_question(server: LatencyServer, kind: str, way: str) -> None:
    """These take half of the room at most."""
    window = 3000
    llm = model(server, context_window=window)
    response, text = ask(SoTQueryEngine.from_args(Finding(TEXTS[kind]), llm=llm, point_retrieval=True), way)
    assert TEXT == text
    assert max(spent(server, window)) <= window
    assert all(point["nodes"] for point in response.metadata["sot"]["points"])


def test_a_node_has_one_number_also_where_it_is_cut(server: LatencyServer) -> None:
    """Found for the question, and again for each point, whole."""

    class Same(BaseRetriever):
        def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
            return nodes_of([SENTENCE * 900, *TEXTS["sentences"]][: 1 if query_bundle.query_str == QUESTION else 9])

    llm = model(server, context_window=3000)
    response = SoTQueryEngine.from_args(Same(), llm=llm, point_retrieval=True).query(QUESTION)
    about = response.metadata["sot"]
    assert [("n0", 1), ("n1", 2)] == [(source["node"], source["number"]) for source in about["sources"]]
    assert all(point["nodes"][0] == "n0" and point["sources"][0] == 1 for point in about["points"])
    assert max(spent(server, 3000)) <= 3000


def test_what_fits_is_not_touched(server: LatencyServer) -> None:
    """Not a sign of it."""
    texts = ["  Sleep  comes\n\nwith the dark. ", "\tCoffee."]
    SoTSynthesizer(model(server)).synthesize(QUESTION, nodes_of(texts))
    assert f"[1] {texts[0]}\n\n[2] {texts[1]}" in server.requests[0].body["messages"][0]["content"]


def test_all_that_is_said_besides_counts(server: LatencyServer) -> None:
    """A system prompt, a long question, a wording of your own, and how long the points may be."""
    window = 4096
    llm = model(server, context_window=window, system_prompt=SENTENCE * 20)
    synthesizer = SoTSynthesizer(llm, point_max_tokens=1500, max_points=20)
    task = PromptTemplate(f"{SENTENCE * 20} Write only point {{number}}, {{title}}, in few words.")
    synthesizer.update_prompts({"point_template": task})
    synthesizer.synthesize(f"{SENTENCE * 20} {QUESTION}", nodes_of([SENTENCE * 900]))
    assert 4 == len(server.requests)
    assert max(spent(server, window)) <= window


def test_the_smaller_of_two_windows_counts(server: LatencyServer) -> None:
    """A point may be written by a model that takes less."""
    llm, point_llm = model(server, context_window=100_000), model(server, context_window=1500, model="small")
    SoTSynthesizer(llm, point_llm=point_llm).synthesize(QUESTION, nodes_of([SENTENCE * 900]))
    server.requests = [request for request in server.requests if request.body["model"] == "small"]
    assert 3 == len(server.requests)
    assert max(spent(server, 1500)) <= 1500


def test_a_prompt_helper_is_obeyed(server: LatencyServer) -> None:
    """Its window, tokenizer and limit count, not those of the model."""
    helper = PromptHelper(context_window=1500, num_output=10, tokenizer=str.split)
    llm = model(server, context_window=100_000)
    SoTSynthesizer(llm, prompt_helper=helper).synthesize(QUESTION, nodes_of([SENTENCE * 900]))
    (few,) = {len(request.body["messages"][0]["content"].split()) for request in server.requests}
    assert 200 < few < 1500


@pytest.mark.parametrize("way", ["query", "astream"])
@pytest.mark.parametrize(
    ("options", "expected"), [({}, 256), ({"detail": "long"}, 1024), ({"point_max_tokens": 40}, 40)]
)
def test_the_bound_of_a_point_reaches_the_model(
    llm: Any, server: LatencyServer, index: Any, way: str, options: dict[str, Any], expected: int
) -> None:
    """One is always sent."""
    ask(SoTQueryEngine.from_args(index.as_retriever(), llm=llm, **options), way)
    assert [1024] + [expected] * 3 == [request.body["max_tokens"] for request in server.requests]


class Bounded(CustomLLM):
    """A model with a bound of its own, which those of calls go before."""

    max_tokens: int = 77
    told: list[int] = Field(default_factory=list)

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(num_output=self.max_tokens)

    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        self.told.append(kwargs["max_tokens"])
        return CompletionResponse(text=say(Generation(prompt=prompt)))

    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseGen:
        yield self.complete(prompt, **kwargs)


@pytest.mark.parametrize(("options", "expected"), [({"detail": "long"}, 77), ({"point_max_tokens": 40}, 40)])
def test_the_bound_of_a_model_is_never_raised(options: dict[str, Any], expected: int) -> None:
    """Somebody wanted it so."""
    llm = Bounded()
    SoTSynthesizer(llm, **options).get_response(QUESTION, ["Of sleep."])
    assert [77] + [expected] * 3 == llm.told
