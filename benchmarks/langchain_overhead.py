"""What `SoTChain` costs beside the model: CPU time of this process, against other ways to ask in parallel.

All do the same model work: one skeleton call, then one call for each point, with the messages that `SoTChain` sends,
as a callback saw them. (`RunnableParallel` hands one input to all its branches, so the others send the first point's
for every point.) The models take no time of their own, so what is measured is LangChain, the client and we:

* a model in this process, which lets other tasks run before each chunk, as a network does;
* `ChatOpenAI`, with an endpoint in another process, whose CPU time does not count.

Microseconds a chunk are the slope between runs with few and with many chunks a point, so that what is spent once a
run or once a call drops out; milliseconds a point are whole runs divided by their points. The runs of all take turns.
Shown are medians over the rounds, each with the median of the rounds' ratios to the bare gather. "Items" is how many
pieces the reader gets in the longer run: `SoTChain` holds back what comes early and shows it in one piece, unless
points are written one at a time, which is the most that it can have to do. `model.map()` does not stream: its
`astream` yields one list of whole messages, so it has no price of a chunk.

    python -m benchmarks.langchain_overhead [--points 10] [--rounds 9]
"""

import argparse
import asyncio
import gc
import itertools
import re
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from typing import Any, TypeAlias

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import RunnableParallel
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from langchain_sot import SoTChain
from skeleton_of_thought import Limit, Prompts
from skeleton_of_thought.testing import LatencyModel, LatencyServer

from .elsewhere import talk_to

QUESTION = "What should I consider when buying a used car?"
NEW = itertools.count(1)
WORD = "word"
CHUNKS = (50, 200)  # of each point, in the shorter and in the longer runs; a chunk is a word
BARE = "asyncio.gather"
SLOPE = "us/chunk"

Pieces: TypeAlias = list[str]
Way: TypeAlias = "Callable[[Work], Awaitable[Pieces]]"
Costs: TypeAlias = dict[int, list[float]]  # seconds a point of each round, by chunks a point
Columns: TypeAlias = dict[str, list[float]]  # what each round has, by heading


# -- the models ----------------------------------------------------------------------------------------


def said(task: str, points: int, chunks: int) -> str:
    """Write a point, or a skeleton whose titles were never seen before, as those of users."""
    if task.startswith(Prompts().point.partition("{")[0]):
        return f" {WORD}" * chunks
    return "\n".join(f"{number}. Reason {next(NEW)}" for number in range(1, points + 1))


class InstantModel(BaseChatModel):
    """Writes a skeleton of so many *points*, or a point of so many *chunks*, and takes no time for it."""

    points: int
    chunks: int

    @property
    def _llm_type(self) -> str:
        return "instant"

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        text = said(messages[-1].text, self.points, self.chunks)
        return ChatResult(generations=[ChatGeneration(message=AIMessage(text))])

    async def _agenerate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        return self._generate(messages)

    async def _astream(self, messages: list[BaseMessage], *_: Any, **__: Any) -> AsyncIterator[ChatGenerationChunk]:
        for word in re.findall(r"\s*\S+", said(messages[-1].text, self.points, self.chunks)):
            await asyncio.sleep(0)
            yield ChatGenerationChunk(message=AIMessageChunk(content=word))


def serve(points: int, talk: Connection) -> None:
    """Run an endpoint for each length of points, tell where they are, and end when the other end is closed."""

    def server(chunks: int) -> LatencyServer:
        return LatencyServer(LatencyModel(reply=lambda asked: said(asked.messages[-1].text, points, chunks)))

    with server(CHUNKS[0]) as few, server(CHUNKS[1]) as many:
        talk.send((few.base_url, many.base_url))
        talk.poll(None)


@contextmanager
def endpoints(points: int) -> Iterator[dict[int, str]]:
    """Run the endpoints in another process and say where they are, by chunks a point."""
    with talk_to(partial(serve, points)) as talk:
        yield dict(zip(CHUNKS, talk.recv(), strict=True))


# -- the ways to ask -----------------------------------------------------------------------------------


class Recorder(BaseCallbackHandler):
    """Keeps the messages of the first call of each stage."""

    run_inline = True

    def __init__(self) -> None:
        self.asked: dict[str, list[BaseMessage]] = {}

    def on_chat_model_start(self, serialized: Any, messages: Any, **told: Any) -> None:  # noqa: ARG002, D102
        self.asked.setdefault(told["metadata"]["sot_stage"], messages[0])


@dataclass(frozen=True)
class Work:
    """What there is to do, a skeleton call and the same call for each of so many points, and what can do it."""

    points: int
    model: BaseChatModel
    sot: SoTChain
    sot_one_at_a_time: SoTChain
    skeleton: list[BaseMessage]
    point: list[BaseMessage]
    parallel: RunnableParallel[Any]
    parsed: RunnableParallel[Any]

    @classmethod
    async def of(cls, model: BaseChatModel, points: int) -> "Work":
        """Let `SoTChain` do it once, and see what it asks."""
        sot = SoTChain(llm=model, router="always", max_points=points, max_concurrency=points)
        slow = sot.model_copy(update={"max_concurrency": Limit(1)})
        recorder = Recorder()
        await sot.ainvoke(QUESTION, {"callbacks": [recorder]})
        skeleton, point = (recorder.asked[stage] for stage in ("skeleton", "point"))
        names = [f"point {number}" for number in range(points)]
        plain, parsed = (RunnableParallel(dict.fromkeys(names, what)) for what in (model, model | StrOutputParser()))
        return cls(points, model, sot, slow, skeleton, point, plain, parsed)


async def _read(stream: AsyncIterator[AIMessage]) -> Pieces:
    return [chunk.text async for chunk in stream]


def _texts(messages: Iterable[BaseMessage]) -> Pieces:
    return [message.text for message in messages]


async def _gather_streams(work: Work) -> Pieces:
    await _read(work.model.astream(work.skeleton))
    branches = await asyncio.gather(*(_read(work.model.astream(work.point)) for _ in range(work.points)))
    return [piece for branch in branches for piece in branch]


async def _stream_parallel(work: Work) -> Pieces:
    await _read(work.model.astream(work.skeleton))
    return [chunk.text async for part in work.parallel.astream(work.point) for chunk in part.values()]


async def _stream_parsed(work: Work) -> Pieces:
    await _read(work.model.astream(work.skeleton))
    return [text async for part in work.parsed.astream(work.point) for text in part.values()]


async def _stream_each(work: Work) -> Pieces:
    await _read(work.model.astream(work.skeleton))
    lists = work.model.map().astream([work.point] * work.points)
    return ["".join(_texts(messages)) async for messages in lists]


async def _gather_whole(work: Work) -> Pieces:
    await work.model.ainvoke(work.skeleton)
    return _texts(await asyncio.gather(*(work.model.ainvoke(work.point) for _ in range(work.points))))


async def _invoke_parallel(work: Work) -> Pieces:
    await work.model.ainvoke(work.skeleton)
    return _texts((await work.parallel.ainvoke(work.point)).values())


async def _invoke_each(work: Work) -> Pieces:
    await work.model.ainvoke(work.skeleton)
    return _texts(await work.model.map().ainvoke([work.point] * work.points))


async def _invoke_sot(work: Work) -> Pieces:
    return _texts([await work.sot.ainvoke(QUESTION)])


STREAMED: dict[str, Way] = {
    BARE: _gather_streams,
    "RunnableParallel": _stream_parallel,
    "RunnableParallel, parsed": _stream_parsed,
    "model.map(), no stream": _stream_each,
    "SoTChain": lambda work: _read(work.sot.astream(QUESTION)),
    "SoTChain, one at a time": lambda work: _read(work.sot_one_at_a_time.astream(QUESTION)),
}
WHOLE: dict[str, Way] = {
    BARE: _gather_whole,
    "RunnableParallel": _invoke_parallel,
    "model.map()": _invoke_each,
    "SoTChain": _invoke_sot,
}


# -- the measurement -----------------------------------------------------------------------------------


async def items(way: Way, work: Work, chunks: int) -> int:
    """Make sure that *way* writes what all write, and tell in how many pieces."""
    pieces = [piece for piece in await way(work) if piece]
    assert "".join(pieces).count(WORD) == chunks * work.points, pieces
    return len(pieces)


async def _cpu(way: Way, work: Work) -> float:
    gc.collect()
    began = time.process_time()
    "".join(await way(work))
    return time.process_time() - began


async def measured(ways: Mapping[str, Way], works: Mapping[int, Work], rounds: int) -> dict[str, Columns]:
    """Measure all ways in turns, each with few and many chunks."""
    costs: dict[str, Costs] = {name: {chunks: [] for chunks in works} for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            for chunks, work in works.items():
                costs[name][chunks].append(await _cpu(way, work) / work.points)
    return {name: _columns(cost) for name, cost in costs.items()}


def _columns(costs: Costs) -> Columns:
    few, many = CHUNKS
    slope = [1e6 * (long - short) / (many - few) for short, long in zip(costs[few], costs[many], strict=True)]
    return {SLOPE: slope} | {f"ms/point of {chunks}": [1e3 * one for one in costs[chunks]] for chunks in CHUNKS}


def _cell(values: list[float], bare: list[float]) -> str:
    ratio = statistics.median(value / other for value, other in zip(values, bare, strict=True))
    return f"{statistics.median(values):>10.2f} {ratio:>5.2f}x"


async def show(title: str, ways: Mapping[str, Way], works: Mapping[int, Work], rounds: int) -> None:
    """Measure, and print a row for each way."""
    read = {name: [await items(way, work, chunks) for chunks, work in works.items()] for name, way in ways.items()}
    gc.freeze()  # what is here already is not looked through in every run
    table = await measured(ways, works, rounds)
    heads = [head for head in table[BARE] if ways is STREAMED or head != SLOPE]
    print(f"\n{title:<26}{'items':>6}" + "".join(f"{head:>17}" for head in heads))
    for name, own in table.items():
        streams = read[name][0] < read[name][1]
        cells = (_cell(own[head], table[BARE][head]) if streams or head != SLOPE else "-" for head in heads)
        print(f"{name:<26}{read[name][1]:>6}" + "".join(f"{cell:>17}" for cell in cells), flush=True)


async def measure(points: int, rounds: int, urls: Mapping[int, str]) -> None:
    """Print a table for each model, streamed and whole."""
    instant = {chunks: InstantModel(points=points, chunks=chunks) for chunks in CHUNKS}
    key = SecretStr("none")
    openai = {chunks: ChatOpenAI(base_url=url, model="none", api_key=key) for chunks, url in urls.items()}
    models: Mapping[int, BaseChatModel]
    for name, models in (("in this process", instant), ("ChatOpenAI", openai)):
        works = {chunks: await Work.of(model, points) for chunks, model in models.items()}
        await show(f"{name}, streamed", STREAMED, works, rounds)
        await show(f"{name}, whole", WHOLE, works, rounds)


def main() -> None:
    """Measure all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=10, help="of the answer (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=9, help="runs of each way and length (default: %(default)s)")
    arguments = parser.parse_args()
    print(f"CPU time for {arguments.points} points, medians of {arguments.rounds} rounds")
    with endpoints(arguments.points) as urls:
        asyncio.run(measure(arguments.points, arguments.rounds, urls))


if __name__ == "__main__":
    main()
