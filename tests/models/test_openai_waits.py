"""How long the core leaves an endpoint alone that fails, how long it waits for one, and what an answer lacks then."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import openai
import pytest

from skeleton_of_thought import DeadlineError, Limit, PointError, Timeout
from skeleton_of_thought.testing import Dropped, Rejected, Stalled

from ..faulty import (
    answer_by,
    one_place,
    requests,
    said_by,
    settings,
    until_failing,
    words,
)
from ..script import DIRECT, POINTS, TEXT
from .ways import FEW, STAGE, STREAMED, TWO, ask

# -- time ----------------------------------------------------------------------------------------------


@TWO
@FEW
@pytest.mark.parametrize("name", ["retry-after", "retry-after-ms"])
@pytest.mark.parametrize("status", [429, 500])
def test_a_provider_is_left_alone_as_long_as_it_asks(endpoint, status, name, stage, way):
    """In seconds or in milliseconds."""
    endpoint.faults = {stage: [Rejected(status, {name: "200" if name.endswith("ms") else "0.2"})]}

    assert answer_by(stage) == ask(endpoint, way, **settings(stage)).text
    first, second = endpoint.of(stage)
    assert second.began - first.began > 0.199


def test_a_provider_may_tell_a_date(endpoint):
    """In whole seconds, as HTTP has it."""
    date = (datetime.now(UTC) + timedelta(seconds=2)).replace(microsecond=0)
    endpoint.faults = {"direct": [Rejected(503, {"retry-after": format_datetime(date, usegmt=True)})]}

    assert DIRECT == ask(endpoint, "aask", **settings("direct")).text
    assert datetime.now(UTC) >= date
    assert requests("direct") == endpoint.counts


@TWO
@STAGE
def test_nobody_waits_longer_than_was_allowed(endpoint, stage, way):
    """Then the refusal is raised at once."""
    endpoint.faults = {stage: [Rejected(429, {"retry-after": "100"})]}

    with pytest.raises((PointError, openai.RateLimitError)):
        ask(endpoint, way, **settings(stage), **one_place())

    assert until_failing(stage) == endpoint.counts


@TWO
@pytest.mark.parametrize(("width", "second"), [(1, None), (2, Stalled(2, seconds=0.1))])
def test_after_a_refusal_all_points_wait(endpoint, width, second, way):
    """Those that have no place yet too: nothing of the run begins while the provider wants to be left alone."""
    endpoint.faults = {1: [Rejected(429, {"retry-after": "0.5"})], 2: [second]}

    answer = ask(endpoint, way, **settings(1), max_concurrency=Limit(width, adaptive=False))

    assert TEXT == answer.text
    assert requests(1) == endpoint.counts
    refused = endpoint.of(1)[0].began
    later = [request.began - refused for request in endpoint.server.requests[1 + width :]]
    assert 4 - width == len(later)
    assert min(later) > 0.499


@TWO
@FEW
@pytest.mark.parametrize("after", [None, 0, 4])
def test_a_model_that_stalls_is_asked_again(endpoint, after, stage, way):
    """Its request is closed, and what it has said is gone on with."""
    endpoint.faults = {stage: [Stalled(after)]}

    assert answer_by(stage) == ask(endpoint, way, **settings(stage, timeout=0.5)).text
    assert requests(stage) == endpoint.counts
    assert [True, False] == endpoint.cancelled(stage)


@FEW
def test_only_what_is_silent_too_long_is_cut(endpoint, stage):
    """A first token may take longer than those that follow."""
    endpoint.faults = {stage: [Stalled(None, seconds=0.6)]}
    patience = Timeout(first_token=20, between_tokens=0.5)

    assert answer_by(stage) == ask(endpoint, "astream", **settings(stage, timeout=patience)).text
    assert requests(stage, 1) == endpoint.counts


@TWO
@pytest.mark.parametrize("stage", [2, "direct"])
def test_what_is_written_at_the_deadline_is_the_answer(endpoint, stage, way):
    """Its gap is marked, and its request closed."""
    endpoint.faults = {stage: [Stalled(4)]}

    answer = ask(endpoint, way, **settings(stage, deadline=1.0))

    whole = said_by(stage)
    assert answer_by(stage).replace(whole, f"{words(whole, 4)} […]") == answer.text
    assert not answer.complete
    assert [True] == endpoint.cancelled(stage)


@TWO
@pytest.mark.parametrize("stage", ["skeleton", "direct"])
def test_a_deadline_with_nothing_written_is_an_error(endpoint, stage, way):
    """A skeleton is no answer."""
    endpoint.faults = {stage: [Stalled(None)]}

    with pytest.raises(DeadlineError):
        ask(endpoint, way, **settings(stage, deadline=0.5))

    assert [True] == endpoint.cancelled(stage)


# -- gaps ----------------------------------------------------------------------------------------------


@TWO
@pytest.mark.parametrize(
    ("policy", "second"),
    [
        ("mark", "\n\n2. Avoid late coffee: […]"),
        ("leave_out", ""),
        (lambda error: f"(none: {error.title})", "\n\n2. Avoid late coffee: (none: Avoid late coffee)"),
    ],
)
def test_an_answer_may_lack_a_point(endpoint, policy, second, way):
    """As the setting says, once it cannot be written."""
    endpoint.faults = {2: [Rejected(400)]}
    first, _, third = TEXT.split("\n\n")

    answer = ask(endpoint, way, **settings(2, on_point_error=policy))

    assert f"{first}{second}\n\n{third}" == answer.text
    assert ((2,), "BadRequestError") == (answer.missing, answer.sections[1].failure)
    assert requests(2, 1) == endpoint.counts


@STREAMED
@pytest.mark.parametrize("policy", ["mark", "leave_out"])
def test_what_was_shown_of_a_point_stays(endpoint, policy, way):
    """With a mark behind it, whatever is asked for."""
    endpoint.faults = {1: [Dropped(2)] * 3}
    _, *others = TEXT.split("\n\n")

    answer = ask(endpoint, way, **settings(1, on_point_error=policy))

    begun = f"1. Keep regular hours: {words(POINTS[1], 6)} […]"
    assert "\n\n".join([begun, *others]) == answer.text
    assert requests(1, 3) == endpoint.counts


@pytest.mark.parametrize("policy", ["raise", "mark", "leave_out"])
def test_without_any_point_there_is_no_answer(endpoint, policy):
    """The first error is raised, as gaps alone say nothing."""
    endpoint.faults = {number: [Rejected(400)] for number in POINTS}

    with pytest.raises(PointError):
        ask(endpoint, "aask", **settings(1, on_point_error=policy))

    assert {1} == set(endpoint.counts.values())
