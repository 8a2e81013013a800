"""A loopback endpoint that has no model and only takes its time, or fails: to test and measure real clients."""

import asyncio
import random
import re
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from itertools import pairwise
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeAlias

from ..calls import Finish, Usage
from ..errors import InputError
from ..models.generation import Generated, Generation
from ._breaking import breaking, reject
from ._exchange import App, Exchange, LoggedRequest, Receive, Scope, Send, transport_of
from .faults import Empty, Fault, FaultPlan, Rejected
from .rates import rate_headers
from .script import ReplyFunction, ScriptReply, filler
from .scripted import Key

if TYPE_CHECKING:
    from ..server.requests import Asked

# -- what is said, and when ----------------------------------------------------------------------------


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
    times: Counter[str] = field(default_factory=Counter)
    """How often each text was asked."""

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

    first_token: float | Callable[[random.Random], float] = 0.0
    """Or a function that draws it: ``lambda chance: 0.02 if chance.random() < 0.95 else 0.5``. Chance comes from the
    seed, the request's text and how often that was asked before, so that asking again may be luckier."""
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
    headers: Callable[[int], Mapping[str, str]] | None = None
    """What every reply carries, given the requests in flight: `rate_headers`, for example. By default a server with
    a ``capacity`` tells how much of it is left."""
    name: str = "latency-model"
    _load: _Load = field(default_factory=_Load, init=False, repr=False)

    def generate(self, generation: Generation, /) -> AsyncGenerator[Generated, None]:
        """Say the reply, in time."""
        return self._say(*_cut(self.reply(generation), generation), generation)

    async def _say(self, tokens: Sequence[str], reason: str, generation: Generation) -> AsyncGenerator[Generated, None]:
        asked = (generation.prompt or " ".join(message.text for message in generation.messages)).split()
        cached = self._load.cached(asked)
        chance = random.Random(f"{self.seed} {asked}")  # noqa: S311 -- jitter, not a secret
        first = self._first(f"{self.seed} {asked}")
        self._load.in_flight += 1
        due = time.monotonic()  # each token has its time: what one is late by does not add up
        try:
            for number, token in enumerate(tokens):
                pause = first if number == 0 else self.per_token
                jitter = 1 + self.jitter * chance.uniform(-1, 1)
                due += pause * jitter * _factor(self.slowdown, self._load.in_flight)
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                yield token
        finally:
            self._load.in_flight -= 1
        yield Usage(len(asked), len(tokens), cached)
        yield Finish(reason)

    def _first(self, asked: str) -> float:
        if not callable(self.first_token):
            return self.first_token
        self._load.times[asked] += 1
        return self.first_token(random.Random(f"{asked} {self._load.times[asked]}"))  # noqa: S311 -- no secret

    def _told(self, in_flight: int) -> Mapping[str, str]:
        if self.headers is not None:
            return self.headers(in_flight)
        if self.capacity is None:
            return {}
        left = max(0, self.capacity - in_flight)
        return rate_headers(limit=self.capacity, remaining=left, seconds=self.retry_after)


@dataclass(frozen=True, slots=True)
class _Instead:
    """A `Generator` that says an empty reply in the time of a model, and under its name."""

    model: LatencyModel
    fault: Empty

    @property
    def name(self) -> str:
        return self.model.name

    def generate(self, generation: Generation, /) -> AsyncGenerator[Generated, None]:
        return self.model._say(_cut(self.fault.text, Generation())[0], self.fault.finish, generation)


# -- the server ----------------------------------------------------------------------------------------


class LatencyServer:
    """An OpenAI-compatible endpoint on a free loopback port, with a log of what it was asked.

    Args:
        faults: what goes wrong, and when; see `faults_by` and `random_faults`. A request that is turned away
            because the server is full has no other fault, and does not count as one that came before.
        stage_of: how requests are told apart. By default as the model's reply does it that `script_reply` makes.

    >>> with LatencyServer(LatencyModel(reply=lambda generation: "Hello.")) as server:
    ...     server.base_url.startswith("http://127.0.0.1:"), server.requests
    (True, [])
    """

    def __init__(
        self,
        model: LatencyModel | None = None,
        *,
        faults: FaultPlan | None = None,
        stage_of: Callable[[Generation], Key] | None = None,
    ) -> None:
        self.model = model or LatencyModel()
        self.requests: list[LoggedRequest] = []
        """All requests that asked for a text, in the order in which they came."""
        self.peak = 0
        """Most requests that were ever in flight."""
        self.base_url = ""
        script = self.model.reply if isinstance(self.model.reply, ScriptReply) else ScriptReply(skeleton="", points={})
        self._stage_of = stage_of or script.stage_of
        self._faults = faults
        self._earlier: Counter[Key] = Counter()
        self._transports: set[asyncio.Transport] = set()
        self._stack = ExitStack()

    @property
    def in_flight(self) -> int:
        """Requests that have come and not ended."""
        return sum(request.ended is None for request in self.requests)

    @property
    def connections(self) -> int:
        """Connections that are open and that a request has come by."""
        return sum(not transport.is_closing() for transport in tuple(self._transports))

    def __enter__(self) -> "LatencyServer":
        # Here, because only a server that is started needs the extra.
        from ..server import running

        self.base_url = self._stack.enter_context(running(self._door())).base_url
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
        _wait(lambda: self.in_flight, in_flight, "requests are in flight", timeout)

    def wait_until_left(self, *, timeout: float = 10.0) -> None:
        """Wait until no client is connected any more; a `TimeoutError` after *timeout* seconds."""
        _wait(lambda: self.connections, 0, "clients are connected", timeout)

    def _door(self) -> App:
        from ..server import application  # as above

        app = application(self.model)

        async def door(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "http":
                self._transports = {each for each in self._transports if not each.is_closing()}
                self._transports.add(transport_of(receive))
            if scope["type"] != "http" or scope["method"] != "POST":
                await app(scope, receive, send)
                return
            logged = LoggedRequest(scope["path"], None, time.perf_counter())
            exchange = Exchange(receive, send, logged, lambda: self.model._told(self.in_flight))
            body = await exchange.read()
            self.requests.append(logged)
            self.peak = max(self.peak, self.in_flight)
            try:
                await self._answer(app, scope, exchange, _read(logged.path, body))
            finally:
                logged.ended = time.perf_counter()

        return door

    async def _answer(self, app: App, scope: Scope, exchange: Exchange, asked: "Asked | None") -> None:
        from ..server import application  # as above

        if asked is not None:
            exchange.logged.stage = self._stage_of(asked.generations[0])
        if self.model.capacity is not None and self.in_flight > self.model.capacity:
            full = Rejected(429, {"retry-after": str(self.model.retry_after)})
            await reject(exchange, full, "too many requests")
            return
        exchange.logged.fault = fault = self._fault(exchange.logged) if asked else None
        match fault:
            case None:
                await app(scope, exchange.receive, exchange.send)
            case Rejected():
                await reject(exchange, fault)
            case Empty():
                await application(_Instead(self.model, fault))(scope, exchange.receive, exchange.send)
            case _:
                stream = asked is not None and asked.stream
                await app(scope, exchange.receive, breaking(exchange, fault, stream=stream))

    def _fault(self, request: LoggedRequest) -> Fault | None:
        earlier = self._earlier[request.stage]
        self._earlier[request.stage] += 1
        return self._faults(request, earlier) if self._faults else None


def _read(path: str, body: bytes) -> "Asked | None":
    """Read what is asked; ``None`` for what the endpoint will refuse."""
    from ..server.requests import read_chat, read_text  # as above

    reader = {"/v1/chat/completions": read_chat, "/v1/completions": read_text}.get(path)
    with suppress(InputError):
        return reader(body) if reader else None
    return None


def _wait(count: Callable[[], int], goal: int, what: str, timeout: float) -> None:
    deadline = time.monotonic() + timeout
    while count() != goal:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{count()} {what}, not {goal}")
        time.sleep(0.002)
