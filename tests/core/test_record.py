from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skeleton_of_thought import Answer, Call, Passage, Point, Question, Route, Section, Skeleton, Usage
from skeleton_of_thought._merge import BETWEEN_POINTS, Merger
from skeleton_of_thought._record import Record
from skeleton_of_thought.answer import Heading, Source, heading_of

QUESTION = Question("How do I stay healthy?")
EAT, SLEEP, MOVE = Point(1, "Eat well"), Point(2, "Why sleep?"), Point(3, "Move!", after=(1,))
HEADINGS = get_args(Heading)

Step = tuple[Point, str | None]
"""A point and a piece of its text, or ``None`` where the point is done."""


class Page:
    """A record that is kept as a run keeps it."""

    def __init__(self, points: list[Point], heading: Heading) -> None:
        self.record = Record(QUESTION, skeleton=Skeleton(tuple(points)))
        self.record.headings = {point.number: heading_of(point, heading) for point in points}
        self._merger = Merger()
        for number, heading in self.record.headings.items():
            self._say(self._merger.add(number, heading))

    def take(self, step: Step) -> Answer:
        point, piece = step
        pieces = self.record.pieces.setdefault(point.number, [])
        if piece is None:
            self.record.done[point.number] = Section(point, "".join(pieces), 1.0, "stop")
            self._say(self._merger.close(point.number))
        else:
            pieces.append(piece)
            self._say(self._merger.feed(point.number, piece))
        return self.record.answer()

    def _say(self, text: str) -> None:
        if text:
            self.record.say(text)


@st.composite
def points(draw: st.DrawFn) -> list[Point]:
    """In any reading order, under any titles."""
    numbers = draw(st.lists(st.integers(1, 99), min_size=1, max_size=5, unique=True))
    return [Point(number, draw(st.text(max_size=5))) for number in numbers]


@st.composite
def writings(draw: st.DrawFn) -> tuple[list[Point], list[Step]]:
    """Points, and an order in which their pieces may come; no point is without text."""
    outline = draw(points())
    texts = draw(st.lists(st.lists(st.text(min_size=1, max_size=3), min_size=1, max_size=4), min_size=len(outline)))
    steps: list[list[Step]] = [
        [*((point, piece) for piece in pieces), (point, None)]
        for point, pieces in zip(outline, texts, strict=False)
    ]  # fmt: skip
    turns = [number for number, of_point in enumerate(steps) for _ in of_point]
    waiting = [iter(of_point) for of_point in steps]
    return outline, [next(waiting[number]) for number in draw(st.permutations(turns))]


def shown(answer: Answer, section: Section) -> str | None:
    return section.span and answer.text[slice(*section.span)]


def untimed(answer: Answer) -> dict[str, object]:
    return answer.as_dict() | {"timings": None}


# -- where each section stands -------------------------------------------------------------------------


@pytest.mark.parametrize("heading", HEADINGS)
@given(case=writings())
def test_a_span_is_where_a_sections_text_stands(heading: Heading, case: tuple[list[Point], list[Step]]) -> None:
    """At any moment, in whatever order the points are written: their own text, without its heading."""
    outline, steps = case
    page = Page(outline, heading)
    for step in steps:
        answer = page.take(step)
        for section in answer.sections:
            assert shown(answer, section) in {None, section.text}
    assert [section.text for section in answer.sections] == [shown(answer, section) for section in answer.sections]


@pytest.mark.parametrize("heading", HEADINGS)
@given(case=writings())
def test_what_is_shown_whole_has_a_span_and_nothing_else(
    heading: Heading, case: tuple[list[Point], list[Step]]
) -> None:
    """A point that is being written has none, nor one that is held back, nor one that is not begun."""
    outline, steps = case
    page, done = Page(outline, heading), set[int]()
    assert {None} == {section.span for section in page.record.answer().sections}
    for point, piece in steps:
        answer = page.take((point, piece))
        done |= {point.number} if piece is None else set()
        before = [all(earlier.number in done for earlier in outline[: place + 1]) for place in range(len(outline))]
        assert before == [section.span is not None for section in answer.sections]


@given(writings())
def test_between_the_spans_stand_the_headings(case: tuple[list[Point], list[Step]]) -> None:
    """And what separates the points; so nothing of the text is lost between them."""
    outline, steps = case
    page = Page(outline, "numbered")
    for step in steps:
        answer = page.take(step)
    spans = [section.span for section in answer.sections]
    ends = [0, *(span[1] for span in spans if span)]
    between = [answer.text[end : span[0]] for end, span in zip(ends, spans, strict=False) if span]
    first, *others = [heading_of(point, "numbered") for point in outline]
    assert [first, *(BETWEEN_POINTS + other for other in others)] == between
    assert len(answer.text) == ends[-1]


def test_spans_are_not_compared() -> None:
    """Two answers that say the same are the same, under whatever headings."""
    assert Section(EAT, "Figs.", span=(0, 5)) == Section(EAT, "Figs.", span=(12, 17))


# -- what is there -------------------------------------------------------------------------------------


def test_nothing_is_there_yet() -> None:
    """An answer can be made all the same, also where the run fails before it is decided on its way."""
    answer = Record(QUESTION).answer()
    assert (Route("direct", "router", "not decided"), "", None, ()) == (
        answer.route,
        answer.text,
        answer.skeleton,
        answer.sections,
    )
    assert ({}, None, (), ()) == (answer.usage, answer.finish, answer.sources, answer.origins)
    assert (None, None, {}) == (answer.timings.first_text, answer.timings.critical_path, answer.timings.retrieval)


def test_a_point_that_is_not_done_has_what_is_written_of_it() -> None:
    """Nothing that a model wrote is lost."""
    page = Page([EAT, SLEEP, MOVE], "bold")
    for step in ((SLEEP, "Go to bed."), (SLEEP, None), (EAT, "Take")):
        answer = page.take(step)
    assert "**Eat well:** Take" == answer.text
    assert (Section(EAT, "Take"), Section(SLEEP, "Go to bed.", 1.0, "stop"), Section(MOVE, "")) == answer.sections


def test_the_order_of_the_skeleton_is_that_of_the_sections() -> None:
    """Numbers name points; they do not sort them."""
    page = Page([MOVE, EAT], "none")
    for step in ((EAT, "Figs."), (EAT, None), (MOVE, "Walk."), (MOVE, None)):
        answer = page.take(step)
    assert "Walk.\n\nFigs." == answer.text
    assert [(MOVE, (0, 5)), (EAT, (7, 12))] == [(section.point, section.span) for section in answer.sections]


@given(
    st.lists(st.tuples(st.sampled_from(["skeleton", "point", "direct"]), st.builds(Usage, *[st.integers(0, 9)] * 3)))
)
def test_usage_adds_up_by_stage(spent: list[tuple[str, Usage]]) -> None:
    """A stage of which no model told is not there."""
    record = Record(QUESTION)
    for stage, usage in spent:
        record.spend(Call(stage, ()), usage)  # type: ignore[arg-type]  # these are stages
    assert {stage: sum((used for at, used in spent if at == stage), Usage()) for stage, _ in spent} == (
        record.answer().usage
    )


def test_sources_and_origins_are_handed_on() -> None:
    """The framework's own objects as they are, but not into JSON."""
    message, document = object(), object()
    source = Source(1, Passage("Figs are sweet.", "a", document))
    record = Record(QUESTION, sources=(source,))
    record.origins.append(message)
    answer = record.answer()
    assert (message,) == answer.origins
    assert document is answer.sources[0].passage.origin
    assert untimed(answer) == untimed(Answer.from_json(answer.to_json()))


# -- timings -------------------------------------------------------------------------------------------


def test_the_critical_path_counts_what_a_point_was_written_from() -> None:
    """The skeleton, then the slowest point with its own retrieval; numbers are told in their order."""
    record = Record(QUESTION, skeleton=Skeleton((EAT, SLEEP)), skeleton_seconds=1.0)
    record.retrieval = {2: 0.25, 1: 8.0}
    record.done = {2: Section(SLEEP, "Bed.", 4.0), 1: Section(EAT, "Figs.", 2.0)}
    timings = record.answer().timings
    assert ([(1, 2.0), (2, 4.0)], [(1, 8.0), (2, 0.25)]) == ([*timings.points.items()], [*timings.retrieval.items()])
    assert 11.0 == timings.critical_path


def test_the_critical_path_counts_retrieval_beside_the_points_before() -> None:
    """A point that comes after another is searched for meanwhile: no scheduler is slower for it."""
    record = Record(QUESTION, skeleton=Skeleton((EAT, MOVE)), skeleton_seconds=1.0)
    record.retrieval = {1: 1.0, 3: 1.0}
    record.done = {1: Section(EAT, "Figs.", 8.0), 3: Section(MOVE, "Walk.", 4.0)}
    assert 14.0 == record.answer().timings.critical_path


def test_the_critical_path_after_a_failure_is_that_of_what_was_done() -> None:
    """What was found for a point that was never written did not count."""
    record = Record(QUESTION, skeleton=Skeleton((EAT, SLEEP)), skeleton_seconds=1.0)
    record.retrieval = {1: 8.0, 2: 0.25}
    record.done = {2: Section(SLEEP, "Bed.", 4.0)}
    assert 5.25 == record.answer().timings.critical_path


def test_the_first_text_is_taken_note_of_once() -> None:
    """It is when the reader sees the first piece."""
    record = Record(QUESTION)
    record.say("Take")
    first = record.answer().timings.first_text
    record.say(" figs.")
    answer = record.answer()
    assert ("Take figs.", first) == (answer.text, answer.timings.first_text)
    assert first is not None
