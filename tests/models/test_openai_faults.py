"""What goes wrong between the core and an endpoint: what may go well the next time costs one request, and no word."""

import json
from contextlib import aclosing

import httpx
import openai
import pytest

from skeleton_of_thought import Answer, PointError, Retry, SkeletonOfThought
from skeleton_of_thought.errors import EmptyTextError
from skeleton_of_thought.events import CallRetried
from skeleton_of_thought.models.openai import OpenAIModel
from skeleton_of_thought.testing import Dropped, Empty, ErrorEvent, Garbage, Rejected, Stalled

from ..faulty import (
    BEFORE,
    CUT,
    HOPELESS,
    MIDWAY,
    STAGES,
    STATUSES,
    WAYS_ON,
    answer_by,
    cause_of,
    one_place,
    requests,
    run,
    said_by,
    settings,
    until_failing,
    words,
    written,
)
from ..script import DIRECT, POINTS, QUESTION
from .ways import FEW, FOUR, STAGE, STREAMED, TWO, ask

# -- once ----------------------------------------------------------------------------------------------


@FOUR
@STAGE
@pytest.mark.parametrize("fault", BEFORE | MIDWAY)
def test_what_fails_once_costs_one_request(endpoint, fault, stage, way):
    """The text is complete, each word of it is there once, and nothing else was asked again."""
    endpoint.faults = {stage: [(BEFORE | MIDWAY)[fault]]}

    assert answer_by(stage) == ask(endpoint, way, **settings(stage)).text
    assert requests(stage) == endpoint.counts


@TWO
@FEW
@pytest.mark.parametrize("fault", STATUSES)
def test_so_does_a_server_that_has_no_time(endpoint, fault, stage, way):
    """Its status tells that it is worth another try."""
    endpoint.faults = {stage: [STATUSES[fault]]}

    assert answer_by(stage) == ask(endpoint, way, **settings(stage)).text
    assert requests(stage) == endpoint.counts


@STREAMED
@STAGE
@pytest.mark.parametrize("fault", CUT)
def test_so_does_a_stream_that_just_ends(endpoint, fault, stage, way):
    """Without finish reason, usage and ``[DONE]`` it was cut."""
    endpoint.faults = {stage: [CUT[fault]]}

    assert answer_by(stage) == ask(endpoint, way, **settings(stage)).text
    assert requests(stage) == endpoint.counts


@FOUR
@pytest.mark.parametrize("stage", [1, 2, 3, "direct"])
def test_so_does_a_reply_that_says_nothing(endpoint, stage, way):
    """Sampling may do better the next time."""
    endpoint.faults = {stage: [Empty()]}

    assert answer_by(stage) == ask(endpoint, way, **settings(stage)).text
    assert requests(stage) == endpoint.counts


@FOUR
def test_an_empty_skeleton_means_a_direct_answer(endpoint, way):
    """It has fewer points than there have to be."""
    endpoint.faults = {"skeleton": [Empty()]}

    assert DIRECT == ask(endpoint, way, **settings("skeleton")).text
    assert {"skeleton": 1, "direct": 1} == endpoint.counts


@STAGE
@pytest.mark.parametrize("going_on", WAYS_ON)
@pytest.mark.parametrize("after", [1, 4, 6])
def test_what_broke_off_goes_on(endpoint, after, going_on, stage):
    """However a model does that when it is asked to; it is told what it has said, wherever it broke."""
    endpoint.going_on, endpoint.faults = WAYS_ON[going_on], {stage: [Dropped(after)]}

    assert answer_by(stage) == ask(endpoint, "astream", **settings(stage)).text
    assert requests(stage) == endpoint.counts
    begins_anew = stage == "skeleton" and after < 6  # there is no point in it yet
    assert (words(said_by(stage), after) in endpoint.told(stage)) is not begins_anew


@FOUR
@FEW
@pytest.mark.parametrize("fault", ["refused", "dropped", "dropped midway", "error midway"])
def test_a_model_with_prefill_goes_on_by_itself(endpoint, fault, stage, way):
    """It is given its own words to end with, and no instruction."""
    endpoint.faults = {stage: [(BEFORE | MIDWAY)[fault]]}

    assert answer_by(stage) == ask(endpoint, way, prefill=True, **settings(stage)).text
    assert requests(stage) == endpoint.counts
    if "stream" in way and "midway" in fault:
        assert "assistant" == endpoint.of(stage)[-1].body["messages"][-1]["role"]
        assert words(said_by(stage), 6) in endpoint.told(stage)


@FOUR
@pytest.mark.parametrize("stage", ["skeleton", "direct"])
def test_every_stage_and_point_may_fail_at_once(endpoint, stage, way):
    """Twice each, in different ways; a break may come in what goes on from a break."""
    endpoint.faults = {key: [Dropped(3), ErrorEvent(2)] for key in STAGES}

    assert answer_by(stage) == ask(endpoint, way, **settings(stage)).text
    assert {3} == set(endpoint.counts.values())
    assert set(requests(stage)) == set(endpoint.counts)


@FEW
def test_each_further_request_is_told(endpoint, stage):
    """Its error, and what it was for."""
    endpoint.faults = {stage: [Rejected(503)]}
    model = OpenAIModel("scripted", base_url=endpoint.base_url)
    told = []

    async def read():
        async with aclosing(SkeletonOfThought(llm=model, **settings(stage)).astream(QUESTION)) as events:
            told.extend([event async for event in events if isinstance(event, CallRetried)])

    run(read())

    (retried,) = told
    number = stage if isinstance(stage, int) else None
    assert (("point" if number else stage), number) == (retried.stage, retried.number)
    assert isinstance(retried.error, openai.InternalServerError)


# -- for good ------------------------------------------------------------------------------------------

LOST = (httpx.RemoteProtocolError, openai.APIConnectionError)
"""From 3.0 on the package has a class of its own for what breaks a stream; before, it is the class of its HTTP."""
PERSISTENT = {
    "status 503": (Rejected(503), openai.InternalServerError),
    "refused": (Rejected(429, {"retry-after": "0.01"}), openai.RateLimitError),
    "dropped": (Dropped(), openai.APIConnectionError),
    "dropped midway": (Dropped(2), LOST),
    "error midway": (ErrorEvent(2), openai.APIError),
    "garbage midway": (Garbage(2), (json.JSONDecodeError, openai.APIError)),
}


@FOUR
@FEW
@pytest.mark.parametrize("fault", PERSISTENT)
def test_what_goes_on_failing_is_raised(endpoint, fault, stage, way):
    """As the model's own error, after as many requests as there may be. Siblings are asked once, or not any more."""
    fault, kind = PERSISTENT[fault]
    endpoint.faults = {stage: [fault] * 9}

    with pytest.raises(Exception) as raised:  # noqa: PT011 -- which one it is, is looked at here
        ask(endpoint, way, **settings(stage))

    assert isinstance(cause_of(raised.value, stage), kind)
    assert 3 == endpoint.counts[stage]
    assert endpoint.counts <= requests(stage, 3)


@TWO
@FEW
@pytest.mark.parametrize("fault", HOPELESS)
def test_what_no_waiting_cures_is_asked_once(endpoint, fault, stage, way):
    """And nothing is asked after it."""
    endpoint.faults = {stage: [HOPELESS[fault]] * 9}

    with pytest.raises((PointError, openai.APIStatusError)) as raised:
        ask(endpoint, way, **settings(stage), **one_place())

    assert isinstance(cause_of(raised.value, stage), openai.APIStatusError)
    assert until_failing(stage) == endpoint.counts


@FOUR
@STAGE
def test_one_attempt_is_one_request(endpoint, stage, way):
    """Then not even a busy server is asked again."""
    endpoint.faults = {stage: [Rejected(503)]}

    with pytest.raises((PointError, openai.InternalServerError)):
        ask(endpoint, way, **settings(stage, retry=Retry(attempts=1)), **one_place())

    assert until_failing(stage) == endpoint.counts


@TWO
@pytest.mark.parametrize(("fault", "count"), [(Empty(), 3), (Empty("content_filter"), 1), (Empty("length"), 1)])
@pytest.mark.parametrize("stage", [2, "direct"])
def test_a_model_that_says_nothing_is_an_error(endpoint, stage, fault, count, way):
    """What a filter took away, and what was all thoughts, would be so again."""
    endpoint.faults = {stage: [fault] * 9}

    with pytest.raises((PointError, EmptyTextError)) as raised:
        ask(endpoint, way, **settings(stage))

    assert fault.finish == cause_of(raised.value, stage).finish
    assert count == endpoint.counts[stage]


@STREAMED
@STAGE
def test_nothing_that_was_written_is_lost(endpoint, stage, way):
    """The error holds it, of all requests together; and what is missing can be written later."""
    endpoint.faults = {stage: [Dropped(2)] * 3}
    told = settings(stage, **one_place())

    with pytest.raises((PointError, *LOST)) as raised:
        ask(endpoint, way, **told)

    before = Answer.before(raised.value)
    if isinstance(stage, int):
        said = POINTS | {stage: words(POINTS[stage], 6)}
        assert {number: said[number] for number in range(1, stage + 1)} == dict(list(written(before).items())[:stage])
    else:
        assert (words(DIRECT, 6) if stage == "direct" else "") == before.text
    assert answer_by(stage) == ask(endpoint, way, resume=before, **told).text
    assert 4 == endpoint.counts[stage]


@pytest.mark.parametrize("way", ["aask", "astream"])
def test_a_point_that_fails_ends_the_others(endpoint, way):
    """Their requests are closed at once; the caller does not wait for them."""
    others = {1, 3}

    def plan(asked, earlier):
        if asked.stage in others:
            return Stalled(2)
        return Rejected(400 if others <= set(endpoint.counts) else 503) if asked.stage == 2 else None

    endpoint.plan = plan
    with pytest.raises(PointError) as raised:
        ask(endpoint, way, **settings(2, retry=Retry(attempts=1000, first_wait=0.01, longest_wait=0.01)))

    assert isinstance(cause_of(raised.value, 2), openai.BadRequestError)
    assert {1: [True], 3: [True]} == {stage: endpoint.cancelled(stage) for stage in others}
