"""What goes wrong between ``OpenAILike`` and an endpoint: for our engine no word is lost, and none is said twice."""

import json
from itertools import product
from typing import Any

import pytest

from skeleton_of_thought import Answer, PointError, Retry
from skeleton_of_thought.errors import EmptyTextError
from skeleton_of_thought.testing import Dropped, Empty, ErrorEvent, Garbage, Rejected, Stalled

from ..faulty import (
    BEFORE,
    CUT,
    HOPELESS,
    MIDWAY,
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

pytest.importorskip("llama_index.llms.openai_like")

import httpx
import openai

from llama_index_sot import SoTQueryBundle

from .endpoints import FEW, STREAMED, TWO, ask, engine_of
from .ways import FOUR

WAYS = ["query", "aquery", "stream", "astream"]
DIRECTLY = [fault for fault in BEFORE | MIDWAY if "garbage" not in fault]
"""Other than in skeletons and points: the default synthesizer swallows what is no JSON, where it does not stream."""


# -- once ----------------------------------------------------------------------------------------------


@FOUR
@pytest.mark.parametrize(
    ("fault", "stage"), [*product(BEFORE | MIDWAY, ["skeleton", 2]), *product(DIRECTLY, ["direct"])]
)
def test_what_fails_once_costs_one_request(endpoint: Faulty, index: Any, fault: str, stage: Any, way: str) -> None:
    """The text is complete, each word of it is there once, and nothing else was asked again."""
    endpoint.faults = {stage: [(BEFORE | MIDWAY)[fault]]}

    assert answer_by(stage) == ask(engine_of(endpoint, index, **settings(stage)), way)
    assert requests(stage) == endpoint.counts


@FOUR
@pytest.mark.parametrize("stage", [1, 3])
@pytest.mark.parametrize("fault", ["refused", "dropped midway"])
def test_so_does_the_first_and_the_last_point(endpoint: Faulty, index: Any, fault: str, stage: Any, way: str) -> None:
    """What begins and what ends the text goes on like all others."""
    endpoint.faults = {stage: [(BEFORE | MIDWAY)[fault]]}

    assert TEXT == ask(engine_of(endpoint, index, **settings(stage)), way)
    assert requests(stage) == endpoint.counts


@STREAMED
@pytest.mark.parametrize("stage", [1, 2, 3])
@pytest.mark.parametrize("fault", CUT)
def test_so_does_a_stream_that_just_ends(endpoint: Faulty, index: Any, fault: str, stage: Any, way: str) -> None:
    """The skeleton told why it ended, so a point that does not was cut."""
    endpoint.faults = {stage: [CUT[fault]]}

    assert TEXT == ask(engine_of(endpoint, index, **settings(stage)), way)
    assert requests(stage) == endpoint.counts


@STREAMED
@pytest.mark.parametrize("fault", CUT)
def test_an_engine_learns_that_its_model_tells_the_end(endpoint: Faulty, index: Any, fault: str, way: str) -> None:
    """From the first answer on."""
    endpoint.faults = {"skeleton": [None, CUT[fault]]}
    engine = engine_of(endpoint, index, **settings("skeleton"))

    assert [TEXT] * 2 == [ask(engine, way) for _ in range(2)]
    assert requests("skeleton", 1) + requests("skeleton") == endpoint.counts


@FOUR
@pytest.mark.parametrize("fault", ["dropped midway", "refused"])
def test_a_direct_answer_that_was_gone_on_with_changes_no_other(
    endpoint: Faulty, index: Any, fault: str, way: str
) -> None:
    """The default synthesizer never tells why a reply ended, so nothing follows from that."""
    endpoint.faults = {"direct": [(BEFORE | MIDWAY)[fault]]}
    engine = engine_of(endpoint, index, **settings("direct"))

    assert [DIRECT] * 3 == [ask(engine, way) for _ in range(3)]
    assert {"direct": 4} == endpoint.counts


@pytest.mark.parametrize(("stage", "way"), [*product([2], WAYS), *product(["direct"], WAYS[2:])])
def test_so_does_a_reply_that_says_nothing(endpoint: Faulty, index: Any, stage: Any, way: str) -> None:
    """Sampling may do better the next time."""
    endpoint.faults = {stage: [Empty()]}

    assert answer_by(stage) == ask(engine_of(endpoint, index, **settings(stage)), way)
    assert requests(stage) == endpoint.counts


@pytest.mark.parametrize("way", WAYS[2:])
@pytest.mark.parametrize("fault", ["garbage at once", "garbage midway"])
def test_so_does_garbage_in_the_stream_of_a_direct_answer(endpoint: Faulty, index: Any, fault: str, way: str) -> None:
    """The default synthesizer hands its error on."""
    endpoint.faults = {"direct": [(BEFORE | MIDWAY)[fault]]}

    assert DIRECT == ask(engine_of(endpoint, index, **settings("direct")), way)
    assert requests("direct") == endpoint.counts


@pytest.mark.parametrize("way", WAYS[:2])
@pytest.mark.parametrize("fault", [Empty(), Garbage()])
def test_the_default_synthesizer_has_a_word_for_nothing(endpoint: Faulty, index: Any, fault: Any, way: str) -> None:
    """Whole, it says so of garbage too, whose error it only logs; it is LlamaIndex's answer, and stays as it is."""
    endpoint.faults = {"direct": [fault]}

    assert "Empty Response" == ask(engine_of(endpoint, index, **settings("direct")), way)
    assert requests("direct", 1) == endpoint.counts


@STREAMED
@FEW
@pytest.mark.parametrize("going_on", WAYS_ON)
def test_what_broke_off_goes_on(endpoint: Faulty, index: Any, going_on: str, stage: Any, way: str) -> None:
    """However a model does that when it is asked to; it is told what it has said."""
    endpoint.going_on, endpoint.faults = WAYS_ON[going_on], {stage: [Dropped(6)]}

    assert answer_by(stage) == ask(engine_of(endpoint, index, **settings(stage)), way)
    assert requests(stage) == endpoint.counts
    assert words(said_by(stage), 6) in endpoint.told(stage)


# -- for good ------------------------------------------------------------------------------------------

LOST = (httpx.TransportError, openai.APIConnectionError)
PERSISTENT: dict[str, Any] = {
    "status 503": (Rejected(503), openai.InternalServerError),
    "refused": (Rejected(429, {"retry-after": "0.01"}), openai.RateLimitError),
    "dropped": (Dropped(), openai.APIConnectionError),
    "dropped midway": (Dropped(2), LOST),
    "error midway": (ErrorEvent(2), openai.APIError),
    "garbage midway": (Garbage(2), (json.JSONDecodeError, openai.APIError)),
}


@FOUR
@pytest.mark.parametrize(
    ("fault", "stage"), [*product(PERSISTENT, ["skeleton", 2]), *product([*PERSISTENT][:-1], ["direct"])]
)
def test_what_goes_on_failing_is_raised(endpoint: Faulty, index: Any, fault: str, stage: Any, way: str) -> None:
    """As the model's own error, after as many requests as there may be. Siblings are asked once, or not any more."""
    fault, kind = PERSISTENT[fault]
    endpoint.faults = {stage: [fault] * 9}  # type: ignore[list-item]

    with pytest.raises(Exception) as raised:  # noqa: PT011 -- which one it is, is looked at here
        ask(engine_of(endpoint, index, **settings(stage)), way)

    assert isinstance(cause_of(raised.value, stage), kind)
    assert 3 == endpoint.counts[stage]
    assert endpoint.counts <= requests(stage, 3)


@TWO
@FEW
@pytest.mark.parametrize("fault", HOPELESS)
def test_what_no_waiting_cures_is_asked_once(endpoint: Faulty, index: Any, fault: str, stage: Any, way: str) -> None:
    """And nothing is asked after it."""
    endpoint.faults = {stage: [HOPELESS[fault]] * 9}

    with pytest.raises((PointError, openai.APIStatusError)) as raised:
        ask(engine_of(endpoint, index, **settings(stage), **one_place()), way)

    assert isinstance(cause_of(raised.value, stage), openai.APIStatusError)
    assert until_failing(stage) == endpoint.counts


@TWO
@pytest.mark.parametrize("fault", [Empty("content_filter"), Empty("length")])
def test_a_point_that_was_kept_back_is_asked_once(endpoint: Faulty, index: Any, fault: Any, way: str) -> None:
    """What a filter took away, and what was all thoughts, would be so again."""
    endpoint.faults = {2: [fault] * 9}

    with pytest.raises(PointError) as raised:
        ask(engine_of(endpoint, index, **settings(2)), way)

    cause = cause_of(raised.value, 2)
    assert isinstance(cause, EmptyTextError)
    assert fault.finish == cause.finish
    assert 1 == endpoint.counts[2]


@STREAMED
@FEW
def test_nothing_that_was_written_is_lost(endpoint: Faulty, index: Any, stage: Any, way: str) -> None:
    """The error holds it, of all requests together; and what is missing can be written later."""
    endpoint.faults = {stage: [Dropped(2)] * 3}
    engine = engine_of(endpoint, index, **settings(stage), **one_place())

    with pytest.raises((PointError, *LOST)) as raised:
        ask(engine, way)

    before = Answer.before(raised.value)
    assert before
    if stage == 2:
        assert {1: POINTS[1], 2: words(POINTS[2], 6)} == dict(list(written(before).items())[:2])
    else:
        assert (words(DIRECT, 6) if stage == "direct" else "") == before.text
    assert answer_by(stage) == ask(engine, way, SoTQueryBundle(QUESTION, resume=before))
    assert 4 == endpoint.counts[stage]


@pytest.mark.parametrize("way", ["aquery", "astream"])
def test_a_point_that_fails_ends_the_others(endpoint: Faulty, index: Any, way: str) -> None:
    """Their requests are closed at once; the caller does not wait for them."""
    others: set[Any] = {1, 3}

    def plan(asked: Any, earlier: int) -> Any:
        if asked.stage in others:
            return Stalled(2)
        return Rejected(400 if others <= set(endpoint.counts) else 503) if asked.stage == 2 else None

    endpoint.plan = plan
    retry = Retry(attempts=1000, first_wait=0.01, longest_wait=0.01)
    with pytest.raises(PointError):
        ask(engine_of(endpoint, index, **settings(2, retry=retry)), way)

    assert {1: [True], 3: [True]} == {stage: endpoint.cancelled(stage) for stage in others}
