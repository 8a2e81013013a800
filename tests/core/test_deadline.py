import asyncio
from collections.abc import AsyncGenerator

import pytest

from skeleton_of_thought import Answer, Call, ConfigurationError, DeadlineError, PointError, Retry
from skeleton_of_thought.events import Event, Finished, PointFailed, Text
from skeleton_of_thought.testing import ScriptedLLM
from tests.core.clock import skip_time
from tests.core.running import FOREVER, SLEEP, TEXT, broken, engine, events_of, failing, run, scripted, text_of, whole

SOON = 0.1
"""Seconds. Everything is written before that is not scripted to take any time."""


@pytest.fixture(autouse=True)
def _no_time_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    skip_time(monkeypatch)


def answered(llm: object, **settings: object) -> Answer:
    """Return what there is of an answer at the deadline."""
    return whole(engine(llm, **{"deadline": SOON} | settings))  # type: ignore[arg-type]  # any model


def test_an_answer_in_time_is_whole() -> None:
    """A deadline that is not reached changes nothing."""
    answer = answered(scripted(), deadline=FOREVER)
    assert (TEXT, True, ()) == (answer.text, answer.complete, answer.missing)


def test_what_is_written_is_the_answer() -> None:
    """With a mark where a point is missing, and its calls closed."""
    llm = scripted(delay={2: FOREVER})
    answer = answered(llm)
    assert "1. Eat well: Take figs.\n\n2. Sleep well: […]\n\n3. Move every day: Walk." == answer.text
    assert (False, (2,), "DeadlineError") == (answer.complete, answer.missing, answer.sections[1].failure)
    assert 0 == llm.in_flight


def test_what_is_written_of_a_point_stays() -> None:
    """With a mark behind it, in order, and the text of points that are not cut."""
    answer = answered(scripted(pause={1: FOREVER, 2: FOREVER}))
    assert "1. Eat well: Take […]\n\n2. Sleep well: Go […]\n\n3. Move every day: Walk." == answer.text
    assert ["Take", "Go", "Walk."] == [section.text for section in answer.sections]
    assert ["Take", "Go", "Walk."] == [answer.text[slice(*section.span)] for section in answer.sections if section.span]


def test_a_cut_is_told_by_events() -> None:
    """The gaps are shown to whoever reads along, and the answer is the last event as always."""
    events = events_of(engine(scripted(delay={2: FOREVER}), deadline=SOON))
    [failed] = [event for event in events if isinstance(event, PointFailed)]
    assert (SLEEP, DeadlineError) == (failed.point, type(failed.error))
    assert isinstance(events[-1], Finished)
    assert events[-1].answer.text == text_of(events)


def late_policy(error: PointError) -> str:
    return f"(Point {error.number} comes too late.)"


async def late_policy_that_waits(error: PointError) -> str:
    await asyncio.sleep(0)
    return late_policy(error)


@pytest.mark.parametrize(
    ("policy", "gap"),
    [
        ("raise", "\n\n2. Sleep well: […]"),
        ("mark", "\n\n2. Sleep well: […]"),
        ("leave_out", ""),
        (late_policy, "\n\n2. Sleep well: (Point 2 comes too late.)"),
        (late_policy_that_waits, "\n\n2. Sleep well: […]"),  # nobody waits for it now
    ],
)
def test_a_missing_point_is_as_on_point_error_says(policy: object, gap: str) -> None:
    """But a deadline is none that is raised: what is written is the answer."""
    answer = answered(scripted(delay={2: FOREVER}), on_point_error=policy)
    assert f"1. Eat well: Take figs.{gap}\n\n3. Move every day: Walk." == answer.text


def test_a_point_that_failed_before_is_told_once() -> None:
    """By its own error, not by the deadline."""
    llm = scripted(failures={2: ValueError("policy")}, delay={3: FOREVER})
    answer = answered(llm, on_point_error="mark")
    assert [None, "ValueError", "DeadlineError"] == [section.failure for section in answer.sections]


def test_points_that_wait_for_a_place_are_missing_too() -> None:
    """Also those of which no call was made."""
    answer = answered(scripted(delay={2: FOREVER}), max_concurrency=1)
    assert (2, 3) == answer.missing


def test_a_point_that_waits_for_its_next_attempt_is_missing() -> None:
    """No call is made after the deadline."""
    llm = scripted(failures={2: ConnectionError()})
    answer = answered(llm, retry=Retry(first_wait=FOREVER, longest_wait=FOREVER, seconds=3 * FOREVER))
    assert ((2,), 4) == (answer.missing, len(llm.calls))


def test_a_direct_answer_ends_where_it_is() -> None:
    """With a mark, and a finish reason that tells why."""
    answer = answered(scripted(pause={"direct": FOREVER}), router="never")
    assert ("Take figs, […]", "deadline", False) == (answer.text, answer.finish, answer.complete)


def stalled(stage: str, **more: object) -> ScriptedLLM:
    return scripted(delay={stage: FOREVER}, **more)


@pytest.mark.parametrize(
    ("llm", "router"),
    [(stalled("skeleton"), "always"), (scripted(pause={"skeleton": FOREVER}), "always"), (stalled("direct"), "never")],
)
def test_nothing_at_all_is_an_error(llm: ScriptedLLM, router: str) -> None:
    """There is no answer to return; it has what there is, which tells that it is not complete."""
    _, error = failing(engine(llm, router=router, deadline=SOON))
    assert isinstance(error, DeadlineError)
    assert f"not written within {SOON} s: raise deadline" == str(error)
    left = Answer.before(error)
    assert left is not None
    assert "" == left.text
    assert 0 == llm.in_flight


def test_steps_alone_have_a_deadline() -> None:
    """A skeleton or a point that is not written is an error; half a one is none."""
    sot = engine(scripted(pause={"skeleton": FOREVER, 2: FOREVER}), deadline=SOON)
    _, error = broken(lambda: sot.astream_skeleton("How do I stay healthy?"))
    assert isinstance(error, DeadlineError)
    skeleton = whole(engine()).skeleton
    assert skeleton is not None
    events, error = broken(lambda: sot.astream_point("How do I stay healthy?", skeleton, 2))
    assert isinstance(error, DeadlineError)
    assert "Go" == "".join(event.text for event in events if isinstance(event, Text))


def test_a_pipelined_answer_has_what_is_written() -> None:
    """Though its skeleton is not complete."""
    skeleton = ["1. Eat well\n2. Sleep well\n", "3. Move every day"]
    answer = answered(scripted(skeleton=skeleton, pause={"skeleton": FOREVER}), pipelined=True)
    assert "1. Eat well: Take figs.\n\n2. Sleep well: Go to bed.\n\n[…]" == answer.text


def test_a_deadline_of_the_callers_own_is_the_callers() -> None:
    """Ours does not take the cancellation of another scope for its own."""

    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(SOON):
                await engine(stalled("point"), deadline=FOREVER).aask("How do I stay healthy?")

    run(main)


def test_a_models_timeout_before_the_deadline_is_no_deadline() -> None:
    """Its error is raised as without one."""
    own = TimeoutError("read timed out")
    llm = scripted(failures={"skeleton": own})
    assert own is failing(engine(llm, deadline=FOREVER, retry=Retry(attempts=1)))[1]


async def reading_slowly(events: list[Event]) -> None:
    async for event in engine(scripted(delay={3: FOREVER}), deadline=SOON).astream("How do I stay healthy?"):
        events.append(event)
        await asyncio.sleep(SOON / 4)


def test_a_reader_that_is_slow_gets_all_that_was_written_in_time() -> None:
    """The deadline is for the run, and whoever reads does it at leisure."""
    events: list[Event] = []
    run(lambda: reading_slowly(events))
    assert TEXT.replace("Walk.", "[…]") == text_of(events)


def test_a_model_that_does_not_stop_at_once_is_waited_for() -> None:
    """Nothing is in flight behind the answer."""
    ended = 0

    async def dawdling(call: Call) -> AsyncGenerator[str, None]:
        nonlocal ended
        try:
            yield "1. Eat well\n2. Sleep well" if call.stage == "skeleton" else f"Text {call.point}."
            if call.point == 2:
                await asyncio.sleep(FOREVER)
        finally:
            await asyncio.sleep(0)
            ended += 1

    answer = answered(dawdling)
    assert ("1. Eat well: Text 1.\n\n2. Sleep well: Text 2. […]", 3) == (answer.text, ended)


@pytest.mark.parametrize("value", [0, -1, True, "1", float("nan")])
def test_a_deadline_that_cannot_work_is_refused(value: object) -> None:
    """When it is set."""
    with pytest.raises(ConfigurationError, match=r"deadline=.* cannot work"):
        engine(deadline=value)
