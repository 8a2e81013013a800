import pytest

from skeleton_of_thought._pace import Pace


def test_too_few_calls_tell_nothing() -> None:
    """A percentile of 19 calls is none."""
    pace = Pace()
    for number in range(19):
        pace.heard(number, streamed=True)
    assert None is pace.late_after(0.95, streamed=True)
    pace.heard(19, streamed=True)
    assert 18 == pace.late_after(0.95, streamed=True)
    assert None is pace.late_after(0.95, streamed=False)


@pytest.mark.parametrize(
    ("percentile", "expected"), [(0.01, 1), (0.5, 50), (0.9, 90), (0.95, 95), (0.99, 99), (1.0, 100)]
)
def test_late_is_later_than_so_many(percentile: float, expected: int) -> None:
    """In whatever order they came."""
    pace = Pace()
    for number in range(100, 0, -1):
        pace.heard(number, streamed=False)
    assert expected == pace.late_after(percentile, streamed=False)


def test_a_provider_that_becomes_slower_is_followed() -> None:
    """What was long ago is forgotten."""
    pace = Pace()
    for seconds in [1.0] * 1000 + [5.0] * 200:
        pace.heard(seconds, streamed=True)
    assert 5.0 == pace.late_after(0.01, streamed=True)


@pytest.mark.parametrize(
    ("calls", "again", "budget", "expected"),
    [
        (0, 0, 0.1, False),
        (9, 0, 0.1, False),
        (10, 0, 0.1, True),
        (10, 1, 0.1, False),
        (5, 4, 1.0, True),
        (100, 0, 0.0, False),
    ],
)
def test_second_requests_keep_to_their_budget(calls: int, again: int, budget: float, expected: bool) -> None:
    """A share of all calls, from the first on."""
    assert expected == Pace(calls=calls, again=again).may_ask_again(budget)


def test_calls_become_slow() -> None:
    """When a token takes more than three times as long as at best, over several calls."""
    pace = Pace()
    assert {False} == {pace.is_slow(0.01, 16) for _ in range(20)}
    assert not pace.is_slow(0.05, 16)
    assert [pace.is_slow(0.05, 16) for _ in range(20)][-1]


@pytest.mark.parametrize(
    "seconds",
    [[0.01] * 10 + [0.09] + [0.01] * 10 + [0.02] * 100, [None] * 10, [0.0001] * 10 + [0.004] * 100],
    ids=["one slow call, and a full batch", "whole texts", "what this machine takes"],
)
def test_calls_that_are_not_slow(seconds: list[float | None]) -> None:
    """They say nothing of the provider."""
    pace = Pace()
    assert {False} == {pace.is_slow(per_token, 16) for per_token in seconds}


def test_a_provider_that_has_become_slower_is_taken_as_it_is() -> None:
    """When calls are slow that have hardly any other beside them."""
    pace = Pace()
    for _ in range(20):
        pace.is_slow(0.01, 1)
    assert [True, False] == [[pace.is_slow(0.05, in_flight) for _ in range(40)][-1] for in_flight in (16, 1)]
