"""LlamaIndex, as its own pages tell.

* `SubQuestionQueryEngine` asks for as many sub-questions as there are points, all at once, each by a query engine over
  an index. By default a last call makes one text of the answers. A reader of the same words waits until that has
  written them all again; so there is also one with the response mode ``context_only``, which joins them without a call.
  (Its question generator writes JSON; here that has as many words as the skeleton, a real one would be longer.)
* `TreeSummarize` summarises as many parts as there are points at once, each as long as its context window, and then
  makes one text of them by a last call. It needs no skeleton, as the parts are there.
"""

from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import Any

from llama_index.core import MockEmbedding, Settings, VectorStoreIndex
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.indices.prompt_helper import PromptHelper
from llama_index.core.llms import LLM
from llama_index.core.query_engine import SubQuestionQueryEngine
from llama_index.core.question_gen import LLMQuestionGenerator
from llama_index.core.response_synthesizers import ResponseMode, TreeSummarize, get_response_synthesizer
from llama_index.core.schema import TextNode
from llama_index.core.tools import QueryEngineTool
from llama_index.llms.openai_like import OpenAILike  # type: ignore[import-untyped]

from .way import Piece, Way, whole
from .work import Work

WINDOW = 100_000


def model(url: str, **settings: Any) -> LLM:
    """Make the model that asks the endpoint."""
    about = {"model": "none", "api_key": "none", "is_chat_model": True, "context_window": WINDOW}
    asks: LLM = OpenAILike(api_base=url, **about, **settings)
    return asks


def index() -> VectorStoreIndex:
    """Make an index of two texts."""
    nodes = [TextNode(text="A used car has had owners."), TextNode(text="Repairs are expensive.")]
    return VectorStoreIndex(nodes, embed_model=MockEmbedding(8))


def retriever() -> BaseRetriever:
    """Make a retriever of that index."""
    return index().as_retriever()


class LlamaIndexWays:
    """All ways of this file, with one model."""

    def __init__(self, url: str, work: Work) -> None:
        Settings.llm = self._llm = model(url)  # the synthesizer that needs no model wants one all the same
        # Room for the summaries of all parts together. A part is a little shorter, as blanks between them count too.
        room = max(100, sum(work.lengths) + 4 * work.points)
        half = " ".join(["some text"] * (room // 4 - 2))
        self._parts = [f"{half} {line.partition('. ')[2]} {half}" for line in work.lines]
        helper = PromptHelper(WINDOW, chunk_overlap_ratio=0.0, chunk_size_limit=room)
        self._tree = TreeSummarize(self._llm, prompt_helper=helper, use_async=True, streaming=True)

    def __iter__(self) -> Iterator[Way]:
        way = partial(Way, family="LlamaIndex")
        joined, written = self._engine(ResponseMode.CONTEXT_ONLY), self._engine(ResponseMode.COMPACT, streaming=True)
        yield way(name="SubQuestion, answers joined", ask=whole(partial(self._query_joined, joined)))
        yield way(
            name="SubQuestion, default",
            ask=partial(self._query, written),
            streams=True,
            path=lambda work: work.rewritten,
        )
        yield way(name="TreeSummarize", ask=self._summarise, streams=True, path=lambda work: work.summarised)

    def _engine(self, mode: ResponseMode, *, streaming: bool = False) -> Any:
        tool = QueryEngineTool.from_defaults(
            index().as_query_engine(self._llm), name="cars", description="Tells about used cars"
        )
        return SubQuestionQueryEngine.from_defaults(
            [tool],
            llm=self._llm,
            question_gen=LLMQuestionGenerator.from_defaults(self._llm),
            response_synthesizer=get_response_synthesizer(
                self._llm, response_mode=mode, use_async=True, streaming=streaming
            ),
            verbose=False,
            use_async=True,
        )

    async def _query_joined(self, engine: Any, question: str) -> str:
        return str(await engine.aquery(question))

    async def _query(self, engine: Any, question: str) -> AsyncIterator[Piece]:
        async for text in (await engine.aquery(question)).async_response_gen():
            yield 0, text

    async def _summarise(self, question: str) -> AsyncIterator[Piece]:
        said: Any = await self._tree.aget_response(question, self._parts)
        async for text in said:
            yield 0, text
