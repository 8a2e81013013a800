from collections.abc import Callable
from dataclasses import replace

import pytest

from skeleton_of_thought import Abilities, Answer, InputError, Passage, PointError, Question, Retry, SkeletonOfThought
from skeleton_of_thought.answer import Source
from skeleton_of_thought.events import Event, Finished, PointDone, PointStarted, PointText, Routed, SkeletonReady
from skeleton_of_thought.testing import Failure, ScriptedLLM
from tests.core.clock import skip_time
from tests.core.running import (
    BED,
    FIGS,
    FOREVER,
    MOVE,
    QUESTION,
    SLEEP,
    TEXT,
    WALK,
    engine,
    failing,
    heard,
    retriever,
    scripted,
    text_of,
    whole,
)

POLICY = ValueError("content policy")
DIRECT = "Take figs, and rest."

Store = Callable[[Answer], Answer]


@pytest.fixture(autouse=True)
def _no_time_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    skip_time(monkeypatch)


def through_json(answer: Answer) -> Answer:
    return Answer.from_json(answer.to_json())


def through_about(answer: Answer) -> Answer:
    return Answer.from_about(answer.text, answer.about(), answer.sources)


STORES = pytest.mark.parametrize(
    "store", [lambda answer: answer, through_json, through_about], ids=["", "json", "about"]
)


def left_of(sot: SkeletonOfThought) -> Answer:
    """Return what was written until a run failed."""
    answer = Answer.before(failing(sot)[1])
    assert answer is not None
    return answer


def gone_on(answer: Answer, llm: ScriptedLLM, **settings: object) -> list[Event]:
    sot = engine(llm, **settings)
    return heard(lambda: sot.astream(QUESTION, resume=answer))


def answer_of(events: list[Event]) -> Answer:
    assert isinstance(events[-1], Finished)
    return events[-1].answer


def called(llm: ScriptedLLM) -> list[tuple[str, int | None]]:
    return sorted((call.stage, call.point) for call in llm.calls)


@STORES
@pytest.mark.parametrize("policy", ["raise", "mark", "leave_out", lambda error: "Ask a doctor."])
def test_only_what_is_missing_is_written(store: Store, policy: object) -> None:
    """And shown with what was written before, as if nothing had happened."""
    first = engine(scripted(failures={2: Failure(POLICY)}, delay={2: 1.0}), on_point_error=policy, deadline=FOREVER)
    left = store(left_of(first) if policy == "raise" else whole(first))
    assert left.missing == ((1, 2, 3) if policy == "raise" else (2,))
    llm = scripted()
    events = gone_on(left, llm)
    answer = answer_of(events)
    assert (TEXT, TEXT, True, ()) == (text_of(events), answer.text, answer.complete, answer.missing)
    assert [("point", number) for number in left.missing] == called(llm)


@STORES
def test_what_was_cut_at_the_deadline_goes_on(store: Store) -> None:
    """A point from its first words on, without the mark that stood behind them."""
    left = store(whole(engine(scripted(pause={2: FOREVER}), deadline=1)))
    assert "2. Sleep well: Go […]" in left.text
    llm = scripted(abilities=Abilities(prefill=True), points={2: [" to", " bed."]})
    events = gone_on(left, llm)
    assert TEXT == text_of(events)
    [call] = llm.calls
    assert ("Go", "2. Sleep well:Go") == (call.said, call.messages[-1].text.replace(": ", ":"))


@STORES
def test_a_direct_answer_goes_on(store: Store) -> None:
    """From what was shown of it, and of a model that begins anew no word is heard twice."""
    left = store(whole(engine(scripted(pause={"direct": FOREVER}), router="never", deadline=1)))
    assert ("Take figs, […]", False) == (left.text, left.complete)
    llm = scripted()
    events = gone_on(left, llm, router="never")
    assert (DIRECT, DIRECT, True) == (text_of(events), answer_of(events).text, answer_of(events).complete)
    assert [("Take figs,", "direct")] == [(call.said, call.stage) for call in llm.calls]


def test_a_direct_answer_that_failed_goes_on() -> None:
    """Also where it was no deadline that cut it."""
    left = left_of(engine(scripted(failures={"direct": Failure(POLICY, 1)}), router="never"))
    assert ("Take figs,", False) == (left.text, left.complete)
    assert DIRECT == text_of(gone_on(through_json(left), scripted(), router="never"))


@pytest.mark.parametrize("router", ["always", "never"])
def test_an_answer_that_is_complete_is_shown_again(router: str) -> None:
    """Without any call."""
    done = whole(engine(router=router))
    llm = scripted()
    answer = answer_of(gone_on(done, llm, router=router))
    assert (done.text, True, []) == (answer.text, answer.complete, llm.calls)


def test_an_answer_of_which_nothing_was_written_begins_anew() -> None:
    """With the router's decision, and a skeleton."""
    left = left_of(engine(scripted(failures={"skeleton": ValueError()})))
    llm = scripted()
    assert TEXT == text_of(gone_on(through_json(left), llm))
    assert ("skeleton", None) in called(llm)


@STORES
@pytest.mark.parametrize("pipelined", [True, False])
def test_a_skeleton_that_was_cut_goes_on(store: Store, pipelined: bool) -> None:
    """Its points so far are not the whole answer, though they are all written."""
    half = scripted(skeleton=["1. Eat well\n2. Sleep well\n", "3. Move every day"], pause={"skeleton": FOREVER})
    left = store(whole(engine(half, pipelined=True, deadline=1)))
    assert ("1. Eat well: Take figs.\n\n2. Sleep well: Go to bed.\n\n[…]", False, ()) == (
        left.text,
        left.complete,
        left.missing,
    )
    llm = scripted()
    answer = answer_of(gone_on(left, llm, pipelined=pipelined))
    assert (TEXT, True) == (answer.text, answer.complete)
    assert [("point", 3), ("skeleton", None)] == called(llm)


def test_the_route_stays() -> None:
    """Nobody decides anew about an answer that has begun."""
    left = whole(engine(scripted(failures={2: POLICY}), on_point_error="mark"))
    events = gone_on(left, scripted(), router="never")
    assert [left.route] == [event.route for event in events if isinstance(event, Routed)]
    assert TEXT == text_of(events)


def test_events_tell_of_what_is_new() -> None:
    """The skeleton is known at once; a point that was written before is not written again."""
    left = whole(engine(scripted(failures={2: POLICY}), on_point_error="mark"))
    events = gone_on(left, scripted())
    assert [left.skeleton] == [event.skeleton for event in events if isinstance(event, SkeletonReady)]
    assert [SLEEP] == [event.point for event in events if isinstance(event, PointStarted)]
    assert [SLEEP] == [event.section.point for event in events if isinstance(event, PointDone)]
    assert "Go to bed." == "".join(event.text for event in events if isinstance(event, PointText))


def test_an_answer_may_be_gone_on_with_again_and_again() -> None:
    """As long as something is missing."""
    answer = whole(engine(scripted(failures={number: Failure(POLICY) for number in (2, 3)}), on_point_error="mark"))
    assert (2, 3) == answer.missing
    answer = answer_of(gone_on(through_json(answer), scripted(failures={3: POLICY}), on_point_error="mark"))
    assert (3,) == answer.missing
    answer = answer_of(gone_on(through_json(answer), scripted()))
    assert (TEXT, ()) == (answer.text, answer.missing)


def test_a_point_that_breaks_off_twice_goes_on_twice() -> None:
    """Each time from all that is there of it."""
    points = {**scripted().points, 2: ["Go", " to", " bed", " early."]}
    cut = scripted(points=points, failures={2: Failure(POLICY, 2)})
    answer = whole(engine(cut, on_point_error="mark"))
    prefill = Abilities(prefill=True)
    cut = scripted(points={2: [" bed", " early."]}, failures={2: Failure(POLICY, 1)}, abilities=prefill)
    answer = answer_of(gone_on(answer, cut, on_point_error="mark"))
    assert "Go to bed" == answer.sections[1].text
    answer = answer_of(gone_on(answer, scripted(points={2: [" early."]}, abilities=prefill)))
    assert TEXT.replace("bed.", "bed early.") == answer.text


def test_sections_of_a_resumed_answer_keep_what_they_were() -> None:
    """Seconds, usage and spans are those of each point, whenever it was written."""
    left = whole(engine(scripted(failures={2: POLICY}), on_point_error="mark"))
    answer = answer_of(gone_on(through_json(left), scripted()))
    for number in (0, 2):
        assert replace(left.sections[number], span=None) == replace(answer.sections[number], span=None)
    assert [section.text for section in answer.sections] == [
        answer.text[slice(*section.span)] for section in answer.sections if section.span
    ]
    assert {2} == set(answer.timings.points)


@STORES
def test_sources_keep_their_numbers(store: Store) -> None:
    """What was cited as [1] is [1], and what is found anew comes behind; what is done searches no more."""
    first = engine(scripted(failures={2: POLICY}), on_point_error="mark", retriever=retriever())
    left = store(whole(first))
    expected = (Source(1, FIGS, (1, 2)), Source(2, BED, (2,)), Source(3, WALK, (3,)))
    assert expected == left.sources
    asked: list[object] = []
    new = Passage("Pillows are soft.", "pillow")
    again = retriever({2: [new, BED]}, asked=asked)
    llm = scripted()
    answer = answer_of(gone_on(left, llm, retriever=again))
    assert [FIGS, BED, WALK, new] == [source.passage for source in answer.sources]
    assert [1, 2, 3, 4] == [source.number for source in answer.sources]
    assert ([("Sleep well (How do I stay healthy?)", SLEEP)], TEXT) == (asked, answer.text)
    assert "[4] Pillows are soft." in llm.calls[0].messages[-1].text
    assert [(1,), (2, 4), (3,)] == [tuple(sorted(section.sources)) for section in answer.sections]


def test_points_that_come_after_others_wait_for_those_that_are_missing() -> None:
    """And not for those that are done."""
    left = whole(engine(scripted(failures=dict.fromkeys((2, 3), POLICY)), on_point_error="mark"))
    assert left.skeleton is not None
    points = (left.skeleton.points[0], replace(SLEEP, after=(1,)), replace(MOVE, after=(1, 2)))
    sections = tuple(replace(each, point=point) for each, point in zip(left.sections, points, strict=True))
    left = replace(left, skeleton=replace(left.skeleton, points=points), sections=sections)
    events = gone_on(left, scripted())
    order = [type(event).__name__ + str(number_of(event)) for event in events if number_of(event)]
    assert ["PointStarted2", "PointDone2", "PointStarted3", "PointDone3"] == order
    assert TEXT == text_of(events)


def number_of(event: Event) -> int | None:
    match event:
        case PointStarted(point):
            return point.number
        case PointDone(section):
            return section.point.number
        case _:
            return None


def test_an_answer_to_another_question_is_refused() -> None:
    """At once, before any model is called."""
    answer = whole(engine())
    llm = scripted()
    for question in ("How do I sleep?", Question("How do I sleep?")):
        with pytest.raises(InputError, match="ask the same"):
            engine(llm).astream(question, resume=answer)
    assert [] == llm.calls


def test_a_run_that_was_resumed_may_fail() -> None:
    """Its error has what there is now."""
    left = whole(engine(scripted(failures=dict.fromkeys((2, 3), POLICY)), on_point_error="mark"))
    sot = engine(scripted(failures={3: Failure(POLICY, 1)}, delay={3: 1.0}), retry=Retry(attempts=1), deadline=FOREVER)
    with pytest.raises(PointError) as caught:
        sot.ask(QUESTION, resume=left)
    assert (3,) == caught.value.answer.missing
    assert TEXT == text_of(gone_on(caught.value.answer, scripted()))


def test_the_synchronous_twins_go_on_too() -> None:
    """With the same answer."""
    left = whole(engine(scripted(failures={2: POLICY}), on_point_error="mark"))
    assert TEXT == engine().ask(QUESTION, resume=left).text
    assert TEXT == text_of(list(engine().stream(QUESTION, resume=left)))
