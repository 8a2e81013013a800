"""What an endpoint says, as pieces: text without an echo of the prefill, what it cost, why it ended, and if it did."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import suppress
from types import AsyncGeneratorType
from typing import Any

from openai import APIError, AsyncStream, Stream

from ..calls import Allowance, Finish, Piece, Usage
from ..errors import ModelError, StreamCutError
from ._allowance import allowance_of

_DONE = re.compile(rb"[\r\n]data: ?\[DONE\]")
_TAIL = 256
_AFTER_DONE = 0.1
"""Seconds for a body to end after its last line. Then its connection can be used again."""


class Reply:
    """Turns what an endpoint says into pieces.

    llama.cpp repeats a prefill when it does not stream. An echo is cut off, also when it comes in pieces.

    A stream is complete with a reason, with what it cost, or with ``[DONE]``: vLLM, SGLang, llama.cpp, Ollama and the
    clouds send all three, and some gateways one of them only. One that has none of them was cut on its way.
    """

    def __init__(self, prefill: str) -> None:
        self._echo = prefill
        self._held = ""
        self._usage: Mapping[str, Any] | None = None
        self._reason: str | None = None
        self._body: _Body | None = None

    def begin(self, stream: Any) -> list[Allowance]:
        """Take a stream that begins, and return what its headers tell."""
        response = getattr(stream, "response", None)  # what watches clients puts streams of its own in their place
        self._body = _Body(response)
        _leave_plain(stream)
        return _allowances(response)

    def feed(self, chunk: Any) -> str:
        """Take the next chunk and return its text."""
        said = _plain(chunk)
        self._usage = said.get("usage") or self._usage
        if not (choices := said.get("choices")):
            return ""
        self._reason = choices[0].get("finish_reason") or self._reason
        return self._without_echo(_text(choices[0].get("delta")))  # Azure says things without one

    def whole(self, raw: Any) -> list[Allowance]:
        """Take everything at once, as a raw response; return what its headers tell. `flush` returns the rest."""
        said = raw.parse(to=object)
        if not isinstance(said, dict) or said.get("choices") is None:
            raise _refusal(said, raw.http_response.request)
        self._usage = said.get("usage")
        for choice in said["choices"][:1]:
            self._reason = choice.get("finish_reason")
            self._held = self._without_echo(_text(choice.get("message"))) or self._held
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
    error = said.get("error") if isinstance(said, dict) else None
    if isinstance(error, dict):  # some gateways do so; in a stream, the package itself makes this of it
        return APIError(str(error.get("message")), request, body=error)
    return ModelError("the endpoint's reply is no chat completion: see whether base_url is right")


def _leave_plain(stream: Any) -> None:
    """Let *stream* yield dictionaries: a model of each chunk costs ten times as much as all the rest of it.

    Only where nobody but us sees what it yields. What watches clients wraps it, or puts another iterator into it.
    """
    iterator = getattr(stream, "_iterator", None)
    code = iterator.ag_code if type(iterator) is AsyncGeneratorType else getattr(iterator, "gi_code", None)
    if type(stream) in (AsyncStream, Stream) and code is type(stream).__stream__.__code__:
        stream._cast_to = object  # what the package takes for "as it is"; should it forget this, we get models again


def _plain(chunk: Any) -> Mapping[str, Any]:
    return chunk if isinstance(chunk, dict) else chunk.model_dump(warnings=False)


def _text(message: Mapping[str, Any] | None) -> str:
    return (message and (message.get("content") or message.get("refusal"))) or ""


def _usage(usage: Mapping[str, Any]) -> Usage:
    cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens")
    return Usage(usage.get("prompt_tokens") or 0, usage.get("completion_tokens") or 0, cached or 0)


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
            if not self.was_cut():
                await _read_out(chunks)
            yield chunk


async def _read_out(chunks: AsyncIterator[bytes]) -> None:
    """Read what is left behind the last line. ``openai`` 2.x hangs up there, 3.x reads it too."""
    with suppress(Exception):  # the reply was complete before
        async with asyncio.timeout(_AFTER_DONE):
            async for _ in chunks:
                pass
