"""Who leaves a chain ends all its requests at the endpoint, also from inside a pipeline and behind a server."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

import pytest

from skeleton_of_thought.testing import LatencyModel, LatencyServer, faults_by, script_reply

from ..leaving import FAULTS, POINTS, all_ended, is_stuck, waits
from ..script import ALONE, QUESTION, SKELETON

pytest.importorskip("langchain_openai")
pytest.importorskip("uvicorn")
pytest.importorskip("fastapi")

from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from langchain_core.output_parsers import StrOutputParser
from langchain_core.runnables import Runnable, RunnableLambda, RunnablePassthrough
from langchain_openai import ChatOpenAI
from openai import DefaultAsyncHttpxClient

from langchain_sot import SoTChain
from skeleton_of_thought import Retry
from skeleton_of_thought.server import running

from .ways import model_threads, run, until, wait_until

LONG = "and " * 20_000
REPLY = script_reply(skeleton=SKELETON, points=dict.fromkeys(POINTS, LONG), direct=LONG)
Left = Callable[[float], None]


@pytest.fixture
def endpoint(waits: str) -> Iterator[LatencyServer]:
    """Serve an answer that would take minutes, with faults."""
    with LatencyServer(LatencyModel(reply=REPLY, per_token=0.01), faults=faults_by(FAULTS[waits][0])) as server:
        yield server


@pytest.fixture
def chain(endpoint: LatencyServer) -> SoTChain:
    llm = ChatOpenAI(
        model="m",
        base_url=endpoint.base_url,
        api_key="none",
        max_retries=0,
        default_headers=ALONE,
        temperature=0.5,
        http_async_client=DefaultAsyncHttpxClient(),  # LangChain's own is shared by all at one address
    )
    return SoTChain(llm=llm, router="always", retry=Retry(seconds=3600, first_wait=0.01), max_concurrency=4)


@pytest.fixture
def stuck(endpoint: LatencyServer, waits: str) -> Callable[[], bool]:
    """Tell whether there is nothing left to happen."""
    return lambda: is_stuck(endpoint, waits)


@pytest.fixture
def left(endpoint: LatencyServer, request: pytest.FixtureRequest) -> Left:
    """See that all has ended soon after a moment, connections too."""

    def left(moment: float) -> None:
        all_ended(endpoint, moment, request.node.name)
        endpoint.wait_until_left()

    return left


@asynccontextmanager
async def closed(chain: SoTChain) -> AsyncIterator[None]:
    """Close the model's client in the end: httpcore forgets a connection where the cancellation meets a reply's end."""
    try:
        yield
    finally:
        await chain.llm.root_async_client.close()  # type: ignore[union-attr]  # it is a ChatOpenAI


# -- chains and pipelines ------------------------------------------------------------------------------


async def _leave(chain: SoTChain, leave: Coroutine[Any, Any, None]) -> None:
    async with closed(chain):
        await leave


async def _read(stream: Any) -> None:
    async for _ in stream:
        pass


PIPELINES: dict[str, Callable[[Any], Runnable[Any, Any]]] = {
    "alone": lambda chain: chain,
    "last": lambda chain: RunnablePassthrough() | RunnableLambda(str) | chain,
    "first": lambda chain: chain | StrOutputParser(),
    "fallbacks": lambda chain: (chain | StrOutputParser()).with_fallbacks([RunnableLambda(str)]),
    "configured": lambda chain: chain.with_config(tags=["mine"]).with_retry(stop_after_attempt=2),
}
pipelines = pytest.mark.parametrize("pipeline", PIPELINES)
last = pytest.mark.parametrize("pipeline", ["alone", "last", "configured"])
"""Where a step follows, LangChain reads a synchronous stream that is closed to its end, whatever comes before it."""


@waits
@pipelines
@pytest.mark.parametrize("way", ["ainvoke", "astream", "astream_events"])
def test_who_is_cancelled_ends_all_requests(
    chain: SoTChain, stuck: Any, left: Left, pipeline: str, way: str, waits: str
) -> None:
    """No task is left, and no connection."""
    runnable = PIPELINES[pipeline](chain)

    async def leave() -> None:
        options = {"version": "v2"} if way == "astream_events" else {}
        asked = getattr(runnable, way)(QUESTION, **options)
        reader = asyncio.create_task(asked if isinstance(asked, Coroutine) else _read(asked))
        await until(stuck)
        moment = time.perf_counter()
        reader.cancel()
        with suppress(asyncio.CancelledError):  # it holds all streams of a pipeline until somebody takes it
            await reader
        assert reader.cancelled()
        await asyncio.to_thread(left, moment)

    run(_leave(chain, leave()))


@pipelines
@pytest.mark.parametrize("waits", ["tokens"])
def test_who_closes_a_stream_ends_all_requests(chain: SoTChain, stuck: Any, left: Left, pipeline: str) -> None:
    """No task is left, and no connection."""

    async def leave() -> None:
        async with aclosing(PIPELINES[pipeline](chain).astream(QUESTION)) as stream:  # type: ignore[type-var]
            await anext(stream)
            await until(stuck)
            moment = time.perf_counter()
        await asyncio.to_thread(left, moment)

    run(_leave(chain, leave()))


@last
@pytest.mark.parametrize("waits", ["tokens"])
def test_who_closes_a_synchronous_stream_ends_all_requests(
    chain: SoTChain, stuck: Any, left: Left, pipeline: str
) -> None:
    """At their next tokens; no thread is left."""
    stream: Any = PIPELINES[pipeline](chain).stream(QUESTION)
    next(stream)
    wait_until(stuck)
    moment = time.perf_counter()
    stream.close()
    left(moment)
    assert [] == model_threads()


# -- behind a server -----------------------------------------------------------------------------------


def application(chain: SoTChain, loops: list[asyncio.AbstractEventLoop]) -> FastAPI:
    """Answer as an application may: closing its stream, leaving that to others, and from a thread."""
    app = FastAPI(lifespan=lambda app: closed(chain))

    async def careful() -> AsyncIterator[str]:
        loops.append(asyncio.get_running_loop())
        chunks = chain.astream(QUESTION)
        try:
            async for chunk in chunks:
                yield chunk.text
        finally:
            await chunks.aclose()

    async def careless() -> AsyncIterator[str]:
        loops.append(asyncio.get_running_loop())
        async for chunk in chain.astream(QUESTION):
            yield chunk.text

    def synchronous() -> Iterator[str]:
        for chunk in chain.stream(QUESTION):
            yield chunk.text

    answers: list[Callable[[], Any]] = [careful, careless, synchronous]
    for texts in answers:
        app.get(f"/{texts.__name__}", response_class=StreamingResponse)(_streaming(texts))
    return app


def _streaming(texts: Callable[[], Any]) -> Callable[[], Any]:
    async def answer() -> StreamingResponse:
        return StreamingResponse(texts())

    return answer


@contextmanager
def client(base_url: str, path: str) -> Iterator[socket.socket]:
    """Ask over a socket, which is closed at the end."""
    address = urlsplit(base_url)
    with socket.create_connection((address.hostname, address.port), timeout=10) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {address.netloc}\r\n\r\n".encode())
        yield connection


@waits
@pytest.mark.parametrize("path", ["careful", "careless"])
def test_a_client_that_leaves_ends_all_requests(
    chain: SoTChain, endpoint: LatencyServer, stuck: Any, left: Left, path: str
) -> None:
    """Also where nothing is sent to it that could fail; the server has no task of the run any more."""
    loops: list[asyncio.AbstractEventLoop] = []
    with running(application(chain, loops)) as server:
        with client(server.base_url, f"/{path}"):
            wait_until(stuck)
            moment = time.perf_counter()
        left(moment)
        wait_until(lambda: {"Server.serve", "LifespanOn.main"} == _tasks_of(loops[0]))


def _tasks_of(loop: asyncio.AbstractEventLoop) -> set[str]:
    coroutines: list[Any] = [task.get_coro() for task in asyncio.all_tasks(loop)]
    return {each.__qualname__ for each in coroutines}


@pytest.mark.parametrize("waits", ["tokens"])
def test_a_client_that_leaves_a_synchronous_answer_ends_all_requests(chain: SoTChain, stuck: Any, left: Left) -> None:
    """At their next tokens."""
    with running(application(chain, [])) as server:
        with client(server.base_url, "/synchronous"):
            wait_until(stuck)
            moment = time.perf_counter()
        left(moment)
    assert [] == model_threads()
