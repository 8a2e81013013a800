from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from skeleton_of_thought import Passage
from skeleton_of_thought.answer import Source
from skeleton_of_thought.retrieval import Numbering

FIGS, BED, WALK = Passage("Figs are sweet."), Passage("Go to bed."), Passage("Walk a lot.")

PASSAGES = st.builds(Passage, st.sampled_from("abcdef"), st.sampled_from(["", "", "x", "y"]))
GIVEN = st.lists(PASSAGES, max_size=3, unique_by=lambda passage: passage.same)
FOUND = st.dictionaries(st.integers(1, 99), st.lists(PASSAGES, max_size=4), min_size=1, max_size=6)
"""What is found for each point, in reading order."""


def fed(found: dict[int, list[Passage]], given: list[Passage], order: list[int] | None = None) -> Numbering:
    """Number what was found, in the *order* in which it was found."""
    numbering = Numbering(found, given)
    for number in order or found:
        numbering.feed(number, found[number])
    return numbering


# -- numbers -------------------------------------------------------------------------------------------


@given(st.data(), FOUND, GIVEN)
def test_every_order_of_finding_gives_the_same_numbers(
    data: st.DataObject, found: dict[int, list[Passage]], given: list[Passage]
) -> None:
    """Who was faster does not show, in a number or in anything else."""
    numbering, other = fed(found, given), fed(found, given, data.draw(st.permutations(list(found))))
    assert numbering.sources == other.sources
    assert [numbering.of(number) for number in found] == [other.of(number) for number in found]


@given(FOUND, GIVEN)
def test_numbers_ascend_in_reading_order(found: dict[int, list[Passage]], given: list[Passage]) -> None:
    """From 1, without a gap; a reader meets each new one after all that are smaller."""
    numbering = fed(found, given)
    met = [source for number in found for source, _ in numbering.of(number)]
    assert list(range(len(given) + 1, len(numbering.sources) + 1)) == list(dict.fromkeys(met))
    assert list(range(1, len(numbering.sources) + 1)) == [source.number for source in numbering.sources]


@given(FOUND, GIVEN)
def test_the_same_passage_is_numbered_once(found: dict[int, list[Passage]], given: list[Passage]) -> None:
    """It is known by its key, or by its text where it has none, and knows all points it was found for."""
    numbering = fed(found, given)
    all_found = [passage for passages in (given, *found.values()) for passage in passages]
    assert list(dict.fromkeys(each.same for each in all_found)) == [each.passage.same for each in numbering.sources]
    for source in numbering.sources:
        same = {number for number, passages in found.items() for each in passages if each.same == source.passage.same}
        assert tuple(number for number in found if number in same) == source.points


@given(FOUND, GIVEN)
def test_a_point_has_what_was_found_for_it_and_no_more(found: dict[int, list[Passage]], given: list[Passage]) -> None:
    """Each once, as the retriever ranked them, with their own texts, and without those that the question has."""
    numbering = fed(found, given)
    numbers = {source.passage.same: source.number for source in numbering.sources}
    for number, passages in found.items():
        texts = {numbers[passage.same]: passage.text for passage in passages}
        assert tuple(texts) == numbering.numbers_of(number)
        assert tuple((at, text) for at, text in texts.items() if at > len(given)) == numbering.of(number)


@given(st.data(), FOUND, GIVEN)
def test_numbers_are_known_as_soon_as_those_of_all_earlier_points(
    data: st.DataObject, found: dict[int, list[Passage]], given: list[Passage]
) -> None:
    """Each point is told once, in reading order, and what is told does not change any more."""
    whole, numbering, fed_so_far, told = fed(found, given), Numbering(found, given), set[int](), list[int]()
    for number in data.draw(st.permutations(list(found))):
        fed_so_far.add(number)
        told += numbering.feed(number, found[number])
        first_missing = next((place for place, point in enumerate(found) if point not in fed_so_far), len(found))
        assert list(found)[:first_missing] == told
        assert [whole.of(point) for point in told] == [numbering.of(point) for point in told]
        known = len(numbering.sources)
        assert whole.sources[:known] == tuple(
            replace(source, points=known_whole.points)
            for source, known_whole in zip(numbering.sources, whole.sources, strict=False)
        )


def test_a_number_given_early_does_not_change() -> None:
    """A point that is read later, and found earlier, waits for its numbers."""
    numbering = Numbering([1, 2], ())
    assert [] == numbering.feed(2, [BED, FIGS])
    assert () == numbering.sources
    assert [1, 2] == numbering.feed(1, [WALK, FIGS])
    assert (Source(1, WALK, (1,)), Source(2, FIGS, (1, 2)), Source(3, BED, (2,))) == numbering.sources
    assert ((3, "Go to bed."), (2, "Figs are sweet.")) == numbering.of(2)


# -- what tells passages apart -------------------------------------------------------------------------


def test_key_and_text_tell_passages_apart() -> None:
    """Two documents may say the same, and of one document two parts may be found: a number is what was read."""
    found = [Passage("Figs.", "a"), Passage("Figs.", "b"), Passage("Sweet figs.", "a")]
    numbering = fed({1: found[:2], 2: found[2:]}, [])
    assert (Source(1, found[0], (1,)), Source(2, found[1], (1,)), Source(3, found[2], (2,))) == numbering.sources
    assert ((3, "Sweet figs."),) == numbering.of(2)


def test_the_frameworks_document_is_that_of_the_first() -> None:
    """It is handed on, and tells nothing apart."""
    first, second = object(), object()
    [source] = fed({1: [Passage("Figs.", origin=first)], 2: [Passage("Figs.", origin=second)]}, []).sources
    assert first is source.passage.origin
    assert (1, 2) == source.points


# -- passages of the question --------------------------------------------------------------------------


def test_passages_of_the_question_are_numbered_first() -> None:
    """They stand before it, so no point is told of them again; it has them as sources where it finds them again."""
    numbering = Numbering([1, 2], [FIGS, BED])
    assert (Source(1, FIGS), Source(2, BED)) == numbering.sources
    numbering.feed(1, [WALK, BED])
    assert (Source(1, FIGS), Source(2, BED, (1,)), Source(3, WALK, (1,))) == numbering.sources
    assert ((3, "Walk a lot."),) == numbering.of(1)
    assert (3, 2) == numbering.numbers_of(1)


def test_where_nothing_is_found_nothing_is_numbered() -> None:
    """And nobody waits for it."""
    numbering = Numbering([1, 2], ())
    assert ([1], [2]) == (numbering.feed(1, []), numbering.feed(2, []))
    assert ((), (), ()) == (numbering.sources, numbering.of(1), numbering.numbers_of(1))


def test_what_was_not_found_yet_has_no_passages() -> None:
    """Neither a point nor a direct answer without a retriever."""
    assert () == Numbering((), [FIGS]).of(0)


def test_the_whole_question_is_no_point() -> None:
    """Its passages were found for none."""
    numbering = Numbering([0], ())
    assert [0] == numbering.feed(0, [FIGS])
    assert (Source(1, FIGS),) == numbering.sources
    assert ((1, "Figs are sweet."),) == numbering.of(0)
