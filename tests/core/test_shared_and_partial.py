"""What many random runs have found: of runs that share something, and of answers that are not complete."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator

import pytest

from skeleton_of_thought import Answer, Call, ConfigurationError, Hedge, Limit, PointError, Retry
from skeleton_of_thought.events import PointFailed
from skeleton_of_thought.testing import Failure

from .clock import skip_time
from .running import (
    FOREVER,
    QUESTION,
    SLEEP,
    TEXT,
    broken,
    engine,
    events_of,
    failing,
    heard,
    run,
    scripted,
    text_of,
    whole,
)
from .test_fairness import Crowd
from .test_hedge import Straggler, experienced

POLICY = ValueError("content policy")


@pytest.fixture(autouse=True)
def _no_time_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    skip_time(monkeypatch)


def test_an_error_has_the_answer_of_its_own_run() -> None:
    """Also one object that a model raises again and again."""
    error = ValueError("no")
    asked = ["What is one?", "What is two?"]
    left = [
        Answer.before(broken(lambda: engine(llm, router="never").astream(question))[1])  # noqa: B023 -- called here
        for question in asked
        for llm in [scripted(failures={"direct": Failure(error, 1)})]
    ]
    assert asked[1] == (left[1] and left[1].question)


def test_gaps_alone_have_all_that_was_written() -> None:
    """Not only what was there when the first point failed."""
    llm = scripted(failures={n: Failure(ValueError(n), 1) for n in (1, 2, 3)}, delay={2: 1.0, 3: 2.0})
    _, error = failing(engine(llm, on_point_error="mark", deadline=FOREVER))
    assert isinstance(error, PointError)
    assert ["Take", "Go", "Walk."] == [section.text for section in error.answer.sections]


@pytest.mark.parametrize("width", [1, 2])
def test_of_equals_each_gets_its_turn(width: int) -> None:
    """A long answer that was there first does not go before the short ones each time."""

    async def main() -> None:
        crowd = Crowd(Limit(width, adaptive=False))
        for name, calls in (("long", 20), ("short", 3), ("other", 3)):
            await crowd.come(name, calls)
        for _ in range(10):
            await crowd.leave()
        assert {"short", "other"} <= {name for name, count in Counter(crowd.entered).items() if count >= 3}
        await crowd.all_leave()

    run(main)


def test_a_point_that_was_not_shown_is_written_again() -> None:
    """Its text is in no text, so it is missing."""
    llm = scripted(failures={1: Failure(POLICY, 1)}, delay={1: 1.0})
    _, error = failing(engine(llm, deadline=FOREVER))
    assert isinstance(error, PointError)
    left = Answer.from_about(error.answer.text, error.answer.about())
    assert TEXT == engine().ask(QUESTION, resume=left).text


def test_second_requests_and_a_rate_limit_are_too_much() -> None:
    """They would take the share of calls that wait for theirs."""
    with pytest.raises(ConfigurationError, match="hedge asks again, which rate_limit lets nobody do for free"):
        engine(hedge=Hedge(), rate_limit=Unlimited())


class Unlimited:
    async def wait(self, tokens: int) -> None:
        """Let all through."""


def test_several_stragglers_have_one_budget() -> None:
    """One more call is one more call, also where three would like to make it."""
    llm = Straggler({(number, 1): 20.0 for number in (1, 2, 3)})
    events_of(experienced(llm, calls=9, hedge=Hedge(budget=0.1, quiet=0)))
    assert 4 + 1 == len(llm.asked)


@pytest.mark.parametrize("error", [RuntimeError, ConnectionError])
@pytest.mark.parametrize("policy", ["raise", "mark"])
def test_an_error_that_was_a_cancellation_is_the_deadline(policy: str, error: type[Exception]) -> None:
    """What is written is the answer, and no call is made after it."""
    asked = list[int]()

    async def model(call: Call) -> AsyncGenerator[str, None]:
        asked.append(call.point or 0)
        if call.point == 2:
            try:
                await asyncio.sleep(FOREVER)
            except asyncio.CancelledError:
                raise error from None
        yield "1. Eat well\n2. Sleep well" if call.stage == "skeleton" else "Text."

    answer = whole(engine(model, deadline=1, on_point_error=policy, retry=Retry(first_wait=0)))
    assert "1. Eat well: Text.\n\n2. Sleep well: […]" == answer.text
    assert 1 == asked.count(2)


@pytest.mark.parametrize("router", ["always", "never"])
def test_nothing_is_no_complete_answer(router: str) -> None:
    """Whoever looks at ``complete`` goes on."""
    llm = scripted(failures={"skeleton": ValueError(), "direct": ValueError()})
    left = Answer.before(failing(engine(llm, router=router))[1])
    assert left is not None
    assert not left.complete


def test_a_resumed_point_may_be_left_out_too() -> None:
    """Its heading was not shown yet."""
    left = whole(engine(scripted(failures={2: POLICY}), on_point_error="leave_out"))
    sot = engine(scripted(failures={2: ValueError()}), on_point_error="leave_out")
    assert left.text == text_of(heard(lambda: sot.astream(QUESTION, resume=left)))


def test_a_function_may_raise_what_it_was_given() -> None:
    """The point's failure is told all the same."""

    def policy(error: PointError) -> str:
        raise error

    events, error = failing(engine(scripted(failures={2: POLICY}), on_point_error=policy))
    assert isinstance(error, PointError)
    assert [SLEEP] == [event.point for event in events if isinstance(event, PointFailed)]
