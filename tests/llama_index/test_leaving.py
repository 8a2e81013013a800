"""Who leaves an engine ends all its requests at the endpoint, also behind a server."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from skeleton_of_thought.testing import LatencyModel, LatencyServer, faults_by

from ..leaving import FAULTS, all_ended, is_stuck, waits
from ..script import QUESTION

pytest.importorskip("llama_index.llms.openai_like")
pytest.importorskip("uvicorn")

from starlette.applications import Starlette
from starlette.responses import StreamingResponse
from starlette.routing import Route

from skeleton_of_thought import Retry
from skeleton_of_thought.models.generation import Generation
from skeleton_of_thought.server import running

from .ways import aread, engine_of, model, no_task_left, run, say, task_of

PATIENCE = 20.0  # seconds after which a test that waits has failed
Left = Callable[[float], None]


def _say(generation: Generation) -> str:
    return "and " * 20_000 if isinstance(task_of(generation), int) else say(generation)


@pytest.fixture
def endpoint(waits: str) -> Iterator[LatencyServer]:
    """Serve an answer that would take minutes, with faults."""
    plan = faults_by(FAULTS[waits][0])
    with LatencyServer(LatencyModel(reply=_say, per_token=0.01), faults=plan, stage_of=task_of) as server:  # type: ignore[arg-type]  # it tells stages, or numbers
        yield server


@pytest.fixture
def engine(endpoint: LatencyServer, index: Any) -> Callable[..., Any]:
    """Make an engine that waits as long as it is asked to."""
    told = {"router": "always", "retry": Retry(seconds=3600, first_wait=0.01), "max_concurrency": 4}
    return lambda *, streaming: engine_of("engine", index, model(endpoint), streaming=streaming, **told)


@pytest.fixture
def wait(endpoint: LatencyServer, waits: str) -> Callable[[], None]:
    """Wait until all faults have happened, and what is in flight stays there."""

    def wait() -> None:
        end = time.monotonic() + PATIENCE
        while not is_stuck(endpoint, waits):
            assert time.monotonic() < end, [(each.stage, each.fault, each.ended) for each in endpoint.requests]
            time.sleep(0.002)

    return wait


@pytest.fixture
def left(endpoint: LatencyServer, request: pytest.FixtureRequest) -> Left:
    """See that all has ended soon after a moment, connections too."""

    def left(moment: float) -> None:
        all_ended(endpoint, moment, request.node.name)
        endpoint.wait_until_left()

    return left


@waits
@pytest.mark.parametrize("streaming", [False, True], ids=["whole", "stream"])
def test_who_is_cancelled_ends_all_requests(
    engine: Any, wait: Callable[[], None], left: Left, streaming: bool, waits: str
) -> None:
    """No task is left, and no connection."""

    async def ask() -> str:
        return await aread(await engine(streaming=streaming).aquery(QUESTION))

    async def leave() -> None:
        async with no_task_left():
            reader = asyncio.create_task(ask())
            await asyncio.to_thread(wait)
            moment = time.perf_counter()
            reader.cancel()
            await asyncio.wait([reader])
            assert reader.cancelled()
            await asyncio.to_thread(left, moment)

    run(leave())


@pytest.mark.parametrize("waits", ["tokens", "the end of a pause", "the next attempt"])
def test_who_closes_a_synchronous_stream_ends_all_requests(engine: Any, wait: Callable[[], None], left: Left) -> None:
    """At their next tokens."""
    stream = engine(streaming=True).query(QUESTION).response_gen
    next(stream)
    wait()
    moment = time.perf_counter()
    stream.close()
    left(moment)


# -- behind a server -----------------------------------------------------------------------------------


def application(engine: Any) -> Starlette:
    """Answer as an application may: closing its stream, and leaving that to others."""

    async def careful() -> AsyncIterator[str]:
        texts = (await engine.aquery(QUESTION)).async_response_gen()
        try:
            async for text in texts:
                yield text
        finally:
            await texts.aclose()

    async def careless() -> AsyncIterator[str]:
        async for text in (await engine.aquery(QUESTION)).async_response_gen():
            yield text

    async def answer(request: Any) -> StreamingResponse:
        return StreamingResponse(careful() if request.url.path == "/careful" else careless())

    return Starlette(routes=[Route("/{way}", answer)])


@waits
@pytest.mark.parametrize("way", ["careful", "careless"])
def test_a_client_that_leaves_ends_all_requests(
    engine: Any, wait: Callable[[], None], left: Left, way: str, waits: str
) -> None:
    """Also where nothing is sent to it that could fail."""
    with running(application(engine(streaming=True))) as server:
        address = urlsplit(server.base_url)
        with socket.create_connection((address.hostname, address.port), timeout=PATIENCE) as client:
            client.sendall(f"GET /{way} HTTP/1.1\r\nHost: {address.netloc}\r\n\r\n".encode())
            wait()
            moment = time.perf_counter()
        left(moment)
