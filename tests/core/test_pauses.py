import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from skeleton_of_thought import Limit
from skeleton_of_thought._limits import Place
from tests.core.running import FOREVER, run
from tests.core.test_fairness import MODEL, Crowd
from tests.core.test_limits import settle

OTHER = "other model"


@contextmanager
def paused(place: Place, seconds: float = FOREVER) -> Iterator[None]:
    """Pause a model, and go on without waiting for its end."""
    place.pause(seconds)
    yield
    place.traffic.paused_until = float("-inf")


def test_a_pause_is_for_all_runs_with_a_model_and_for_no_other_model() -> None:
    """Who is inside stays, and who comes waits, from whatever limit inside it."""

    async def main() -> None:
        limit = Limit(4)
        crowd = Crowd(limit)
        await crowd.come("refused")
        place = limit.within(3).place("refused", MODEL)
        with paused(place, 0.2):
            await crowd.come("refused")
            await crowd.come("sibling")
            await crowd.come("of a narrower limit", limit=limit.within(2))
            await crowd.come("other", model=OTHER)
            assert {"refused": 1, "other": 1} == crowd.held
        while len(crowd.inside) < 4:  # noqa: ASYNC110 -- what is waited for is time
            await asyncio.sleep(0.01)
        await crowd.come("late")
        await crowd.all_leave()
        assert {"refused": 2, "sibling": 1, "of a narrower limit": 1, "other": 1, "late": 1} == Counter(crowd.entered)

    run(main)


def test_who_waits_for_a_place_when_a_pause_begins_waits_for_both() -> None:
    """And holds no place meanwhile, so that calls to another model go on."""

    async def main() -> None:
        limit = Limit(1)
        crowd = Crowd(limit)
        await crowd.come("first")
        await crowd.come("second")
        await crowd.come("other", model=OTHER)
        limit.place("first", MODEL).pause(0.05)
        await crowd.leave("first")
        assert {"other": 1} == crowd.held
        await crowd.leave("other")
        while not crowd.inside:  # noqa: ASYNC110 -- what is waited for is time
            await asyncio.sleep(0.01)
        assert {"second": 1} == crowd.held
        await crowd.all_leave()

    run(main)


def test_pauses_do_not_add_up() -> None:
    """The longest counts: those who are refused together wait once."""
    place = Limit(1).place("run", MODEL)
    for seconds in (5.0, 60.0, 1.0):
        place.pause(seconds)
    longest = place.traffic.paused_until
    place.pause(5.0)
    assert longest == place.traffic.paused_until


def test_models_are_remembered_by_name_and_forgotten_in_the_end() -> None:
    """One place or many, it is the same model; a server may see any number of them."""
    limit = Limit(1)
    first = limit.place("run", MODEL).traffic
    assert first is limit.place("other run", MODEL).traffic
    assert first is limit.within(1).place("run", MODEL).traffic
    assert first is not limit.place("run", OTHER).traffic
    for number in range(1000):
        limit.place("run", number)
        assert first is limit.place("run", MODEL).traffic  # it is in use
    assert len(limit._models) < 100


# -- places that become fewer --------------------------------------------------------------------------


def test_a_refusal_leaves_fewer_places() -> None:
    """Who is inside stays; nobody enters until there is room."""

    async def main() -> None:
        limit = Limit(4)
        crowd = Crowd(limit)
        await crowd.come("run", 10)
        for _ in range(3):
            limit.place("run", MODEL).refused(began=float("inf"))
            await crowd.leave()
        assert ({"run": 1}, 1) == (crowd.held, limit.places)
        await crowd.all_leave()
        assert 10 == len(crowd.entered)

    run(main)


def test_places_come_back_to_those_who_wait() -> None:
    """With calls that go well, without anybody leaving."""

    async def main() -> None:
        limit = Limit(4)
        crowd, place = Crowd(limit), limit.place("run", MODEL)
        place.allowed(0)
        await crowd.come("run", 10)
        assert ({"run": 1}, 1) == (crowd.held, limit.places)
        for _ in range(20):
            place.went_well(0.0, None)
            await settle()
        assert ({"run": 4}, 4) == (crowd.held, limit.places)
        await crowd.all_leave()

    run(main)


@pytest.mark.parametrize("limit", [Limit(4, adaptive=False), Limit(4, adaptive=False).within(4)])
def test_a_limit_that_does_not_adapt(limit: Limit) -> None:
    """Is as wide as it was made, whatever a provider says."""
    place = limit.place("run", MODEL)
    place.refused(began=float("inf"))
    place.allowed(0)
    assert 4 == limit.places


def test_what_a_narrower_limit_learns_is_learnt_by_all() -> None:
    """It is one provider, through whichever limit a call came."""
    limit = Limit(8)
    limit.within(6).place("run", MODEL).allowed(2)
    assert [2, 2, 2, 1] == [limit.places, limit.within(6).places, limit.within(3).places, limit.within(1).places]
