"""One request and its reply on their way through, as ASGI messages: noted, and within reach of what breaks them."""

import asyncio
import json
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from .faults import Fault
from .scripted import Key

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Scope: TypeAlias = MutableMapping[str, Any]
Headers: TypeAlias = Callable[[], Mapping[str, str]]
"""What is added to each reply, unless it has that already."""
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

_LINGER = struct.pack("ii", 1, 0)
"""With it, closing a socket sends a reset."""


@dataclass(slots=True)
class LoggedRequest:
    """A request that a `LatencyServer` got. Times are those of ``time.perf_counter``."""

    path: str
    body: Any
    """The parsed JSON, or ``None``."""
    began: float
    ended: float | None = None
    status: int | None = None
    cancelled: bool = False
    """The client went away before its reply was complete."""
    stage: Key = "direct"
    """What it asked for: the number of a point, or a stage."""
    fault: Fault | None = None
    """What was made to go wrong."""


class Exchange:
    """The way of one request from its client, and of the reply back."""

    def __init__(self, receive: Receive, send: Send, logged: LoggedRequest, headers: Headers) -> None:
        self.logged = logged
        self._receive, self._send, self._headers = receive, send, headers
        self._read: list[Message] = []
        self._complete = False

    async def read(self) -> bytes:
        """Read the body, and note it; `receive` hands it out once more."""
        self._read.append(await self._receive())
        while self._read[-1].get("more_body"):
            self._read.append(await self._receive())
        body = b"".join(message.get("body", b"") for message in self._read)
        self.logged.body = parsed(body)
        return body

    async def receive(self) -> Message:
        """Hand on what comes from the client, and note that it leaves."""
        message = self._read.pop(0) if self._read else await self._receive()
        self.logged.cancelled |= message["type"] == "http.disconnect" and not self._complete
        return message

    async def send(self, message: Message) -> None:
        """Hand on what goes to the client, and note the status."""
        if message["type"] == "http.response.start":
            message = {**message, "headers": self._with_ours(message.get("headers", ()))}
            self.logged.status = message["status"]
        self._complete = message["type"] == "http.response.body" and not message.get("more_body")
        await self._send(message)

    async def answer(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        """Send a whole reply."""
        said = {"content-type": "application/json", "content-length": str(len(body)), **(headers or {})}
        pairs = [(name.lower().encode(), value.encode()) for name, value in said.items()]
        await self.send({"type": "http.response.start", "status": status, "headers": pairs})
        await self.send({"type": "http.response.body", "body": body})

    def hang_up(self, *, reset: bool) -> None:
        """Close the connection at once. What was sent before has left already."""
        self._complete = True
        transport = transport_of(self._receive)
        if reset:
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER)
        transport.abort()

    def _with_ours(self, headers: Any) -> list[tuple[bytes, bytes]]:
        own = list(headers)
        names = {name for name, _ in own}
        ours = ((name.lower().encode(), value.encode()) for name, value in self._headers().items())
        return own + [pair for pair in ours if pair[0] not in names]


def transport_of(receive: Receive) -> asyncio.Transport:
    """Return the connection that uvicorn got a request by. ASGI itself cannot hang up."""
    transport: asyncio.Transport = receive.__self__.transport  # type: ignore[attr-defined]  # a method of its cycle
    return transport


def parsed(body: bytes) -> Any:
    """Parse JSON; ``None`` for what is none."""
    try:
        return json.loads(body)
    except ValueError:
        return None


def error_body(message: str, kind: str, code: str | int | None) -> bytes:
    """Say an error as OpenAI does."""
    return json.dumps({"error": {"message": message, "type": kind, "param": None, "code": code}}).encode()
