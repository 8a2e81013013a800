"""What an endpoint says, as pieces: text without an echo of the prefill, what it cost, why it ended, and if it did."""

import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

from openai import APIError
from openai.types import CompletionUsage
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from ..calls import Allowance, Finish, Piece, Usage
from ..errors import ModelError, StreamCutError
from ._allowance import allowance_of

_DONE = re.compile(rb"[\r\n]data: ?\[DONE\]")
_TAIL = 256


class Reply:
    """Turns what an endpoint says into pieces.

    llama.cpp repeats a prefill when it does not stream. An echo is cut off, also when it comes in pieces.

    A stream is complete with a reason, with what it cost, or with ``[DONE]``: vLLM, SGLang, llama.cpp, Ollama and the
    clouds send all three, and some gateways one of them only. One that has none of them was cut on its way.
    """

    def __init__(self, prefill: str) -> None:
        self._echo = prefill
        self._held = ""
        self._usage: CompletionUsage | None = None
        self._reason: str | None = None
        self._body: _Body | None = None

    def begin(self, stream: Any) -> list[Allowance]:
        """Take a stream that begins, and return what its headers tell."""
        response = getattr(stream, "response", None)  # what watches clients puts streams of its own in their place
        self._body = _Body(response)
        return _allowances(response)

    def feed(self, chunk: ChatCompletionChunk) -> str:
        """Take the next chunk and return its text."""
        self._usage = chunk.usage or self._usage
        if not chunk.choices:
            return ""
        choice = chunk.choices[0]
        self._reason = choice.finish_reason or self._reason
        delta = choice.delta  # Azure says things without one
        return self._without_echo((delta and (delta.content or delta.refusal)) or "")

    def whole(self, raw: Any) -> list[Allowance]:
        """Take everything at once, as a raw response; return what its headers tell. `flush` returns the rest."""
        completion: ChatCompletion = raw.parse()
        if getattr(completion, "choices", None) is None:
            raise _refusal(completion, raw.http_response.request)
        self._usage = completion.usage
        for choice in completion.choices[:1]:
            self._reason = choice.finish_reason
            self._held = self._without_echo(choice.message.content or choice.message.refusal or "") or self._held
        return _allowances(raw)

    def flush(self) -> list[Piece]:
        """Return what is left when nothing more comes.

        Raises:
            StreamCutError: more should have come.
        """
        pieces: list[Piece] = [self._held] if self._held else []
        if self._usage is not None:
            pieces.append(_usage(self._usage))
        if self._reason is not None:
            pieces.append(Finish(self._reason))
        elif self._usage is None and self._body and self._body.was_cut():
            raise StreamCutError
        return pieces

    def _without_echo(self, text: str) -> str:
        text, self._held = self._held + text, ""
        if len(text) < len(self._echo) and self._echo.startswith(text):
            self._held = text
            return ""
        text, self._echo = text.removeprefix(self._echo), ""
        return text


def _refusal(said: Any, request: Any) -> Exception:
    """Say what came in the place of a reply, with the status 200 all the same."""
    error = getattr(said, "error", None)
    if isinstance(error, dict):  # some gateways do so; in a stream, the package itself makes this of it
        return APIError(str(error.get("message")), request, body=error)
    return ModelError("the endpoint's reply is no chat completion: see whether base_url is right")


def _usage(usage: CompletionUsage) -> Usage:
    details = usage.prompt_tokens_details
    return Usage(usage.prompt_tokens, usage.completion_tokens, (details and details.cached_tokens) or 0)


def _allowances(response: Any) -> list[Allowance]:
    allowance = allowance_of(getattr(response, "headers", None) or {})
    return [allowance] if allowance else []


class _Body:
    """The last bytes of a streamed body.

    The ``openai`` package does not tell ``[DONE]`` from a stream that ends without it. So the bytes are looked at on
    their way to it; where they cannot be, nothing is known, and nothing is wrong.
    """

    def __init__(self, response: Any) -> None:
        self._tail: bytes | None = None
        if hasattr(response, "iter_bytes") and hasattr(response, "aiter_bytes"):
            read, aread = response.iter_bytes, response.aiter_bytes
            response.iter_bytes = lambda: self._watch(read())
            response.aiter_bytes = lambda: self._awatch(aread())

    def was_cut(self) -> bool:
        """Tell, after all has come, whether its end is missing."""
        return self._tail is not None and not _DONE.search(self._tail)

    def _watch(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        self._tail = b"\n"
        for chunk in chunks:
            self._tail = (self._tail + chunk)[-_TAIL:]
            yield chunk

    async def _awatch(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        self._tail = b"\n"
        async for chunk in chunks:
            self._tail = (self._tail + chunk)[-_TAIL:]
            yield chunk
