"""Engines and retrievers over query engines: more consumers."""

from typing import Any

import pytest

from ..script import QUESTION
from .consumers import Outcome, aoutcome, consumer, outcome, tool
from .ways import index_of, run, saying

pytest.importorskip("llama_index.core")

from llama_index.core import MockEmbedding, QueryBundle, SQLDatabase, VectorStoreIndex, get_response_synthesizer
from llama_index.core.base.base_selector import BaseSelector, SelectorResult, SingleSelection
from llama_index.core.indices.query.query_transform.base import BaseQueryTransform, IdentityQueryTransform
from llama_index.core.query_engine import (
    FLAREInstructQueryEngine,
    MultiStepQueryEngine,
    NLSQLTableQueryEngine,
    RetrieverRouterQueryEngine,
    RouterQueryEngine,
    SQLAutoVectorQueryEngine,
    SubQuestionQueryEngine,
    ToolRetrieverRouterQueryEngine,
    TransformQueryEngine,
)
from llama_index.core.question_gen.types import BaseQuestionGenerator, SubQuestion
from llama_index.core.response_synthesizers import TreeSummarize
from llama_index.core.retrievers import RecursiveRetriever, VectorIndexAutoRetriever
from llama_index.core.schema import IndexNode, NodeWithScore, TextNode
from llama_index.core.selectors import LLMSingleSelector
from llama_index.core.vector_stores import VectorStoreInfo
from sqlalchemy import create_engine


class Chosen(BaseSelector):
    """It takes the first so many."""

    def __init__(self, count: int) -> None:
        self.count = count

    def _get_prompts(self) -> dict[str, Any]:
        return {}

    def _update_prompts(self, prompts: Any) -> None: ...

    def _select(self, choices: Any, query: QueryBundle) -> SelectorResult:
        return SelectorResult(selections=[SingleSelection(index=each, reason="so") for each in range(self.count)])

    async def _aselect(self, choices: Any, query: QueryBundle) -> SelectorResult:
        return self._select(choices, query)


def router(engine: Any, count: int) -> Any:
    tools = [tool(engine, "first"), tool(engine, "second")]
    return RouterQueryEngine(Chosen(count), tools, llm=saying(), summarizer=TreeSummarize(llm=saying()))


@consumer()
def router_single(engine: Any) -> Outcome:
    response = router(engine, 1).query(QUESTION)
    assert [0] == response.metadata["selector_result"].inds
    return Outcome.of(response)


@consumer()
def router_single_async(engine: Any) -> Outcome:
    return aoutcome(router(engine, 1))


@consumer()
def router_multi(engine: Any) -> Outcome:
    return outcome(router(engine, 2))


@consumer()
def router_multi_async(engine: Any) -> Outcome:
    return aoutcome(router(engine, 2))


class Tools:
    """A retriever of tools."""

    def __init__(self, tools: list[Any]) -> None:
        self.tools = tools

    def retrieve(self, query: Any) -> list[Any]:
        return self.tools


@consumer()
def tool_retriever_router(engine: Any) -> Outcome:
    tools: Any = Tools([tool(engine), tool(engine)])
    return outcome(ToolRetrieverRouterQueryEngine(tools, llm=saying(), summarizer=TreeSummarize(llm=saying())))


@consumer()
def retriever_router(engine: Any) -> Outcome:
    retriever = index_of("Sleep.").as_retriever()
    return outcome(RetrieverRouterQueryEngine(retriever, lambda node: engine))


class Questions(BaseQuestionGenerator):
    """It asks the same twice."""

    def _get_prompts(self) -> dict[str, Any]:
        return {}

    def _update_prompts(self, prompts: Any) -> None: ...

    def generate(self, tools: Any, query: QueryBundle) -> list[SubQuestion]:
        return [SubQuestion(sub_question=QUESTION, tool_name=name) for name in ("first", "second")]

    async def agenerate(self, tools: Any, query: QueryBundle) -> list[SubQuestion]:
        return self.generate(tools, query)


def sub_questions(engine: Any, *, use_async: bool) -> Any:
    tools = [tool(engine, "first"), tool(engine, "second")]
    return SubQuestionQueryEngine.from_defaults(
        tools, llm=saying(), question_gen=Questions(), verbose=False, use_async=use_async
    )


@consumer()
def sub_question(engine: Any) -> Outcome:
    return outcome(sub_questions(engine, use_async=False))


@consumer()
def sub_question_use_async(engine: Any) -> Outcome:
    return outcome(sub_questions(engine, use_async=True))


@consumer()
def sub_question_async(engine: Any) -> Outcome:
    return aoutcome(sub_questions(engine, use_async=True))


class Unchanged(BaseQueryTransform):
    """What a multi-step engine asks next: the same."""

    def _get_prompts(self) -> dict[str, Any]:
        return {}

    def _update_prompts(self, prompts: Any) -> None: ...

    def _run(self, query_bundle: QueryBundle, metadata: Any) -> QueryBundle:
        return query_bundle


def multi_steps(engine: Any) -> Any:

    steps: Any = Unchanged()
    synthesizer = get_response_synthesizer(llm=saying())
    return MultiStepQueryEngine(engine, steps, response_synthesizer=synthesizer, num_steps=2)


@consumer()
def multi_step(engine: Any) -> Outcome:
    return outcome(multi_steps(engine))


@consumer()
def multi_step_async(engine: Any) -> Outcome:
    """It calls the engine's synchronous ``query`` on the running loop."""
    return aoutcome(multi_steps(engine))


@consumer()
def transform(engine: Any) -> Outcome:
    wrapped = TransformQueryEngine(engine, IdentityQueryTransform())
    bundle = QueryBundle(QUESTION)
    assert outcome(wrapped) == Outcome.of(wrapped.synthesize(bundle, wrapped.retrieve(bundle)))
    return aoutcome(wrapped)


@consumer(streaming=(False,))  # it takes no streams
def flare(engine: Any) -> Outcome:
    """It reads an engine's nodes only of a ``RetrieverQueryEngine``."""
    lines = saying(f"So: [Search({QUESTION})]", "done")
    wrapped = FLAREInstructQueryEngine(engine, llm=lines, max_iterations=2)
    wrapped._lookahead_answer_inserter = Inserted()
    retrieved = wrapped.retrieve(QueryBundle(QUESTION)), run(wrapped.aretrieve(QueryBundle(QUESTION)))
    assert [2, 2] == [len(nodes) for nodes in retrieved]
    return outcome(wrapped)


class Inserted:
    """It puts answers in the places of questions."""

    def insert(self, response: str, tasks: Any, answers: list[str], prev_response: Any = None) -> str:
        return "; ".join(answers)


@consumer()
def sql_auto_vector(engine: Any) -> Outcome:
    """It takes only a ``RetrieverQueryEngine``, and looks at its retriever."""

    database = create_engine("sqlite://")
    sql = NLSQLTableQueryEngine(
        SQLDatabase(database), llm=saying(), tables=[], embed_model=engine.retriever._embed_model
    )
    info = VectorStoreInfo(content_info="", metadata_info=[])
    spec = '{"query": "sleep", "filters": []}'
    retriever = VectorIndexAutoRetriever(engine.retriever._index, info, llm=saying(spec))
    selector = LLMSingleSelector.from_defaults(llm=saying('[{"choice": 2, "reason": "so"}]'))
    wrapped = SQLAutoVectorQueryEngine(
        tool(sql, "sql"), tool(engine.with_retriever(retriever)), selector, llm=saying(), verbose=False
    )
    result = outcome(wrapped)
    database.dispose()
    return result


@consumer()
def composable_graph(engine: Any) -> Outcome:
    """It retrieves and has the response written apart, with sources from elsewhere."""
    bundle = QueryBundle(QUESTION)
    more = [NodeWithScore(node=TextNode(text="From elsewhere."))]
    response = engine.synthesize(bundle, engine.retrieve(bundle), additional_source_nodes=more)

    async def work() -> Outcome:
        nodes = await engine.aretrieve(bundle)
        return await Outcome.aof(await engine.asynthesize(bundle, nodes, additional_source_nodes=more))

    first, second = Outcome.of(response), run(work())
    assert (first.text, first.sources) == (second.text, second.sources)
    return first


# -- retrievers ----------------------------------------------------------------------------------------


@consumer()
def index_node(engine: Any) -> Outcome:
    """A node of an index may be an engine; what it answers is the node's text."""

    objects = [IndexNode(text="sleep", index_id="sleep", obj=engine)]
    retriever = VectorStoreIndex(objects=objects, embed_model=MockEmbedding(8)).as_retriever()
    (node,) = retriever.retrieve(QUESTION)
    (other,) = run(retriever.aretrieve(QUESTION))
    assert node.get_content() == other.get_content()
    assert set(node.metadata) - {"sot"} == {"n1", "n2"}
    return Outcome(node.get_content())


@consumer()
def recursive_retriever(engine: Any) -> Outcome:

    nodes = [IndexNode(text="sleep", index_id="sleep")]
    root = VectorStoreIndex(nodes, embed_model=MockEmbedding(8)).as_retriever()
    retriever = RecursiveRetriever("root", {"root": root}, query_engine_dict={"sleep": engine})
    (node,), sources = retriever.retrieve_all(QueryBundle(QUESTION))
    return Outcome(node.get_content(), None, tuple(source.get_content() for source in sources))


@consumer()
def with_retriever(engine: Any) -> Outcome:
    return outcome(engine.with_retriever(engine.retriever))
