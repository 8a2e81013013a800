"""The four situations that an engine is asked in, with one LLM for all of them, and what is left when a stream is."""

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from skeleton_of_thought.models.generation import Generated, Generation
from skeleton_of_thought.testing import LatencyModel, LatencyServer

from ..script import QUESTION, SKELETON, TEXT

pytest.importorskip("llama_index.llms.openai_like")

from llama_index.core.base.response.schema import AsyncStreamingResponse

from .ways import aread, engine_of, idle, in_thread, model, no_task_left, read, run, say, task_of

SWAPS = pytest.mark.parametrize("swap", ["engine", "synthesizer"])
STREAMING = pytest.mark.parametrize("streaming", [False, True], ids=["whole", "stream"])
AGAIN = 3


@dataclass(frozen=True, kw_only=True, eq=False)
class Together(LatencyModel):
    """It begins no point before all three of an answer are asked for."""

    reply: Callable[[Generation], str] = say
    asked: list[int] = field(default_factory=list)

    async def generate(self, generation: Generation, /) -> AsyncGenerator[Generated, None]:
        if isinstance(task := task_of(generation), int):
            self.asked.append(task)
            wanted = -(-len(self.asked) // 3) * 3
            async with asyncio.timeout(20):
                while len(self.asked) < wanted:  # noqa: ASYNC110 -- requests come from anywhere
                    await asyncio.sleep(0.002)
        async for piece in super().generate(generation):
            yield piece


@pytest.fixture
def together() -> Iterator[LatencyServer]:
    with LatencyServer(Together()) as server:
        yield server


@pytest.fixture
def endless() -> Iterator[LatencyServer]:
    """Serve two points that take minutes."""

    def reply(generation: Generation) -> str:
        return "and " * 10_000 if task_of(generation) in {2, 3} else say(generation)

    with LatencyServer(LatencyModel(reply=reply, per_token=0.02)) as server:
        yield server


@pytest.fixture
def slow() -> Iterator[LatencyServer]:
    """Serve texts that begin late."""
    with LatencyServer(LatencyModel(reply=say, first_token=0.5)) as server:
        yield server


def sync_query(engine: Any) -> str:
    return read(engine.query(QUESTION))


async def async_query(engine: Any) -> str:
    return await aread(await engine.aquery(QUESTION))


async def query_on_a_loop(engine: Any) -> str:
    """Ask as a notebook does, or a framework that calls synchronous code on its loop."""
    return sync_query(engine)


SITUATIONS: dict[str, Callable[[Any], str]] = {
    "main thread": sync_query,
    "worker thread": lambda engine: in_thread(lambda: sync_query(engine)),
    "running loop": lambda engine: run(query_on_a_loop(engine)),
    "async": lambda engine: run(async_query(engine)),
    "async in a worker thread": lambda engine: in_thread(lambda: run(async_query(engine))),
}


@SWAPS
@STREAMING
@pytest.mark.parametrize("situation", SITUATIONS)
def test_all_points_are_in_flight_at_once(
    together: LatencyServer, index: Any, situation: str, streaming: bool, swap: str
) -> None:
    """Each time with the same LLM, which nothing of an earlier loop gets in the way of."""
    engine = engine_of(swap, index, model(together), streaming=streaming)
    for _ in range(AGAIN):
        assert TEXT == SITUATIONS[situation](engine)
    assert (3, AGAIN * 4) == (together.peak, len(together.requests))


@STREAMING
def test_one_engine_serves_all_situations_in_turns(llm: Any, index: Any, streaming: bool) -> None:
    """Its LLM has met a private loop, loops that have ended, and threads."""
    engine = engine_of("engine", index, llm, streaming=streaming)
    said = [situation(engine) for _ in range(2) for situation in SITUATIONS.values()]
    assert [TEXT] * len(said) == said


@STREAMING
def test_one_engine_serves_several_threads_and_tasks_at_once(llm: Any, index: Any, streaming: bool) -> None:
    """What one asks gets in nobody's way."""
    engine = engine_of("engine", index, llm, streaming=streaming)
    texts: list[str] = []
    threads = [threading.Thread(target=lambda: texts.append(sync_query(engine))) for _ in range(3)]

    async def ask() -> list[str]:
        return await asyncio.gather(*(async_query(engine) for _ in range(3)))

    for thread in threads:
        thread.start()
    texts += run(ask())
    for thread in threads:
        thread.join()
    assert [TEXT] * 6 == texts


@SWAPS
def test_an_asynchronous_stream_is_read_by_str_on_a_running_loop(llm: Any, index: Any, swap: str) -> None:
    """As tools and composed engines read it, again and again: another thread reads while the loop stands still."""
    engine = engine_of(swap, index, llm, streaming=True)

    async def ask() -> list[str]:
        texts = []
        for _ in range(AGAIN):
            response = await engine.aquery(QUESTION)
            assert isinstance(response, AsyncStreamingResponse)
            texts.append(str(response))
            assert texts[-1] == str(response)  # it is kept
        return texts

    assert [TEXT] * AGAIN == run(ask())


# -- leaving early -------------------------------------------------------------------------------------

WHERE = pytest.mark.parametrize("after", ["Go to", "2. "], ids=["first point", "second point"])


async def read_until(stream: Any, after: str) -> str:
    text = ""
    async for piece in stream:
        text += piece
        if after in text:
            break
    return text


@SWAPS
@WHERE
@pytest.mark.parametrize("leave", ["aclose", "break", "exception", "cancel"])
def test_leaving_an_asynchronous_stream_leaves_nothing(
    endless: LatencyServer, index: Any, leave: str, after: str, swap: str
) -> None:
    """No request goes on, and no task is left, while the loop runs on."""
    engine = engine_of(swap, index, model(endless), streaming=True)

    async def left() -> None:
        response = await engine.aquery(QUESTION)
        if leave == "cancel":
            task = asyncio.create_task(read_until(response.response_gen, "never"))
            await asyncio.to_thread(endless.wait_until, 1 if after == "Go to" else 3)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            return
        assert after in await read_until(response.response_gen, after)
        if leave == "aclose":
            await response.response_gen.aclose()
        if leave == "exception":
            with pytest.raises(LookupError):
                await response.response_gen.athrow(LookupError())

    async def main() -> None:
        async with no_task_left():
            await left()
            await idle(endless)

    run(main())
    assert any(request.cancelled for request in endless.requests)


@SWAPS
@WHERE
@pytest.mark.parametrize("leave", ["close", "break", "exception"])
def test_leaving_a_synchronous_stream_leaves_nothing(
    endless: LatencyServer, index: Any, leave: str, after: str, swap: str
) -> None:
    """Each thread ends at the next piece of its request; the private loop has no task any more."""
    engine = engine_of(swap, index, model(endless), streaming=True)

    def left() -> None:
        stream, text = engine.query(QUESTION).response_gen, ""
        for piece in stream:
            text += piece
            if after in text:
                break
        if leave == "close":
            stream.close()
        if leave == "exception":
            with pytest.raises(LookupError):
                stream.throw(LookupError())

    left()
    endless.wait_until_idle()
    for thread in threading.enumerate():
        if thread.name == "sot-model":
            thread.join(timeout=10)
    assert "sot-model" not in {thread.name for thread in threading.enumerate()}


@SWAPS
@STREAMING
@pytest.mark.parametrize("in_flight", [1, 3], ids=["in the skeleton", "in the points"])
def test_cancelling_who_asks_leaves_nothing(
    slow: LatencyServer, index: Any, in_flight: int, streaming: bool, swap: str
) -> None:
    """Whatever stage it is in, streamed or not."""
    engine = engine_of(swap, index, model(slow), streaming=streaming)

    async def main() -> None:
        async with no_task_left():
            task = asyncio.create_task(async_query(engine))
            await asyncio.to_thread(slow.wait_until, in_flight)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await idle(slow)

    run(main())
    assert in_flight == sum(request.cancelled for request in slow.requests)


@STREAMING
def test_a_timeout_leaves_nothing(slow: LatencyServer, index: Any, streaming: bool) -> None:
    """It is a cancellation too; afterwards the engine can be asked again."""
    engine = engine_of("engine", index, model(slow), streaming=streaming)

    async def main() -> str:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await async_query(engine)
        await idle(slow)
        return await async_query(engine)

    assert TEXT == run(main())


@pytest.mark.parametrize("sync", [True, False], ids=["sync", "async"])
def test_a_stream_that_is_never_read_is_no_trouble(index: Any, llm: Any, server: LatencyServer, sync: bool) -> None:
    """It has sent nothing, and is collected without a word."""
    engine = engine_of("engine", index, llm, streaming=True)
    response = engine.query(QUESTION) if sync else run(engine.aquery(QUESTION))
    del response
    assert [] == server.requests


@pytest.mark.parametrize("sync", [True, False], ids=["sync", "async"])
def test_a_model_that_writes_on_after_its_list_is_left(index: Any, sync: bool) -> None:
    """Its request ends while the points are written, not when somebody collects it."""

    def reply(generation: Generation) -> str:
        task = task_of(generation)
        return f"{SKELETON}\n4. More\n" + "and " * 10_000 if task == "skeleton" else say(generation)

    with LatencyServer(LatencyModel(reply=reply, per_token=0.005)) as server:
        engine = engine_of("engine", index, model(server), streaming=True, max_points=3)
        assert TEXT == (sync_query(engine) if sync else run(async_query(engine)))
        server.wait_until_idle()
        assert server.requests[0].cancelled
