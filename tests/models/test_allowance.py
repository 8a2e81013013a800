import pytest
from hypothesis import given
from hypothesis import strategies as st

from skeleton_of_thought.calls import Allowance
from skeleton_of_thought.models._allowance import allowance_of

NOW = "Sat, 02 Mar 2024 21:35:09 GMT"


def openai(**told):
    """Name the headers as OpenAI does."""
    return {f"x-ratelimit-{name.replace('_', '-')}": value for name, value in told.items()}


def anthropic(date=NOW, **told):
    """Name the headers as Anthropic does."""
    return {"date": date} | {f"anthropic-ratelimit-{name.replace('_', '-')}": value for name, value in told.items()}


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (
            openai(remaining_requests="59", remaining_tokens="149984", reset_requests="1s", reset_tokens="6m0s"),
            Allowance(59, 149984, 360.0),
        ),
        (openai(remaining_requests="79", remaining_tokens="61353"), Allowance(79, 61353)),  # Azure, as it was for long
        (openai(limit_tokens="80000", remaining_tokens="0", reset_tokens="55"), Allowance(None, 0, 55.0)),
        (openai(limit_tokens="-1", remaining_tokens="-1", reset_tokens="0"), None),
        (openai(limit_tokens="-1", remaining_tokens="0", reset_tokens="0"), None),
        (openai(limit_requests="0", remaining_requests="0", remaining_tokens="7"), Allowance(None, 7)),
        (openai(remaining_requests="9", reset_requests="soon"), Allowance(9)),
        (openai(reset_requests="1s", reset_tokens="1s"), None),  # nothing to wait for
        (openai(remaining_requests="", remaining_tokens="many"), None),
        (openai(remaining_requests="1_000", remaining_tokens="٣"), None),
        (openai(remaining_requests="9" * 5000), None),
        ({"X-RateLimit-Remaining-Requests": " 5 "}, Allowance(5)),
        ({"content-type": "text/event-stream", "date": NOW}, None),
        ({"x-ratelimit-policy": "100;w=60"}, None),
        ({}, None),
    ],
)
def test_headers_of_openai_and_azure(headers, expected):
    """What makes no sense counts as not told."""
    assert expected == allowance_of(headers)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (
            anthropic(
                requests_limit="50",
                requests_remaining="49",
                requests_reset="2024-03-02T21:35:10Z",
                tokens_remaining="39000",
                tokens_reset="2024-03-02T21:35:39Z",
            ),
            Allowance(49, 39000, 30.0),
        ),
        (
            anthropic(
                tokens_remaining="48000",
                input_tokens_remaining="40000",
                input_tokens_reset="2024-03-02T22:35:29+01:00",
                output_tokens_remaining="8000",
                output_tokens_reset="2024-03-02T21:35:19.5Z",
            ),
            Allowance(None, 8000, 20.0),
        ),
        (anthropic(requests_remaining="1", requests_reset="2024-03-02T21:35:00Z"), Allowance(1, None, 0.0)),
        (anthropic(requests_remaining="1", requests_reset="2024-03-02T21:35:30"), Allowance(1)),  # of which zone?
        (anthropic(requests_remaining="1", requests_reset="tomorrow"), Allowance(1)),
        (anthropic(requests_remaining="1", requests_reset="9999-03-02T21:35:30Z"), Allowance(1)),
        (anthropic(date="today", requests_remaining="1", requests_reset="2024-03-02T21:35:30Z"), Allowance(1)),
        (anthropic(date="", requests_remaining="1", requests_reset="2024-03-02T21:35:30Z"), Allowance(1)),
    ],
)
def test_headers_of_anthropic(headers, expected):
    """The time of day is compared with the reply's own, never with a clock here."""
    assert expected == allowance_of(headers)


@pytest.mark.parametrize(
    ("span", "seconds"),
    [
        ("1s", 1.0),
        ("20ms", 0.02),
        ("6m0s", 360.0),
        ("1h2m3.5s", 3723.5),
        ("1d", 86_400.0),
        ("2m59.56s", 179.56),
        ("500µs", 0.0005),
        ("0s", 0.0),
        ("55", 55.0),
        ("0.5", 0.5),
        ("1709415309", None),  # a date
        ("1709415309123", None),
        ("-1s", None),
        ("-1", None),
        ("1e9s", None),
        ("1s ago", None),
        ("s", None),
        (".5s", None),
        ("nan", None),
        ("²", None),
        ("", None),
    ],
)
def test_spans_of_time(span, seconds):
    """Those of Go, which OpenAI writes, and seconds alone, which Azure writes."""
    assert Allowance(1, None, seconds) == allowance_of(openai(remaining_requests="1", reset_requests=span))


NAMES = [
    *openai(limit_tokens="", remaining_tokens="", reset_tokens="", remaining_requests="", reset_requests=""),
    *anthropic(tokens_remaining="", tokens_reset="", requests_remaining="", requests_reset=""),
]


@given(st.dictionaries(st.sampled_from(NAMES), st.text() | st.from_regex(r"[-0-9.:TZhms+, ]*", fullmatch=True)))
def test_nothing_that_a_server_sends_is_an_error(headers):
    """Whatever it is, the numbers are none or make sense."""
    told = allowance_of(headers) or Allowance()

    assert all(number is None or number >= 0 for number in (told.requests, told.tokens, told.seconds))
