"""Any OpenAI-compatible endpoint as an `LLM`, through the ``openai`` package (2.x and 3.x)."""

import os
import re
from base64 import b64encode
from collections.abc import AsyncGenerator, Generator, Mapping
from dataclasses import KW_ONLY, dataclass, field, fields
from functools import lru_cache
from types import MethodType
from typing import Any, Literal, TypeAlias, cast
from urllib.parse import unquote

from .._threads import in_thread
from ..calls import Abilities, Call, Message, Piece, Same, merge_runs
from ..errors import ConfigurationError

try:
    from openai import AsyncOpenAI, DefaultAsyncHttpxClient, OpenAI
    from openai.resources.chat.completions import AsyncCompletionsWithRawResponse, CompletionsWithRawResponse
except ImportError as error:
    raise ImportError('OpenAIModel needs the openai package: pip install "skeleton-of-thought[openai]"') from error

from ._openai_pool import LaneClient, lanes_here
from ._openai_reply import Reply
from ._openai_warm import warmed

TokenLimit: TypeAlias = Literal["max_tokens", "max_completion_tokens"]

_CONTINUE = {"add_generation_prompt": False, "continue_final_message": True}
"""What vLLM, SGLang and newer llama.cpp want to hear before they go on from an assistant message."""
_NO_KEY = "none"
_USER = re.compile(r"([a-z]+://)([^/?#:]*)(?::([^/?#]*))?@", re.IGNORECASE)


@dataclass(frozen=True, eq=False)
class OpenAIModel:
    """An `LLM` behind an OpenAI-compatible endpoint.

        >>> llm = OpenAIModel("qwen2.5-7b-instruct", base_url="http://localhost:8000/v1")

    A failure is the exception that the ``openai`` package raises, or a `StreamCutError` where a stream just ends before
    its reply is complete. Neither keys nor passwords nor ``extra_body`` are in its ``repr``.
    """

    model: str
    _: KW_ONLY
    base_url: str | None = None
    """``OPENAI_BASE_URL``, or OpenAI's own, if there is none. A user and password in it are sent as a header."""
    api_key: str | None = field(default=None, repr=False)
    """``OPENAI_API_KEY`` if there is none. An endpoint with a ``base_url`` may need none at all."""
    client: AsyncOpenAI | OpenAI | None = field(default=None, repr=False)
    """A client to use as it is, Azure's too; it brings its own endpoint, key, timeout and retries.

    An asynchronous client belongs to the loop that it was first used on. A synchronous one may be used
    from anywhere: each call gets a thread, and one that is left hangs up with the next piece that comes.
    """
    abilities: Abilities = Abilities()
    """What the endpoint can do beyond plain chat, which it does not tell. ``prefill``: vLLM, SGLang, llama.cpp and
    this package's own server go on from a closing assistant message, OpenAI does not. ``grammar``: llama.cpp and
    this package's own server take GBNF as ``grammar`` in the body."""
    temperature: float | None = None
    extra_body: Mapping[str, object] | None = field(default=None, repr=False)
    """Further parameters of the body; they win over those that a prefill sets."""
    timeout: float | None = None
    """Seconds, as the ``openai`` package understands them; its default is 600."""
    max_retries: int = 0
    """How often the ``openai`` package tries again by itself.

    Retries belong to one layer, since attempts multiply, and the run is that layer: it knows which points wait.
    """
    token_limit: TokenLimit | None = None
    """The parameter that bounds the output. OpenAI and Azure refuse ``max_tokens`` for reasoning models, and
    take ``max_completion_tokens`` for all; many other endpoints know ``max_tokens`` only. That is the default.
    """

    def __post_init__(self) -> None:
        own = (self.base_url, self.api_key, self.timeout, self.max_retries or None)
        if self.client is not None and any(setting is not None for setting in own):
            raise ConfigurationError(
                "a client brings its own settings: give either client, or base_url, api_key, timeout and max_retries"
            )
        if self.client is None and not (self.base_url or self.api_key or _set("OPENAI_API_KEY", "OPENAI_BASE_URL")):
            raise ConfigurationError(
                "there is no API key: set OPENAI_API_KEY, or give api_key, or the base_url of an endpoint without keys"
            )
        if self.max_retries < 0:
            raise ConfigurationError(f"max_retries={self.max_retries} cannot work: use 0 or more")

    def __repr__(self) -> str:
        shown = {field.name: getattr(self, field.name) for field in fields(self) if field.repr}
        shown["base_url"] = self.base_url and re.sub("(?<=//).*@", "***@", self.base_url)
        return f"OpenAIModel({', '.join(f'{name}={value!r}' for name, value in shown.items())})"

    @property
    def tries(self) -> int:
        """How many requests one call may make by itself."""
        return 1 + (self.max_retries if self.client is None else self.client.max_retries)

    @property
    def key(self) -> tuple[str, object]:
        """What a refusal is for: one model at one endpoint."""
        return self.model, self.base_url if self.client is None else Same(self.client)

    def __call__(self, call: Call, /) -> AsyncGenerator[Piece, None]:
        """Send *call*. Closing the stream closes the HTTP response at once."""
        client = self.client
        if isinstance(client, OpenAI):
            return in_thread(lambda: self._blocking(client, call))
        if client is not None or call.stage != "skeleton":
            return self._waiting(client, call)
        return warmed(self._waiting(None, call), lambda: _client(**self._settings()).base_url)

    async def _waiting(self, client: AsyncOpenAI | None, call: Call) -> AsyncGenerator[Piece, None]:
        if client is None:
            client = _client(**self._settings())
            await (await lanes_here()).turn()  # before the request is made, which is what takes time
        completions = cast("Any", client.chat.completions)  # no overload takes a dictionary
        request, reply = self._prepare(client, call)
        if not call.stream:
            for told in reply.whole(await AsyncCompletionsWithRawResponse(completions).create(**request)):
                yield told
        else:
            stream: Any = await completions.create(**request, **_STREAMED)
            try:
                for told in reply.begin(stream):
                    yield told
                async for chunk in stream:
                    if text := reply.feed(chunk):
                        yield text
            finally:
                await stream.close()
        for piece in reply.flush():
            yield piece

    def _blocking(self, client: OpenAI, call: Call) -> Generator[Piece, None, None]:
        """Same as `_waiting`, but blocks. Two bodies, because the client has two."""
        completions = cast("Any", client.chat.completions)  # no overload takes a dictionary
        request, reply = self._prepare(client, call)
        if not call.stream:
            yield from reply.whole(CompletionsWithRawResponse(completions).create(**request))
        else:
            with completions.create(**request, **_STREAMED) as stream:
                yield from reply.begin(stream)
                for chunk in stream:
                    if text := reply.feed(chunk):
                        yield text
        yield from reply.flush()

    def _settings(self) -> dict[str, Any]:
        url, header = _without_user(self.base_url or os.environ.get("OPENAI_BASE_URL") or None)
        given = {"base_url": url, "authorization": header, "timeout": self.timeout}
        key = self.api_key or os.environ.get("OPENAI_API_KEY") or _NO_KEY
        told = {"api_key": key, "max_retries": self.max_retries}
        return told | {name: value for name, value in given.items() if value is not None}

    def _prepare(self, client: AsyncOpenAI | OpenAI, call: Call) -> tuple[dict[str, Any], Reply]:
        messages = merge_runs(call.messages)
        begun = self.abilities.prefill and messages and messages[-1].role == "assistant"
        request = self._request(client, call, messages, _CONTINUE if begun else {})
        return request, Reply(messages[-1].text if begun else "")

    def _request(
        self, client: AsyncOpenAI | OpenAI, call: Call, messages: list[Message], prefill: Mapping[str, object]
    ) -> dict[str, Any]:
        said = [{"role": message.role, "content": message.text} for message in messages]
        request: dict[str, Any] = {"model": self.model, "messages": said}
        if call.max_tokens is not None:
            request[self.token_limit or _token_limit(client.base_url.host)] = call.max_tokens
        if call.stop:
            request["stop"] = list(call.stop)
        if self.temperature is not None:
            request["temperature"] = self.temperature
        extra = {**prefill, **(self.extra_body or {})}
        if self.abilities.grammar and call.grammar is not None:
            extra["grammar"] = call.grammar
        if self.client is None and _is_unwatched(client.chat.completions.create):
            request["messages"], extra = [], {"messages": said, **extra}
        return {**request, "extra_body": extra} if extra else request


_STREAMED: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True}}


def _set(*names: str) -> bool:
    return any(os.environ.get(name) for name in names)


def http_client() -> DefaultAsyncHttpxClient:
    """Make what `OpenAIModel` connects with, for other clients that take an ``httpx.AsyncClient``.

    It may be used on any number of event loops, one after another or at the same time, where others fail with the
    second; the requests of one answer do not slow each other; and it need not be closed. With ``openai`` 3.x it is of
    the package ``httpx2``.

        >>> client = AsyncOpenAI(api_key="none", http_client=http_client())

    `ChatOpenAI` takes it as ``http_async_client``, `OpenAILike` as ``async_http_client``.
    """
    return LaneClient()


@lru_cache(64)
def _client(*, authorization: str | None = None, **settings: Any) -> AsyncOpenAI:
    """Make a client. It is for all loops, and its first request waits for a thread to find out about the machine."""
    headers = {"Authorization": authorization} if authorization else None
    return AsyncOpenAI(**settings, default_headers=headers, http_client=http_client())


def _is_unwatched(create: Any) -> bool:
    """Tell whether nobody has put himself in the place of *create*, as what traces calls does.

    Then messages go past it, in ``extra_body``: it looks for what to rename in them, finds nothing, and takes a tenth
    of a millisecond for each, while the other points wait.
    """
    if type(create) is not MethodType:  # its own `__class__` may say so, of what wraps one
        return False
    made: str = getattr(create.__func__, "__globals__", {}).get("__name__", "")
    return made.startswith("openai.")


def _token_limit(host: str) -> TokenLimit:
    own = host.endswith(("api.openai.com", ".openai.azure.com"))
    return "max_completion_tokens" if own else "max_tokens"


def _without_user(url: str | None) -> tuple[str | None, str | None]:
    """Take user and password out of *url*, and return them as what the header ``Authorization`` says for them.

    The address of a request stands in logs and errors of what sends it.
    """
    if not url or not (found := _USER.match(url)):
        return url, None
    scheme, name, password = found.groups(default="")
    token = b64encode(f"{unquote(name)}:{unquote(password)}".encode()).decode()
    return scheme + url[found.end() :], f"Basic {token}"
