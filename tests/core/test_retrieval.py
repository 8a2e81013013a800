import asyncio
from itertools import permutations

import pytest

from skeleton_of_thought import Abilities, Answer, Passage, Point, Prompts, Question
from skeleton_of_thought.answer import Source
from skeleton_of_thought.events import Event, Finished, PointDone, PointStarted, Routed, SourcesFound, Text
from skeleton_of_thought.testing import ScriptedLLM, collect

from .running import (
    BED,
    EAT,
    FIGS,
    MOVE,
    QUESTION,
    SLEEP,
    TEXT,
    WALK,
    engine,
    events_of,
    retriever,
    run,
    scripted,
    text_of,
    untimed,
    whole,
)

SOURCES = (Source(1, FIGS, (1, 2)), Source(2, BED, (2,)), Source(3, WALK, (3,)))


ORDERS = [*permutations([0, 3, 6])]
"""Turns of the loop after which the passages of each point are found."""


def answer_of(events: list[Event]) -> Answer:
    assert isinstance(events[-1], Finished)
    return events[-1].answer


def tasks(llm: ScriptedLLM) -> list[str]:
    return [call.messages[-1].text for call in llm.calls if call.stage != "skeleton"]


# -- passages for points -------------------------------------------------------------------------------


def test_each_point_is_searched_by_its_own_words() -> None:
    """The retriever sees the point too."""
    asked: list[object] = []
    whole(engine(retriever=retriever(asked=asked)))
    assert [(f"{point.title} ({QUESTION})", point) for point in (EAT, SLEEP, MOVE)] == asked


def test_words_of_yours_are_searched() -> None:
    """Where the whole question would only be in the way."""
    asked: list[object] = []
    whole(engine(retriever=retriever(asked=asked), prompts=Prompts(query="All on {title}")))
    assert [("All on Eat well", EAT), ("All on Sleep well", SLEEP), ("All on Move every day", MOVE)] == asked


def test_each_point_is_written_from_its_own_passages() -> None:
    """Under the numbers of the whole answer, and told to cite them; the skeleton is written without."""
    llm = scripted()
    assert TEXT == whole(engine(llm, retriever=retriever())).text
    listed = [task.partition("\n\nUse what they say.")[0] for task in tasks(llm)]
    assert [
        "Passages for this:\n\n[1] Figs are sweet.",
        "Passages for this:\n\n[2] Beds are soft.\n\n[1] Figs are sweet.",
        "Passages for this:\n\n[3] Walks are long.",
    ] == listed
    assert all("Put the number of each passage that you use behind the sentence" in task for task in tasks(llm))
    assert not any("Passages" in message.text for message in llm.calls[0].messages)


def test_sources_are_in_the_answer_and_in_its_sections() -> None:
    """One that several points were written from is there once."""
    answer = whole(engine(retriever=retriever()))
    assert SOURCES == answer.sources
    assert [(1,), (2, 1), (3,)] == [written.sources for written in answer.sections]


@pytest.mark.parametrize("turns", ORDERS)
def test_whichever_is_found_first_the_answer_is_the_same(turns: tuple[int, ...]) -> None:
    """So are the calls, but for their order; sources are told in the order of their numbers."""
    llm, other = scripted(), scripted()
    answer = answer_of(untimed(events_of(engine(llm, retriever=retriever()))))
    events = events_of(engine(other, retriever=retriever(turns=(0, *turns))))
    assert answer == answer_of(untimed(events))
    assert sorted(llm.calls, key=str) == sorted(other.calls, key=str)
    told = [source for event in events if isinstance(event, SourcesFound) for source in event.sources]
    assert [(source.number, source.passage) for source in SOURCES] == [(each.number, each.passage) for each in told]


def test_sources_are_told_before_a_point_is_written_from_them() -> None:
    """And only those that were not told before."""
    events = events_of(engine(retriever=retriever(turns=(0, 0, 3, 6))))
    steps = [event for event in events if isinstance(event, SourcesFound | PointStarted)]
    figs, bed, walk = Source(1, FIGS, (1,)), *SOURCES[1:]
    assert [
        SourcesFound((figs,)),
        PointStarted(EAT),
        SourcesFound((bed,)),
        PointStarted(SLEEP),
        SourcesFound((walk,)),
        PointStarted(MOVE),
    ] == steps


def test_all_points_are_searched_at_once() -> None:
    """Each search waits here for all the others; none begins before the skeleton is there."""
    llm, barrier = scripted(), list[asyncio.Barrier]()

    async def retrieve(query: str, point: Point | None) -> list[Passage]:
        assert (["skeleton"], 0) == ([call.stage for call in llm.calls], llm.in_flight)
        barrier.append(barrier[0] if barrier else asyncio.Barrier(3))
        await barrier[0].wait()
        return [FIGS]

    assert TEXT == whole(engine(llm, retriever=retrieve, max_concurrency=1)).text


def test_a_point_waits_for_no_point_that_is_read_later() -> None:
    """The last one is searched for until the first two are written."""
    sleeping = asyncio.Event()

    async def retrieve(query: str, point: Point | None) -> list[Passage]:
        if point == MOVE:
            await sleeping.wait()
        return [FIGS]

    async def main() -> None:
        events: list[Event] = []
        async for event in engine(retriever=retrieve).astream(QUESTION):
            events.append(event)
            if 2 == sum(isinstance(event, PointDone) for event in events):
                sleeping.set()
        assert TEXT == text_of(events)

    run(main)


def test_whoever_waits_for_passages_takes_no_place() -> None:
    """The first point is written in the only place that there is, although the others came before it."""
    events = events_of(engine(retriever=retriever(turns=(0, 9)), max_concurrency=1))
    assert [EAT, SLEEP, MOVE] == [event.point for event in events if isinstance(event, PointStarted)]
    assert TEXT == text_of(events)


def test_where_nothing_is_found_points_are_written_without() -> None:
    """As if there were no retriever."""
    llm, other = scripted(), scripted()
    events = events_of(engine(other, retriever=retriever({})))
    assert untimed(events_of(engine(llm))) == untimed(events)
    assert llm.calls == other.calls


def test_passages_of_the_question_are_numbered_first() -> None:
    """All calls see them; what is found again keeps its number and is not told again; all are sources."""
    llm, rain = scripted(), Passage("It rains.")
    found = {1: [FIGS, rain], 2: [BED], 3: [rain]}
    answer = whole(engine(llm, retriever=retriever(found)), Question(QUESTION, passages=("It snows.", rain)))
    assert all("[1] It snows.\n\n[2] It rains." in call.messages[0].text for call in llm.calls)
    assert tasks(llm)[0].startswith("Passages for this:\n\n[3] Figs are sweet.\n\nUse what")
    assert tasks(llm)[2].startswith("Write only point 3")
    assert (
        Source(1, Passage("It snows.")),
        Source(2, rain, (1, 3)),
        Source(3, FIGS, (1,)),
        Source(4, BED, (2,)),
    ) == answer.sources
    assert [(3, 2), (4,), (2,)] == [written.sources for written in answer.sections]


@pytest.mark.parametrize("router", ["always", "never"])
def test_passages_of_the_question_are_sources_without_a_retriever(router: str) -> None:
    """They were given to the model, and it may cite them."""
    answer = whole(engine(router=router), Question(QUESTION, passages=("It snows.",)))
    assert (Source(1, Passage("It snows.")),) == answer.sources


@pytest.mark.parametrize("router", ["always", "never"])
def test_a_passage_that_the_question_has_twice_shifts_no_number(router: str) -> None:
    """Whatever the model is shown under a number is the source of that number."""
    llm = scripted()
    question = Question(QUESTION, passages=("It rains.", "It rains.", "It snows."))
    answer = whole(engine(llm, router=router, retriever=retriever()), question)
    shown = [text for call in llm.calls for message in call.messages for text in message.text.split("\n\n")]
    assert {f"[{each.number}] {each.passage.text}" for each in answer.sources} == {
        text for text in shown if text.startswith("[")
    }


SMALL = Abilities(prefill=True, small=True)


def test_a_small_model_gets_passages_before_the_question() -> None:
    """And no instruction to cite, which would confuse it; its sections have their sources all the same."""
    small = scripted(abilities=SMALL)
    answer = whole(engine(point_llm=small, retriever=retriever()))
    assert ["Answer from these passages.\n\n[2] Beds are soft.\n\n[1] Figs are sweet.\n\nThe question:", QUESTION] == [
        message.text for message in small.calls[1].messages[:-1]
    ]
    assert not any("Put the number" in message.text for call in small.calls for message in call.messages)
    assert [(1,), (2, 1), (3,)] == [written.sources for written in answer.sections]


def test_a_small_model_gets_a_passage_once() -> None:
    """Also where the question has it already; its window is small too."""
    small = scripted(abilities=SMALL)
    whole(engine(point_llm=small, retriever=retriever()), Question(QUESTION, passages=("Walks are long.",)))
    assert 1 == small.calls[2].messages[0].text.count("Walks are long.")


# -- passages for a direct answer ----------------------------------------------------------------------


def test_a_direct_answer_is_written_from_passages() -> None:
    """They are searched by the whole question, found for no point, and numbered and cited as a point's are."""
    llm, asked = scripted(), list[object]()
    events = events_of(engine(llm, router="never", retriever=retriever(asked=asked)))
    sources = (Source(1, FIGS), Source(2, BED))
    assert [(QUESTION, None)] == asked
    assert [Routed, SourcesFound, Text, Text, Finished] == list(map(type, events))
    assert SourcesFound(sources) == events[1]
    assert sources == answer_of(events).sources
    assert QUESTION == llm.calls[0].messages[0].text
    assert tasks(llm)[0].startswith("Passages for this:\n\n[1] Figs are sweet.\n\n[2] Beds are soft.\n\nUse what")
    assert [0] == list(answer_of(events).timings.retrieval)


def test_sources_that_the_question_has_are_not_found() -> None:
    """They are told in the answer, as their numbers are known before."""
    for router in ("always", "never"):
        events = events_of(engine(router=router, retriever=retriever()), Question(QUESTION, passages=(FIGS,)))
        told = [source.number for event in events if isinstance(event, SourcesFound) for source in event.sources]
        assert [source.number for source in answer_of(events).sources[1:]] == told


def test_a_skeleton_that_is_none_means_a_direct_answer_from_passages() -> None:
    """They are searched once it is known."""
    asked: list[object] = []
    answer = whole(engine(scripted(skeleton="1. Eat well"), retriever=retriever(asked=asked)))
    assert [(QUESTION, None)] == asked
    assert (Source(1, FIGS), Source(2, BED)) == answer.sources
    assert "Take figs, and rest." == answer.text


def test_a_direct_answer_has_the_questions_passages_first() -> None:
    """And then what was found."""
    answer = whole(engine(router="never", retriever=retriever()), Question(QUESTION, passages=("It snows.",)))
    assert (Source(1, Passage("It snows.")), Source(2, FIGS), Source(3, BED)) == answer.sources


# -- what is left of it --------------------------------------------------------------------------------


def test_the_frameworks_documents_are_handed_on() -> None:
    """To whoever asked, but not into JSON."""
    documents = [object(), object(), object()]
    found = {n: [Passage(f"On {n}.", origin=document)] for n, document in enumerate(documents, 1)}
    answer = whole(engine(retriever=retriever(found)))
    assert documents == [source.passage.origin for source in answer.sources]
    assert [None] * 3 == [source.passage.origin for source in Answer.from_json(answer.to_json()).sources]
    assert answer == Answer.from_json(answer.to_json())


def test_timings_of_retrieval() -> None:
    """What each point's own took is a part of the critical path."""
    timings = whole(engine(retriever=retriever(turns=(0, 9, 3, 6)))).timings
    assert timings.skeleton is not None
    assert timings.critical_path is not None
    assert [1, 2, 3] == list(timings.retrieval)
    assert all(seconds > 0 for seconds in timings.retrieval.values())
    slowest = max(timings.retrieval[number] + timings.points[number] for number in timings.points)
    assert timings.skeleton + slowest == timings.critical_path <= timings.total


def test_the_ways_in_do_the_same() -> None:
    """Streamed or whole, with a loop or without."""
    sot = engine(retriever=retriever())
    events = untimed(events_of(sot))
    assert events == untimed(collect(sot.stream(QUESTION)))
    for answer in (whole(sot), sot.ask(QUESTION)):
        assert events[-1:] == untimed([Finished(answer)])
