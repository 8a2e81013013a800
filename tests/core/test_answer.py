import json
import re
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from skeleton_of_thought import Answer, InputError, Message, Passage, Point, Question, Route, Section, Skeleton, Usage
from skeleton_of_thought._critical_path import critical_path
from skeleton_of_thought.answer import Heading, Source, Timings, heading_of

SECONDS = st.floats(0, 1e6)
ROUTE = Route("skeleton", "rules", "it asks for several things")


@st.composite
def skeletons(draw: st.DrawFn) -> Skeleton:
    """Points of which each may come after any of those before it."""
    number_of_points = draw(st.integers(0, 8))
    return Skeleton(
        tuple(
            Point(number, draw(st.text()), after=tuple(draw(st.sets(st.integers(1, number - 1)))) if number > 1 else ())
            for number in range(1, number_of_points + 1)
        )
    )


USAGES = st.builds(Usage, *[st.integers(0, 10**9)] * 3)
ANSWERS = st.builds(
    Answer,
    question=st.text(),
    route=st.builds(Route, st.sampled_from(["skeleton", "direct"]), st.text(), st.text()),
    text=st.text(),
    skeleton=st.none() | skeletons(),
    sections=st.lists(
        st.builds(
            Section,
            st.builds(Point, st.integers(1, 9), st.text()),
            st.text(),
            st.none() | SECONDS,
            st.none() | st.text(),
            USAGES,
            st.lists(st.integers(1, 9), max_size=3).map(tuple),
            st.none() | st.tuples(st.integers(0, 99), st.integers(0, 99)),
        ),
        max_size=3,
    ).map(tuple),
    usage=st.dictionaries(st.sampled_from(["route", "skeleton", "point", "direct"]), USAGES),
    sources=st.lists(
        st.builds(
            Source,
            st.integers(1, 9),
            st.builds(Passage, st.text(), st.text(), st.builds(object)),
            st.lists(st.integers(1, 9), max_size=3).map(tuple),
        ),
        max_size=3,
    ).map(tuple),
    origins=st.lists(st.builds(object), max_size=2).map(tuple),
    timings=st.builds(
        Timings,
        total=SECONDS,
        first_text=st.none() | SECONDS,
        skeleton=st.none() | SECONDS,
        skeleton_first=st.none() | SECONDS,
        points=st.dictionaries(st.integers(1, 9), SECONDS),
        retrieval=st.dictionaries(st.integers(0, 9), SECONDS),
        critical_path=st.none() | SECONDS,
    ),
)


# -- questions -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "  ", "\n\t"])
def test_an_empty_question_is_refused(text: str) -> None:
    """No model is asked nothing."""
    with pytest.raises(InputError, match="the question is empty: ask something"):
        Question(text)


def test_a_question_may_be_the_frameworks_own_message() -> None:
    """It may hold an image and no word; any object counts, whatever its truth."""
    for text, origin in product(["", " ", "Why?"], ["an image", 0, ""]):
        assert (text, origin) == (Question(text, origin=origin).text, Question(text, origin=origin).origin)


@pytest.mark.parametrize("text", [None, 3, ["Why?"], b"Why?"])
def test_a_question_is_text(text: object) -> None:
    """The error says what it was instead."""
    for origin in (None, "an image"):
        with pytest.raises(InputError, match=f"^a question is text, not {type(text).__name__}$"):
            Question(text, origin=origin)  # type: ignore[arg-type]  # that is the point


def test_passages_of_a_question_are_given_once() -> None:
    """As texts, or as a retriever found them; the first counts of those that are the same."""
    document = Passage("Figs.", "a", origin="a document")
    question = Question("Why?", passages=("Bed.", document, Passage("Figs.", "a"), Passage("Bed."), "Figs."))
    assert (Passage("Bed."), document, Passage("Figs.")) == question.given
    assert "a document" == question.given[1].origin
    assert () == Question("Why?").given


def test_half_a_sign_is_refused() -> None:
    """It could not be sent, and the error would come from deep inside a client."""
    with pytest.raises(InputError, match="the question has half a sign at 4"):
        Question("Why \ud83d?")


def test_messages_are_compared_by_what_they_say() -> None:
    """Not by the framework's object that they stand for; nor are passages."""
    assert Message("user", "Why?", origin=1) == Message("user", "Why?", origin=2)
    assert Passage("Figs.", "a", origin=1) == Passage("Figs.", "a", origin=2)
    assert Passage("Figs.", "a") != Passage("Figs.", "b")


# -- answers as JSON -----------------------------------------------------------------------------------


@given(ANSWERS)
def test_an_answer_comes_back_from_json_as_it_went(answer: Answer) -> None:
    """Down to the last digit of the timings."""
    assert answer == Answer.from_json(answer.to_json())


@given(ANSWERS)
def test_all_but_the_frameworks_own_objects_comes_back_from_json(answer: Answer) -> None:
    """What two answers are not compared by comes back too: where each section stands."""
    copy = Answer.from_json(answer.to_json())
    assert [section.span for section in answer.sections] == [section.span for section in copy.sections]
    assert () == copy.origins
    assert {None} >= {source.passage.origin for source in copy.sources}


@given(ANSWERS)
def test_no_object_of_the_framework_is_in_an_answers_json(answer: Answer) -> None:
    """It could not be written, and need not be said."""
    about = answer.as_dict()
    assert "origins" not in about
    assert all({"text", "key"} == set(source["passage"]) for source in about["sources"])


@given(ANSWERS)
def test_an_answer_as_a_dict_is_its_json(answer: Answer) -> None:
    """One is the other, read."""
    assert json.loads(answer.to_json()) == json.loads(json.dumps(answer.as_dict()))


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"question": "Why?"}'])
def test_what_is_no_answer_is_refused(text: str) -> None:
    """With pydantic's own error, which names the fields."""
    with pytest.raises(ValidationError):
        Answer.from_json(text)


def test_points_that_are_no_skeleton_are_refused() -> None:
    """Also when they come from a file."""
    answer = Answer(
        question="Why?", route=ROUTE, text="So.", skeleton=Skeleton((Point(1, "A"),)), timings=Timings(total=1)
    )
    with pytest.raises(ValidationError, match="comes after unknown points"):
        Answer.from_json(answer.to_json().replace('"after":[]', '"after":[7]'))


# -- usage and speed-up --------------------------------------------------------------------------------


def timed(
    *,
    skeleton: Usage | None = Usage(0, 11),  # noqa: B008 -- frozen
    point: Usage | None = Usage(0, 100),  # noqa: B008
    first: float | None = 0.5,
    whole: float | None = 1.5,
    total: float = 3.5,
) -> Answer:
    usage = {"skeleton": skeleton, "point": point}
    return Answer(
        question="Why?",
        route=ROUTE,
        text="So.",
        usage={stage: used for stage, used in usage.items() if used is not None},  # type: ignore[misc]  # both are stages
        timings=Timings(total=total, skeleton=whole, skeleton_first=first),
    )


def test_speed_up_is_read_off_the_skeleton() -> None:
    """First token after 0.5 s, then a token each 0.1 s: 100 tokens would take 10.5 s, and took 3.5 s."""
    speed_up = timed().speed_up
    assert speed_up is not None
    assert pytest.approx(3.0) == speed_up


@pytest.mark.parametrize(
    "answer",
    [
        timed(skeleton=None),
        timed(point=None),
        timed(skeleton=Usage(5, 1)),
        timed(point=Usage(5, 0)),
        timed(first=None),
        timed(whole=None),
    ],
    ids=["no skeleton usage", "no point usage", "one token", "no tokens", "not streamed", "no skeleton"],
)
def test_speed_up_is_none_where_it_is_not_known(answer: Answer) -> None:
    """It is never guessed."""
    assert answer.speed_up is None


def test_usage_adds_up() -> None:
    """Over all stages, kind by kind."""
    assert Usage(11, 22, 33) == timed(skeleton=Usage(1, 2, 3), point=Usage(10, 20, 30)).total_usage
    assert Usage() == timed(skeleton=None, point=None).total_usage


# -- headings ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("style", "title", "expected"),
    [
        ("numbered", "Sleep well", "2. Sleep well: "),
        ("numbered", "Why sleep?", "2. Why sleep? "),
        ("numbered", "为什么？", "2. 为什么？ "),
        ("bold", "Sleep well", "**Sleep well:** "),
        ("bold", "Sleep!", "**Sleep!** "),
        ("markdown", "Sleep well", "### Sleep well\n\n"),
        ("none", "Sleep well", ""),
    ],
)
def test_headings(style: Heading, title: str, expected: str) -> None:
    """A title that ends with a mark of its own gets no second one."""
    assert expected == heading_of(Point(2, title), style)


# -- the critical path ---------------------------------------------------------------------------------


@given(st.data(), skeletons(), SECONDS)
def test_critical_path_lies_between_the_slowest_point_and_the_sum(
    data: st.DataObject, skeleton: Skeleton, first: float
) -> None:
    """No scheduler beats the slowest point, and none is slower than one after another."""
    seconds = {point.number: data.draw(SECONDS) for point in skeleton.points}
    path = critical_path(skeleton, first, seconds)
    assert first + max(seconds.values(), default=0) <= path
    assert path <= (first + sum(seconds.values())) * (1 + 1e-9)


@given(st.lists(SECONDS, max_size=8), SECONDS)
def test_critical_path_of_independent_points_is_the_slowest(seconds: list[float], first: float) -> None:
    """The paper's estimate of the latency."""
    skeleton = Skeleton(tuple(Point(number, "") for number, _ in enumerate(seconds)))
    assert first + max(seconds, default=0) == critical_path(skeleton, first, dict(enumerate(seconds)))


@given(st.lists(st.integers(0, 1000), max_size=8), st.integers(0, 1000))
def test_critical_path_of_a_chain_is_the_sum(seconds: list[int], first: int) -> None:
    """Whatever order they stand in."""
    points = [Point(number, "", after=(number - 1,) if number else ()) for number, _ in enumerate(seconds)]
    skeleton = Skeleton(tuple(reversed(points)))
    assert first + sum(seconds) == critical_path(skeleton, first, dict(enumerate(seconds)))


def test_points_that_were_not_written_took_no_time() -> None:
    """After a failure the path is that of what was done."""
    skeleton = Skeleton((Point(1, "A"), Point(2, "B", after=(1,))))
    assert 3.0 == critical_path(skeleton, 1.0, {1: 2.0})


def test_every_field_of_an_answer_is_in_its_json() -> None:
    """Nothing is kept from those who read it in another language."""
    fields = re.findall(r'"(\w+)":', timed().to_json())
    assert {"question", "route", "text", "skeleton", "sections", "usage", "sources", "timings"} <= set(fields)
