"""How long an engine leaves an endpoint alone, how long it waits for one, and what an answer lacks then."""

from typing import Any

import pytest

from skeleton_of_thought import DeadlineError, Limit, PointError
from skeleton_of_thought.testing import Dropped, Rejected, Stalled

from ..faulty import Faulty, answer_by, one_place, requests, said_by, settings, words
from ..script import POINTS, QUESTION, TEXT

pytest.importorskip("llama_index.llms.openai_like")

import openai

from llama_index_sot import SoTQueryBundle

from .endpoints import FEW, STREAMED, TWO, ask, engine_of, respond
from .ways import FOUR

FIRST, SECOND, THIRD = TEXT.split("\n\n")


def long(way: str, seconds: float) -> float:
    """Return how long a reply stalls: a thread that waits for it is left behind, and ends with its next piece."""
    return 60 if way.startswith("a") else seconds


@FOUR
@FEW
@pytest.mark.parametrize("told", [{"retry-after": "0.2"}, {"retry-after-ms": "200"}])
def test_a_provider_is_left_alone_as_long_as_it_asks(
    endpoint: Faulty, index: Any, told: Any, stage: Any, way: str
) -> None:
    """Its headers are found in the error that the LLM raises."""
    endpoint.faults = {stage: [Rejected(429, told)]}

    assert answer_by(stage) == ask(engine_of(endpoint, index, **settings(stage)), way)
    assert requests(stage) == endpoint.counts
    first, second = endpoint.of(stage)
    assert second.began - first.began > 0.199


@TWO
@FEW
def test_nobody_waits_longer_than_was_allowed(endpoint: Faulty, index: Any, stage: Any, way: str) -> None:
    """Then the refusal is raised at once."""
    endpoint.faults = {stage: [Rejected(429, {"retry-after": "100"})]}

    with pytest.raises((PointError, openai.RateLimitError)):
        ask(engine_of(endpoint, index, **settings(stage)), way)

    assert 1 == endpoint.counts[stage]


@FOUR
@pytest.mark.parametrize(("width", "second"), [(1, None), (2, Stalled(2, seconds=0.1))])
def test_after_a_refusal_all_points_wait(endpoint: Faulty, index: Any, width: int, second: Any, way: str) -> None:
    """Those that have no place yet too: nothing of the run begins while the provider wants to be left alone."""
    endpoint.faults = {1: [Rejected(429, {"retry-after": "0.5"})], 2: [second]}
    limit = Limit(width, adaptive=False)

    assert TEXT == ask(engine_of(endpoint, index, **settings(1), max_concurrency=limit), way)
    assert requests(1) == endpoint.counts
    refused = endpoint.of(1)[0].began
    later = [request.began - refused for request in endpoint.server.requests[1 + width :]]
    assert 4 - width == len(later)
    assert min(later) > 0.499


@FOUR
@FEW
@pytest.mark.parametrize("after", [None, 4])
def test_a_model_that_stalls_is_asked_again(
    endpoint: Faulty, index: Any, after: int | None, stage: Any, way: str
) -> None:
    """What it has said is gone on with."""
    endpoint.faults = {stage: [Stalled(after, seconds=long(way, 1))]}

    assert answer_by(stage) == ask(engine_of(endpoint, index, **settings(stage, timeout=0.5)), way)
    assert requests(stage) == endpoint.counts
    if way.startswith("a"):
        assert [True, False] == endpoint.cancelled(stage)


@FOUR
@pytest.mark.parametrize("stage", [2, "direct"])
def test_what_is_written_at_the_deadline_is_the_answer(endpoint: Faulty, index: Any, stage: Any, way: str) -> None:
    """Its gap is marked."""
    endpoint.faults = {stage: [Stalled(4, seconds=long(way, 2))]}

    query = SoTQueryBundle(QUESTION, deadline=1.0)
    response, text = respond(engine_of(endpoint, index, **settings(stage)), way, query)

    whole = said_by(stage)
    assert answer_by(stage).replace(whole, f"{words(whole, 4)} […]") == text
    assert not response.metadata["sot"]["complete"]
    assert requests(stage, 1) == endpoint.counts


@FOUR
@pytest.mark.parametrize("stage", ["skeleton", "direct"])
def test_a_deadline_with_nothing_written_is_an_error(endpoint: Faulty, index: Any, stage: Any, way: str) -> None:
    """A skeleton is no answer."""
    endpoint.faults = {stage: [Stalled(None, seconds=long(way, 1))]}

    with pytest.raises(DeadlineError):
        ask(engine_of(endpoint, index, **settings(stage, deadline=0.5)), way)

    assert {stage: 1} == endpoint.counts


@FOUR
@pytest.mark.parametrize(("policy", "shown"), [("mark", "2. Avoid late coffee: […]"), ("leave_out", None)])
def test_an_answer_may_lack_a_point(endpoint: Faulty, index: Any, policy: Any, shown: str | None, way: str) -> None:
    """As the setting says, once it cannot be written."""
    endpoint.faults = {2: [Rejected(400)]}

    response, text = respond(engine_of(endpoint, index, **settings(2, on_point_error=policy)), way)

    assert "\n\n".join(filter(None, [FIRST, shown, THIRD])) == text
    points = response.metadata["sot"]["points"]
    assert [False, True, False] == [point["failure"] is not None for point in points]
    assert requests(2, 1) == endpoint.counts


@STREAMED
@pytest.mark.parametrize("policy", ["mark", "leave_out"])
def test_what_was_shown_of_a_point_stays(endpoint: Faulty, index: Any, policy: Any, way: str) -> None:
    """With a mark behind it, whatever is asked for."""
    endpoint.faults = {1: [Dropped(2)] * 3}

    text = ask(engine_of(endpoint, index, **settings(1, on_point_error=policy), **one_place()), way)

    begun = f"1. Keep regular hours: {words(POINTS[1], 6)} […]"
    assert "\n\n".join([begun, SECOND, THIRD]) == text
    assert requests(1, 3) == endpoint.counts
