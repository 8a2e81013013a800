import asyncio
from collections.abc import AsyncGenerator
from types import SimpleNamespace

import pytest

from skeleton_of_thought import Abilities, Answer, Call, Finish, PointError, Retry, Usage
from skeleton_of_thought.calls import Door, Piece
from skeleton_of_thought.errors import EmptyTextError
from skeleton_of_thought.events import CallRetried, Event, Finished, PointStarted
from skeleton_of_thought.testing import Failure
from tests.core.running import (
    TEXT,
    engine,
    events_of,
    failing,
    scripted,
    text_of,
    untimed,
    whole,
)

AT_ONCE = Retry(first_wait=0)
BROKEN = ConnectionError("reset by peer")
SKELETON = "1. Eat well\n2. Sleep well\n3. Move every day"
POINTS = {1: "Take figs.", 2: "Go to bed.", 3: "Walk."}


class RefusedError(Exception):
    """As a provider's package raises it."""

    def __init__(self, status: int = 429, after: float | None = None, code: str | None = None) -> None:
        super().__init__(status)
        self.status_code = status
        self.code = code
        self.response = SimpleNamespace(headers={} if after is None else {"retry-after": str(after)})


class Breaking:
    """A model whose first requests for a stage or a point break off, each with its error and after so many pieces."""

    def __init__(self, faults: dict[str | int, list[tuple[int, Exception]]], *, anew: bool = True) -> None:
        self.faults = faults
        self.anew = anew
        self.calls: list[Call] = []
        self.abilities = Abilities(prefill=not anew)

    def asked(self, key: str | int) -> list[Call]:
        return [call for call in self.calls if key in {call.stage, call.point}]

    async def __call__(self, call: Call) -> AsyncGenerator[Piece, None]:
        self.calls.append(call)
        key = call.point or call.stage
        faults = self.faults.get(key, [])
        number = len(self.asked(key)) - 1
        after, error = faults[number] if number < len(faults) else (None, None)
        text = {"skeleton": SKELETON, "direct": "Take figs, and rest."}.get(call.stage) or POINTS[call.point or 0]
        if not self.anew and call.stage == "skeleton":
            text = text.removeprefix("1.")
        pieces = text.split(" ") if self.anew else text.removeprefix(call.said).split(" ")
        for place, piece in enumerate(pieces[:after]):
            await asyncio.sleep(0)
            yield f" {piece}" if place else piece
        yield Usage(10, len(pieces[:after]))
        if error:
            raise error
        yield Finish("stop")


def retried(events: list[Event]) -> list[tuple[str, int | None, Exception]]:
    return [(event.stage, event.number, event.error) for event in events if isinstance(event, CallRetried)]


# -- requests ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pipelined", [False, True])
@pytest.mark.parametrize("anew", [True, False])
@pytest.mark.parametrize("after", [0, 1, 2, 3])
def test_a_call_that_breaks_is_made_again(after: int, anew: bool, pipelined: bool) -> None:
    """Each of a run, wherever it breaks: the reader sees the same, and each new request is told."""
    llm = Breaking({"skeleton": [(after, BROKEN)], 1: [(after, BROKEN)], 2: [(after, BROKEN)] * 2}, anew=anew)
    events = events_of(engine(llm, retry=AT_ONCE, pipelined=pipelined))
    assert TEXT == text_of(events)
    expected = [("point", 1, BROKEN), ("point", 2, BROKEN), ("point", 2, BROKEN), ("skeleton", None, BROKEN)]
    assert expected == sorted(retried(events), key=lambda each: (each[0], each[1] or 0))
    assert [2, 3, 1, 2] == [len(llm.asked(key)) for key in (1, 2, 3, "skeleton")]


@pytest.mark.parametrize("anew", [True, False])
def test_a_direct_answer_that_breaks_goes_on(anew: bool) -> None:
    """From what was shown of it."""
    llm = Breaking({"direct": [(0, BROKEN), (2, BROKEN)]}, anew=anew)
    events = events_of(engine(llm, router="never", retry=AT_ONCE))
    assert "Take figs, and rest." == text_of(events)
    assert ["", "", "Take figs,"] == [call.said for call in llm.calls]


def test_a_call_that_goes_well_is_made_once() -> None:
    """And nothing is told of attempts."""
    llm = Breaking({})
    events = events_of(engine(llm, retry=AT_ONCE))
    assert [] == retried(events)
    assert 4 == len(llm.calls)


def test_what_never_goes_well_is_tried_once() -> None:
    """A wrong request is as wrong the next time."""
    error = RefusedError(400)
    llm = Breaking({2: [(0, error)] * 9})
    events, raised = failing(engine(llm, retry=AT_ONCE))
    assert error is raised.__cause__
    assert ([], 1) == (retried(events), len(llm.asked(2)))


def test_an_account_that_is_empty_is_not_asked_again() -> None:
    """Though it is refused with 429."""
    llm = Breaking({"skeleton": [(0, RefusedError(429, code="insufficient_quota"))] * 9})
    failing(engine(llm, retry=AT_ONCE))
    assert 1 == len(llm.calls)


@pytest.mark.parametrize("attempts", [1, 2, 3, 7])
def test_attempts_are_bounded(attempts: int) -> None:
    """The error of the last is raised, as it is."""
    errors = [ConnectionError(number) for number in range(9)]
    llm = Breaking({2: [(0, error) for error in errors]})
    events, raised = failing(engine(llm, retry=Retry(attempts=attempts, first_wait=0)))
    assert errors[attempts - 1] is raised.__cause__
    assert errors[: attempts - 1] == [error for _, _, error in retried(events)]
    assert attempts == len(llm.asked(2))


@pytest.mark.parametrize(
    ("tries", "attempts", "expected"), [(1, 4, 4), (2, 4, 2), (3, 4, 1), (4, 4, 1), (9, 4, 1), (3, 6, 2)]
)
def test_attempts_do_not_multiply(tries: int, attempts: int, expected: int) -> None:
    """What the model's own client repeats counts, where it fails before its first token."""
    llm = Breaking({2: [(0, BROKEN)] * 20})
    failing(engine(Door(llm, tries=tries), retry=Retry(attempts=attempts, first_wait=0)))
    assert expected == len(llm.asked(2))


def test_a_reply_that_broke_off_was_one_request() -> None:
    """A client does not repeat what it has begun to hand on."""
    llm = Breaking({2: [(1, BROKEN)] * 20})
    failing(engine(Door(llm, tries=2), retry=Retry(attempts=4, first_wait=0)))
    assert 3 == len(llm.asked(2))


def test_the_time_for_attempts_is_bounded() -> None:
    """From the first failure on; a wait that would be too long is not begun."""
    llm = Breaking({2: [(0, BROKEN)] * 99})
    failing(engine(llm, retry=Retry(attempts=99, seconds=0.05, first_wait=0.01, longest_wait=0.01)))
    assert 2 <= len(llm.asked(2)) <= 7
    for headers, seconds in ((3600.0, 60.0), (0.5, 0.4)):
        llm = Breaking({2: [(0, RefusedError(after=headers))] * 99})
        failing(engine(llm, retry=Retry(attempts=99, seconds=seconds)))
        assert 1 == len(llm.asked(2))


def test_a_point_without_a_text_is_asked_for_again() -> None:
    """Unless the model told that it would write none: then its error is raised."""
    for finish, expected in (("stop", 3), ("content_filter", 1), ("length", 1)):
        llm = scripted(points={**scripted().points, 2: " "}, finish={2: finish})
        _, error = failing(engine(llm, retry=Retry(attempts=3, first_wait=0)))
        assert isinstance(error.__cause__, EmptyTextError)
        assert expected == sum(call.point == 2 for call in llm.calls)


def test_the_wait_is_told_and_what_the_provider_asks_for() -> None:
    """Before it begins."""
    llm = Breaking({2: [(0, RefusedError(after=0.01)), (0, RefusedError(after=0.02))]})
    events = events_of(engine(llm))
    assert [0.01, 0.02] == [event.seconds for event in events if isinstance(event, CallRetried)]


# -- what is asked for ---------------------------------------------------------------------------------


def test_a_model_that_can_go_on_is_given_its_own_text() -> None:
    """As the beginning of its message."""
    llm = Breaking({"skeleton": [(3, BROKEN)], 2: [(2, BROKEN)]}, anew=False)
    events_of(engine(llm, retry=AT_ONCE))
    again = llm.asked("skeleton")[1].messages[-1]
    assert ("assistant", "1. Eat well\n2.") == (again.role, again.text)
    again = llm.asked(2)[1].messages[-1]
    assert ("assistant", "Go to") == (again.role, again.text.split(":")[1].strip())


def test_any_other_model_is_asked_for_the_rest() -> None:
    """By its own message, as far as it came, and an instruction that quotes its end."""
    llm = Breaking({2: [(2, BROKEN)]})
    events_of(engine(llm, retry=AT_ONCE))
    first, again = llm.asked(2)
    *before, said, task = again.messages
    assert (list(first.messages), "assistant", "Go to", "user") == (before, said.role, said.text, task.role)
    assert '"Go to"' in task.text


def test_what_was_not_shown_is_asked_for_anew() -> None:
    """With the same call."""
    llm = Breaking({"skeleton": [(1, BROKEN)], 2: [(0, BROKEN)]})
    events_of(engine(llm, retry=AT_ONCE))
    for key in ("skeleton", 2):
        first, again = llm.asked(key)
        assert first == again


def test_a_point_starts_once() -> None:
    """However often it is asked for."""
    events = events_of(engine(Breaking({2: [(0, BROKEN), (1, BROKEN)]}), retry=AT_ONCE))
    assert [1, 2, 3] == sorted(event.point.number for event in events if isinstance(event, PointStarted))


def test_tools_that_were_called_are_not_called_again() -> None:
    """Half a call cannot be gone on with, and a whole one must not be made twice."""
    asked = list[Call]()

    async def model(call: Call) -> AsyncGenerator[Piece, None]:
        asked.append(call)
        yield Finish("tool_calls")
        raise BROKEN

    _, error = failing(engine(model, router="never", retry=AT_ONCE))
    assert (BROKEN, 1) == (error, len(asked))


# -- usage ---------------------------------------------------------------------------------------------


def test_all_attempts_are_paid_for() -> None:
    """Also those that failed: their tokens count, for the stage and for the point."""
    llm = Breaking({"skeleton": [(1, BROKEN)], 2: [(2, BROKEN), (0, BROKEN)]}, anew=False)
    answer = answer_of(events_of(engine(llm, retry=AT_ONCE)))
    assert Usage(20, 1 + 8) == answer.usage["skeleton"]
    assert Usage(50, 2 + 2 + 0 + 2 + 1) == answer.usage["point"]
    assert Usage(30, 2 + 0 + 2) == answer.sections[1].usage


def answer_of(events: list[Event]) -> Answer:
    assert isinstance(events[-1], Finished)
    return events[-1].answer


def test_a_run_that_fails_was_paid_for() -> None:
    """The answer until then tells it."""
    llm = Breaking({2: [(1, BROKEN)] * 9})
    _, error = failing(engine(llm, retry=Retry(attempts=3, first_wait=0), max_concurrency=1))
    assert isinstance(error, PointError)
    assert Usage(50, 2 + 3 + 1) == error.answer.usage["point"]


def test_whole_texts_are_made_again_too() -> None:
    """Where nobody reads along."""
    llm = scripted(failures={2: Failure(BROKEN, times=2), "skeleton": Failure(BROKEN, times=1)})
    assert TEXT == whole(engine(llm, retry=AT_ONCE)).text


def test_each_request_takes_its_share_of_the_rate_limit() -> None:
    """Not each call: a provider counts what it is asked."""

    class Counted:
        taken = 0

        async def wait(self, tokens: int) -> None:
            self.taken += 1

    limit = Counted()
    events_of(engine(Breaking({2: [(0, BROKEN), (1, BROKEN)]}), retry=AT_ONCE, rate_limit=limit))
    assert 4 + 2 == limit.taken


def test_events_are_those_of_a_run_that_went_well() -> None:
    """But for the attempts."""
    smooth = untimed(events_of(engine(Breaking({}, anew=False), max_concurrency=1)))
    rough = untimed(events_of(engine(Breaking({2: [(0, BROKEN)]}, anew=False), retry=AT_ONCE, max_concurrency=1)))
    assert text_of(smooth) == text_of(rough)
    assert {type(event) for event in rough} == {type(event) for event in smooth} | {CallRetried}
