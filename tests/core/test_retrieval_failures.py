import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skeleton_of_thought import Passage, Point, PointError, Section, Skeleton
from skeleton_of_thought.answer import Source
from skeleton_of_thought.events import Event, Finished, PointDone, PointFailed, PointText, SourcesFound
from skeleton_of_thought.testing import collect

from .running import (
    EAT,
    FIGS,
    FOREVER,
    MOVE,
    QUESTION,
    SLEEP,
    TEXT,
    broken,
    engine,
    failing,
    retriever,
    run,
    scripted,
    text_of,
    whole,
)

POINTS = {1: EAT, 2: SLEEP, 3: MOVE}


class Searches:
    """A retriever of which some searches do not end, fail, or are cancelled by somebody else."""

    def __init__(self, fates: dict[int, str], turns: tuple[int, ...] = (0, 0, 0, 0)) -> None:
        self._fates = fates
        self._turns = turns
        self.errors: dict[int, OSError] = {number: OSError(f"no route for {number}") for number in fates}
        self.open = 0
        self.begun = 0

    async def __call__(self, query: str, point: Point | None) -> list[Passage]:
        number = point.number if point else 0
        async with self._counted():
            for _ in range(self._turns[number]):
                await asyncio.sleep(0)
            match self._fates.get(number):
                case "fails":
                    raise self.errors[number]
                case "is cancelled":
                    raise asyncio.CancelledError
                case "never ends":
                    await asyncio.Event().wait()
        return [FIGS]

    @asynccontextmanager
    async def _counted(self) -> AsyncIterator[None]:
        self.begun += 1
        self.open += 1
        try:
            yield
        finally:
            try:
                await asyncio.sleep(0)  # to close a connection takes its time
            finally:
                self.open -= 1


# -- a search that fails -------------------------------------------------------------------------------


@pytest.mark.parametrize("turns", [0, 5])
@pytest.mark.parametrize("number", POINTS)
def test_a_search_that_fails_fails_its_point(number: int, turns: int) -> None:
    """With the retriever's own error as the cause; the other searches and all calls are closed at once."""
    llm, searches = scripted(delay={"point": FOREVER}), Searches(dict.fromkeys(POINTS, "never ends"))
    searches._fates[number], searches._turns = "fails", (turns,) * 4
    events, error = failing(engine(llm, retriever=searches))
    assert isinstance(error, PointError)
    assert (number, POINTS[number].title, searches.errors[number]) == (error.number, error.title, error.__cause__)
    assert PointFailed(POINTS[number], searches.errors[number]) == events[-1]
    assert (3, 0, 0) == (searches.begun, searches.open, llm.in_flight)
    assert ("1. Eat well: ", Skeleton((EAT, SLEEP, MOVE))) == (error.answer.text, error.answer.skeleton)


def test_what_was_written_until_then_is_kept() -> None:
    """Of the points whose passages had been found; what of them was not shown whole has no place in the text."""
    searches = Searches({3: "fails"}, turns=(0, 0, 0, 99))
    llm = scripted(points={1: ["Take", " figs."], 2: ["Go", *" to" * 999], 3: "Walk."})
    events, error = failing(engine(llm, retriever=searches, heading="none"))
    assert isinstance(error, PointError)
    assert text_of(events) == error.answer.text
    eat, sleep, move = error.answer.sections
    assert (Section(EAT, "Take figs.", eat.seconds, "stop", eat.usage, (1,)), (0, 10)) == (eat, eat.span)
    assert (SLEEP, (), None, None) == (sleep.point, sleep.sources, sleep.seconds, sleep.span)
    assert sleep.text.startswith("Go")
    assert (Section(MOVE, ""), None) == (move, move.span)
    assert (Source(1, FIGS, (1, 2)),) == error.answer.sources
    assert [1, 2] == list(error.answer.timings.retrieval)


def test_only_the_first_of_several_failures_is_told() -> None:
    """It is the one that is raised."""
    searches = Searches(dict.fromkeys(POINTS, "fails"), turns=(0, 3, 2, 2))
    events, error = failing(engine(retriever=searches))
    assert isinstance(error, PointError)
    assert (2, searches.errors[2]) == (error.number, error.__cause__)
    assert [PointFailed(SLEEP, searches.errors[2])] == [event for event in events if isinstance(event, PointFailed)]


def test_a_point_that_fails_ends_the_searches_for_the_others() -> None:
    """As it ends their calls."""
    searches, cause = Searches({2: "never ends", 3: "never ends"}), OSError("no route")
    events, error = failing(engine(scripted(failures={1: cause}), retriever=searches))
    assert isinstance(error, PointError)
    assert (1, cause, 0) == (error.number, error.__cause__, searches.open)
    assert SourcesFound((Source(1, FIGS, (1,)),)) in events


@pytest.mark.parametrize("settings", [{"router": "never"}, {"min_points": 9}])
def test_a_search_for_a_direct_answer_fails_with_its_own_error(settings: dict[str, object]) -> None:
    """There is no point that could not be written."""
    llm, searches = scripted(), Searches({0: "fails"})
    events, error = failing(engine(llm, retriever=searches, **settings))
    assert searches.errors[0] is error
    assert not any(isinstance(event, PointFailed | Finished) for event in events)
    assert "direct" not in {call.stage for call in llm.calls}


def test_all_ways_in_fail_alike() -> None:
    """With the same error."""
    searches = Searches({2: "fails"})
    sot = engine(retriever=searches)
    for ask in (whole, lambda sot: sot.ask(QUESTION), lambda sot: list(sot.stream(QUESTION))):
        with pytest.raises(PointError) as caught:
            ask(sot)
        assert searches.errors[2] is caught.value.__cause__
        assert Skeleton((EAT, SLEEP, MOVE)) == caught.value.answer.skeleton


def test_a_failed_search_does_not_spoil_the_object() -> None:
    """The next question finds all places free."""
    searches = Searches({2: "fails"})
    sot = engine(retriever=searches, max_concurrency=1)
    assert isinstance(failing(sot)[1], PointError)
    searches._fates.clear()
    assert TEXT == whole(sot).text


def test_a_retriever_that_does_not_wait_is_told() -> None:
    """It has to be asynchronous: a blocking one would hold up all other points."""
    _, error = failing(engine(retriever=lambda query, point: [FIGS]))
    assert isinstance(error, PointError)
    assert isinstance(error.__cause__, TypeError)


def test_what_is_no_passages_fails_the_point_it_was_found_for() -> None:
    """Not the one that was waited for."""
    _, error = failing(engine(retriever=retriever({1: [FIGS], 2: None, 3: [FIGS]}, turns=(0, 3))))  # type: ignore[dict-item]
    assert isinstance(error, PointError)
    assert 2 == error.number


# -- a search that somebody else cancelled -------------------------------------------------------------


@pytest.mark.parametrize("number", POINTS)
def test_a_search_that_somebody_else_cancelled_is_a_failure(number: int) -> None:
    """Nobody waits for what does not come any more, and no point is left out unnoticed."""
    llm, searches = (
        scripted(),
        Searches({number: "is cancelled"}, turns=(0, *(9 if n == number else 0 for n in POINTS))),
    )
    events: list[Event] = []

    async def main() -> None:
        async with aclosing(engine(llm, retriever=searches).astream(QUESTION)) as stream:
            async for event in stream:
                events.append(event)

    with pytest.raises(asyncio.CancelledError):
        run(main)
    assert (3, 0, 0) == (searches.begun, searches.open, llm.in_flight)
    done = [event.section.point.number for event in events if isinstance(event, PointDone)]
    assert all(before < number for before in done)
    assert Finished not in set(map(type, events))


@pytest.mark.parametrize("number", [2, 3])
def test_what_is_found_after_a_search_was_cancelled_is_no_failure(number: int) -> None:
    """No error of ours stands in the place of the cancellation."""
    searches = Searches({number: "is cancelled"}, turns=(0, *(0 if n == number else 9 for n in POINTS)))
    with pytest.raises(asyncio.CancelledError):
        whole(engine(retriever=searches))
    assert (3, 0) == (searches.begun, searches.open)


@pytest.mark.parametrize("router", ["always", "never"])
def test_a_search_that_is_cancelled_for_a_direct_answer(router: str) -> None:
    """Is a cancellation too, and no wait without end."""
    llm = scripted(skeleton="") if router == "always" else scripted()
    with pytest.raises(asyncio.CancelledError):
        whole(engine(llm, router=router, retriever=Searches({0: "is cancelled"})))
    assert 0 == llm.in_flight


FATES = st.dictionaries(st.sampled_from([1, 2, 3]), st.sampled_from(["fails", "never ends"]), max_size=3)
TURNS = st.tuples(*[st.integers(0, 5)] * 4)


@settings(max_examples=60)
@given(FATES, TURNS, st.integers(1, 4))
def test_whatever_fails_whenever_the_run_ends(fates: dict[int, str], turns: tuple[int, ...], width: int) -> None:
    """With one of the errors that came, or with the answer; and nothing is left open."""
    llm, searches = scripted(), Searches(fates, turns)
    sot = engine(llm, retriever=searches, max_concurrency=width)
    if not fates:
        assert TEXT == whole(sot).text
    elif "fails" in fates.values():
        _, error = broken(lambda: sot.astream(QUESTION))
        assert isinstance(error, PointError)
        assert searches.errors[error.number] is error.__cause__
        assert "fails" == fates[error.number]
    assert (0, 0) == (searches.open, llm.in_flight)


# -- leaving early -------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", range(1, 30))
def test_leaving_early_closes_every_search(number: int) -> None:
    """Whatever was heard last."""
    llm, searches = scripted(), Searches({}, turns=(0, 2, 4, 6))

    async def main() -> None:
        async with aclosing(engine(llm, retriever=searches).astream(QUESTION)) as stream:
            for _ in range(number):
                await anext(stream, None)
        assert (0, 0) == (searches.open, llm.in_flight)

    run(main)


@pytest.mark.parametrize("fates", [{1: "never ends"}, {3: "never ends"}, dict.fromkeys(POINTS, "never ends")], ids=str)
def test_leaving_does_not_wait_for_a_search(fates: dict[int, str]) -> None:
    """One that never ends is closed at once."""
    llm, searches = scripted(), Searches(fates)

    async def main() -> None:
        reader = asyncio.create_task(collect(engine(llm, retriever=searches).astream(QUESTION)))
        while searches.begun < 3:  # noqa: ASYNC110 -- the fake has no event
            await asyncio.sleep(0)
        reader.cancel()
        await asyncio.wait([reader])
        assert reader.cancelled()
        assert (0, 0) == (searches.open, llm.in_flight)

    run(main)


def test_leaving_a_synchronous_stream_closes_every_search() -> None:
    """Before the next line of the script is reached."""
    searches = Searches({3: "never ends"})
    for event in engine(retriever=searches).stream(QUESTION):
        assert not isinstance(event, PointFailed)
        if isinstance(event, PointText):
            break
    assert (3, 0) == (searches.begun, searches.open)
