"""Runs to which anything may happen, at any piece and at any turn of the loop.

A model says what a script says, and each of its requests may fail before its first piece or behind any other, in a way
that may go well the next time or in one that does not, after any number of turns. It goes on exactly, from its last
words, or anew. The run may be left or cancelled at any turn. Whatever happens, the reader sees a beginning of the page.
"""

import asyncio
from contextlib import aclosing, suppress
from dataclasses import dataclass, field, replace
from typing import Any

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from skeleton_of_thought import (
    Answer,
    Hedge,
    Point,
    Retry,
    SkeletonOfThought,
)
from skeleton_of_thought.calls import key_of
from skeleton_of_thought.events import CallRetried, Event, Finished, PointDone, PointFailed, PointFound, Text
from tests.core.running import QUESTION, run
from tests.core.unreliable import DIRECT, ERRORS, TEXTS, TITLES, Unreliable, models

GAP = "[…]"

SETTINGS = st.fixed_dictionaries({
    "router": st.sampled_from(["always", "always", "always", "never"]),
    "pipelined": st.booleans(),
    "max_concurrency": st.integers(1, 6),
    "on_point_error": st.sampled_from(["raise", "mark", "leave_out", lambda error: "Ask me again."]),
    "retry": st.integers(1, 5).map(lambda attempts: Retry(attempts=attempts, first_wait=0)),
    "hedge": st.sampled_from([None, Hedge(quiet=0, budget=1)]),
    "deadline": st.sampled_from([None, 3600]),
    "timeout": st.sampled_from([None, 3600]),
})


def page(points: int, direct: bool) -> str:
    if direct:
        return DIRECT
    whole = zip(TITLES[:points], TEXTS, strict=False)
    return "\n\n".join(f"{number}. {title}: {text}" for number, (title, text) in enumerate(whole, 1))


def check_shown(shown: str, points: int, *, direct: bool, done: bool) -> None:
    """Let *shown* be a beginning of the page, in which points may be cut, marked, replaced or left out."""
    if direct:
        assert DIRECT.startswith(shown)
        return
    sections = [section for section in shown.split("\n\n") if section]
    numbers = [int(section.split(".")[0]) for section in sections]
    assert sorted(set(numbers)) == numbers
    for number, section in zip(numbers, sections, strict=True):
        whole = f"{number}. {TITLES[number - 1]}: {TEXTS[number - 1]}"
        cut = section.removesuffix(GAP).removesuffix("Ask me again.").rstrip()
        last = not done and number == numbers[-1]
        assert whole.startswith(cut)
        assert last or section == whole or section.endswith((GAP, "Ask me again."))


def check_events(events: list[Event], points: int) -> None:
    """Let nothing be said twice that is said once."""
    found = [each.point for each in events if isinstance(each, PointFound)]
    known = found[0].number - 1 if found else 0  # by an earlier run
    assert [Point(number, TITLES[number - 1]) for number in range(known + 1, known + len(found) + 1)] == found
    ended = [each.section.point if isinstance(each, PointDone) else each.point
             for each in events if isinstance(each, PointDone | PointFailed)]  # fmt: skip
    assert len(set(ended)) == len(ended)
    assert all(type(each.error) in ERRORS[:2] for each in events if isinstance(each, CallRetried))


def check_answer(answer: Answer, shown: str) -> None:
    """Let an answer tell what was shown, and where."""
    assert shown == answer.text
    for section in answer.sections:
        if section.span:
            assert section.text == answer.text[slice(*section.span)]
        assert section.text == "" or TEXTS[section.point.number - 1].startswith(section.text)
        assert not section.done or section.text == TEXTS[section.point.number - 1]


@dataclass
class Went:
    """How a run went."""

    events: list[Event] = field(default_factory=list)
    error: Exception | None = None

    @property
    def shown(self) -> str:
        return "".join(each.text for each in self.events if isinstance(each, Text))

    @property
    def answer(self) -> Answer | None:
        last = self.events[-1] if self.events else None
        if isinstance(last, Finished):
            return last.answer
        return Answer.before(self.error) if self.error else None


def made(llm: Unreliable, named: dict[str, Any]) -> SkeletonOfThought:
    """Make an object that has been in use for long: each call is soon late, where it may be asked a second time."""
    sot = SkeletonOfThought(llm=llm, **named)
    pace = sot.limit.place("earlier", key_of(llm)).traffic.pace
    pace.calls = 1000
    for _ in range(20):
        pace.heard(0.0, streamed=True)
        pace.heard(0.0, streamed=False)
    return sot


async def hear(sot: SkeletonOfThought, went: Went, leave: int | None = None, **how: Any) -> None:
    """Hear a run to its end, until it fails, or until so many events were heard."""
    try:
        async with aclosing(sot.astream(QUESTION, **how)) as stream:
            async for each in stream:
                went.events.append(each)
                if leave is not None and len(went.events) >= leave:
                    break
    except Exception as error:  # noqa: BLE001 -- which it is, is looked at
        went.error = error


def outcome(sot: SkeletonOfThought, llm: Unreliable, **how: Any) -> Went:
    """Run, and let nothing be in flight at the end; `run` looks at tasks and unheard errors."""
    went = Went()

    async def main() -> None:
        await hear(sot, went, **how)
        assert 0 == llm.in_flight

    run(main)
    return went


def check(sot: SkeletonOfThought, llm: Unreliable, went: Went) -> None:
    direct = sot.router == "never"
    check_shown(went.shown, llm.points, direct=direct, done=isinstance(went.events[-1], Finished))
    check_events(went.events, llm.points)
    if went.answer:
        check_answer(went.answer, went.shown)


ANYTHING = settings(suppress_health_check=[HealthCheck.too_slow])


@ANYTHING
@given(models(), SETTINGS, st.booleans(), st.booleans())
def test_whatever_fails_the_reader_sees_a_beginning_of_the_page(
    llm: Unreliable, named: dict[str, Any], whole: bool, terse: bool
) -> None:
    """Each point's words once and in order, and the answer tells the same."""
    sot = made(llm, named)
    went = outcome(sot, llm, whole=whole, terse=terse)
    event(f"ended with {type(went.error).__name__}")
    check(sot, llm, went)
    assert not isinstance(went.error, ExceptionGroup)
    assert went.answer is not None


@ANYTHING
@given(models(), SETTINGS)
def test_an_answer_that_failed_is_gone_on_with_to_its_end(llm: Unreliable, named: dict[str, Any]) -> None:
    """From what was left of it, through JSON, by a model that is well again; what was done is not asked for."""
    sot = made(llm, named)
    first = outcome(sot, llm)
    assert first.answer is not None
    left = Answer.from_json(first.answer.to_json())
    well = replace(llm, faults={}, requests={}, in_flight=0)
    went = outcome(replace(sot, llm=well), well, resume=left)
    assert went.error is None
    assert page(llm.points, direct=sot.router == "never") == went.shown
    check(sot, llm, went)
    written = [section.point.number for section in left.sections if section.done]
    assert [] == [number for number in written if ("point", number) in well.requests]
    assert went.answer is not None
    assert (True, ()) == (went.answer.complete, went.answer.missing)


@ANYTHING
@given(models(), SETTINGS, st.integers(0, 40), st.booleans())
def test_whoever_leaves_early_leaves_nothing_behind(
    llm: Unreliable, named: dict[str, Any], leave: int, terse: bool
) -> None:
    """No call and no task, and what was shown until then was right."""
    sot = made(llm, named)
    went = outcome(sot, llm, leave=max(1, leave), terse=terse)
    check(sot, llm, went)


@ANYTHING
@given(models(), SETTINGS, st.lists(st.integers(0, 30), min_size=1, max_size=3))
def test_whoever_is_cancelled_leaves_nothing_behind(llm: Unreliable, named: dict[str, Any], turns: list[int]) -> None:
    """At any turn of the loop, and more than once."""
    sot, went = made(llm, named), Went()

    async def main() -> None:
        task = asyncio.create_task(hear(sot, went))
        for wait in turns:
            for _ in range(wait):
                await asyncio.sleep(0)
            task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        for _ in range(10):  # one who is cancelled while it cleans up does not wait any more
            await asyncio.sleep(0)
        assert 0 == llm.in_flight
        assert sot.limit._in_flight == 0

    run(main)
    if went.events:
        check(sot, llm, went)


@ANYTHING
@given(models(), models(), SETTINGS)
def test_runs_beside_each_other_are_each_as_alone(one: Unreliable, other: Unreliable, named: dict[str, Any]) -> None:
    """With one limit for both, and whatever happens to either."""
    sots = [made(one, named)]
    sots.append(replace(sots[0], llm=other))
    went = [Went(), Went()]

    async def main() -> None:
        await asyncio.gather(*(hear(sot, each) for sot, each in zip(sots, went, strict=True)))
        assert (0, 0) == (one.in_flight, other.in_flight)
        assert 0 == sots[0].limit._in_flight

    run(main)
    for sot, llm, each in zip(sots, (one, other), went, strict=True):
        check(sot, llm, each)
        assert each.answer is not None
