"""Any OpenAI-compatible endpoint as an `LLM`, through the ``openai`` package (2.x and 3.x).

An HTTP connection belongs to the event loop that opened it, while a model is used from many loops: so
there is one pool of connections for each loop, shared by all models, and a model keeps nothing. The pool
is closed with its loop: it is held by an asynchronous generator, and those are what a loop closes before
it ends, when connections can still be closed.
"""

import asyncio
import os
from collections.abc import AsyncGenerator, Generator, Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, Literal, TypeAlias, cast

from .._threads import in_thread
from ..calls import Abilities, Call, Finish, Piece, Usage, merge_runs
from ..errors import ConfigurationError

try:
    from openai import AsyncOpenAI, AsyncStream, DefaultAsyncHttpxClient, OpenAI, Stream
    from openai.types import CompletionUsage
    from openai.types.chat import ChatCompletion, ChatCompletionChunk
except ImportError as error:
    raise ImportError('OpenAIModel needs the openai package: pip install "skeleton-of-thought[openai]"') from error

TokenLimit: TypeAlias = Literal["max_tokens", "max_completion_tokens"]

_CONTINUE = {"add_generation_prompt": False, "continue_final_message": True}
"""What vLLM, SGLang and newer llama.cpp want to hear before they go on from an assistant message."""
_NO_KEY = "none"


@dataclass(frozen=True, eq=False)
class OpenAIModel:
    """An `LLM` behind an OpenAI-compatible endpoint.

        >>> llm = OpenAIModel("qwen2.5-7b-instruct", base_url="http://localhost:8000/v1")

    A failure is the exception that the ``openai`` package raises.
    """

    model: str
    _: KW_ONLY
    base_url: str | None = None
    """``OPENAI_BASE_URL``, or OpenAI's own, if there is none."""
    api_key: str | None = field(default=None, repr=False)
    """``OPENAI_API_KEY`` if there is none. An endpoint with a ``base_url`` may need none at all."""
    client: AsyncOpenAI | OpenAI | None = field(default=None, repr=False)
    """A client to use as it is, Azure's too; it brings its own endpoint, key, timeout and retries.

    An asynchronous client belongs to the loop that it was first used on. A synchronous one may be used
    from anywhere: each call gets a thread.
    """
    abilities: Abilities = Abilities()
    """What the endpoint can do beyond plain chat, which it does not tell. ``prefill``: vLLM, SGLang, llama.cpp and
    this package's own server go on from a closing assistant message, OpenAI does not. ``grammar``: llama.cpp and
    this package's own server take GBNF as ``grammar`` in the body."""
    temperature: float | None = None
    extra_body: Mapping[str, object] | None = None
    """Further parameters of the body; they win over those that a prefill sets."""
    timeout: float | None = None
    """Seconds, as the ``openai`` package understands them; its default is 600."""
    max_retries: int | None = None
    """How often the ``openai`` package tries again; its default is 2.

    Retries belong to one layer, since attempts multiply: set this to 0 where another layer retries.
    """
    token_limit: TokenLimit | None = None
    """The parameter that bounds the output. OpenAI and Azure refuse ``max_tokens`` for reasoning models, and
    take ``max_completion_tokens`` for all; many other endpoints know ``max_tokens`` only. That is the default.
    """

    def __post_init__(self) -> None:
        own = (self.base_url, self.api_key, self.timeout, self.max_retries)
        if self.client is not None and any(setting is not None for setting in own):
            raise ConfigurationError(
                "a client brings its own settings: give either client, or base_url, api_key, timeout and max_retries"
            )
        if self.client is None and not (self.base_url or self.api_key or _set("OPENAI_API_KEY", "OPENAI_BASE_URL")):
            raise ConfigurationError(
                "there is no API key: set OPENAI_API_KEY, or give api_key, or the base_url of an endpoint without keys"
            )

    def __call__(self, call: Call, /) -> AsyncGenerator[Piece, None]:
        """Send *call*. Closing the stream closes the HTTP response at once."""
        client = self.client
        if isinstance(client, OpenAI):
            return in_thread(lambda: self._blocking(client, call))
        return self._waiting(client, call)

    async def _waiting(self, client: AsyncOpenAI | None, call: Call) -> AsyncGenerator[Piece, None]:
        client = client or AsyncOpenAI(**self._settings(), http_client=await _pool())
        create = cast("Any", client.chat.completions.create)  # no overload takes a dictionary
        reply = _Reply(self._prefill(call))
        if not call.stream:
            reply.whole(await create(**self._request(client, call)))
        else:
            stream: AsyncStream[ChatCompletionChunk] = await create(**self._request(client, call), **_STREAMED)
            try:
                async for chunk in stream:
                    if text := reply.feed(chunk):
                        yield text
            finally:
                await stream.close()
        for piece in reply.flush():
            yield piece

    def _blocking(self, client: OpenAI, call: Call) -> Generator[Piece, None, None]:
        """Same as `_waiting`, but blocks. Two bodies, because the client has two."""
        create = cast("Any", client.chat.completions.create)  # no overload takes a dictionary
        reply = _Reply(self._prefill(call))
        if not call.stream:
            reply.whole(create(**self._request(client, call)))
        else:
            stream: Stream[ChatCompletionChunk]
            with create(**self._request(client, call), **_STREAMED) as stream:
                for chunk in stream:
                    if text := reply.feed(chunk):
                        yield text
        yield from reply.flush()

    def _settings(self) -> dict[str, Any]:
        given = {"base_url": self.base_url, "timeout": self.timeout, "max_retries": self.max_retries}
        key = self.api_key or os.environ.get("OPENAI_API_KEY") or _NO_KEY
        return {"api_key": key} | {name: value for name, value in given.items() if value is not None}

    def _prefill(self, call: Call) -> str:
        messages = merge_runs(call.messages)
        return messages[-1].text if self.abilities.prefill and messages and messages[-1].role == "assistant" else ""

    def _request(self, client: AsyncOpenAI | OpenAI, call: Call) -> dict[str, Any]:
        request: dict[str, Any] = {
            "model": self.model,
            "messages": [{"role": message.role, "content": message.text} for message in merge_runs(call.messages)],
        }
        if call.max_tokens is not None:
            request[self.token_limit or _token_limit(client.base_url.host)] = call.max_tokens
        if call.stop:
            request["stop"] = list(call.stop)
        if self.temperature is not None:
            request["temperature"] = self.temperature
        extra = {**(_CONTINUE if self._prefill(call) else {}), **(self.extra_body or {})}
        if self.abilities.grammar and call.grammar is not None:
            extra["grammar"] = call.grammar
        return {**request, "extra_body": extra} if extra else request


_STREAMED: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True}}


def _set(*names: str) -> bool:
    return any(os.environ.get(name) for name in names)


def _token_limit(host: str) -> TokenLimit:
    own = host.endswith(("api.openai.com", ".openai.azure.com"))
    return "max_completion_tokens" if own else "max_tokens"


class _Reply:
    """Turns what an endpoint says into pieces.

    llama.cpp repeats a prefill when it does not stream. An echo is cut off, also when it comes in pieces.
    """

    def __init__(self, prefill: str) -> None:
        self._echo = prefill
        self._held = ""
        self._usage: CompletionUsage | None = None
        self._reason: str | None = None

    def feed(self, chunk: ChatCompletionChunk) -> str:
        """Take the next chunk and return its text."""
        self._usage = chunk.usage or self._usage
        if not chunk.choices:
            return ""
        choice = chunk.choices[0]
        self._reason = choice.finish_reason or self._reason
        return self._without_echo((choice.delta and choice.delta.content) or "")  # Azure says things without a delta

    def whole(self, completion: ChatCompletion) -> None:
        """Take everything at once; `flush` returns it."""
        self._usage = completion.usage
        for choice in completion.choices[:1]:
            self._reason = choice.finish_reason
            self._held = self._without_echo(choice.message.content or "") or self._held

    def flush(self) -> list[Piece]:
        """Return what is left when nothing more comes."""
        pieces: list[Piece] = [self._held] if self._held else []
        if self._usage is not None:
            pieces.append(_usage(self._usage))
        if self._reason is not None:
            pieces.append(Finish(self._reason))
        return pieces

    def _without_echo(self, text: str) -> str:
        text, self._held = self._held + text, ""
        if len(text) < len(self._echo) and self._echo.startswith(text):
            self._held = text
            return ""
        text, self._echo = text.removeprefix(self._echo), ""
        return text


def _usage(usage: CompletionUsage) -> Usage:
    details = usage.prompt_tokens_details
    return Usage(usage.prompt_tokens, usage.completion_tokens, (details and details.cached_tokens) or 0)


# -- one pool of connections for each event loop -------------------------------------------------------

_pools: dict[asyncio.AbstractEventLoop, tuple[DefaultAsyncHttpxClient, AsyncGenerator[None, None]]] = {}


async def _pool() -> DefaultAsyncHttpxClient:
    loop = asyncio.get_running_loop()
    if loop not in _pools:
        for other in list(_pools):
            if other.is_closed():  # without closing its generators first, which is all that can be done about it
                _pools.pop(other, None)
        pool = DefaultAsyncHttpxClient()
        keeper = _keep(loop, pool)
        await anext(keeper)
        _pools[loop] = pool, keeper
    return _pools[loop][0]


async def _keep(loop: asyncio.AbstractEventLoop, pool: DefaultAsyncHttpxClient) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        _pools.pop(loop, None)
        await pool.aclose()
