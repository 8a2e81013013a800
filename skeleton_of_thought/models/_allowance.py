"""What a provider's headers tell of its limits, in one form.

OpenAI, Azure and those that speak like them send ``x-ratelimit-remaining-tokens: 149984`` with
``x-ratelimit-reset-tokens: 6m0s`` (Azure: ``55``); Anthropic sends the same as ``anthropic-ratelimit-tokens-remaining``
with the time of day at which it is reset. That time is compared with the reply's own ``Date``: no clock is needed, and
it does not matter if the one here is wrong. What makes no sense counts as not told: Azure sends -1 and 0 where it
knows nothing.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime

from ..calls import Allowance

_COUNT = re.compile(r"[0-9]{1,15}")
_PART = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,12})?)(ms|us|µs|ns|d|h|m|s)")
_SPAN = re.compile(rf"(?:{_PART.pattern})+")
_SECONDS = {"d": 86_400.0, "h": 3_600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_LONGEST = 7 * 86_400.0
"""What is longer is no span of time but a date, as some gateways send it."""
_ANTHROPIC_TOKENS = ("tokens", "input-tokens", "output-tokens")


def allowance_of(headers: Mapping[str, str]) -> Allowance | None:
    """Return what the *headers* of a reply tell of the provider's limits; ``None`` where they tell nothing.

    >>> allowance_of({"x-ratelimit-remaining-requests": "59", "x-ratelimit-reset-requests": "1.2s"})
    Allowance(requests=59, tokens=None, seconds=1.2)
    """
    told = {name.lower(): value.strip() for name, value in headers.items() if "ratelimit" in name.lower()}
    if not told:
        return None
    date = _date(next((value for name, value in headers.items() if name.lower() == "date"), ""))
    requests = [*_openai(told, "requests"), *_anthropic(told, "requests", date)]
    tokens = [*_openai(told, "tokens"), *(pair for kind in _ANTHROPIC_TOKENS for pair in _anthropic(told, kind, date))]
    if not requests and not tokens:
        return None
    return Allowance(
        min((left for left, _ in requests), default=None),
        min((left for left, _ in tokens), default=None),
        max((seconds for _, seconds in requests + tokens if seconds is not None), default=None),
    )


def _openai(told: Mapping[str, str], kind: str) -> Iterator[tuple[int, float | None]]:
    limit = told.get(f"x-ratelimit-limit-{kind}", "1")
    left = _count(told.get(f"x-ratelimit-remaining-{kind}", ""))
    if left is not None and _count(limit):
        yield left, _span(told.get(f"x-ratelimit-reset-{kind}", ""))


def _anthropic(told: Mapping[str, str], kind: str, now: datetime | None) -> Iterator[tuple[int, float | None]]:
    left = _count(told.get(f"anthropic-ratelimit-{kind}-remaining", ""))
    if left is not None:
        yield left, _until(told.get(f"anthropic-ratelimit-{kind}-reset", ""), now)


def _count(text: str) -> int | None:
    return int(text) if _COUNT.fullmatch(text) else None


def _span(text: str) -> float | None:
    """Read a span of time, ``1h2m3.5s`` or seconds alone."""
    text = f"{text}s" if text[-1:].isdecimal() else text
    if not _SPAN.fullmatch(text):
        return None
    seconds = sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(text))
    return seconds if seconds <= _LONGEST else None


def _until(text: str, now: datetime | None) -> float | None:
    """Read a time of day as seconds from *now*; one that is over is no time at all."""
    try:
        then = datetime.fromisoformat(text)
    except ValueError:
        return None
    if now is None or then.tzinfo is None:
        return None
    seconds = max(0.0, (then - now).total_seconds())
    return seconds if seconds <= _LONGEST else None


def _date(text: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return None
    return date if date.tzinfo else None
