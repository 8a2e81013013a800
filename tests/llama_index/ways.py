"""What all tests of the adapter are made of: an endpoint that follows the script, an index, and every way to ask."""

import asyncio
import re
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import pytest

from skeleton_of_thought.models.generation import Generation
from skeleton_of_thought.testing import LatencyServer

from ..script import DIRECT, POINTS, QUESTION, SKELETON

OpenAILike = pytest.importorskip("llama_index.llms.openai_like").OpenAILike

from llama_index.core import MockEmbedding, VectorStoreIndex  # noqa: E402 -- only where the framework is
from llama_index.core.base.llms.types import CompletionResponse, LLMMetadata  # noqa: E402
from llama_index.core.base.response.schema import AsyncStreamingResponse, StreamingResponse  # noqa: E402
from llama_index.core.llms import CustomLLM  # noqa: E402
from llama_index.core.query_engine import RetrieverQueryEngine  # noqa: E402
from llama_index.core.schema import TextNode  # noqa: E402

from llama_index_sot import SoTQueryEngine, SoTSynthesizer  # noqa: E402

T = TypeVar("T")
PASSAGES = ["Sleep comes with the dark.", "Coffee keeps people awake."]
CAPITAL = "What is the capital of France?"
TITLES = dict(enumerate((line.split(". ")[1] for line in SKELETON.split("\n")), 1))
SWAPS = ["default", "engine", "synthesizer"]
FOUR = pytest.mark.parametrize("way", ["query", "aquery", "stream", "astream"])


def task_of(generation: Generation) -> str | int:
    """Tell what a request asks for: a point's number, ``skeleton`` or ``direct``."""
    task = generation.messages[-1].text if generation.messages else generation.prompt or ""
    if point := re.search(r"Write only point (\d+),", task):
        return int(point[1])
    return "skeleton" if "Write only the skeleton" in task else "direct"


def say(generation: Generation) -> str:
    """Follow the script, whatever else stands in a prompt."""
    task = task_of(generation)
    return POINTS[task] if isinstance(task, int) else {"skeleton": SKELETON, "direct": DIRECT}[task]


def model(server: LatencyServer, **options: Any) -> Any:
    """Make an LLM that keeps no connection: LlamaIndex never closes the clients of loops that have ended."""
    told = {"model": "scripted", "api_key": "none", "is_chat_model": True, "max_retries": 0}
    return OpenAILike(api_base=server.base_url, default_headers={"Connection": "close"}, **told | options)


def index_of(*texts: str) -> VectorStoreIndex:
    """Make an index whose nodes are named by their place."""
    nodes = [TextNode(text=text, id_=f"n{number}") for number, text in enumerate(texts, 1)]
    return VectorStoreIndex(nodes, embed_model=MockEmbedding(8))


def engine_of(swap: str, index: VectorStoreIndex, llm: Any, *, streaming: bool = False, **options: Any) -> Any:
    """Make the default engine, ours, or the default one with our synthesizer."""
    if swap == "default":
        return index.as_query_engine(llm=llm, streaming=streaming, **options)
    if swap == "engine":
        return SoTQueryEngine.from_args(index.as_retriever(), llm=llm, streaming=streaming, **options)
    synthesizer = SoTSynthesizer(llm=llm, streaming=streaming, **options)
    return index.as_query_engine(llm=llm, response_synthesizer=synthesizer)


def read(response: Any) -> str:
    """Read a response to its end, where no loop runs."""
    return "".join(response.response_gen) if isinstance(response, StreamingResponse) else str(response)


async def aread(response: Any) -> str:
    """Read a response to its end."""
    if isinstance(response, AsyncStreamingResponse):
        return "".join([text async for text in response.async_response_gen()])
    return str(response)


def ask(engine: RetrieverQueryEngine, way: str, question: str = QUESTION) -> tuple[Any, str]:
    """Ask in one of the `FOUR` ways and read to the end."""
    engine._response_synthesizer._streaming = way.endswith("stream")
    if way in {"query", "stream"}:
        response = engine.query(question)
        return response, read(response)

    async def asked() -> tuple[Any, str]:
        response = await engine.aquery(question)
        return response, await aread(response)

    return asyncio.run(asked())


def in_thread(work: Callable[[], T]) -> T:
    """Do it in a thread that has no loop."""
    results: list[T] = []
    thread = threading.Thread(target=lambda: results.append(work()))
    thread.start()
    thread.join()
    return results[0]


async def idle(server: LatencyServer) -> None:
    """Wait until nothing is in flight any more; the loop runs on."""
    await asyncio.to_thread(server.wait_until_idle)


@asynccontextmanager
async def no_task_left() -> AsyncIterator[None]:
    """See to it that the loop has no other tasks than before."""
    before = asyncio.all_tasks()
    yield
    async with asyncio.timeout(10):
        while asyncio.all_tasks() - before:  # noqa: ASYNC110 -- tasks end, and tell nobody
            await asyncio.sleep(0.001)


def run(work: Awaitable[T]) -> T:
    """Run on a loop of its own."""

    async def main() -> T:
        return await work

    coroutine: Coroutine[Any, Any, T] = main()
    return asyncio.run(coroutine)


@dataclass
class Lines:
    """What is said, one after another; the last one again and again."""

    left: list[str]

    def __deepcopy__(self, _: Any) -> "Lines":
        return self

    def next(self) -> str:
        return self.left.pop(0) if len(self.left) > 1 else self.left[0]


class Saying(CustomLLM):
    """An LLM that says what it was given, whatever it is asked; without anything it says what it is asked."""

    lines: Any = None

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(context_window=100_000)

    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        return CompletionResponse(text=self.lines.next() if self.lines else prompt)

    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:
        text = self.lines.next() if self.lines else prompt
        yield CompletionResponse(text=text, delta=text)


def saying(*lines: str) -> Saying:
    """Make a `Saying`."""
    return Saying(lines=Lines(list(lines)) if lines else None)
