import asyncio
from collections.abc import AsyncGenerator, Callable
from dataclasses import replace

import pytest

from skeleton_of_thought import InputError, Point, PointError, Question, Skeleton
from skeleton_of_thought._relay import relay
from skeleton_of_thought._schedule import Give
from skeleton_of_thought._steps import Run
from skeleton_of_thought.answer import Source
from skeleton_of_thought.errors import SkeletonError
from skeleton_of_thought.events import (
    PIECES,
    Event,
    PointDone,
    PointFailed,
    PointFound,
    PointStarted,
    PointText,
    SkeletonReady,
    SkeletonText,
    SourcesFound,
    Text,
    join_texts,
)
from skeleton_of_thought.testing import Failure, collect

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
    events_of,
    heard,
    retriever,
    run,
    scripted,
    section,
    text_of,
    untimed,
)

SKELETON = Skeleton((EAT, SLEEP, replace(MOVE, after=(1,))))


# -- the whole of it -----------------------------------------------------------------------------------


def test_whole_texts_are_events_too() -> None:
    """The same text, and no model has to stream."""
    llm = scripted()
    events = heard(lambda: engine(llm).astream(QUESTION, whole=True))
    assert {False} == {call.stream for call in llm.calls}
    assert TEXT == text_of(events)
    assert 1 == sum(isinstance(event, SkeletonText) for event in events)
    assert untimed(events) == untimed(collect(engine().stream(QUESTION, whole=True)))


def test_a_terse_stream_leaves_out_what_comes_again() -> None:
    """All else is told in the same order, and the text is the same in fewer pieces."""
    events = untimed(heard(lambda: engine().astream(QUESTION, terse=True)))
    told = [event for event in untimed(events_of(engine())) if not isinstance(event, PIECES)]
    assert join_texts(told) == join_texts(events)
    assert len(events) < len(told)


def test_a_point_has_not_started_while_it_waits_for_its_place() -> None:
    """With one place, each starts when the one before it is done."""
    events = events_of(engine(max_concurrency=1))
    steps = [event for event in events if isinstance(event, PointStarted | PointDone)]
    assert [PointStarted, PointDone] * 3 == list(map(type, steps))


async def begun(run: Run, skeleton: Skeleton) -> None:
    async def plan(give: Give) -> None:
        run._points.begin(skeleton, give)

    await run._points.write(plan)


def test_points_that_come_after_others_start_after_them() -> None:
    """Also where those are read later and all of them wait for passages; no parser finds such points yet."""
    skeleton = Skeleton((replace(EAT, after=(3,)), replace(SLEEP, after=(1,)), MOVE))
    for width in (1, 16):
        sot = engine(retriever=retriever(turns=(0, 6, 0, 3)), max_concurrency=width)
        events = heard(
            lambda sot=sot: relay(  # type: ignore[misc]  # its default is its type
                lambda emit: begun(Run(sot, Question(QUESTION), emit, stream=True), skeleton)
            )
        )
        steps = [event for event in events if isinstance(event, PointStarted | PointDone)]
        assert [PointStarted, PointDone] * 3 == list(map(type, steps))
        done = [event.section for event in steps if isinstance(event, PointDone)]
        assert [(3, (3,)), (1, (1,)), (2, (2, 1))] == [(each.point.number, each.sources) for each in done]
        assert TEXT == text_of(events)


# -- the skeleton alone --------------------------------------------------------------------------------


@pytest.mark.parametrize("router", ["always", "never", "auto"])
def test_a_skeleton_alone(router: str) -> None:
    """Wherever the router would send the question; nothing is written, searched or decided."""
    llm, asked = scripted(skeleton=["1. Eat well\n2.", " Sleep well"]), list[object]()
    sot = engine(llm, router=router, retriever=retriever(asked=asked))
    assert [
        SkeletonText("1. Eat well\n2."),
        PointFound(EAT),
        SkeletonText(" Sleep well"),
        PointFound(SLEEP),
        SkeletonReady(Skeleton((EAT, SLEEP))),
    ] == heard(lambda: sot.astream_skeleton(QUESTION))
    assert (["skeleton"], []) == ([call.stage for call in llm.calls], asked)


@pytest.mark.parametrize(("skeleton", "points"), [("", ()), ("No list.", ()), ("1. Eat well", (EAT,))])
def test_a_skeleton_alone_may_be_short(skeleton: str, points: tuple[Point, ...]) -> None:
    """What is enough is decided by whoever asked for it."""
    events = heard(lambda: engine(scripted(skeleton=skeleton)).astream_skeleton(QUESTION))
    assert SkeletonReady(Skeleton(points)) == events[-1]


def test_a_skeleton_alone_has_no_more_points_than_asked_for() -> None:
    """As that of an answer."""
    assert SkeletonReady(Skeleton((EAT, SLEEP))) == heard(lambda: engine(max_points=2).astream_skeleton(QUESTION))[-1]


def test_a_skeleton_alone_fails_with_the_models_own_error() -> None:
    """After what was said before."""
    error = OSError("no route")
    events, raised = broken(
        lambda: engine(scripted(failures={"skeleton": Failure(error, after=1)})).astream_skeleton("Q")
    )
    assert ([SkeletonText], error) == (list(map(type, events)), raised)


# -- a point alone -------------------------------------------------------------------------------------


def test_a_point_alone() -> None:
    """Without its heading; its call is the one that it would have in an answer."""
    llm, other = scripted(), scripted()
    skeleton = Skeleton((EAT, SLEEP, MOVE))
    assert [
        PointStarted(SLEEP),
        PointText(2, "Go"),
        Text("Go"),
        PointText(2, " to"),
        Text(" to"),
        PointText(2, " bed."),
        Text(" bed."),
        PointDone(section(SLEEP, "Go to bed.")),
    ] == untimed(heard(lambda: engine(llm).astream_point(QUESTION, skeleton, 2)))
    events_of(engine(other))
    assert other.calls[2:3] == llm.calls


def test_a_point_alone_waits_for_no_other() -> None:
    """Also where it comes after one."""
    events = heard(lambda: engine().astream_point(QUESTION, SKELETON, 3))
    assert [PointStarted, PointText, Text, PointDone] == list(map(type, events))
    assert "Walk." == text_of(events)


def test_a_point_alone_is_written_by_the_model_for_points() -> None:
    """From its own passages, which are numbered by themselves."""
    llm, small = scripted(), scripted()
    sot = engine(llm, point_llm=small, retriever=retriever())
    events = heard(lambda: sot.astream_point(Question(QUESTION, passages=("It rains.",)), SKELETON, 1))
    assert SourcesFound((Source(2, FIGS, (1,)),)) == events[0]
    assert [(2,)] == [event.section.sources for event in events if isinstance(event, PointDone)]
    assert ([], [1]) == (llm.calls, [call.point for call in small.calls])


def test_a_point_alone_takes_a_place() -> None:
    """Of those that all runs of the object share."""
    llm = scripted()

    async def main() -> None:
        sot = engine(llm, max_concurrency=1)
        await asyncio.gather(*(collect(sot.astream_point(QUESTION, SKELETON, number)) for number in (1, 2, 3)))

    run(main)
    assert (1, 3) == (llm.peak, len(llm.calls))


@pytest.mark.parametrize("number", [0, 4, -1])
def test_a_point_that_is_not_there_is_told_at_once(number: int) -> None:
    """Before a stream is read, or any model is called."""
    llm = scripted()
    for ask in (engine(llm).astream_point, engine(llm).stream_point):
        with pytest.raises(SkeletonError, match=rf"there is no point {number}: use one of \[1, 2, 3\]"):
            ask(QUESTION, SKELETON, number)
    assert [] == llm.calls


def test_a_point_alone_fails_as_in_an_answer() -> None:
    """With the error that holds the cause, and what was written of it."""
    cause = OSError("no route")
    llm = scripted(failures={2: Failure(cause, after=2)})
    events, error = broken(lambda: engine(llm).astream_point(QUESTION, SKELETON, 2))
    assert isinstance(error, PointError)
    assert (2, cause, "Go to") == (error.number, error.__cause__, error.answer.text)
    assert PointFailed(SLEEP, cause) == events[-1]
    assert [("", None), ("Go to", None), ("", None)] == [(each.text, each.span) for each in error.answer.sections]


# -- both of them --------------------------------------------------------------------------------------

ALONE: dict[str, Callable[..., AsyncGenerator[Event, None]]] = {
    "skeleton": lambda sot, question=QUESTION, **more: sot.astream_skeleton(question, **more),
    "point": lambda sot, question=QUESTION, **more: sot.astream_point(question, SKELETON, 1, **more),
}
TWINS: dict[str, Callable[..., object]] = {
    "skeleton": lambda sot, question=QUESTION, **more: sot.stream_skeleton(question, **more),
    "point": lambda sot, question=QUESTION, **more: sot.stream_point(question, SKELETON, 1, **more),
}


@pytest.mark.parametrize("step", ALONE)
@pytest.mark.parametrize("as_whole", [True, False])
def test_steps_alone_have_synchronous_twins(step: str, as_whole: bool) -> None:
    """They do the same, streamed or whole."""
    llm = scripted()
    events = heard(lambda: ALONE[step](engine(llm), whole=as_whole))
    assert untimed(events) == untimed([*TWINS[step](engine(llm), whole=as_whole)])  # type: ignore[misc]  # a generator
    assert [not as_whole] * 2 == [call.stream for call in llm.calls]


@pytest.mark.parametrize("step", ALONE)
def test_steps_alone_refuse_what_cannot_be_asked(step: str) -> None:
    """At once."""
    for ask in (ALONE[step], TWINS[step]):
        with pytest.raises(InputError):
            ask(engine(), " ")


@pytest.mark.parametrize("step", ALONE)
def test_leaving_a_step_closes_its_call(step: str) -> None:
    """One that says nothing for an hour is closed at once."""
    llm = scripted(delay={step: FOREVER})

    async def main() -> None:
        reader = asyncio.create_task(collect(ALONE[step](engine(llm))))
        while not llm.calls:  # noqa: ASYNC110 -- the fake has no event
            await asyncio.sleep(0)
        reader.cancel()
        await asyncio.wait([reader])
        assert 0 == llm.in_flight

    run(main)
