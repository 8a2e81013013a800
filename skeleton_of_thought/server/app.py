"""The endpoint itself: everything that waits, and everything that needs Starlette and uvicorn.

Each request is one task, and a second one listens for the client: when it goes away, the generation is
cancelled at once, streaming or not. A reply begins with its first text, so that what fails before that
is told by an HTTP status; what fails later ends the stream with an error event.

The ``model`` of a request is ignored, as llama.cpp does: there is one model, and the reply tells its name.
Nothing that was asked or answered is ever logged.
"""

import asyncio
import contextlib
import json
import logging
import socket
import threading
import time
import traceback
import uuid
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, assert_never, cast

from ..calls import Finish, Usage
from ..models.generation import Generation, Generator
from . import replies
from .replies import Choice, Json, Reply, TextReply
from .requests import Asked, read_chat, read_text

try:
    import uvicorn
    from starlette.applications import Starlette
    from starlette.exceptions import HTTPException
    from starlette.requests import ClientDisconnect, Request
    from starlette.responses import JSONResponse
    from starlette.routing import Route
    from starlette.types import ASGIApp, Receive, Scope, Send
except ImportError as error:
    raise ImportError('the endpoint needs Starlette and uvicorn: pip install "skeleton-of-thought[server]"') from error

_log = logging.getLogger("skeleton_of_thought")

Hear: TypeAlias = Callable[[int, str], Awaitable[None]]
"""What is done with each text as it comes: the number of its choice, and the text."""


def application(generator: Generator) -> Starlette:
    """Build the endpoint over *generator*: chat, plain completions, the list of models, and health."""

    async def models(_: Request) -> JSONResponse:
        return JSONResponse(replies.models(generator.name))

    async def health(_: Request) -> JSONResponse:
        return JSONResponse({"status": "ok"})

    chat = _Endpoint(generator, read_chat, Reply, "chatcmpl")
    text = _Endpoint(generator, read_text, TextReply, "cmpl")
    return Starlette(
        routes=[
            Route("/v1/chat/completions", chat, methods=["POST"]),
            Route("/v1/completions", text, methods=["POST"]),
            Route("/v1/models", models),
            Route("/health", health),
        ],
        exception_handlers={HTTPException: _refused},
    )


async def _refused(_: Request, error: Exception) -> JSONResponse:
    refused = cast("HTTPException", error)  # the class that this handler is registered for
    return JSONResponse(replies.refusal(refused.status_code, refused.detail), refused.status_code, refused.headers)


# -- one request ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Endpoint:
    """One of the two routes that generate, as an ASGI application."""

    generator: Generator
    read: Callable[[bytes], Asked]
    reply: type[Reply]
    kind: str

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with contextlib.suppress(ClientDisconnect):
            body = await Request(scope, receive).body()
            await _while_connected(receive, self._answer(body, _Out(scope, receive, send)))

    async def _answer(self, body: bytes, out: "_Out") -> None:
        try:
            asked = self.read(body)
            reply = self.reply(
                id=f"{self.kind}-{uuid.uuid4().hex}", created=int(time.time()), model=self.generator.name
            )
            await (self._stream if asked.stream else self._whole)(asked, reply, out)
        except Exception as error:  # noqa: BLE001 -- whatever a generator raises, the client is told that it failed
            status, said = replies.failure(error)
            if status >= 500:  # places only: the message of an error may repeat what was asked
                places = "".join(traceback.format_tb(error.__traceback__))
                _log.error("the generation failed with %s\n%s", type(error).__name__, places)
            await out.fail(status, said)

    async def _whole(self, asked: Asked, reply: Reply, out: "_Out") -> None:
        async def hear(_: int, __: str) -> None: ...

        choices = await _generate(self.generator, asked.generations, hear)
        await out.answer(reply.whole(choices, replies.total(choices, asked.per_prompt)))

    async def _stream(self, asked: Asked, reply: Reply, out: "_Out") -> None:
        opened: set[int] = set()

        async def open_once(index: int) -> None:
            if index not in opened:
                opened.add(index)
                await out.events(reply.opening(index))

        async def hear(index: int, text: str) -> None:
            if text:
                await open_once(index)
                await out.events([reply.text(index, text)])

        choices = await _generate(self.generator, asked.generations, hear)
        for index, choice in enumerate(choices):
            await open_once(index)
            await out.events([reply.ending(index, choice.reason)])
        if asked.include_usage:
            await out.events([reply.cost(replies.total(choices, asked.per_prompt))])
        await out.done()


async def _while_connected(receive: Receive, work: Coroutine[Any, Any, None]) -> None:
    """Do *work*, and cancel it when the client goes away."""

    async def listen() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        answer.cancel()

    async with asyncio.TaskGroup() as group:
        answer = group.create_task(work)
        listener = group.create_task(listen())
        answer.add_done_callback(lambda _: listener.cancel())


async def _generate(generator: Generator, generations: Sequence[Generation], hear: Hear) -> list[Choice]:
    """Generate all texts at the same time. The first failure cancels the others."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_choice(generator, each, index, hear)) for index, each in enumerate(generations)]
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from None
    return [task.result() for task in tasks]


async def _choice(generator: Generator, generation: Generation, index: int, hear: Hear) -> Choice:
    texts: list[str] = []
    usage, reason = Usage(), "stop"
    stream = generator.generate(generation)
    try:
        async for piece in stream:
            match piece:
                case Usage():
                    usage = piece
                case Finish():
                    reason = piece.reason
                case str():
                    texts.append(piece)
                    await hear(index, piece)
                case _:
                    assert_never(piece)
    finally:
        if close := getattr(stream, "aclose", None):
            await close()
    return Choice("".join(texts), reason, usage)


class _Out:
    """The way back to one client."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope, self._receive, self._send = scope, receive, send
        self._streaming = False

    async def answer(self, said: Json, status: int = 200) -> None:
        """Say everything at once."""
        await JSONResponse(said, status)(self._scope, self._receive, self._send)

    async def events(self, said: Sequence[Json]) -> None:
        """Say these, now, as events of a stream."""
        for each in said:
            await self._event(json.dumps(each, separators=(",", ":")))

    async def done(self) -> None:
        """End the stream well."""
        await self._event("[DONE]")
        await self._send({"type": "http.response.body"})

    async def fail(self, status: int, said: Json) -> None:
        """Tell what failed: by the status, or, when a stream has begun, by its last event."""
        if not self._streaming:
            await self.answer(said, status)
            return
        await self.events([said])
        await self._send({"type": "http.response.body"})

    async def _event(self, data: str) -> None:
        if not self._streaming:
            self._streaming = True
            headers = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]
            await self._send({"type": "http.response.start", "status": 200, "headers": headers})
        await self._send({"type": "http.response.body", "body": f"data: {data}\n\n".encode(), "more_body": True})


# -- the server ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Running:
    """A server that runs."""

    url: str

    @property
    def base_url(self) -> str:
        """What a client of the OpenAI protocol calls its base URL."""
        return f"{self.url}/v1"


def serve(
    generator: Generator,
    *,
    host: str = "127.0.0.1",
    port: int = 8094,
    ready: Callable[[Running], None] = lambda _: None,
) -> None:
    """Serve *generator* until the process is told to stop: by Ctrl-C, which is no error, or by a signal.

    Port 0 is any free one. *ready* is told where, as soon as requests are taken.
    """
    with _listener(host, port) as listener, contextlib.suppress(KeyboardInterrupt):
        ready(_address(listener))
        _Server(application(generator)).run([listener])


@contextlib.contextmanager
def running(target: Generator | ASGIApp, *, port: int = 0) -> Iterator[Running]:
    """Serve a generator, or any ASGI application, on the loopback interface from a thread.

    Port 0 is any free one. On leaving, requests that are still being answered are cut off, and neither
    the thread nor a socket stays behind.
    """
    app = target if callable(target) else application(target)
    with _listener("127.0.0.1", port) as listener:
        server = _Server(app)
        thread = threading.Thread(target=server.run, args=([listener],), name="sot-server", daemon=True)
        thread.start()
        try:
            yield _address(listener)
        finally:
            server.should_exit = True
            thread.join()


def _listener(host: str, port: int) -> socket.socket:
    listener = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # asyncio does so only where it made the socket
    return listener


def _address(listener: socket.socket) -> Running:
    host, port, *_ = listener.getsockname()
    return Running(f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}")


class _Server(uvicorn.Server):
    """Same as uvicorn's, but silent about what it is asked, and it hangs up when it is told to stop."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(uvicorn.Config(app, ws="none", log_config=None, access_log=False))

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for connection in list(self.server_state.connections):
            connection.transport.abort()  # the endpoint sees its client go away, and cancels
        await super().shutdown(sockets)
