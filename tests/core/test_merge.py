from hypothesis import given
from hypothesis import strategies as st

from skeleton_of_thought._merge import BETWEEN_POINTS, Merger

Step = tuple[int, str | None]
"""A point's number and a piece of its text, or ``None`` where the point is done."""

TEXTS = st.lists(st.lists(st.text(max_size=3), max_size=4), min_size=1, max_size=6)


def page_of(texts: list[list[str]]) -> str:
    return BETWEEN_POINTS.join(f"[{number}]{''.join(pieces)}" for number, pieces in enumerate(texts, 1))


def steps_of(texts: list[list[str]]) -> list[list[Step]]:
    return [
        [*((number, piece) for piece in pieces), (number, None)]
        for number, pieces in enumerate(texts, 1)
    ]  # fmt: skip


@st.composite
def interleavings(draw: st.DrawFn) -> tuple[list[list[str]], list[Step]]:
    """Texts of points, and an order in which their pieces may come."""
    texts = draw(TEXTS)
    turns = [number for number, steps in enumerate(steps_of(texts)) for _ in steps]
    waiting = [iter(steps) for steps in steps_of(texts)]
    return texts, [next(waiting[number]) for number in draw(st.permutations(turns))]


def shown_by(merger: Merger, headings: dict[int, str], steps: list[Step]) -> list[str]:
    """Return what is shown at first, and after each step."""
    return [
        "".join([merger.add(number, heading) for number, heading in headings.items()]),
        *(merger.close(number) if piece is None else merger.feed(number, piece) for number, piece in steps),
    ]


def headings_of(texts: list[list[str]]) -> dict[int, str]:
    return {number: f"[{number}]" for number, _ in enumerate(texts, 1)}


@given(interleavings())
def test_any_order_of_writing_gives_one_reading_order(case: tuple[list[list[str]], list[Step]]) -> None:
    """The page does not depend on who was faster."""
    texts, steps = case
    assert page_of(texts) == "".join(shown_by(Merger(), headings_of(texts), steps))


@given(interleavings())
def test_what_is_shown_is_never_taken_back(case: tuple[list[list[str]], list[Step]]) -> None:
    """At any moment it is the beginning of the whole page."""
    texts, steps = case
    shown = ""
    for piece in shown_by(Merger(), headings_of(texts), steps):
        shown += piece
        assert page_of(texts).startswith(shown)


@given(interleavings())
def test_nothing_that_may_be_shown_is_held_back(case: tuple[list[list[str]], list[Step]]) -> None:
    """All of the first unfinished point's text, as far as it is written, is on the page."""
    texts, steps = case
    merger, shown, written, done = Merger(), "", [""] * len(texts), set[int]()
    for number, heading in headings_of(texts).items():
        shown += merger.add(number, heading)
    for number, piece in steps:
        if piece is None:
            done.add(number)
            shown += merger.close(number)
        else:
            written[number - 1] += piece
            shown += merger.feed(number, piece)
        readable = next((n for n in range(1, len(texts) + 1) if n not in done), len(texts))
        page = [f"[{n}]{text}" for n, text in enumerate(written, 1)]
        assert BETWEEN_POINTS.join(page[:readable]) == shown


def test_the_first_point_is_live_and_the_others_wait() -> None:
    """What came early for a later point is shown in one piece, when its turn comes."""
    steps = [(2, "b"), (1, "a"), (2, "B"), (3, "c"), (1, "A"), (1, None), (2, "!"), (3, None), (2, None)]
    assert ["[1]", "", "a", "", "", "A", "\n\n[2]bB", "!", "", "\n\n[3]c"] == shown_by(
        Merger(), headings_of([[]] * 3), steps
    )


def test_reading_order_is_the_order_of_the_headings() -> None:
    """Numbers name points; they do not sort them."""
    assert "b\n\na" == "".join(shown_by(Merger(), {2: "b", 1: "a"}, [(1, None), (2, None)]))


@given(interleavings(), st.data())
def test_a_point_that_is_left_out_was_never_there(
    case: tuple[list[list[str]], list[Step]], data: st.DataObject
) -> None:
    """The page of the others, as long as nothing of it was shown."""
    texts, steps = case
    gone = data.draw(st.sets(st.integers(1, len(texts))))
    merger, shown, failed = Merger(patient=True), "", set[int]()
    for number, heading in headings_of(texts).items():
        shown += merger.add(number, heading)
    for number, piece in steps:
        if number in failed:
            continue
        if number in gone and not merger.is_shown(number):
            failed.add(number)
            shown += merger.leave_out(number)
        else:
            shown += merger.close(number) if piece is None else merger.feed(number, piece)
    left = [f"[{number}]{''.join(pieces)}" for number, pieces in enumerate(texts, 1) if number not in failed]
    assert BETWEEN_POINTS.join(left) == shown


def test_a_patient_page_shows_a_heading_with_what_follows_it() -> None:
    """Until then the point could still be left out."""
    steps = [(1, "a"), (1, None), (2, "b"), (2, None)]
    assert ["", "[1]a", "", "\n\n[2]b", ""] == shown_by(Merger(patient=True), headings_of([[]] * 2), steps)
