import pytest
from hypothesis import given
from hypothesis import strategies as st

from skeleton_of_thought._width import Width

LONG_AGO, BEFORE, NOW, LATER = -1.0, 1.0, 2.0, 3.0


def refused(width: Width, began: float, now: float, times: int, in_flight: int) -> None:
    """Let so many calls be refused together, of so many in flight; each gives its place back."""
    for number in range(times):
        width.refused(began, now, in_flight - number)


def went_well(width: Width, times: int) -> None:
    for _ in range(times):
        width.went_well(LATER, LATER + 1, 1)


def test_it_begins_at_the_bound() -> None:
    """Nothing is known yet, and a first answer should not be slow for it."""
    assert [1, 16] == [Width(1).now, Width(16).now]


def test_a_refusal_leaves_what_the_provider_has_taken() -> None:
    """Calls that are refused together are those too many."""
    width = Width(16)
    refused(width, BEFORE, NOW, times=6, in_flight=16)
    assert 10 == width.now


def test_it_never_is_less_than_one() -> None:
    """Or nothing would ever go well again."""
    width = Width(4)
    for moment in range(20):
        refused(width, moment, moment + 0.5, times=1, in_flight=1)
        width.allowed(0, moment, 0)
    assert 1 == width.now


def test_it_grows_fast_to_half_of_what_it_was() -> None:
    """By one with each call, and beyond that by one with each round of calls."""
    width, seen = Width(16), list[int]()
    refused(width, BEFORE, NOW, times=16, in_flight=16)
    for _ in range(7):
        seen.append(width.now)
        went_well(width, 1)
    assert [1, 2, 3, 4, 5, 6, 7] == seen
    assert 8 == width.now
    went_well(width, 7)
    assert 8 == width.now
    went_well(width, 2)
    assert 9 == width.now


def test_calls_that_were_refused_together_are_one_sign() -> None:
    """How fast it may grow is decided by the first; who began before it tells nothing new."""
    together, apart = Width(16), Width(16)
    for width, began in ((together, BEFORE), (apart, LATER)):
        refused(width, BEFORE, NOW, times=8, in_flight=16)
        width.refused(began, LATER, 6)
        assert 5 == width.now
        went_well(width, 3)
    assert [8, 5] == [together.now, apart.now]


@given(st.integers(1, 64), st.integers(0, 3000))
def test_it_never_is_more_than_the_bound(most: int, times: int) -> None:
    """However well calls go."""
    width = Width(most)
    width.refused(BEFORE, NOW, most)
    went_well(width, times)
    assert 1 <= width.now <= most


def test_it_comes_back_to_the_bound() -> None:
    """When a provider bears as many again."""
    width = Width(8)
    refused(width, BEFORE, NOW, times=8, in_flight=8)
    went_well(width, 100)
    assert 8 == width.now


@pytest.mark.parametrize(
    ("more", "in_flight", "expected"), [(0, 3, 3), (2, 3, 5), (0, 0, 1), (13, 3, 16), (5000, 3, 16), (1, 16, 16)]
)
def test_what_a_provider_lets_through(more: int, in_flight: int, expected: int) -> None:
    """At once, beside those in flight; a large allowance does not make it wider than the bound."""
    width = Width(16)
    width.allowed(more, NOW, in_flight)
    assert expected == width.now


def test_calls_that_become_slow_halve_it() -> None:
    """Once, for all that began before."""
    width = Width(16)
    for _ in range(20):
        width.went_well(BEFORE, NOW, 16, slow=True)
    assert 8 == width.now


@given(
    st.integers(1, 32),
    st.lists(st.tuples(st.sampled_from(["refused", "allowed", "well"]), st.integers(0, 40), st.floats(0, 10))),
)
def test_whatever_happens_there_is_a_place(most: int, history: list[tuple[str, int, float]]) -> None:
    """Between one and the bound, in any order of signs."""
    width = Width(most)
    for moment, (what, number, seconds) in enumerate(history):
        match what:
            case "refused":
                width.refused(moment - seconds, moment, number)
            case "allowed":
                width.allowed(number, moment, number)
            case _:
                width.went_well(moment - seconds, moment, number, slow=seconds > 5)
        assert 1 <= width.now <= most
