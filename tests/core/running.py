"""What runs are tested with: a script of three points, and every way to run it and look at what was said."""

import asyncio
import gc
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace

import pytest

from skeleton_of_thought import LLM, Answer, Passage, Point, Question, Route, Section, SkeletonOfThought, Usage
from skeleton_of_thought.answer import Timings
from skeleton_of_thought.events import Event, Finished, PointDone, Text
from skeleton_of_thought.retrieval import Retriever
from skeleton_of_thought.testing import ScriptedLLM, collect

QUESTION = "How do I stay healthy?"
FOREVER = 3600.0
"""Seconds, none of which a test waits for."""

EAT, SLEEP, MOVE = Point(1, "Eat well"), Point(2, "Sleep well"), Point(3, "Move every day")
TEXT = "1. Eat well: Take figs.\n\n2. Sleep well: Go to bed.\n\n3. Move every day: Walk."
USAGE = {"skeleton": Usage(10, 9), "point": Usage(20, 3, 10), "direct": Usage(5, 4)}
ALWAYS = Route("skeleton", "always", "every question gets one")
NEVER = Route("direct", "never", "no question gets one")
UNTIMED = Timings(total=0)

FIGS, BED, WALK = Passage("Figs are sweet.", "figs"), Passage("Beds are soft.", "bed"), Passage("Walks are long.")
SHELF = {0: [FIGS, BED], 1: [FIGS], 2: [BED, FIGS], 3: [WALK]}
"""What is found for each point, and under 0 for the whole question."""


def scripted(**more: object) -> ScriptedLLM:
    """Script a model that knows three points, in pieces that no title is like."""
    script: dict[str, object] = {
        "skeleton": "1. Eat well\n2. Sleep well\n3. Move every day",
        "points": {1: ["Take", " figs."], 2: ["Go", " to", " bed."], 3: ["Walk."]},
        "direct": ["Take figs,", " and rest."],
        "usage": USAGE,
    }
    return ScriptedLLM(**script | more)  # type: ignore[arg-type]  # one place to change the script


def engine(llm: LLM | None = None, **settings: object) -> SkeletonOfThought:
    return SkeletonOfThought(llm=llm or scripted(), **{"router": "always"} | settings)  # type: ignore[arg-type]


def retriever(
    found: Mapping[int, Sequence[Passage]] = SHELF, turns: Sequence[int] = (), asked: list[object] | None = None
) -> Retriever:
    """Find what is on the shelf, for each point after so many turns of the loop."""

    async def retrieve(query: str, point: Point | None) -> Sequence[Passage]:
        number = point.number if point else 0
        if asked is not None:
            asked.append((query, point))
        for _ in range(dict(enumerate(turns)).get(number, 0)):
            await asyncio.sleep(0)
        return found.get(number, ())

    return retrieve


def run(main: Callable[[], Awaitable[None]]) -> None:
    """Run *main*, bounded in time, and let no task and no unheard error be left."""

    async def guarded() -> None:
        unheard: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: unheard.append(context))
        try:
            async with asyncio.timeout(30):
                await main()
        finally:
            gc.collect(1)  # "exception was never retrieved" is said when a task is collected, and these are young
            await asyncio.sleep(0)
            assert {asyncio.current_task()} == asyncio.all_tasks()
            assert [] == unheard

    asyncio.run(guarded())


def heard(ask: Callable[[], AsyncGenerator[Event, None]]) -> list[Event]:
    """Hear a stream to its end."""
    events: list[Event] = []

    async def main() -> None:
        events.extend(await collect(ask()))

    run(main)
    return events


def events_of(sot: SkeletonOfThought, question: str | Question = QUESTION) -> list[Event]:
    return heard(lambda: sot.astream(question))


def whole(sot: SkeletonOfThought, question: str | Question = QUESTION) -> Answer:
    answers: list[Answer] = []

    async def main() -> None:
        answers.append(await sot.aask(question))

    run(main)
    return answers[0]


def broken(ask: Callable[[], AsyncGenerator[Event, None]]) -> tuple[list[Event], Exception]:
    """Hear a stream until it fails, and return what was heard until then."""
    events: list[Event] = []

    async def main() -> None:
        async with aclosing(ask()) as stream:
            async for event in stream:
                events.append(event)

    with pytest.raises(Exception) as caught:  # noqa: PT011 -- which one it is, is what the tests look at
        run(main)
    return events, caught.value


def failing(sot: SkeletonOfThought) -> tuple[list[Event], Exception]:
    """Run until it fails, and return what was heard until then."""
    return broken(lambda: sot.astream(QUESTION))


def text_of(events: list[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, Text))


def untimed(events: list[Event]) -> list[Event]:
    """Take out what differs from run to run: the seconds."""

    def strip(event: Event) -> Event:
        match event:
            case PointDone(section):
                return PointDone(replace(section, seconds=None))
            case Finished(answer):
                sections = tuple(replace(section, seconds=None) for section in answer.sections)
                return Finished(replace(answer, timings=UNTIMED, sections=sections))
            case _:
                return event

    return [strip(event) for event in events]


def section(point: Point, text: str) -> Section:
    return Section(point, text, finish="stop", usage=USAGE["point"])
