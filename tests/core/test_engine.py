import asyncio
import gc
from collections.abc import AsyncGenerator, AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from contextvars import ContextVar
from dataclasses import replace
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skeleton_of_thought import (
    Abilities,
    Answer,
    Call,
    ConfigurationError,
    InputError,
    Limit,
    Message,
    Point,
    PointError,
    Prompts,
    Question,
    Route,
    Section,
    Skeleton,
    SkeletonOfThought,
    Usage,
)
from skeleton_of_thought.answer import Heading
from skeleton_of_thought.calls import Piece
from skeleton_of_thought.events import (
    Event,
    Finished,
    PointDone,
    PointFailed,
    PointFound,
    PointStarted,
    PointText,
    Routed,
    SkeletonReady,
    SkeletonText,
    Text,
)
from skeleton_of_thought.testing import Failure, ScriptedLLM, collect

from .cutting import LISTS, SCRAPS
from .running import (
    ALWAYS,
    EAT,
    FOREVER,
    MOVE,
    NEVER,
    QUESTION,
    SLEEP,
    TEXT,
    UNTIMED,
    USAGE,
    engine,
    events_of,
    failing,
    run,
    scripted,
    section,
    text_of,
    untimed,
    whole,
)

SPAN = ContextVar("SPAN", default="none")


# -- the main ways through -----------------------------------------------------------------------------


def test_direct() -> None:
    """The model's own words, as they come."""
    answer = Answer(
        question=QUESTION,
        route=NEVER,
        text="Take figs, and rest.",
        usage={"direct": Usage(5, 4)},
        finish="stop",
        timings=UNTIMED,
    )
    assert [Routed(NEVER), Text("Take figs,"), Text(" and rest."), Finished(answer)] == untimed(
        events_of(engine(router="never"))
    )


def test_skeleton() -> None:
    """The first unfinished point is live, the others wait for their turn on the page."""
    skeleton = Skeleton((EAT, SLEEP, MOVE))
    sections = (section(EAT, "Take figs."), section(SLEEP, "Go to bed."), section(MOVE, "Walk."))
    llm = scripted(skeleton=["Sure:\n1. Eat well\n2.", " Sleep well\n3. Move", " every day"])
    assert [
        Routed(ALWAYS),
        SkeletonText("Sure:\n1. Eat well\n2."),
        PointFound(EAT),
        SkeletonText(" Sleep well\n3. Move"),
        PointFound(SLEEP),
        SkeletonText(" every day"),
        PointFound(MOVE),
        SkeletonReady(skeleton),
        Text("1. Eat well: "),
        PointStarted(EAT),
        PointStarted(SLEEP),
        PointStarted(MOVE),
        PointText(1, "Take"),
        Text("Take"),
        PointText(2, "Go"),
        PointText(3, "Walk."),
        PointDone(sections[2]),
        PointText(1, " figs."),
        Text(" figs."),
        PointDone(sections[0]),
        Text("\n\n2. Sleep well: Go"),
        PointText(2, " to"),
        Text(" to"),
        PointText(2, " bed."),
        Text(" bed."),
        PointDone(sections[1]),
        Text("\n\n3. Move every day: Walk."),
        Finished(
            Answer(
                question=QUESTION,
                route=ALWAYS,
                text=TEXT,
                skeleton=skeleton,
                sections=sections,
                usage={"skeleton": Usage(10, 9), "point": Usage(60, 9, 30)},
                timings=UNTIMED,
            )
        ),
    ] == untimed(events_of(engine(llm)))


@pytest.mark.parametrize(
    ("skeleton", "found"),
    [
        ([], []),
        (["I'm sorry, but I can't help with that."], []),
        (["Health has many sides. ", "Eat well, and 8. rest."], []),
        (["1. Eat well"], [EAT]),
        (["<think>1. Eat\n2. Sleep\n", "3. Move\n"], []),
        (["1. Eat well\n", "1. EAT WELL\n"], [EAT]),
        (["| 1 | Eat well |\n| 2 | Sleep well |"], []),
    ],
    ids=["nothing", "refusal", "prose", "one point", "thoughts without end", "one point twice", "table"],
)
def test_a_skeleton_that_is_none_means_a_direct_answer(skeleton: list[str], found: list[Point]) -> None:
    """Never an empty one, and never an error. What was decided is said again."""
    fallen = Route("direct", "skeleton", f"{len(found)} of at least 2 points found")
    told: list[Event] = []
    for piece in skeleton:
        told.append(SkeletonText(piece))
        if found and PointFound(found[0]) not in told and piece.endswith("\n"):
            told.append(PointFound(found[0]))
    told += [PointFound(point) for point in found if PointFound(point) not in told]
    answer = Answer(
        question=QUESTION,
        route=fallen,
        text="Take figs, and rest.",
        usage={"skeleton": Usage(10, 9), "direct": Usage(5, 4)},
        finish="stop",
        timings=UNTIMED,
    )
    assert [
        Routed(ALWAYS),
        *told,
        Routed(fallen),
        Text("Take figs,"),
        Text(" and rest."),
        Finished(answer),
    ] == untimed(events_of(engine(scripted(skeleton=skeleton))))


def test_min_points_is_the_least() -> None:
    """Three points are enough where three are asked for, and not where four are."""
    assert TEXT == text_of(events_of(engine(min_points=3)))
    assert "Take figs, and rest." == text_of(events_of(engine(min_points=4)))


@pytest.mark.parametrize(
    ("skeleton", "max_points"),
    [
        (["1. Eat well\n", "2. Sleep well\n", "3. Move", " on" * 100, " every day"], 2),
        (["1. Eat well\n2. Sleep well\n", "1. Again\n", " and" * 100, " again"], 10),
    ],
)
def test_a_model_that_runs_on_after_its_list_is_cut_off(skeleton: list[str], max_points: int) -> None:
    """More points than are wanted, or a second list: the call is closed before the points are written."""
    llm = scripted(skeleton=skeleton)
    held: list[AsyncIterator[Piece]] = []

    def door(call: Call) -> AsyncIterator[Piece]:
        held.append(llm(call))  # or it would be closed because nobody holds it
        return held[-1]

    events = events_of(SkeletonOfThought(llm=door, router="always", max_points=max_points))
    assert SkeletonText(skeleton[-1]) not in events
    assert "1. Eat well: Take figs.\n\n2. Sleep well: Go to bed." == text_of(events)
    assert (2, 0) == (llm.peak, llm.in_flight)


def test_a_model_that_adds_a_little_to_its_list_ends_by_itself() -> None:
    """So its usage is heard, and no tracer takes the call for a failed one."""
    llm = scripted(skeleton=["1. Eat well\n2. Sleep well\n", "3. Move every day\n", "\n"])
    answer = engine(llm, max_points=3).ask(QUESTION)
    assert answer.usage["skeleton"].output_tokens > 0


def test_a_point_without_text_is_a_failed_one() -> None:
    """A heading with nothing under it is no answer; the error names the cure."""
    llm = scripted(points={1: "Take figs.", 2: " \n", 3: "Walk."}, finish={2: "length"})
    with pytest.raises(PointError) as caught:
        engine(llm).ask(QUESTION)
    assert 2 == caught.value.number
    assert "raise point_max_tokens" in str(caught.value.__cause__)


@pytest.mark.parametrize("returned", ["skeleton", None, Route("skelton", "me", "a typo")])  # type: ignore[arg-type]
def test_a_router_that_returns_no_route_is_told(returned: object) -> None:
    """Before any model is called."""
    llm = scripted()
    with pytest.raises(ConfigurationError, match="the router returned"):
        engine(llm, router=lambda _: returned).ask(QUESTION)
    assert [] == llm.calls


def test_a_skeleton_cut_by_its_token_limit_loses_its_last_point() -> None:
    """Half a title is not written about."""
    llm = scripted(skeleton="1. Eat well\n2. Sleep well\n3. Mo", finish={"skeleton": "length"})
    assert "1. Eat well: Take figs.\n\n2. Sleep well: Go to bed." == text_of(events_of(engine(llm)))


def test_a_model_that_is_given_its_beginning() -> None:
    """It goes on from "1." and from each title; what we put before is not heard from it."""
    llm = scripted(skeleton=" Eat well\n2. Sleep well\n3. Move every day", abilities=Abilities(prefill=True))
    assert TEXT == text_of(events_of(engine(llm)))
    assert Message("assistant", "1.") == llm.calls[0].messages[-1]
    assert Message("assistant", "2. Sleep well:") == llm.calls[2].messages[-1]


@pytest.mark.parametrize(
    ("heading", "text"),
    [
        ("numbered", TEXT),
        ("bold", "**Eat well:** Take figs.\n\n**Sleep well:** Go to bed.\n\n**Move every day:** Walk."),
        ("markdown", "### Eat well\n\nTake figs.\n\n### Sleep well\n\nGo to bed.\n\n### Move every day\n\nWalk."),
        ("none", "Take figs.\n\nGo to bed.\n\nWalk."),
    ],
)
def test_headings(heading: Heading, text: str) -> None:
    """A title shows as you like."""
    assert text == text_of(events_of(engine(heading=heading)))


# -- the text ------------------------------------------------------------------------------------------


@settings(max_examples=60)
@given(SCRAPS | LISTS, st.lists(SCRAPS, min_size=4, max_size=4), SCRAPS)
def test_whatever_models_write_the_text_is_one(skeleton: str, points: list[str], direct: str) -> None:
    """All pieces together are the text of the answer, streamed or whole."""
    said = {number: f"Well, {text}" for number, text in enumerate(points, 1)}  # no text at all is an error
    llm = ScriptedLLM(skeleton=skeleton, points=said, direct=f"Well, {direct}")
    sot = engine(llm, max_points=4)
    events = asyncio.run(collect(sot.astream(QUESTION)))
    assert isinstance(events[-1], Finished)
    assert 1 == sum(isinstance(event, Finished) for event in events)
    answer = events[-1].answer
    assert answer.text == text_of(events) == asyncio.run(sot.aask(QUESTION)).text
    for written in answer.sections:
        number = written.point.number
        assert written.text == "".join(e.text for e in events if isinstance(e, PointText) and e.number == number)
        assert written.text in answer.text
    assert 0 == llm.in_flight


@pytest.mark.parametrize("heading", get_args(Heading))
@settings(max_examples=30)
@given(skeleton=LISTS, points=st.lists(SCRAPS, min_size=4, max_size=4))
def test_spans_are_where_the_texts_of_sections_stand(heading: Heading, skeleton: str, points: list[str]) -> None:
    """In the text of the answer, whatever models write, under any heading."""
    said = {number: f"Well, {text}" for number, text in enumerate(points, 1)}
    llm = ScriptedLLM(skeleton=skeleton, points=said, direct="Well.")
    answer = asyncio.run(engine(llm, max_points=4, heading=heading).aask(QUESTION))
    stand = [answer.text[slice(*written.span)] for written in answer.sections if written.span]
    assert [written.text for written in answer.sections] == stand


@pytest.mark.parametrize("preamble", ["", "Okay, the user asks how to stay healthy. " * 9], ids=["short", "long"])
def test_thoughts_without_an_opening_tag_give_one_text(preamble: str) -> None:
    """Streamed or whole; where they are long, the model is heard until they end."""
    thoughts = f"{preamble}\n1. Hm\n2. So\n\nOr rather:\n1. Ah\n2. Oh\n</think>\n"
    llm = scripted(skeleton=thoughts + "1. Eat well\n2. Sleep well\n3. Move every day")
    text = text_of(events_of(engine(llm)))
    assert text == whole(engine(llm)).text
    assert (text == TEXT) is bool(preamble)


def test_whole_answers_are_asked_for_whole() -> None:
    """Nobody reads along, so no model has to stream."""
    llm = scripted()
    assert TEXT == whole(engine(llm)).text
    assert [False] * 4 == [call.stream for call in llm.calls]


def test_streams_are_asked_for_as_streams() -> None:
    """Somebody reads along."""
    llm = scripted()
    events_of(engine(llm))
    assert [True] * 4 == [call.stream for call in llm.calls]


def test_number_and_title_are_not_said_twice() -> None:
    """They stand in the heading."""
    llm = scripted(points={1: "1. Eat well: Take figs.", 2: "**Sleep well:** Go to bed.", 3: "### 3. Walk."})
    assert TEXT == text_of(events_of(engine(llm)))


def test_a_text_that_is_shorter_than_its_title_is_said() -> None:
    """Until its end it might have become the title."""
    llm = scripted(points={1: "Take figs.", 2: "Go to bed.", 3: "Move."})
    assert TEXT.replace("Walk.", "Move.") == text_of(events_of(engine(llm)))


def test_thoughts_are_not_said() -> None:
    """Neither in the skeleton nor in a point."""
    llm = scripted(
        skeleton="<think>1. Hm\n2. Hm</think>1. Eat well\n2. Sleep well\n3. Move every day",
        points={1: "<think>Figs?</think>Take figs.", 2: "Go to bed.", 3: "Walk."},
    )
    assert TEXT == text_of(events_of(engine(llm)))


# -- the four ways in ----------------------------------------------------------------------------------


def test_synchronous_twins_do_the_same() -> None:
    """From a script, event by event and as a whole."""
    assert untimed(events_of(engine())) == untimed(collect(engine().stream(QUESTION)))
    assert untimed([Finished(whole(engine()))]) == untimed([Finished(engine().ask(QUESTION))])


def test_synchronous_twins_work_inside_a_running_loop_and_in_threads() -> None:
    """As in a notebook, and as in a web server's worker."""

    async def main() -> None:
        assert TEXT == engine().ask(QUESTION).text
        assert TEXT == text_of(list(engine().stream(QUESTION)))

    run(main)
    with ThreadPoolExecutor(4) as pool:
        sot = engine()
        assert [TEXT] * 8 == [answer.text for answer in pool.map(sot.ask, [QUESTION] * 8)]


def test_one_object_serves_many_questions_at_a_time() -> None:
    """Nothing of a run is kept on it."""

    async def main() -> None:
        sot = engine()
        answers = await asyncio.gather(*(sot.aask(f"{QUESTION} {number}") for number in range(10)))
        assert [f"{QUESTION} {number}" for number in range(10)] == [answer.question for answer in answers]
        assert {TEXT} == {answer.text for answer in answers}

    run(main)


@pytest.mark.parametrize("places", [16, 10_000])
def test_a_thousand_questions_at_a_time(places: int) -> None:
    """Each has its own answer, whether its calls wait for places or not, and nothing is left of any."""

    async def llm(call: Call) -> AsyncIterator[Piece]:
        await asyncio.sleep(0)
        yield "1. Eat\n2. Sleep" if call.stage == "skeleton" else f"{call.point} of {call.messages[0].text}"

    async def main() -> None:
        sot = engine(llm, max_concurrency=places)
        asked = [f"How do I stay healthy, {number}?" for number in range(1000)]
        answers = await asyncio.gather(*map(sot.aask, asked))
        assert [f"1. Eat: 1 of {one}\n\n2. Sleep: 2 of {one}" for one in asked] == [answer.text for answer in answers]
        assert (0, {}, 0) == (sot.limit._in_flight, sot.limit._runs.held, len(sot.limit._runs))

    asyncio.run(main())


@pytest.mark.parametrize("ask", ["ask", "stream"])
def test_a_synchronous_call_from_inside_a_run_names_its_twin(ask: str) -> None:
    """A router that asks another object would otherwise wait forever."""

    def router(question: Question) -> Route:
        collect(engine().stream(question)) if ask == "stream" else engine().ask(question)
        return NEVER

    with pytest.raises(RuntimeError, match=f"from inside a run: .*a{ask}"):
        engine(router=router).ask(QUESTION)


def test_the_context_of_the_caller_reaches_the_run() -> None:
    """That of the moment when the answer was asked for."""

    def router(_: Question) -> Route:
        return Route("direct", SPAN.get(), "so")

    async def main() -> None:
        sot, token = engine(router=router), SPAN.set("asked")
        stream = sot.astream(QUESTION)
        SPAN.reset(token)
        assert Routed(Route("direct", "asked", "so")) == (await collect(stream))[0]

    run(main)
    token = SPAN.set("caller")
    assert "caller" == engine(router=router).ask(QUESTION).route.by
    SPAN.reset(token)


# -- routers -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("question", "route"),
    [
        ("What are good ways to stay healthy?", ("skeleton", "rules")),
        ("Translate 'good morning' into French", ("direct", "rules")),
    ],
)
def test_the_rules_are_the_default(question: str, route: tuple[str, str]) -> None:
    """No call is spent on the decision."""
    llm = scripted()
    answer = whole(SkeletonOfThought(llm=llm), question)
    assert route == (answer.route.kind, answer.route.by)
    assert "route" not in {call.stage for call in llm.calls}


@pytest.mark.parametrize("kind", ["skeleton", "direct"])
def test_a_router_of_yours_decides(kind: str) -> None:
    """At once, or as an awaitable; it sees history and passages too."""
    route = Route(kind, "mine", "so")  # type: ignore[arg-type]  # both are kinds
    question = Question(QUESTION, history=(Message("system", "Be kind."),), passages=("Figs are sweet.",))
    asked: list[Question] = []

    def router(question: Question) -> Route:
        asked.append(question)
        return route

    async def arouter(question: Question) -> Route:
        await asyncio.sleep(0)
        return router(question)

    for mine in (router, arouter):
        answer = whole(engine(router=mine), question)
        assert route == answer.route
    assert [question, question] == asked


def test_a_router_that_fails_fails_the_run() -> None:
    """With its own exception, and before any model is called."""
    error, llm = LookupError("no route"), scripted()

    def router(_: Question) -> Route:
        raise error

    events, raised = failing(engine(llm, router=router))
    assert ([], error, []) == (events, raised, llm.calls)


# -- models --------------------------------------------------------------------------------------------


def test_point_llm_writes_the_points_and_nothing_else() -> None:
    """Usually a smaller one; what it can do is its own."""
    llm, small = scripted(), scripted(abilities=Abilities(prefill=True))
    assert TEXT == whole(engine(llm, point_llm=small)).text
    assert [("skeleton", None)] == [(call.stage, call.point) for call in llm.calls]
    assert [("point", 1), ("point", 2), ("point", 3)] == [(call.stage, call.point) for call in small.calls]
    assert Message("assistant", "1. Eat well:") == small.calls[0].messages[-1]


def test_point_llm_writes_no_direct_answer() -> None:
    """Neither one that was meant to be nor one that had to be."""
    silent = ScriptedLLM()
    for sot in (engine(point_llm=silent, router="never"), engine(scripted(skeleton=""), point_llm=silent)):
        assert "Take figs, and rest." == whole(sot).text
    assert [] == silent.calls


def test_every_expansion_sees_the_whole_skeleton() -> None:
    """So that points leave to the others what is theirs."""
    llm = scripted()
    whole(engine(llm))
    for call in llm.calls[1:]:
        assert Message("assistant", "1. Eat well\n2. Sleep well\n3. Move every day") in call.messages


def test_prompts_of_yours_are_said() -> None:
    """Word for word."""
    llm = scripted()
    whole(engine(llm, prompts=Prompts(point="Explain {title} to a child.", skeleton="List it."), detail="long"))
    assert "List it." == llm.calls[0].messages[-1].text
    assert llm.calls[1].messages[-1].text.startswith("Explain Eat well to a child.")


@pytest.mark.parametrize("settings", [{"detail": "short"}, {"detail": "long"}, {"point_max_tokens": 7}])
def test_every_expansion_has_a_bound(settings: dict[str, object]) -> None:
    """Some providers reserve what is not bounded."""
    llm = scripted()
    whole(engine(llm, **settings))
    bounds = {call.max_tokens for call in llm.calls[1:]}
    assert 1 == len(bounds)
    assert None not in bounds
    assert settings.get("point_max_tokens") in {None, *bounds}


class AnyIterator:
    """An asynchronous iterator that is no generator: it has nothing but its next item."""

    def __init__(self, pieces: AsyncGenerator[Piece, None]) -> None:
        self._pieces = pieces

    def __aiter__(self) -> AsyncIterator[Piece]:
        return self

    async def __anext__(self) -> Piece:
        return await anext(self._pieces)


def test_a_model_may_return_any_asynchronous_iterator() -> None:
    """It need not be a generator, and it need not say what it can do."""
    llm = scripted()

    def door(call: Call) -> AsyncIterator[Piece]:
        return AnyIterator(llm(call))

    assert TEXT == whole(SkeletonOfThought(llm=door, router="always")).text


def test_a_model_that_tells_nothing_about_its_calls() -> None:
    """Then nothing is known about cost, finish and speed-up."""
    llm = scripted()

    async def door(call: Call) -> AsyncGenerator[Piece, None]:
        pieces = llm(call)
        try:
            async for piece in pieces:
                if isinstance(piece, str):
                    yield piece
        finally:
            await pieces.aclose()

    answer = whole(SkeletonOfThought(llm=door, router="always"))
    assert (Usage(), None) == (answer.total_usage, answer.speed_up)
    assert {None} == {written.finish for written in answer.sections}


# -- timings -------------------------------------------------------------------------------------------


def test_timings_of_a_stream() -> None:
    """Each is a part of the whole."""
    event = events_of(engine())[-1]
    assert isinstance(event, Finished)
    timings = event.answer.timings
    assert timings.skeleton_first is not None
    assert timings.skeleton is not None
    assert timings.first_text is not None
    assert timings.critical_path is not None
    assert 0 < timings.skeleton_first <= timings.skeleton <= timings.first_text <= timings.total
    assert timings.skeleton < timings.critical_path <= timings.total
    assert timings.skeleton + max(timings.points.values()) == timings.critical_path
    assert {written.point.number: written.seconds for written in event.answer.sections} == timings.points
    assert [1, 2, 3] == list(timings.points)
    assert event.answer.speed_up is not None


def test_timings_of_a_whole_answer() -> None:
    """Without a stream there is no first token, and so no pace to read off."""
    answer = whole(engine())
    assert answer.timings.skeleton_first is None
    assert answer.speed_up is None


def test_timings_of_a_direct_answer() -> None:
    """What did not happen took no time, not zero seconds."""
    timings = whole(engine(router="never")).timings
    assert (None, None, None, {}) == (timings.skeleton, timings.skeleton_first, timings.critical_path, timings.points)
    assert timings.first_text is not None


def test_an_answer_survives_json() -> None:
    """As it came out of a run."""
    for answer in (whole(engine()), whole(engine(router="never")), whole(engine(scripted(skeleton="")))):
        assert answer == Answer.from_json(answer.to_json())


# -- failures ------------------------------------------------------------------------------------------


def test_a_point_that_fails_fails_the_run() -> None:
    """With one error, not a group, that holds the cause and all that was written."""
    cause = OSError("no route")
    llm = scripted(failures={2: Failure(cause, after=2)}, points={1: ["Take"] * 9, 2: ["Go", " to", "!"], 3: ["Walk."]})
    events, error = failing(engine(llm))
    assert isinstance(error, PointError)
    assert ("point 2 ('Sleep well') could not be written", 2, "Sleep well", cause) == (
        str(error),
        error.number,
        error.title,
        error.__cause__,
    )
    assert [PointFailed(SLEEP, cause)] == [event for event in events if isinstance(event, PointFailed)]
    assert text_of(events) == error.answer.text
    written = {written.point.number: written for written in error.answer.sections}
    assert "Go to" == written[2].text
    assert written[1].text.startswith("Take")
    assert (None, None) == (written[1].seconds, written[2].seconds)
    assert Section(MOVE, "Walk.", finish="stop", usage=USAGE["point"]) == replace(written[3], seconds=None)
    assert Skeleton((EAT, SLEEP, MOVE)) == error.answer.skeleton


def test_a_point_that_fails_cancels_the_others() -> None:
    """Their calls are closed when the error is seen, although they would have taken an hour."""
    llm = scripted(failures={2: OSError("no route")}, delay={1: FOREVER, 3: FOREVER})
    events, error = failing(engine(llm))
    assert isinstance(error, PointError)
    assert isinstance(events[-1], PointFailed)
    assert 0 == llm.in_flight


def test_only_the_first_of_several_failures_is_told() -> None:
    """It is the one that is raised."""
    error = OSError("no route")
    events, raised = failing(engine(scripted(failures={"point": error})))
    assert isinstance(raised, PointError)
    assert [PointFailed(EAT, error)] == [event for event in events if isinstance(event, PointFailed)]


@pytest.mark.parametrize(
    ("settings", "stage"), [({}, "skeleton"), ({"router": "never"}, "direct"), ({"min_points": 9}, "direct")]
)
def test_other_failures_are_the_models_own(settings: dict[str, object], stage: str) -> None:
    """They are raised as they are, after what was said before."""
    error = OSError("no route")
    llm = scripted(failures={stage: Failure(error, after=1)})
    events, raised = failing(engine(llm, **settings))
    assert error is raised
    assert isinstance(events[-1], SkeletonText if stage == "skeleton" else Text)
    assert 0 == llm.in_flight


def test_whole_answers_fail_as_streams_do() -> None:
    """With the same error, in all the ways in."""
    cause = OSError("no route")
    sot = engine(scripted(failures={2: cause}))
    for ask in (whole, lambda sot: sot.ask(QUESTION), lambda sot: list(sot.stream(QUESTION))):
        with pytest.raises(PointError) as caught:
            ask(sot)
        assert cause is caught.value.__cause__
        assert Skeleton((EAT, SLEEP, MOVE)) == caught.value.answer.skeleton


def test_a_failure_does_not_spoil_the_object() -> None:
    """The next question finds all places free."""
    sot = engine(scripted(failures={2: Failure(OSError("no route"), times=2)}), max_concurrency=1)
    for _ in range(2):
        assert isinstance(failing(sot)[1], PointError)
    assert TEXT == whole(sot).text


# -- leaving early -------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", range(1, 24))
def test_leaving_early_closes_every_call(number: int) -> None:
    """Whatever was heard last."""
    llm = scripted()

    async def main() -> None:
        async with aclosing(engine(llm).astream(QUESTION)) as stream:
            for _ in range(number):
                await anext(stream)
        assert 0 == llm.in_flight

    run(main)


@pytest.mark.parametrize("stage", ["skeleton", "point", "direct"])
def test_leaving_does_not_wait_for_a_model(stage: str) -> None:
    """One that says nothing for an hour is closed at once."""
    llm = scripted(delay={stage: FOREVER})
    ended = asyncio.Event()

    async def main() -> None:
        async def read() -> None:
            try:
                await collect(engine(llm, router="never" if stage == "direct" else "always").astream(QUESTION))
            finally:
                ended.set()

        reader = asyncio.create_task(read())
        while stage not in {call.stage for call in llm.calls}:  # noqa: ASYNC110 -- the fake has no event
            await asyncio.sleep(0)
        reader.cancel()
        await ended.wait()
        assert 0 == llm.in_flight

    run(main)


def test_leaving_a_synchronous_stream_closes_every_call() -> None:
    """Before the next line of the script is reached."""
    llm = scripted(delay={"point": FOREVER})
    for event in engine(llm).stream(QUESTION):
        if isinstance(event, SkeletonReady):
            break
    gc.collect()
    assert 0 == llm.in_flight


@pytest.mark.parametrize("failing_point", [None, 2])
def test_steps_may_be_resumed_from_new_tasks(failing_point: int | None) -> None:
    """LangChain does, and nothing hangs, not even where a point fails."""
    llm = scripted(failures={failing_point: OSError("no route")} if failing_point else {})

    async def main() -> None:
        stream, events = engine(llm).astream(QUESTION), list[Event]()

        async def read() -> None:
            while True:
                events.append(await asyncio.create_task(anext(stream)))  # type: ignore[arg-type]  # a coroutine

        with pytest.raises(PointError if failing_point else StopAsyncIteration):
            await read()
        assert (PointFailed if failing_point else Finished) in set(map(type, events))
        assert 0 == llm.in_flight

    run(main)


def test_nothing_is_called_before_the_first_event_is_asked_for() -> None:
    """A stream that is made and dropped costs nothing."""
    llm = scripted()

    async def main() -> None:
        stream = engine(llm).astream(QUESTION)
        await asyncio.sleep(0)
        await stream.aclose()

    run(main)
    engine(llm).stream(QUESTION).close()
    assert [] == llm.calls


# -- limits --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [1, 2, 5])
def test_max_concurrency_holds_over_all_runs_of_an_object(width: int) -> None:
    """Three runs together have no more calls in flight than one may have."""
    llm = scripted()

    async def main() -> None:
        sot = engine(llm, max_concurrency=width)
        answers = await asyncio.gather(*(sot.aask(QUESTION) for _ in range(3)))
        assert [TEXT] * 3 == [answer.text for answer in answers]

    run(main)
    assert (width, 12) == (llm.peak, len(llm.calls))


def test_without_a_narrow_limit_all_points_are_in_flight() -> None:
    """That is the point of it all."""
    llm = scripted()
    whole(engine(llm))
    assert 3 == llm.peak


def test_a_limit_bounds_several_objects_together() -> None:
    """Also over threads and their loops."""
    llm, limit = scripted(), Limit(2)
    objects = [engine(llm, max_concurrency=limit) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        answers = [
            *pool.map(lambda sot: sot.ask(QUESTION), objects[:2]),
            *pool.map(lambda sot: asyncio.run(sot.aask(QUESTION)), objects[2:]),
        ]
    assert {TEXT} == {answer.text for answer in answers}
    assert (2, 16) == (llm.peak, len(llm.calls))


def test_a_copy_with_another_limit_has_that_limit() -> None:
    """``dataclasses.replace`` is how settings are changed."""
    llm = scripted()
    sot = replace(engine(llm), max_concurrency=1)
    whole(sot)
    assert 1 == llm.peak


# -- what is refused -----------------------------------------------------------------------------------


@pytest.mark.parametrize("question", ["", " \n", None, 3])
def test_a_question_that_cannot_be_asked(question: object) -> None:
    """Is refused at once, before any model is called."""
    llm = scripted()
    sot = engine(llm)
    for ask in (sot.astream, sot.stream, sot.ask, lambda question: asyncio.run(sot.aask(question))):
        with pytest.raises(InputError):
            ask(question)  # type: ignore[arg-type, operator]  # that is the point
    assert [] == llm.calls


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"llm": None}, "llm of type NoneType cannot work: use a model, such as OpenAIModel"),
        ({"llm": "gpt-4"}, "llm of type str cannot work"),
        ({"point_llm": "gpt-4"}, "point_llm of type str cannot work"),
        ({"max_points": 1}, "max_points=1 cannot work"),
        ({"router": "sometimes"}, "router='sometimes' cannot work"),
    ],
)
def test_settings_that_cannot_work(settings: dict[str, object], message: str) -> None:
    """Are refused when the object is made."""
    with pytest.raises(ConfigurationError, match=message):
        SkeletonOfThought(**{"llm": scripted(), **settings})  # type: ignore[arg-type]  # that is the point


def test_a_model_is_required() -> None:
    """There is no default that would send your question somewhere."""
    with pytest.raises(TypeError, match="llm"):
        SkeletonOfThought()  # type: ignore[call-arg]  # that is the point
