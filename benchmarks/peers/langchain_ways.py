"""LangChain and LangGraph, as their own pages tell.

* ``.map()``: the chain of LangChain's template `skeleton-of-thought`, which was removed with all templates; with
  `NumberedListOutputParser` in the place of its own parser.
* `RunnableParallel`: a function that returns a Runnable, which is how LCEL makes one of as many branches as there are
  points. It streams; the pieces of all branches come as they are written.
* ``Send``: the map-reduce of LangGraph's pages. Streamed with ``stream_mode="messages"``.
"""

from collections.abc import AsyncIterator, Iterator
from operator import add
from typing import Annotated, Any, TypedDict

from langchain_core.output_parsers import NumberedListOutputParser, StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable, RunnableLambda, RunnableParallel, RunnablePassthrough
from langchain_openai import ChatOpenAI
from langgraph.graph import END, START, StateGraph
from langgraph.types import Send
from pydantic import SecretStr

from .way import Piece, Way, whole
from .work import POINT_PROMPT, SKELETON_PROMPT


class State(TypedDict):
    """The state of the graph."""

    question: str
    skeleton: str
    texts: Annotated[list[tuple[int, str]], add]
    answer: str


def _tasks(told: dict[str, Any]) -> list[dict[str, Any]]:
    titles = NumberedListOutputParser().parse(told["skeleton"])
    asked = {"question": told["question"], "skeleton": told["skeleton"]}
    return [asked | {"number": number, "title": title} for number, title in enumerate(titles, 1)]


def _joined(texts: list[str]) -> str:
    return "\n\n".join(f"{number}. {text}" for number, text in enumerate(texts, 1))


class LangChainWays:
    """All ways of this file, with one model."""

    def __init__(self, url: str) -> None:
        model = ChatOpenAI(base_url=url, model="none", api_key=SecretStr("none"))
        skeleton = ChatPromptTemplate.from_template(SKELETON_PROMPT) | model | StrOutputParser() | (lambda x: "1. " + x)
        self._point = ChatPromptTemplate.from_template(POINT_PROMPT) | model | StrOutputParser()
        self._skeleton = RunnablePassthrough.assign(skeleton=skeleton)
        template: Runnable[Any, str] = self._skeleton | _tasks | self._point.map() | _joined
        self._parallel: Runnable[Any, Any] = self._skeleton | RunnableLambda(self._branches)
        self._template = template
        self._graph = self._compiled()

    def __iter__(self) -> Iterator[Way]:
        async def mapped(question: str) -> str:
            return await self._template.ainvoke({"question": question})

        async def reduced(question: str) -> str:
            state = await self._graph.ainvoke({"question": question})
            return str(state["answer"])

        yield Way(family="LangChain", name="template, .map()", ask=whole(mapped))
        yield Way(family="LangChain", name="RunnableParallel, streamed", ask=self._stream, streams=True)
        yield Way(family="LangGraph", name="Send", ask=whole(reduced))
        yield Way(family="LangGraph", name="Send, streamed", ask=self._stream_graph, streams=True)

    def _branches(self, told: dict[str, Any]) -> Runnable[Any, Any]:
        def branch(task: dict[str, Any]) -> Runnable[Any, str]:
            return RunnableLambda(lambda _: task) | self._point

        return RunnableParallel({str(task["number"]): branch(task) for task in _tasks(told)})

    async def _stream(self, question: str) -> AsyncIterator[Piece]:
        async for part in self._parallel.astream({"question": question}):
            for number, text in part.items():
                yield int(number), text

    def _compiled(self) -> Any:
        async def plan(state: State) -> Any:
            return {"skeleton": (await self._skeleton.ainvoke({"question": state["question"]}))["skeleton"]}

        def fan_out(state: State) -> list[Send]:
            return [Send("expand", task) for task in _tasks(dict(state))]

        async def expand(task: dict[str, Any]) -> Any:
            text = await self._point.ainvoke(task, {"metadata": {"number": task["number"]}})
            return {"texts": [(task["number"], text)]}

        def join(state: State) -> Any:
            return {"answer": _joined([text for _, text in sorted(state["texts"])])}

        graph = StateGraph(State)
        for node in (plan, expand, join):
            graph.add_node(node.__name__, node)  # type: ignore[arg-type]  # a node takes what `Send` gives it
        graph.add_edge(START, "plan")
        graph.add_conditional_edges("plan", fan_out, ["expand"])
        graph.add_edge("expand", "join")
        graph.add_edge("join", END)
        return graph.compile()

    async def _stream_graph(self, question: str) -> AsyncIterator[Piece]:
        async for message, told in self._graph.astream({"question": question}, stream_mode="messages"):
            if told["langgraph_node"] == "expand":
                yield told["number"], message.text
