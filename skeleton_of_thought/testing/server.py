"""A loopback endpoint that has no model and only takes its time: for tests and measurements of real clients."""

import asyncio
import json
import random
import re
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, MutableMapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import cycle, islice, pairwise
from types import TracebackType
from typing import Any, TypeAlias

from ..calls import Finish, Usage
from ..models.generation import Generated, Generation

ReplyFunction: TypeAlias = Callable[[Generation], str]

_Message: TypeAlias = MutableMapping[str, Any]
_Receive: TypeAlias = Callable[[], Awaitable[_Message]]
_Send: TypeAlias = Callable[[_Message], Awaitable[None]]
_App: TypeAlias = Callable[[MutableMapping[str, Any], _Receive, _Send], Awaitable[None]]


# -- what is said, and when ----------------------------------------------------------------------------


def filler(generation: Generation) -> str:
    """Say as many words as are asked for, 64 if none are: the same words each time."""
    return " ".join(islice(cycle(("one", "word", "after", "another,", "and")), generation.max_tokens or 64))


def script_reply(*, skeleton: str, points: Mapping[int, str], direct: str = "") -> ReplyFunction:
    """Make a reply function that tells the requests of a run apart by their last message.

    The point is the one whose title, as it stands in *skeleton*, comes last in the task. Without any title
    a task that has the word "skeleton" gets the skeleton, and any other gets *direct*. A closing assistant
    message belongs to the task.
    """
    titles = {int(number): title for number, title in re.findall(r"^\s*(\d+)[.)]\s*(.*\w)", skeleton, re.MULTILINE)}

    def reply(generation: Generation) -> str:
        task = _task(generation)
        found = {task.rfind(title): number for number, title in titles.items() if title in task}
        if found:
            return points[found[max(found)]]
        return skeleton if "skeleton" in task.lower() else direct

    return reply


def _task(generation: Generation) -> str:
    if generation.prompt is not None:
        return generation.prompt
    users = [number for number, message in enumerate(generation.messages) if message.role == "user"]
    return "\n".join(message.text for message in generation.messages[users[-1] if users else 0 :])


def _cut(text: str, generation: Generation) -> tuple[list[str], str]:
    """Split *text* into tokens, a word being one, and end it where the request wants it to end."""
    stops = [text.index(stop) for stop in generation.stop if stop in text]
    tokens = re.findall(r"\s*\S+|\s+$", text[: min(stops)] if stops else text)
    if generation.max_tokens is not None and len(tokens) > generation.max_tokens:
        return tokens[: generation.max_tokens], "length"
    return tokens, "stop"


Slowdown: TypeAlias = Callable[[int], float] | Sequence[tuple[int, float]]


def _factor(slowdown: Slowdown, in_flight: int) -> float:
    if callable(slowdown):
        return slowdown(in_flight)
    curve = sorted(slowdown)
    for (left, low), (right, high) in pairwise(curve):
        if left <= in_flight <= right:
            return low + (high - low) * (in_flight - left) / (right - left)
    if not curve:
        return 1.0
    return curve[0][1] if in_flight < curve[0][0] else curve[-1][1]


@dataclass(slots=True)
class _Load:
    in_flight: int = 0
    seen: dict[str, Any] = field(default_factory=dict)
    """A tree of words: what has been asked so far."""

    def cached(self, asked: list[str]) -> int:
        """Tell how many words an earlier request began with too, and remember this one."""
        here, shared = self.seen, 0
        for number, word in enumerate(asked):
            shared += number == shared and word in here
            here = here.setdefault(word, {})
        return shared


@dataclass(frozen=True, kw_only=True, eq=False)
class LatencyModel:
    """A `Generator` that needs ``first_token`` seconds and then ``per_token`` for each further token.

    A word is a token. Times are deterministic: jitter comes from the seed and the request's text. As with a
    prefix cache, the words that an earlier request began with too are reported as cached; they cost the same.
    """

    first_token: float = 0.0
    per_token: float = 0.0
    slowdown: Slowdown = ()
    """By what to multiply, given the texts in flight: a function, or points of a curve, ``[(1, 1.0), (16, 2.5)]``."""
    jitter: float = 0.0
    """By how much a pause may be longer or shorter: 0.1 is up to 10 percent."""
    seed: int = 0
    reply: ReplyFunction = filler
    capacity: int | None = None
    """Requests in flight above which `LatencyServer` answers 429."""
    retry_after: float = 1.0
    """Seconds, for the ``Retry-After`` header of a 429."""
    name: str = "latency-model"
    _load: _Load = field(default_factory=_Load, init=False, repr=False)

    async def generate(self, generation: Generation, /) -> AsyncGenerator[Generated, None]:
        """Say the reply, in time."""
        tokens, reason = _cut(self.reply(generation), generation)
        asked = (generation.prompt or " ".join(message.text for message in generation.messages)).split()
        cached = self._load.cached(asked)
        chance = random.Random(f"{self.seed} {asked}")  # noqa: S311 -- jitter, not a secret
        self._load.in_flight += 1
        due = time.monotonic()  # each token has its time: what one is late by does not add up
        try:
            for number, token in enumerate(tokens):
                pause = self.first_token if number == 0 else self.per_token
                jitter = 1 + self.jitter * chance.uniform(-1, 1)
                due += pause * jitter * _factor(self.slowdown, self._load.in_flight)
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                yield token
        finally:
            self._load.in_flight -= 1
        yield Usage(len(asked), len(tokens), cached)
        yield Finish(reason)


# -- the server ----------------------------------------------------------------------------------------


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


class LatencyServer:
    """An OpenAI-compatible endpoint on a free loopback port, with a log of what it was asked.

    >>> with LatencyServer(LatencyModel(reply=lambda generation: "Hello.")) as server:
    ...     server.base_url.startswith("http://127.0.0.1:"), server.requests
    (True, [])
    """

    def __init__(self, model: LatencyModel | None = None) -> None:
        self.model = model or LatencyModel()
        self.requests: list[LoggedRequest] = []
        """All requests that asked for a text, in the order in which they came."""
        self.peak = 0
        """Most requests that were ever in flight."""
        self.base_url = ""
        self._stack = ExitStack()

    @property
    def in_flight(self) -> int:
        """Requests that have come and not ended."""
        return sum(request.ended is None for request in self.requests)

    def __enter__(self) -> "LatencyServer":
        # Here, because only a server that is started needs the extra.
        from ..server import application, running

        app = application(self.model)
        self.base_url = self._stack.enter_context(running(self._logged(app))).base_url
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def wait_until_idle(self) -> None:
        """Wait until nothing is in flight any more."""
        self.wait_until(0)

    def wait_until(self, in_flight: int, *, timeout: float = 10.0) -> None:
        """Wait until so many requests are in flight; a `TimeoutError` after *timeout* seconds."""
        deadline = time.monotonic() + timeout
        while self.in_flight != in_flight:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.in_flight} requests are in flight, not {in_flight}")
            time.sleep(0.002)

    def _logged(self, app: _App) -> _App:
        async def door(scope: MutableMapping[str, Any], receive: _Receive, send: _Send) -> None:
            if scope["type"] != "http" or scope["method"] != "POST":
                await app(scope, receive, send)
                return
            body, messages = await _read(receive)
            logged = LoggedRequest(scope["path"], body, time.perf_counter())
            self.requests.append(logged)
            in_flight = self.in_flight
            self.peak = max(self.peak, in_flight)
            full = self.model.capacity is not None and in_flight > self.model.capacity
            try:
                await (self._turn_away if full else app)(scope, *_watched(logged, messages, receive, send))
            finally:
                logged.ended = time.perf_counter()

        return door

    async def _turn_away(self, _: MutableMapping[str, Any], __: _Receive, send: _Send) -> None:
        error = {"message": "too many requests", "type": "rate_limit_error", "param": None, "code": None}
        headers = [(b"content-type", b"application/json"), (b"retry-after", str(self.model.retry_after).encode())]
        await send({"type": "http.response.start", "status": 429, "headers": headers})
        await send({"type": "http.response.body", "body": json.dumps({"error": error}).encode()})


async def _read(receive: _Receive) -> tuple[Any, list[_Message]]:
    messages = [await receive()]
    while messages[-1].get("more_body"):
        messages.append(await receive())
    try:
        return json.loads(b"".join(message.get("body", b"") for message in messages)), messages
    except ValueError:
        return None, messages


def _watched(logged: LoggedRequest, messages: list[_Message], receive: _Receive, send: _Send) -> tuple[_Receive, _Send]:
    """Hand on what is received and sent, the *messages* that were read already first, and note what happens."""
    waiting, complete = iter(messages), False

    async def watched_receive() -> _Message:
        message = next(waiting, None) or await receive()
        logged.cancelled |= message["type"] == "http.disconnect" and not complete
        return message

    async def watched_send(message: _Message) -> None:
        nonlocal complete
        if message["type"] == "http.response.start":
            logged.status = message["status"]
        complete = message["type"] == "http.response.body" and not message.get("more_body")
        await send(message)

    return watched_receive, watched_send
