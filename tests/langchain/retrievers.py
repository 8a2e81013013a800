"""Retrievers of every kind that find what one script has, and what tells what became of it."""

import asyncio
import re
import threading
from collections.abc import Callable
from functools import reduce
from operator import add
from typing import Any

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableLambda
from langchain_core.vectorstores import VectorStore
from pydantic import Field

from skeleton_of_thought.testing import LatencyServer, collect

from ..script import QUESTION, SKELETON

CAPITAL = "What is the capital of France?"
TITLES = dict(enumerate(re.findall(r"\d\. (.*)", SKELETON), 1))
NIGHT, LIGHT, CUP, LAMP, PARIS = (
    Document(text, id=text.split()[0], metadata={"page": page})
    for page, text in enumerate([
        "Nights want order.",
        "Light sets clocks.",
        "Cups add up.",
        "Lamps are bright.",
        "Paris is large.",
    ])
)
FOUND = {TITLES[1]: [NIGHT, LIGHT], TITLES[2]: [CUP], TITLES[3]: [LIGHT, LAMP], CAPITAL: [PARIS]}
NUMBERED = [NIGHT, LIGHT, CUP, LAMP]
SOURCES = {1: [1, 2], 2: [3], 3: [2, 4]}
CITE = "Put the number of each passage that you use behind the sentence that uses it, like [1]."
WAYS = ["invoke", "stream", "ainvoke", "astream"]


def find(query: str) -> list[Document]:
    return next(found for asked, found in FOUND.items() if query.startswith(asked))


class Blocking(BaseRetriever):
    """It has no asynchronous method."""

    asked: list[str] = Field(default_factory=list)
    threads: set[str] = Field(default_factory=set)

    def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
        self.asked.append(query)
        self.threads.add(threading.current_thread().name)
        return find(query)


class Native(Blocking):
    """It has one of its own."""

    async def _aget_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
        await asyncio.sleep(0)
        return self._get_relevant_documents(query, run_manager=run_manager)


class Gated(Blocking):
    """It finds in a given order: each but the first when the one before has found."""

    gates: list[tuple[str, threading.Event, threading.Event]]

    def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
        gate, following = next((gate, following) for title, gate, following in self.gates if query.startswith(title))
        assert gate.wait(timeout=30)
        run_manager.on_text("", verbose=False)
        following.set()
        return find(query)


class Store(VectorStore):
    """It finds what is in the script."""

    def similarity_search(self, query: str, k: int = 4, **kwargs: Any) -> list[Document]:
        return find(query)[:k]

    @classmethod
    def from_texts(cls, texts: Any, embedding: Any, metadatas: Any = None, **kwargs: Any) -> "Store":
        return cls()


KINDS: dict[str, Callable[[], Any]] = {
    "blocking": Blocking,
    "native": Native,
    "lambda": lambda: RunnableLambda(find),
    "store": lambda: Store().as_retriever(),
}


class Record(BaseCallbackHandler):
    """The runs that begin, and the errors of those that are below no other."""

    def __init__(self) -> None:
        self.own: Any = None
        self.retrievals: list[tuple[Any, list[str], dict[str, Any]]] = []
        self.errors: list[BaseException] = []

    def on_chain_start(self, *args: Any, run_id: Any, parent_run_id: Any, **kwargs: Any) -> None:
        self.own = run_id if parent_run_id is None else self.own
        self._note(parent_run_id, **kwargs)

    def on_retriever_start(self, *args: Any, parent_run_id: Any, **kwargs: Any) -> None:
        self._note(parent_run_id, **kwargs)

    def on_chain_error(self, error: BaseException, *, parent_run_id: Any, **kwargs: Any) -> None:
        if parent_run_id is None:
            self.errors.append(error)

    def _note(self, parent: Any, *, tags: Any, metadata: Any, **kwargs: Any) -> None:
        if metadata.get("sot_stage") == "retrieval":
            self.retrievals.append((parent, tags, metadata))


def told(chain: Any, way: str, asked: Any = QUESTION, config: Any = None) -> Any:
    """Ask in one of the four ways; pieces are added up."""
    said = getattr(chain, way)(asked, config)
    if way == "ainvoke":
        return asyncio.run(said)
    if way == "astream":
        return reduce(add, asyncio.run(collect(said)))
    return reduce(add, said) if way == "stream" else said


def prompts(server: LatencyServer) -> dict[int | str, str]:
    """Return the task of each point by its number, and that of each other request by what is asked there."""
    tasks = [request.body["messages"][-1]["content"] for request in server.requests]
    numbers = [re.search(r"Write only point (\d)", task) for task in tasks]
    return {int(number[1]) if number else task: task for number, task in zip(numbers, tasks, strict=True)}


def given(task: str) -> list[tuple[int, str]]:
    return [(int(number), text) for number, text in re.findall(r"^\[(\d+)\] (.*)$", task, re.MULTILINE)]
