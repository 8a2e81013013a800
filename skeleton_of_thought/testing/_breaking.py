"""How a fault is done to the reply of an endpoint: by what is sent in the place of what the endpoint says."""

import asyncio
import json
import re
from typing import Any, Never, assert_never

from ._exchange import Exchange, Message, Send, error_body, parsed
from .faults import Breaking, Dropped, EndedEarly, ErrorEvent, Garbage, Rejected, Stalled

_GARBAGE = '{"id": "chatcmpl-'


async def reject(exchange: Exchange, fault: Rejected, message: str = "rejected by a test") -> None:
    """Answer without an endpoint."""
    kind = "server_error" if fault.status >= 500 else "invalid_request_error"
    kind = fault.kind or ("rate_limit_error" if fault.status == 429 else kind)
    await exchange.answer(fault.status, error_body(message, kind, fault.code), fault.headers)


def breaking(exchange: Exchange, fault: Breaking, *, stream: bool) -> Send:
    """Return what an endpoint sends its reply by, for *fault* to happen to it."""
    return _Stream(exchange, fault).send if stream else _Whole(exchange, fault).send


class _Whole:
    """A reply that is sent at once; nothing of it leaves before all of it is known."""

    def __init__(self, exchange: Exchange, fault: Breaking) -> None:
        self._exchange, self._fault = exchange, fault
        self._start: Message = {}

    async def send(self, message: Message) -> None:
        """Take the start or the body of a reply."""
        if message["type"] == "http.response.start":
            self._start = message
        elif self._start["status"] == 200:
            await self._break(message["body"])
        else:
            await self._go_on(message["body"])

    async def _break(self, body: bytes) -> None:
        match self._fault:
            case Dropped(after=None, reset=reset):
                self._exchange.hang_up(reset=reset)
            case Dropped(reset=reset):
                await self._go_on(body[: len(body) // 2], more_body=True)
                self._exchange.hang_up(reset=reset)
            case Stalled(seconds=seconds):
                await asyncio.sleep(seconds)
                await self._go_on(body)
            case EndedEarly(after):
                await self._exchange.answer(200, _cut(body, after))
            case ErrorEvent(code=code, kind=kind):
                await self._exchange.answer(500, error_body("failed by a test", kind, code))
            case Garbage():
                await self._exchange.answer(200, _GARBAGE.encode())
            case _:
                assert_never(self._fault)

    async def _go_on(self, body: bytes, *, more_body: bool = False) -> None:
        await self._exchange.send(self._start)
        await self._exchange.send({"type": "http.response.body", "body": body, "more_body": more_body})


class _Stream:
    """A reply that is sent event by event."""

    def __init__(self, exchange: Exchange, fault: Breaking) -> None:
        self._exchange = exchange
        self._fault: Breaking | None = fault
        self._tokens = 0

    async def send(self, message: Message) -> None:
        """Take the next message of a reply, after the fault if it is its turn."""
        starts = message["type"] == "http.response.start"
        if starts and message["status"] != 200:
            self._fault = None
        texts, ends = (0, False) if starts else _content(message.get("body", b""))
        if self._fault is not None and self._due(self._fault, starts, ends):
            fault, self._fault = self._fault, None
            await self._break(fault)
        self._tokens += texts
        await self._exchange.send(message)

    def _due(self, fault: Breaking, starts: bool, ends: bool) -> bool:
        if starts or fault.after is None:
            return starts and fault.after is None
        return ends or self._tokens >= fault.after

    async def _break(self, fault: Breaking) -> None:
        match fault:
            case Dropped(reset=reset):
                self._exchange.hang_up(reset=reset)
                await _cancelled()
            case Stalled(seconds=seconds):
                await asyncio.sleep(seconds)
            case EndedEarly():
                await self._exchange.send({"type": "http.response.body"})
                await _cancelled()
            case ErrorEvent(code=code, kind=kind):
                await self._event(error_body("failed by a test", kind, code))
                await self._exchange.send({"type": "http.response.body"})
                await _cancelled()
            case Garbage():
                await self._event(_GARBAGE.encode())
            case _:
                assert_never(fault)

    async def _event(self, data: bytes) -> None:
        await self._exchange.send({"type": "http.response.body", "body": b"data: %b\n\n" % data, "more_body": True})


async def _cancelled() -> Never:
    """Wait until the endpoint, which hears that its client is gone or has its reply, is cancelled."""
    await asyncio.get_running_loop().create_future()
    raise AssertionError


def _content(event: bytes) -> tuple[int, bool]:
    """Tell how many tokens are in *event*, and whether it belongs to the end of a reply."""
    said = parsed(event.removeprefix(b"data: "))
    choices = said.get("choices") if isinstance(said, dict) else None
    if not choices:
        return 0, True
    texts = [_message(choice).get("content") or choice.get("text") for choice in choices]
    return sum(map(bool, texts)), any(choice["finish_reason"] for choice in choices)


def _cut(body: bytes, tokens: int) -> bytes:
    """Leave out what a reply that ends early has not."""
    said = json.loads(body)
    for choice in said["choices"]:
        holder, name = (choice, "text") if "text" in choice else (_message(choice), "content")
        holder[name] = "".join(re.findall(r"\s*\S+|\s+$", holder[name])[:tokens])
        choice["finish_reason"] = None
    return json.dumps({name: value for name, value in said.items() if name != "usage"}).encode()


def _message(choice: dict[str, Any]) -> dict[str, Any]:
    message: dict[str, Any] = choice.get("delta") or choice.get("message") or {}
    return message
