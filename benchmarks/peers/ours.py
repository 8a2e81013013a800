"""This package: the core with `OpenAIModel`, `SoTChain` and `SoTQueryEngine`; whole and streamed, plain and pipelined.

``router="always"`` because the question is known to suit, and room for all points of all questions, as no other way
here has a bound either. The frameworks' clients leave retries to us, as our documentation tells. All else is as it
comes, but for the ways that are called "our connections": there the frameworks' clients connect with `http_client`.
"""

from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import Any

from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from langchain_sot import SoTChain
from llama_index_sot import SoTQueryEngine
from skeleton_of_thought import SkeletonOfThought
from skeleton_of_thought.events import Text
from skeleton_of_thought.models.openai import OpenAIModel, http_client

from .llama_index_ways import model, retriever
from .way import Piece, Way, whole
from .work import Work

OUR_CONNECTIONS = ", our connections"


def core(url: str, **settings: Any) -> SkeletonOfThought:
    """Make the core's object."""
    return SkeletonOfThought(llm=OpenAIModel("none", base_url=url), router="always", max_points=20, **settings)


class Ours:
    """All ways of this file, plain or pipelined."""

    def __init__(self, url: str, work: Work, questions: int) -> None:
        self._url = url
        self._settings = {"max_concurrency": max(16, work.points * questions)}

    def __iter__(self) -> Iterator[Way]:
        for pipelined in (False, True):
            settings = self._settings | {"pipelined": pipelined}
            more = ", pipelined" * pipelined
            path = (lambda work: work.pipelined_path) if pipelined else (lambda work: work.path)
            way = partial(Way, family="ours", pipelined=pipelined, path=path)
            made = [self._core(settings), self._chain(settings), self._engine(settings)]
            if not pipelined:
                made += [self._chain(settings, http_client()), self._engine(settings, http_client())]
            for name, asked, streamed in made:
                yield way(name=name + more, ask=whole(asked))
                yield way(name=f"{name}{more}, streamed", ask=streamed, streams=True)

    def _core(self, settings: Any) -> Any:
        sot = core(self._url, **settings)

        async def asked(question: str) -> str:
            return (await sot.aask(question)).text

        async def streamed(question: str) -> AsyncIterator[Piece]:
            async for event in sot.astream(question):
                if isinstance(event, Text):
                    yield 0, event.text

        return "core", asked, streamed

    def _chain(self, settings: Any, client: Any = None) -> Any:
        key = SecretStr("none")
        llm = ChatOpenAI(base_url=self._url, model="none", api_key=key, max_retries=0, http_async_client=client)
        chain = SoTChain(llm=llm, router="always", max_points=20, **settings)

        async def asked(question: str) -> str:
            return (await chain.ainvoke(question)).text

        async def streamed(question: str) -> AsyncIterator[Piece]:
            async for chunk in chain.astream(question):
                yield 0, chunk.text

        return f"SoTChain{OUR_CONNECTIONS * bool(client)}", asked, streamed

    def _engine(self, settings: Any, client: Any = None) -> Any:
        llm = model(self._url, max_retries=0, async_http_client=client)
        told = {"llm": llm, "router": "always", "max_points": 20} | settings
        whole_engine: Any = SoTQueryEngine.from_args(retriever(), **told)
        streaming: Any = SoTQueryEngine.from_args(retriever(), streaming=True, **told)

        async def streamed(question: str) -> AsyncIterator[Piece]:
            async for text in (await streaming.aquery(question)).async_response_gen():
                yield 0, text

        return f"SoTQueryEngine{OUR_CONNECTIONS * bool(client)}", whole_engine.aquery, streamed
