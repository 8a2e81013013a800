import asyncio
from collections.abc import AsyncGenerator

import pytest

from skeleton_of_thought import Answer, Call, ConfigurationError, PointError, Retry
from skeleton_of_thought.events import Event, Finished, PointDone, PointFailed
from skeleton_of_thought.testing import Failure, ScriptedLLM
from tests.core.clock import skip_time
from tests.core.running import (
    FOREVER,
    MOVE,
    SLEEP,
    TEXT,
    engine,
    events_of,
    failing,
    retriever,
    scripted,
    text_of,
    whole,
)

POLICY = ValueError("content policy")
FIRST, LAST = "1. Eat well: Take figs.", "3. Move every day: Walk."


@pytest.fixture(autouse=True)
def _no_time_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    skip_time(monkeypatch)


def without(number: int, after: int = 0, **more: object) -> ScriptedLLM:
    """Script a model that cannot write one point, and stops after so many pieces of it."""
    return scripted(failures={number: Failure(POLICY, after)}, **more)


def all_failing(delay: dict[int, float]) -> ScriptedLLM:
    """Script a model that cannot write any point, and says a word of each before."""
    return scripted(failures={number: Failure(ValueError(number), 1) for number in delay}, delay=delay)


def failures_in(events: list[Event]) -> list[tuple[int, Exception]]:
    return [(event.point.number, event.error) for event in events if isinstance(event, PointFailed)]


async def shrug(error: PointError) -> str:
    await asyncio.sleep(0)
    return f"(No {error.title}: {error.__cause__}.)"


# -- raise ---------------------------------------------------------------------------------------------


def test_a_point_that_cannot_be_written_is_an_error() -> None:
    """It names the point and the cause, and has what was written."""
    events, error = failing(engine(without(2, after=1)))
    assert isinstance(error, PointError)
    assert (2, "Sleep well", POLICY) == (error.number, error.title, error.__cause__)
    assert [(2, POLICY)] == failures_in(events)
    assert ["Go"] == [section.text for section in error.answer.sections if section.point == SLEEP]
    assert (False, text_of(events)) == (error.answer.complete, error.answer.text)


def test_the_other_points_are_closed() -> None:
    """Nobody would read them."""
    llm = without(2, pause={1: FOREVER, 3: FOREVER})
    _, error = failing(engine(llm))
    assert isinstance(error, PointError)
    assert 0 == llm.in_flight
    assert ["Take", "", ""] == [section.text for section in error.answer.sections]


def test_of_several_failures_the_first_is_raised() -> None:
    """Alone: there is no group of errors, and the last event tells of the same one."""
    events, error = failing(engine(all_failing(delay={1: 1.0, 2: 0.0, 3: 2.0})))
    assert isinstance(error, PointError)
    assert 2 == error.number
    assert [2] == [number for number, _ in failures_in(events)]


@pytest.mark.parametrize("kind", [ValueError, LookupError, asyncio.TimeoutError, ExceptionGroup])
def test_whatever_a_model_raises_is_the_cause(kind: type[Exception]) -> None:
    """Also a group: it is the model's own, and is in no other."""
    cause = kind("two", [ValueError()]) if kind is ExceptionGroup else kind("one")
    _, error = failing(engine(scripted(failures={2: cause}), retry=Retry(attempts=1)))
    assert (PointError, cause) == (type(error), error.__cause__)


def test_a_point_that_somebody_else_cancels_is_no_answer() -> None:
    """A cancellation is handed on."""

    async def cancelled(call: Call) -> AsyncGenerator[str, None]:
        yield "1. Eat well\n2. Sleep well" if call.stage == "skeleton" else "Take"
        if call.point == 2:
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        whole(engine(cancelled, on_point_error="mark"))


# -- mark, leave out, a function -----------------------------------------------------------------------


@pytest.mark.parametrize("pipelined", [False, True])
@pytest.mark.parametrize(
    ("policy", "gap"),
    [
        ("mark", "2. Sleep well: […]\n\n"),
        ("leave_out", ""),
        (lambda error: "Ask a doctor.", "2. Sleep well: Ask a doctor.\n\n"),
        (shrug, "2. Sleep well: (No Sleep well: content policy.)\n\n"),
        (lambda error: "", ""),
    ],
)
def test_the_answer_goes_on_without_a_point(policy: object, gap: str, pipelined: bool) -> None:
    """What stands in its place is as was said; the other points are as they would be."""
    events = events_of(engine(without(2), on_point_error=policy, pipelined=pipelined))
    assert f"{FIRST}\n\n{gap}{LAST}" == text_of(events)
    assert [(2, POLICY)] == failures_in(events)
    assert isinstance(events[-1], Finished)
    answer = events[-1].answer
    assert (False, (2,), text_of(events)) == (answer.complete, answer.missing, answer.text)
    assert [None, "ValueError", None] == [section.failure for section in answer.sections]


@pytest.mark.parametrize(
    ("policy", "gap"),
    [("mark", "[…]"), ("leave_out", "[…]"), (lambda error: "", "[…]"), (lambda error: "Later.", "Later.")],
)
def test_what_was_shown_of_a_point_stays(policy: object, gap: str) -> None:
    """Nothing is taken back: a point that was shown in part is not left out any more."""
    llm = without(1, after=1, pause={1: 1.0})
    answer = whole(engine(llm, on_point_error=policy, deadline=FOREVER))
    assert TEXT.replace("Take figs.", f"Take {gap}") == answer.text
    assert ("Take", (1,)) == (answer.sections[0].text, answer.missing)


def test_what_was_written_and_not_shown_can_be_left_out() -> None:
    """It is not lost: its section has it."""
    llm = without(2, after=2, delay={1: 1.0})
    answer = whole(engine(llm, on_point_error="leave_out", deadline=FOREVER))
    assert f"{FIRST}\n\n{LAST}" == answer.text
    assert ("Go to", None) == (answer.sections[1].text, answer.sections[1].span)


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("order", [{}, {1: 3.0, 2: 2.0, 3: 1.0}, {1: 1.0, 2: 2.0, 3: 3.0}])
def test_any_point_may_be_left_out_in_any_order_of_writing(number: int, order: dict[int, float]) -> None:
    """There is no heading of it and no gap, also at the edges."""
    answer = whole(engine(without(number, delay=order), on_point_error="leave_out"))
    left = [part for part in TEXT.split("\n\n") if not part.startswith(f"{number}.")]
    assert "\n\n".join(left) == answer.text
    spans = [answer.text[slice(*section.span)] for section in answer.sections if section.span]
    assert [section.text for section in answer.sections if section.done] == spans


def test_a_heading_waits_where_its_point_may_be_left_out() -> None:
    """As long as nothing of it is written; otherwise the reader sees it before."""
    for policy, shown in (("leave_out", ""), ("mark", "1. Eat well: ")):
        events = events_of(engine(scripted(delay={1: 1.0}), on_point_error=policy))
        done = events.index(next(event for event in events if isinstance(event, PointDone)))
        assert shown == text_of(events[:done])


def test_a_function_is_told_of_the_point() -> None:
    """With what was written until then, of it and of the others; it is asked once."""
    told: list[PointError] = []

    def policy(error: PointError) -> str:
        told.append(error)
        return "None."

    whole(engine(without(2, after=1, delay={2: 1.0}), on_point_error=policy, deadline=FOREVER))
    [error] = told
    assert (2, "Sleep well", POLICY) == (error.number, error.title, error.__cause__)
    assert ["Take figs.", "Go", "Walk."] == [section.text for section in error.answer.sections]


@pytest.mark.parametrize("returned", [None, 3, ["text"], b"text"])
def test_a_function_returns_a_text(returned: object) -> None:
    """Anything else is an error of the function, raised as such."""
    _, error = failing(engine(without(2), on_point_error=lambda _: returned))
    assert isinstance(error, ConfigurationError)
    assert "return a text" in str(error)


def test_a_function_may_fail() -> None:
    """Its error is raised, as it is."""
    own = LookupError("no doctor")

    def policy(error: PointError) -> str:
        raise own

    _, error = failing(engine(without(2), on_point_error=policy))
    assert own is error
    assert Answer.before(error) is not None


def test_points_that_come_after_one_that_failed_are_written() -> None:
    """Its failure ends its turn, and gives its place to the next."""
    answer = whole(engine(without(1), on_point_error="mark", max_concurrency=1))
    assert (1,) == answer.missing


def test_a_retriever_that_fails_is_a_point_that_fails() -> None:
    """The others have their passages, and their numbers."""

    async def retrieve(query: str, point: object) -> object:
        if point == SLEEP:
            raise POLICY
        return await retriever()(query, point)  # type: ignore[arg-type]

    answer = whole(engine(retriever=retrieve, on_point_error="mark"))
    assert ((2,), "ValueError") == (answer.missing, answer.sections[1].failure)
    assert [(1,), (), (2,)] == [section.sources for section in answer.sections]


# -- nothing but failures ------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["mark", "leave_out", lambda error: "None.", shrug])
def test_gaps_alone_are_no_answer(policy: object) -> None:
    """The first error is raised, whatever the setting."""
    llm = all_failing(delay={1: 2.0, 2: 0.0, 3: 1.0})
    events, error = failing(engine(llm, on_point_error=policy, deadline=FOREVER))
    assert isinstance(error, PointError)
    assert 2 == error.number
    assert [2, 3, 1] == [number for number, _ in failures_in(events)]
    assert [] == [event for event in events if isinstance(event, PointDone)]


@pytest.mark.parametrize("policy", ["raise", "mark", "leave_out"])
def test_a_point_alone_has_nothing_in_its_place(policy: str) -> None:
    """Whoever asks for one point wants it or its error."""
    skeleton = whole(engine()).skeleton
    assert skeleton is not None
    with pytest.raises(PointError) as caught:
        [*engine(without(3), on_point_error=policy).stream_point("How do I stay healthy?", skeleton, 3)]
    assert (MOVE.number, POLICY) == (caught.value.number, caught.value.__cause__)


def test_an_error_is_as_told_before_any_point() -> None:
    """A skeleton that fails is raised as it is, whatever is to be done with points."""
    events, error = failing(engine(scripted(failures={"skeleton": POLICY}), on_point_error="mark"))
    assert POLICY is error
    assert [] == failures_in(events)
