"""What there is to wait for when somebody leaves, and what has to have happened soon after."""

import time
from typing import Any

import pytest

from skeleton_of_thought.testing import LatencyServer, Rejected, Stalled

SOON = 2.0
"""Seconds after which who leaves has waited. It takes milliseconds, which ``pytest -rP`` shows."""
POINTS = (1, 2, 3)
LATER = {"retry-after": "600"}
FAULTS: dict[str, tuple[Any, int]] = {
    "tokens": ({}, 3),
    "the headers of the skeleton": ({"skeleton": [Stalled(after=None)]}, 1),
    "the headers of points": ({number: [Stalled(after=None)] for number in POINTS}, 3),
    "further tokens of points": ({number: [Stalled(after=2)] for number in POINTS}, 3),
    "the end of a pause": ({2: [Rejected(429, LATER)]}, 2),
    "the next attempt": ({3: [Rejected(500, LATER)]}, 2),
}
"""What is waited for: what goes wrong with requests for what, and how many are in flight then."""
waits = pytest.mark.parametrize("waits", FAULTS)


def is_stuck(endpoint: LatencyServer, waits: str) -> bool:
    """Tell whether all faults have happened, and what is in flight stays there."""
    faults, in_flight = FAULTS[waits]
    happened = sum(each.fault is not None for each in endpoint.requests)
    return (sum(map(len, faults.values())), in_flight) == (happened, endpoint.in_flight)


def all_ended(endpoint: LatencyServer, moment: float, name: str) -> None:
    """See that all requests ended soon after a moment, and that no other is made."""
    endpoint.wait_until_idle()
    seconds = max(0.0, *(each.ended - moment for each in endpoint.requests if each.ended is not None))
    print(f"{name}: {1000 * seconds:.1f} ms")
    assert seconds < SOON
    before = len(endpoint.requests)
    time.sleep(0.02)
    assert before == len(endpoint.requests)
