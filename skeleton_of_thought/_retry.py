"""What is tried again, and how long we wait before.

Only what may go well the next time: a server that was too busy, a connection that broke, a reply that did not come
in time. Errors are told apart by their class, their HTTP status and their machine-readable code, never by words.
No provider's package is imported for it: those of their classes that carry no status are known by name.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from tenacity import RetryCallState, wait_exponential, wait_random

from ._numbers import check_seconds, check_whole
from .errors import ConfigurationError, EmptyTextError

_STATUSES = frozenset({408, 409, 425, 429})
"""Transient besides those from 500 up."""
_REFUSALS = frozenset({429, 529})
"""A provider bears no more calls."""
_NAMED = frozenset({
    "aiohttp.ClientConnectionError",
    "aiohttp.ClientPayloadError",
    "anthropic.APIConnectionError",
    "botocore.HTTPClientError",
    "google.ServerError",
    "groq.APIConnectionError",
    "httpcore.NetworkError",
    "httpcore.ProtocolError",
    "httpcore.TimeoutException",
    "httpx.TransportError",
    "httpx2.TransportError",
    "json.JSONDecodeError",
    "openai.APIConnectionError",
    "requests.ConnectionError",
    "requests.ChunkedEncodingError",
    "urllib3.HTTPError",
})
"""Errors of connections, and of what came through them, by the package that a class comes from and its name."""
_HOPELESS = frozenset({"httpx.InvalidURL", "httpx.LocalProtocolError", "httpx.UnsupportedProtocol"})
_HOPELESS |= {name.replace("httpx", "httpx2") for name in _HOPELESS}
"""What clients cannot even send."""
_BUSY = frozenset({"RESOURCE_EXHAUSTED", "overloaded_error", "rate_limit_error", "rate_limit_exceeded"})
"""What providers call a refusal in a stream, where there is no status any more, or that of a reply that began well."""
_KINDS = _BUSY | {"api_error", "internal_error", "internal_server_error", "server_error", "timeout_error"}
_KINDS |= {"ABORTED", "DEADLINE_EXCEEDED", "INTERNAL", "UNAVAILABLE"}
"""What they call their own faults there; those in capitals are the codes of gRPC."""
_SPENT = frozenset({"billing_not_active", "insufficient_quota"})
"""Refused with 429, and not better in a minute."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """How often a model call is tried again, and for how long. What never goes well is not tried twice.

    A reply that breaks off is not begun anew: the model goes on from what it has said.

    Raises:
        ConfigurationError: a value cannot work.

    >>> Retry(attempts=1) == NEVER
    True
    """

    attempts: int = 4
    """Requests for one call, the first included, and those that the model's own client repeats."""
    seconds: float = 60.0
    """From the first failure to the last attempt. A provider that asks for a longer wait is not waited for."""
    first_wait: float = 0.5
    """Seconds before the second attempt where the provider asks for none. Each further wait is twice as long, with
    up to one ``first_wait`` of jitter."""
    longest_wait: float = 8.0

    def __post_init__(self) -> None:
        check_whole("attempts", self.attempts)
        for name in ("seconds", "first_wait", "longest_wait"):
            check_seconds(name, getattr(self, name), least=0)

    def wait(self, state: RetryCallState) -> float:
        """Return the seconds to wait before the next attempt."""
        error = state.outcome.exception() if state.outcome else None
        asked = retry_after(error) if error else None
        backoff = wait_exponential(multiplier=self.first_wait, max=self.longest_wait) + wait_random(0, self.first_wait)
        return asked or backoff(state)  # none at all would only spend the attempts


NEVER = Retry(attempts=1)


def is_transient(error: BaseException) -> bool:
    """Tell whether the same call may go well the next time."""
    if isinstance(error, EmptyTextError):
        return error.finish in {None, "stop"}
    if not isinstance(error, Exception) or isinstance(error, ConfigurationError):
        return False
    if _words(error) & _SPENT or _names(error) & _HOPELESS or _header(error, "x-should-retry") == "false":
        return False
    told = getattr(error, "is_retryable", None)  # LangChain's own word
    if isinstance(told, bool):
        return told
    if (status := status_of(error)) is not None:
        return status in _STATUSES or status >= 500
    if any(isinstance(each, TimeoutError | ConnectionError) for each in _causes(error)):
        return True
    return bool(_names(error) & _NAMED or _words(error) & _KINDS)


def is_refusal(error: BaseException) -> bool:
    """Tell whether a provider bears no more calls for now, so that others need not try either."""
    status = status_of(error)
    if status is None:
        return bool(_words(error) & _BUSY)
    return status in _REFUSALS or (status == 503 and retry_after(error) is not None)


def status_of(error: BaseException) -> int | None:
    """Return the HTTP status that an error tells of. An error in a stream may have that of a reply that began well."""
    for each in _causes(error):
        for holder in (each, getattr(each, "response", None)):
            named = [getattr(holder, name, None) for name in ("status_code", "status", "code", "http_status")]
            metadata = holder.get("ResponseMetadata") if isinstance(holder, Mapping) else None  # as botocore has it
            for value in (*named, metadata and metadata.get("HTTPStatusCode")):
                if isinstance(value, int) and 400 <= value < 600:
                    return int(value)
    return None


def retry_after(error: BaseException) -> float | None:
    """Return the seconds that a provider asks to be left alone for: ``retry-after-ms``, or ``retry-after``."""
    if (milliseconds := _number(_header(error, "retry-after-ms"))) is not None:
        return milliseconds / 1000
    told = _header(error, "retry-after")
    if told is None:
        return None
    seconds = _number(told)
    return seconds if seconds is not None else _until(told)


def _until(date: str) -> float | None:
    try:
        moment = parsedate_to_datetime(date)
    except (ValueError, OverflowError):
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (aware - datetime.now(UTC)).total_seconds())


def _number(text: str | None) -> float | None:
    try:
        value = float(text) if text is not None else None
    except ValueError:
        return None
    return value if value is not None and 0 <= value < float("inf") else None


def _header(error: BaseException, name: str) -> str | None:
    for each in _causes(error):
        for holder in (getattr(each, "response", None), each):  # aiohttp's own errors have them themselves
            headers = getattr(holder, "headers", None)
            if isinstance(headers, Mapping) and (found := headers.get(name)) is not None:
                return str(found)
    return None


def _words(error: BaseException) -> set[str]:
    """Return what a provider calls an error, for machines."""
    words = set[object]()
    for each in _causes(error):
        code, body = getattr(each, "code", None), getattr(each, "body", None)
        words |= {code, getattr(each, "type", None)} if isinstance(code, str | int | None) else set()
        if callable(code) and "grpc.RpcError" in _names(each):
            words.add(getattr(code(), "name", None))
        told = body.get("error") if isinstance(body, Mapping) else None  # as Anthropic's package keeps it
        words |= {told.get("type")} if isinstance(told, Mapping) else set()
    return {word for word in words if isinstance(word, str)}


def _names(error: BaseException) -> set[str]:
    return {
        f"{kind.__module__.partition('.')[0]}.{kind.__name__}" for each in _causes(error) for kind in type(each).__mro__
    }


def _causes(error: BaseException) -> Iterator[Any]:
    """Go from an error to those that it was raised from: frameworks wrap the provider's."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__
