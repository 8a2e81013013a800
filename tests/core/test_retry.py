from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http import HTTPStatus
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tenacity import Future, RetryCallState, Retrying

from skeleton_of_thought import ConfigurationError, Retry
from skeleton_of_thought._retry import is_refusal, is_transient, retry_after, status_of
from skeleton_of_thought.errors import EmptyTextError, ModelMissingError, ModelTimeoutError, StreamCutError

Headers = Mapping[str, str]


def error(base: type[Exception] = Exception, /, **attributes: Any) -> Exception:
    """Make an error with what a provider's package hangs on its own."""
    made = base("it failed")
    for name, value in attributes.items():
        setattr(made, name, value)
    return made


def of_package(name: str, *bases: type[Exception]) -> type[Exception]:
    """Make a class that a package would have: ``package.module.Name``."""
    module, _, kind = name.rpartition(".")
    return type(kind, bases or (Exception,), {"__module__": module})


def answered(status: int, headers: Headers | None = None, **attributes: Any) -> Exception:
    """Make an error as `openai` and `anthropic` raise it: with a status, and a response that has headers."""
    response = SimpleNamespace(status_code=status, headers=dict(headers or {}))
    return error(status_code=status, response=response, **attributes)


def raised_from(cause: BaseException, outer: Exception | None = None) -> Exception:
    """Wrap an error as frameworks do."""
    outer = outer or RuntimeError("the model failed")
    outer.__cause__ = cause
    return outer


def of_grpc(code: str) -> Exception:
    kind = of_package("grpc.aio._call.AioRpcError", of_package("grpc.RpcError"))
    return error(kind, code=lambda: SimpleNamespace(name=code, value=(14, "...")))


def around_itself() -> Exception:
    first = ValueError("it failed")
    return raised_from(raised_from(first, first), first)


@pytest.mark.parametrize(
    "status", [408, 409, 425, 429, 500, 501, 502, 503, 504, 520, 524, 529, 599, HTTPStatus.BAD_GATEWAY]
)
@pytest.mark.parametrize("name", ["status_code", "status", "code", "http_status"])
def test_what_a_server_may_do_better_the_next_time(status: int, name: str) -> None:
    """By its status, whatever the attribute is called, of the error, of its response and of its cause."""
    told = error(**{name: status})
    response = error(response=SimpleNamespace(**{name: status}))
    assert [True] * 3 == [is_transient(each) for each in (told, response, raised_from(told))]
    assert [status] * 3 == [status_of(each) for each in (told, response, raised_from(told))]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 410, 413, 418, 422, 451])
def test_what_a_server_never_takes(status: int) -> None:
    """A wrong key or a wrong request stays one, even if the connection broke as well."""
    assert [False] * 3 == [
        is_transient(each)
        for each in (answered(status), raised_from(answered(status)), raised_from(ConnectionError(), answered(status)))
    ]


@pytest.mark.parametrize("value", [0, 1, 99, 600, 2003, True, "429", None, 429.0, object()])
def test_what_is_no_status(value: object) -> None:
    """Other numbers are a package's own codes."""
    assert None is status_of(error(code=value))


@pytest.mark.parametrize(
    "transient",
    [
        TimeoutError(),
        ConnectionError(),
        ConnectionResetError(),
        BrokenPipeError(),
        ModelTimeoutError(1.0),
        StreamCutError(),
        EmptyTextError(None),
        EmptyTextError("stop"),
        raised_from(TimeoutError()),
        raised_from(raised_from(ConnectionResetError())),
        of_package("httpx._exceptions.ReadError", of_package("httpx._exceptions.TransportError"))(),
        of_package("httpx2.RemoteProtocolError", of_package("httpx2.TransportError"))(),
        of_package("httpcore.ReadTimeout", of_package("httpcore.TimeoutException"))(),
        of_package("openai.APITimeoutError", of_package("openai.APIConnectionError"))(),
        of_package("anthropic.APIConnectionError")(),
        of_package("groq._exceptions.APIConnectionError")(),
        of_package("aiohttp.client_exceptions.ServerDisconnectedError", of_package("aiohttp.ClientConnectionError"))(),
        of_package("aiohttp.http.ClientPayloadError")(),
        of_package("requests.exceptions.ChunkedEncodingError")(),
        of_package("urllib3.exceptions.ProtocolError", of_package("urllib3.HTTPError"))(),
        of_package("botocore.exceptions.ReadTimeoutError", of_package("botocore.HTTPClientError"))(),
        raised_from(of_package("httpx.ReadError", of_package("httpx.TransportError"))()),
        error(is_retryable=True),
        answered(400, is_retryable=True),
        error(type="server_error", code=None),
        error(type="overloaded_error", status_code=200),
        error(status_code=200, body={"type": "error", "error": {"type": "api_error"}}),
        error(code="rate_limit_exceeded"),
        error(response={"ResponseMetadata": {"HTTPStatusCode": 503}}),
        of_grpc("UNAVAILABLE"),
        raised_from(of_grpc("RESOURCE_EXHAUSTED")),
    ],
    ids=repr,
)
def test_what_may_go_well_the_next_time(transient: Exception) -> None:
    """Connections, time, faults that a server tells of in a stream, and what a framework calls retryable."""
    assert is_transient(transient)


@pytest.mark.parametrize(
    "lasting",
    [
        ValueError(),
        OSError("no such file"),
        ConfigurationError("no such model"),
        ModelMissingError("no such model"),
        EmptyTextError("length"),
        EmptyTextError("content_filter"),
        KeyboardInterrupt(),
        raised_from(ValueError()),
        raised_from(TimeoutError(), ConfigurationError("use another model")),
        around_itself(),
        of_package("mypackage.APIConnectionError")(),
        of_package("httpx.InvalidURL")(),
        of_package("httpx.UnsupportedProtocol", of_package("httpx.TransportError"))(),
        of_package("httpx2.LocalProtocolError", of_package("httpx2.TransportError"))(),
        error(is_retryable=False),
        error(TimeoutError, is_retryable=False),
        error(status_code=200),
        error(status_code=200, type="invalid_request_error"),
        error(status_code=200, body={"type": "error", "error": {"type": "invalid_request_error"}}),
        answered(429, code="insufficient_quota"),
        answered(429, type="insufficient_quota"),
        raised_from(answered(429, code="insufficient_quota", type="rate_limit_error")),
        error(code="billing_not_active", is_retryable=True),
        answered(503, {"x-should-retry": "false"}),
        error(response={"ResponseMetadata": {"HTTPStatusCode": 403}}),
        error(response={"Error": {"Code": "AccessDenied"}}),
        of_grpc("INVALID_ARGUMENT"),
        error(code=lambda: TimeoutError()),
    ],
    ids=repr,
)
def test_what_never_goes_well(lasting: BaseException) -> None:
    """What is wrong with the call, the key, the account or the program is as wrong the next time."""
    assert not is_transient(lasting)


@pytest.mark.parametrize(
    ("refused", "expected"),
    [
        (answered(429), True),
        (answered(529), True),
        (answered(503, {"retry-after": "1"}), True),
        (raised_from(answered(429)), True),
        (error(type="overloaded_error", status_code=200), True),
        (of_grpc("RESOURCE_EXHAUSTED"), True),
        (error(response={"ResponseMetadata": {"HTTPStatusCode": 429}}), True),
        (answered(503), False),
        (answered(500), False),
        (answered(400, type="rate_limit_error"), False),
        (of_grpc("UNAVAILABLE"), False),
        (TimeoutError(), False),
        (EmptyTextError(None), False),
    ],
    ids=repr,
)
def test_what_others_need_not_try_either(refused: Exception, expected: bool) -> None:
    """A provider that is too busy for one call is so for all; one call's broken connection says nothing of others."""
    assert expected == is_refusal(refused)


# -- how long to wait ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.25"}, 0.25),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": " 3 "}, 3.0),
        ({"retry-after-ms": "250"}, 0.25),
        ({"retry-after-ms": "0"}, 0.0),
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "1"}, 1.0),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 -0000"}, 0.0),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "Wed, 21 Oct 99999999999 07:28:00 GMT"}, None),
        ({"retry-after": "Wed, 41 Oct 2015 07:28:00 GMT"}, None),
        ({"x-ratelimit-reset": "7"}, None),
        ({}, None),
    ],
)
def test_what_a_provider_asks_for(headers: Headers, seconds: float | None) -> None:
    """In seconds, milliseconds or as a date that is over; what cannot be read is not there."""
    told = answered(429, headers)
    assert [seconds] * 3 == [
        retry_after(each) for each in (told, raised_from(told), error(status=429, headers=dict(headers)))
    ]


@given(
    st.text() | st.from_regex(r"\d{1,2} (Jan|Feb|Dec) \d{1,12} \d{1,3}:\d{2}:\d{2} (GMT|[+-]\d{4,9})", fullmatch=True)
)
def test_whatever_a_provider_asks_for_can_be_waited_for(told: str) -> None:
    """Or is not there: a header never is an error of its own, nor a wait without end or below nothing."""
    assert 0 <= (retry_after(answered(429, {"retry-after": told, "retry-after-ms": told})) or 0.0) < float("inf")


def test_a_date_is_waited_for() -> None:
    """As HTTP writes it, and no longer."""
    moment = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    seconds = retry_after(answered(429, {"retry-after": moment}))
    assert seconds is not None
    assert 3000 < seconds <= 3600


def test_an_error_without_a_response_asks_for_nothing() -> None:
    """Nor does one whose response has no headers to read."""
    without = [ValueError(), error(response=None), error(response=SimpleNamespace(headers=None)), error(response="no")]
    assert [None] * 4 == [retry_after(each) for each in without]


def waited(retry: Retry, failed: BaseException, attempt: int) -> float:
    """Return the wait after so many attempts of which the last has *failed*."""
    state = RetryCallState(Retrying(), None, (), {})
    state.attempt_number = attempt
    state.outcome = Future(attempt)
    state.outcome.set_exception(failed)
    return retry.wait(state)


@pytest.mark.parametrize(("attempt", "least"), [(1, 0.5), (2, 1.0), (3, 2.0), (4, 4.0), (5, 8.0), (6, 8.0), (50, 8.0)])
def test_without_a_word_each_wait_is_twice_as_long(attempt: int, least: float) -> None:
    """With jitter, so that those who failed together do not come again together, and with an upper bound."""
    waits = {waited(Retry(), ConnectionError(), attempt) for _ in range(50)}
    assert len(waits) > 1
    assert all(least <= seconds <= least + 0.5 for seconds in waits)


def test_a_provider_that_asks_for_a_wait_gets_it() -> None:
    """Exactly, however often it was asked for, and also where it is longer than any of ours."""
    failed = answered(429, {"retry-after": "20"})
    assert [20.0, 20.0] == [waited(Retry(), failed, attempt) for attempt in (1, 3)]


def test_no_wait_is_no_wait() -> None:
    """Jitter included."""
    assert [0.0] * 3 == [waited(Retry(first_wait=0), TimeoutError(), attempt) for attempt in (1, 2, 9)]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("attempts", 0),
        ("attempts", -1),
        ("attempts", 1.5),
        ("attempts", True),
        ("attempts", None),
        ("seconds", -1),
        ("seconds", float("nan")),
        ("seconds", "60"),
        ("first_wait", -0.1),
        ("longest_wait", None),
    ],
)
def test_what_cannot_work_is_refused(name: str, value: object) -> None:
    """When it is set, by name."""
    with pytest.raises(ConfigurationError, match=f"{name}=.* cannot work"):
        Retry(**{name: value})  # type: ignore[arg-type]  # that is the point
