"""Points are written while the skeleton still is."""

import asyncio
from collections.abc import AsyncGenerator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skeleton_of_thought import Call, Passage, PointError, Skeleton, SkeletonOfThought
from skeleton_of_thought.events import Finished, PointStarted, PointText, SkeletonReady, SkeletonText, Text
from skeleton_of_thought.testing import ScriptedLLM

from .cutting import LISTS
from .running import EAT, MOVE, SLEEP, TEXT, engine, events_of, failing, retriever, run, scripted, text_of, whole


def asked(llm: ScriptedLLM) -> dict[int | None, Call]:
    return {call.point: call for call in llm.calls}


def test_points_are_begun_before_the_skeleton_is_complete() -> None:
    """The model goes on with its list only when the first points are being written."""
    begun = asyncio.Event()

    async def llm(call: Call) -> AsyncGenerator[str, None]:
        if call.stage == "skeleton":
            yield "1. Eat well\n2. Sleep well\n3. "
            await begun.wait()
            yield "Move every day"
        else:
            begun.set()
            yield "Yes."

    sot = SkeletonOfThought(llm=llm, router="always", pipelined=True)
    events = events_of(sot)
    kinds = [type(event) for event in events]
    assert kinds.index(Text) < kinds.index(PointStarted) < kinds.index(SkeletonReady)
    assert "1. Eat well: Yes.\n\n2. Sleep well: Yes.\n\n3. Move every day: Yes." == text_of(events)


def test_a_point_knows_the_lines_before_it() -> None:
    """The two that decide that there is a skeleton know each other; all know the question."""
    llm = scripted(skeleton=["1. Eat well\n", "2. Sleep well\n", "3. Move every day\n"], pause={"skeleton": 0.001})
    events_of(engine(llm, pipelined=True))
    seen = {number: asked(llm)[number].skeleton for number in (1, 2, 3)}
    assert {1: Skeleton((EAT, SLEEP)), 2: Skeleton((EAT, SLEEP)), 3: Skeleton((EAT, SLEEP, MOVE))} == seen
    assert str(seen[1]) == asked(llm)[1].messages[-2].text


@pytest.mark.parametrize("pieces", [["1. Eat well\n2. Sleep well\n3. Move every day"], None])
def test_the_answer_is_the_same(pieces: list[str] | None) -> None:
    """Text, skeleton, sections and usage."""
    script = {} if pieces is None else {"skeleton": pieces}
    plain, pipelined = whole(engine(scripted(**script))), whole(engine(scripted(**script), pipelined=True))
    assert TEXT == pipelined.text
    for name in ("skeleton", "usage", "route"):
        assert getattr(plain, name) == getattr(pipelined, name)
    assert [each.text for each in plain.sections] == [each.text for each in pipelined.sections]
    assert [pipelined.text[slice(*each.span)] for each in pipelined.sections if each.span] == [
        each.text for each in pipelined.sections
    ]


def test_a_whole_answer_streams_only_its_skeleton() -> None:
    """Otherwise all lines would come at once, and no point any sooner."""
    llm = scripted()
    whole(engine(llm, pipelined=True))
    assert {None: True, 1: False, 2: False, 3: False} == {number: call.stream for number, call in asked(llm).items()}


@pytest.mark.parametrize("skeleton", ["", "1. Eat well", "I can't help with that."])
def test_too_few_points_are_answered_directly(skeleton: str) -> None:
    """Nothing was begun for them."""
    llm = scripted(skeleton=skeleton)
    answer = whole(engine(llm, pipelined=True))
    assert ("Take figs, and rest.", ["skeleton", "direct"]) == (answer.text, [call.stage for call in llm.calls])


def test_more_points_than_max_points_are_not_written() -> None:
    """Although they are in the list."""
    llm = scripted()
    assert 2 == len(whole(engine(llm, pipelined=True, max_points=2)).sections)
    assert {None, 1, 2} == set(asked(llm))


def test_points_that_are_being_written_are_kept() -> None:
    """A closing tag that comes late makes no thoughts of them."""
    llm = scripted(skeleton=["1. Eat well\n2. Sleep well\n", "</think>\n3. Move every day\n"])
    assert TEXT == text_of(events_of(engine(llm, pipelined=True)))


def test_a_failing_point_ends_the_skeleton_too() -> None:
    """Nothing goes on, and what was written is kept."""

    async def llm(call: Call) -> AsyncGenerator[str, None]:
        if call.stage == "skeleton":
            yield "1. Eat well\n2. Sleep well\n"
            await asyncio.sleep(3600)
        elif call.point == 2:
            raise OSError("no route")
        else:
            yield "Figs."
            await asyncio.sleep(3600)

    _, error = failing(SkeletonOfThought(llm=llm, router="always", pipelined=True))
    assert isinstance(error, PointError)
    assert (2, "1. Eat well: Figs.") == (error.number, error.answer.text)
    assert Skeleton((EAT, SLEEP)) == error.answer.skeleton


def test_sources_are_numbered_in_reading_order() -> None:
    """Also where points retrieve before the skeleton is complete."""
    found = {1: [Passage("Figs.")], 2: [Passage("Beds."), Passage("Figs.")], 3: [Passage("Walks.")]}
    llm = scripted(skeleton=["1. Eat well\n", "2. Sleep well\n", "3. Move every day\n"])
    answer = whole(engine(llm, pipelined=True, retriever=retriever(found, turns=(0, 9, 3, 0))))
    assert [(1, "Figs."), (2, "Beds."), (3, "Walks.")] == [(each.number, each.passage.text) for each in answer.sources]
    assert [(1,), (2, 1), (3,)] == [each.sources for each in answer.sections]


def test_the_critical_path_begins_where_a_point_was_known() -> None:
    """It is no longer than the run, and no shorter than the skeleton."""
    timings = whole(engine(scripted(delay={1: 0.01}, pause={"skeleton": 0.002}), pipelined=True)).timings
    assert timings.critical_path is not None
    assert timings.skeleton is not None
    assert timings.skeleton <= timings.critical_path <= timings.total


@settings(max_examples=60)
@given(LISTS, st.integers(1, 4))
def test_whatever_models_write_the_text_is_one(skeleton: str, width: int) -> None:
    """All pieces together are the answer's text, and all points of its skeleton are in it."""
    llm = ScriptedLLM(skeleton=skeleton, points=dict.fromkeys(range(1, 30), "Yes."), direct="No.")
    events = events_of(engine(llm, pipelined=True, max_concurrency=width))
    answer = next(event.answer for event in events if isinstance(event, Finished))
    assert answer.text == text_of(events)
    assert [each.point for each in answer.sections] == list(answer.skeleton.points if answer.skeleton else ())


@pytest.mark.parametrize("pipelined", [False, True])
def test_the_skeleton_streams_from_its_first_token(pipelined: bool) -> None:
    """Before the model has written the next."""
    heard = asyncio.Event()

    async def llm(call: Call) -> AsyncGenerator[str, None]:
        if call.stage == "skeleton":
            yield "1."
            await heard.wait()
            yield " Eat well\n2. Sleep well"
        else:
            yield "Yes."

    async def main() -> None:
        async for event in SkeletonOfThought(llm=llm, router="always", pipelined=pipelined).astream("How?"):
            if event == SkeletonText("1."):
                heard.set()
        assert heard.is_set()

    run(main)


@pytest.mark.parametrize("pipelined", [False, True])
def test_the_first_point_streams_and_a_later_one_comes_in_one_piece(pipelined: bool) -> None:
    """Token by token where it is read, and all that waited at once, in as many steps as there are tokens."""
    tokens, written = 1000, asyncio.Event()

    async def llm(call: Call) -> AsyncGenerator[str, None]:
        if call.stage == "skeleton":
            yield "1. Eat\n2. Sleep"
            return
        if call.point == 1:
            await written.wait()
        for _ in range(tokens):
            yield " word"
        if call.point == 2:
            written.set()

    events = events_of(SkeletonOfThought(llm=llm, router="always", pipelined=pipelined))
    texts = [event.text for event in events if isinstance(event, Text)]
    assert ["1. Eat: ", "word", *[" word"] * (tokens - 1), "\n\n2. Sleep: word" + " word" * (tokens - 1)] == texts
    assert 2 * tokens == sum(isinstance(event, PointText) for event in events)
