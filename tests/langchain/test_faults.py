"""What goes wrong between ``ChatOpenAI`` and an endpoint: in a `SoTChain` no word is lost, and none is said twice."""

import json
from typing import Any

import pytest

from skeleton_of_thought import Answer, PointError, Retry
from skeleton_of_thought.testing import Dropped, Empty, ErrorEvent, Garbage, Rejected, Stalled

from ..faulty import (
    BEFORE,
    CUT,
    HOPELESS,
    MIDWAY,
    SOME,
    WAYS_ON,
    Faulty,
    answer_by,
    cause_of,
    one_place,
    requests,
    said_by,
    settings,
    until_failing,
    words,
    written,
)
from ..script import DIRECT, POINTS, QUESTION, TEXT

pytest.importorskip("langchain_openai")

import httpx
import openai

from .endpoints import chain_of
from .ways import FOUR, ask

TWO = pytest.mark.parametrize("way", ["invoke", "astream"])
STREAMED = pytest.mark.parametrize("way", ["stream", "astream"])
FEW = pytest.mark.parametrize("stage", SOME)
ENDS = pytest.mark.parametrize("stage", [1, 3])


# -- once ----------------------------------------------------------------------------------------------


@FOUR
@FEW
@pytest.mark.parametrize("fault", BEFORE | MIDWAY)
def test_what_fails_once_costs_one_request(endpoint: Faulty, fault: str, stage: Any, way: str) -> None:
    """The text is complete, each word of it is there once, and nothing else was asked again."""
    endpoint.faults = {stage: [(BEFORE | MIDWAY)[fault]]}

    assert answer_by(stage) == ask(way, chain_of(endpoint, **settings(stage)), QUESTION).text
    assert requests(stage) == endpoint.counts


@FOUR
@ENDS
@pytest.mark.parametrize("fault", ["refused", "dropped midway"])
def test_so_does_the_first_and_the_last_point(endpoint: Faulty, fault: str, stage: Any, way: str) -> None:
    """What begins and what ends the text goes on like all others."""
    endpoint.faults = {stage: [(BEFORE | MIDWAY)[fault]]}

    assert answer_by(stage) == ask(way, chain_of(endpoint, **settings(stage)), QUESTION).text
    assert requests(stage) == endpoint.counts


@STREAMED
@pytest.mark.parametrize("stage", [1, 2, 3])
@pytest.mark.parametrize("fault", CUT)
def test_so_does_a_stream_that_just_ends(endpoint: Faulty, fault: str, stage: Any, way: str) -> None:
    """The skeleton told why it ended, so a point that does not was cut."""
    endpoint.faults = {stage: [CUT[fault]]}

    assert TEXT == ask(way, chain_of(endpoint, **settings(stage)), QUESTION).text
    assert requests(stage) == endpoint.counts


@STREAMED
@pytest.mark.parametrize("stage", ["skeleton", "direct"])
@pytest.mark.parametrize("fault", CUT)
def test_a_chain_learns_that_its_model_tells_the_end(endpoint: Faulty, fault: str, stage: Any, way: str) -> None:
    """From the first answer on."""
    endpoint.faults = {stage: [None, CUT[fault]]}
    chain = chain_of(endpoint, **settings(stage))

    assert [answer_by(stage)] * 2 == [ask(way, chain, QUESTION).text for _ in range(2)]
    assert requests(stage, 1) + requests(stage) == endpoint.counts


@FOUR
def test_so_does_a_point_without_a_word(endpoint: Faulty, way: str) -> None:
    """Sampling may do better the next time."""
    endpoint.faults = {2: [Empty()]}

    assert TEXT == ask(way, chain_of(endpoint, **settings(2)), QUESTION).text
    assert requests(2) == endpoint.counts


@STREAMED
@FEW
@pytest.mark.parametrize("going_on", WAYS_ON)
def test_what_broke_off_goes_on(endpoint: Faulty, going_on: str, stage: Any, way: str) -> None:
    """However a model does that when it is asked to; it is told what it has said."""
    endpoint.going_on, endpoint.faults = WAYS_ON[going_on], {stage: [Dropped(6)]}

    assert answer_by(stage) == ask(way, chain_of(endpoint, **settings(stage)), QUESTION).text
    assert requests(stage) == endpoint.counts
    assert words(said_by(stage), 6) in endpoint.told(stage)


@FOUR
@FEW
@pytest.mark.parametrize("fault", ["refused", "dropped midway", "error midway"])
def test_a_model_with_prefill_goes_on_by_itself(endpoint: Faulty, fault: str, stage: Any, way: str) -> None:
    """It is given its own words to end with, and no instruction."""
    endpoint.faults = {stage: [(BEFORE | MIDWAY)[fault]]}

    assert answer_by(stage) == ask(way, chain_of(endpoint, prefill=True, **settings(stage)), QUESTION).text
    assert requests(stage) == endpoint.counts
    if "stream" in way and "midway" in fault:
        assert "assistant" == endpoint.of(stage)[-1].body["messages"][-1]["role"]


@FOUR
@FEW
def test_a_message_tells_what_all_requests_cost(endpoint: Faulty, stage: Any, way: str) -> None:
    """Also where it was begun in one and ended in another, as far as they told; and it has one end."""
    endpoint.faults = {stage: [Dropped(4), Rejected(503)]}

    message = ask(way, chain_of(endpoint, **settings(stage)), QUESTION)

    assert requests(stage, 3) == endpoint.counts
    assert message.usage_metadata["output_tokens"] >= len(said_by(stage).split()) - 4
    assert message.response_metadata["sot"]["complete"]
    assert stage != "direct" or "stop" == message.response_metadata["finish_reason"]


# -- for good ------------------------------------------------------------------------------------------

LOST = (httpx.RemoteProtocolError, openai.APIConnectionError)
PERSISTENT: dict[str, Any] = {
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
def test_what_goes_on_failing_is_raised(endpoint: Faulty, fault: str, stage: Any, way: str) -> None:
    """As the model's own error, after as many requests as there may be. Siblings are asked once, or not any more."""
    fault, kind = PERSISTENT[fault]
    endpoint.faults = {stage: [fault] * 9}  # type: ignore[list-item]

    with pytest.raises(Exception) as raised:  # noqa: PT011 -- which one it is, is looked at here
        ask(way, chain_of(endpoint, **settings(stage)), QUESTION)

    assert isinstance(cause_of(raised.value, stage), kind)
    assert 3 == endpoint.counts[stage]
    assert endpoint.counts <= requests(stage, 3)


@TWO
@FEW
@pytest.mark.parametrize("fault", HOPELESS)
def test_what_no_waiting_cures_is_asked_once(endpoint: Faulty, fault: str, stage: Any, way: str) -> None:
    """And nothing is asked after it."""
    endpoint.faults = {stage: [HOPELESS[fault]] * 9}

    with pytest.raises((PointError, openai.APIStatusError)) as raised:
        ask(way, chain_of(endpoint, **settings(stage), **one_place()), QUESTION)

    assert isinstance(cause_of(raised.value, stage), openai.APIStatusError)
    assert until_failing(stage) == endpoint.counts


@STREAMED
@FEW
def test_nothing_that_was_written_is_lost(endpoint: Faulty, stage: Any, way: str) -> None:
    """The error holds it, of all requests together; and what is missing can be written later."""
    endpoint.faults = {stage: [Dropped(2)] * 3}
    chain = chain_of(endpoint, **settings(stage), **one_place())

    with pytest.raises((PointError, *LOST)) as raised:
        ask(way, chain, QUESTION)

    before = Answer.before(raised.value)
    assert before
    if stage == 2:
        assert {1: POINTS[1], 2: words(POINTS[2], 6)} == dict(list(written(before).items())[:2])
    else:
        assert (words(DIRECT, 6) if stage == "direct" else "") == before.text
    assert answer_by(stage) == ask(way, chain, QUESTION, {"configurable": {"sot_resume": before}}).text
    assert 4 == endpoint.counts[stage]


@pytest.mark.parametrize("way", ["ainvoke", "astream"])
def test_a_point_that_fails_ends_the_others(endpoint: Faulty, way: str) -> None:
    """Their requests are closed at once; the caller does not wait for them."""
    others: set[Any] = {1, 3}

    def plan(asked: Any, earlier: int) -> Any:
        if asked.stage in others:
            return Stalled(2)
        return Rejected(400 if others <= set(endpoint.counts) else 503) if asked.stage == 2 else None

    endpoint.plan = plan
    retry = Retry(attempts=1000, first_wait=0.01, longest_wait=0.01)
    with pytest.raises(PointError):
        ask(way, chain_of(endpoint, **settings(2, retry=retry)), QUESTION)

    assert {1: [True], 3: [True]} == {stage: endpoint.cancelled(stage) for stage in others}
