"""How close whole answers come to the critical path, which is what no scheduler can beat.

An endpoint in another process says fixed words, each at its time, so the critical path is known from its settings
alone. It is the skeleton and then the slowest point; with ``pipelined=True`` the greatest of each point's own time
after its line of the skeleton is complete. What clients, network and the endpoint itself add is not in it.

All ways to ask take turns. Before each way whose client may have no open connections, as another client was measured
before it or a stream, whose connections the ``openai`` package drops, an untimed question with short points opens them.
Shown are medians on the wall clock: of whole answers and, for streams, of their first text, beside the end of the
skeleton. Clients cost the same at any pace: a larger part of these short answers than of a model's. For comparison:

* "by hand": `ChatOpenAI` is asked for the skeleton and, with ``asyncio.gather``, for all points, with the messages that
  `SoTChain` sends, and nothing is parsed or shown: a lower bound for this client on this machine.
* "one answer": all words of all points from `ChatOpenAI`. "Sooner" is how many times longer that takes.

    python benchmarks/critical_path.py [--points 8] [--rounds 7] [--per-token 0.003]
"""

import argparse
import asyncio
import gc
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import accumulate, pairwise
from multiprocessing.connection import Connection
from operator import attrgetter
from statistics import median
from typing import Any, NamedTuple, TypeAlias

from elsewhere import Endpoint, elsewhere
from langchain_core.messages import BaseMessage
from langchain_core.runnables import RunnableLambda
from langchain_openai import ChatOpenAI
from llama_index.core import MockEmbedding, VectorStoreIndex
from llama_index.core.schema import TextNode
from llama_index.llms.openai_like import OpenAILike  # type: ignore[import-untyped]
from pydantic import SecretStr

from langchain_sot import SoTChain
from llama_index_sot import SoTQueryEngine
from skeleton_of_thought import SkeletonOfThought
from skeleton_of_thought.events import Event, Text
from skeleton_of_thought.models.generation import Generation
from skeleton_of_thought.models.openai import OpenAIModel
from skeleton_of_thought.testing import LatencyModel, LatencyServer, script_reply

QUESTION = "What should I consider when buying a used car?"
WARM_UP = "Is anybody there?"
SHORTEST, LONGEST = 30, 60  # words of a point
FIRST = 8  # so many times as long as a further token takes the first
ONE = "one answer"
GOALS = {"core": (0.03, 0.01), "LangChain": (0.03, 0.01), "LlamaIndex": (0.12, 0.0)}  # of the path, and seconds more
Ask: TypeAlias = Callable[[str], Iterable[str]]
AsyncAsk: TypeAlias = Callable[[str], AsyncIterator[str]]


# -- what the endpoint says, and how long that takes ---------------------------------------------------


class Script:
    """So many points of known lengths, at a known pace. None is as long as another, and the first not the longest."""

    def __init__(self, points: int, per_token: float) -> None:
        self.points, self.per_token = points, per_token
        lengths = [SHORTEST + (LONGEST - SHORTEST) * n // (points - 1) for n in range(points)]
        begin = points // 2 - 1
        self.texts = [" ".join(["word"] * length) for length in lengths[begin:] + lengths[:begin]]
        self.lines = [f"{n}. Reason {n}" for n in range(1, points + 1)]
        self.answer = "\n\n".join(f"{line}: {text}" for line, text in zip(self.lines, self.texts, strict=True))
        self.direct = " ".join(self.texts)

    def model(self) -> LatencyModel:
        """Make the model that says it."""
        skeleton, texts = "\n".join(self.lines), dict(enumerate(self.texts, 1))
        timed = script_reply(skeleton=skeleton, points=texts, direct=self.direct)
        brief = script_reply(skeleton=skeleton, points=dict.fromkeys(texts, "word " * (SHORTEST // 2)), direct="word")

        def reply(asked: Generation) -> str:
            return (brief if any(WARM_UP in message.text for message in asked.messages) else timed)(asked)

        return LatencyModel(reply=reply, first_token=FIRST * self.per_token, per_token=self.per_token)

    def seconds(self, *texts: str) -> float:
        """Tell how long *texts* take as one: a word is a token."""
        return (FIRST - 1 + sum(len(text.split()) for text in texts)) * self.per_token

    def known(self) -> list[float]:
        """Tell when each line of the skeleton is complete: when the next one begins, the last at the end."""
        words = accumulate(len(line.split()) for line in self.lines[:-1])
        return [*((FIRST + word) * self.per_token for word in words), self.seconds(*self.lines)]

    def path(self, *, pipelined: bool) -> float:
        """Tell the critical path of an answer."""
        known = self.known() if pipelined else self.known()[-1:] * self.points
        return max(begin + self.seconds(text) for begin, text in zip(known, self.texts, strict=True))


def serve(script: Script, talk: Connection) -> None:
    """Run the endpoint, tell where it is, and end when the other end is closed."""
    with LatencyServer(script.model()) as server:
        talk.send(server.base_url)
        talk.poll(None)


@contextmanager
def endpoint(script: Script) -> Iterator[str]:
    """Run the endpoint in another process and say where it is."""
    served: Endpoint[None]
    with elsewhere(partial(serve, script)) as served:
        yield served.url


# -- the ways to ask -----------------------------------------------------------------------------------


class Heard(NamedTuple):
    """An answer, and the seconds until its first text and its end."""

    text: str
    first: float
    seconds: float


def _heard(began: float, pieces: list[tuple[float, str]]) -> Heard:
    end, first = time.perf_counter(), next((at for at, text in pieces if text), began)
    return Heard("".join(text for _, text in pieces), first - began, end - began)


def _hear(ask: Ask, question: str) -> Heard:
    return _heard(time.perf_counter(), [(time.perf_counter(), text) for text in ask(question)])


async def _ahear(ask: AsyncAsk, question: str) -> Heard:
    return _heard(time.perf_counter(), [(time.perf_counter(), text) async for text in ask(question)])


async def _once(said: Awaitable[Any]) -> AsyncIterator[str]:
    whole = await said
    yield getattr(whole, "text", None) or str(whole)


async def _inside(ask: Callable[[str], str], question: str) -> AsyncIterator[str]:
    yield ask(question)


@dataclass
class Way:
    """A way to ask, with a client that others may share, and what came of it."""

    kind: str
    name: str
    client: str
    run: Callable[[str], Heard]
    streams: bool = False
    pipelined: bool = False
    heard: list[Heard] = field(default_factory=list)


class Ways:
    """All ways to ask, for so many points."""

    def __init__(self, url: str, points: int, loop: asyncio.Runner) -> None:
        self._loop = loop
        self._told: dict[str, Any] = {"router": "always", "max_points": points, "max_concurrency": points}
        self._ours = OpenAIModel("none", base_url=url, max_retries=0)
        self._chat = ChatOpenAI(base_url=url, model="none", api_key=SecretStr("none"), max_retries=0)
        self._like = OpenAILike(api_base=url, model="none", api_key="none", is_chat_model=True, max_retries=0)
        nodes = [TextNode(text="A used car has a history."), TextNode(text="Rust is expensive.")]
        self._retriever = VectorStoreIndex(nodes, embed_model=MockEmbedding(8)).as_retriever()

    def __iter__(self) -> Iterator[Way]:
        for pipelined in (False, True):
            for ways in (self._core, self._langchain, self._llama_index):
                for way in ways(self._told | {"pipelined": pipelined}):
                    if not pipelined or way.client.endswith("waiting"):
                        yield replace(way, pipelined=pipelined)
        yield from self._by_hand()

    def _here(self, kind: str, name: str, ask: Ask, streams: bool = False) -> Way:
        return Way(kind, name, f"{kind}, blocking", partial(_hear, ask), streams)

    def _there(self, kind: str, name: str, ask: AsyncAsk, streams: bool = False) -> Way:
        return Way(kind, name, f"{kind}, waiting", lambda asked: self._loop.run(_ahear(ask, asked)), streams)

    def _core(self, told: dict[str, Any]) -> Iterator[Way]:
        sot = SkeletonOfThought(llm=self._ours, **told)

        def said(event: Event) -> str:
            return event.text if isinstance(event, Text) else ""

        yield self._here("core", "ask", lambda asked: [sot.ask(asked).text])
        yield self._here("core", "stream", lambda asked: map(said, sot.stream(asked)), True)
        yield self._there("core", "aask", lambda asked: _once(sot.aask(asked)))
        yield self._there("core", "astream", lambda asked: (said(event) async for event in sot.astream(asked)), True)

    def _langchain(self, told: dict[str, Any]) -> Iterator[Way]:
        sot = SoTChain(llm=self._chat, **told)
        yield self._here("LangChain", "invoke", lambda asked: [sot.invoke(asked).text])
        yield self._here("LangChain", "stream", lambda asked: (chunk.text for chunk in sot.stream(asked)), True)
        yield self._there("LangChain", "ainvoke", lambda asked: _once(sot.ainvoke(asked)))
        yield self._there("LangChain", "astream", lambda asked: (c.text async for c in sot.astream(asked)), True)

    def _llama_index(self, told: dict[str, Any]) -> Iterator[Way]:
        whole: Any = SoTQueryEngine.from_args(self._retriever, self._like, **told)
        streaming: Any = SoTQueryEngine.from_args(self._retriever, self._like, streaming=True, **told)

        def query(asked: str) -> str:
            return str(whole.query(asked))

        async def pieces(asked: str) -> AsyncIterator[str]:
            async for text in (await streaming.aquery(asked)).async_response_gen():
                yield text

        there = partial(self._there, "LlamaIndex")
        yield (plain := self._here("LlamaIndex", "query", lambda asked: [query(asked)]))
        yield self._here("LlamaIndex", "query, streaming", lambda asked: streaming.query(asked).response_gen, True)
        threaded = there("query in a worker", lambda asked: _once(asyncio.to_thread(query, asked)))
        for way in (threaded, there("query inside a loop", lambda asked: _inside(query, asked))):
            yield replace(way, client=plain.client)
        yield there("aquery", lambda asked: _once(whole.aquery(asked)))
        yield there("aquery, streaming", pieces, True)

    def _by_hand(self) -> Iterator[Way]:
        chat, asked = self._chat, list[Any]()

        def ask(messages: Any) -> BaseMessage:
            asked.append(messages)
            return chat.invoke(messages)

        async def gather() -> str:
            await chat.ainvoke(asked[0])
            return " ".join([said.text for said in await asyncio.gather(*map(chat.ainvoke, asked[1:]))])

        SoTChain(llm=RunnableLambda(ask), **self._told).invoke(QUESTION)
        yield replace(self._there("LangChain", "asyncio.gather", lambda _: _once(gather())), kind="by hand")
        yield replace(self._here("LangChain", "invoke", lambda asked: [chat.invoke(asked).text]), kind=ONE)


# -- the measurement -----------------------------------------------------------------------------------


def measure(ways: list[Way], script: Script, rounds: int) -> None:
    """Let all take turns."""
    warm, order = {way.client: way for way in reversed(ways)}, sorted(ways, key=attrgetter("client", "streams"))
    gc.freeze()  # what is here already is not looked through in every run
    for _ in range(rounds):
        for before, way in pairwise([*order[-1:], *order]):
            if before.streams or before.client != way.client:
                warm[way.client].run(WARM_UP)
            gc.collect()
            way.heard.append(way.run(QUESTION))
            assert way.heard[-1].text == (script.answer if way.kind in GOALS else script.direct), way


def row(way: Way, script: Script, one: float) -> str:
    """Say what came of a way."""
    path = script.path(pipelined=way.pipelined) if way.kind != ONE else script.seconds(script.direct)
    name, goal, first = f"{way.kind}: {way.name}{', pipelined' * way.pipelined}", "", ""
    seconds = median(heard.seconds for heard in way.heard)
    if way.kind in GOALS:
        part, more = GOALS[way.kind]
        goal = f"{1e3 * (part * path + more):.1f} {'met' if seconds <= path + part * path + more else 'missed':>6}"
    if way.streams:
        first = f"{median(heard.first for heard in way.heard):>12.3f}{script.known()[-1]:>10.3f}"
    spent = f"{path:>8.3f}{seconds:>10.3f}{seconds / path:>7.3f}{1e3 * (seconds - path):>11.1f}"
    return f"{name:<42}{spent}{goal:>16}{one / seconds:>7.2f}x{first}"


def main() -> None:
    """Measure all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=8, help="of the answer, 2 or more (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=7, help="runs of each way (default: %(default)s)")
    parser.add_argument("--per-token", type=float, default=0.003, help="seconds (default: %(default)s)")
    told = parser.parse_args()
    with endpoint(script := Script(told.points, told.per_token)) as url, asyncio.Runner() as loop:
        measure(ways := list(Ways(url, told.points, loop)), script, told.rounds)
    one = next(median(heard.seconds for heard in way.heard) for way in ways if way.kind == ONE)
    print(f"{told.points} points, medians of {told.rounds} rounds, {1e3 * told.per_token:g} ms a token")
    print(f"{'':<42}  path s  median s  ratio  excess ms         goal ms  sooner  first text  skeleton")
    for way in ways:
        print(row(way, script, one))


if __name__ == "__main__":
    main()
