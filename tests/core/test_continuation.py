import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skeleton_of_thought._continuation import Continuation
from tests.core.cutting import cuttings

WORDS = st.lists(
    st.text(string.ascii_letters + "éß", min_size=2, max_size=7), min_size=1, max_size=12, unique_by=str.casefold
)
ENDS = ["", "", "", ",", ".", "!", "?", ":"]
BLANKS = [" ", " ", "\n", "  ", "\n\n"]
SIGNS = st.lists(
    st.characters(min_codepoint=0x4E00, max_codepoint=0x9FFF) | st.sampled_from("，。、：ひらカタ"),
    min_size=1,
    unique=True,
)
"""Of scripts that have no blanks between words."""

Case = tuple[str, str, list[str]]
"""What was said, all of the text, and the pieces of the second request."""


@st.composite
def spaced(draw: st.DrawFn, words: list[str]) -> str:
    return "".join(word + draw(st.sampled_from(ENDS)) + draw(st.sampled_from(BLANKS)) for word in words)


def starts_in(said: str) -> list[int]:
    """Return where words of *said* begin."""
    return [at for at in range(len(said)) if not said[at].isspace() and (at == 0 or said[at - 1].isspace())]


def is_sure(repeated: str, rest: str) -> bool:
    """Tell whether a repetition is long enough, or ends where a word ends."""
    return len(" ".join(repeated.split())) >= 4 or not (repeated[-1:].isalnum() and rest[:1].isalnum())


@st.composite
def cut_texts(draw: st.DrawFn) -> Case:
    """Cut a text anywhere, and repeat some of its last words."""
    text = draw(spaced(draw(WORDS))).strip()
    said = text[: draw(st.integers(1, len(text)))]
    rest = text[len(said) :]
    sure = [start for start in starts_in(said) if start == 0 or is_sure(said[start:], rest)]
    again = draw(st.sampled_from(sure))
    return said, text, draw(cuttings(text[again:]))


@st.composite
def texts_without_blanks(draw: st.DrawFn) -> Case:
    """Cut a text of a script without blanks anywhere, and repeat some of its last signs, or none."""
    text = "".join(draw(SIGNS))
    cut = draw(st.integers(1, len(text)))
    return text[:cut], text, draw(cuttings(text[draw(st.integers(0, cut)) :]))


@st.composite
def whole_texts(draw: st.DrawFn) -> Case:
    """Cut any text anywhere, and say all of it again, with other white space."""
    text = draw(st.text(min_size=1).filter(str.strip))
    said = text[: draw(st.integers(1, len(text)))]
    again = draw(st.sampled_from([text, text.strip(), f"\n{text}", text.replace(" ", "\n ")]))
    return said, text, draw(cuttings(again))


@st.composite
def texts_gone_on_with(draw: st.DrawFn) -> Case:
    """Cut a text between two words, and go on at once, without the blank that no reply begins with."""
    words = draw(WORDS)
    cut = draw(st.integers(1, len(words)))
    said, rest = draw(spaced(words[:cut])), draw(spaced(words[cut:]))
    said = draw(st.sampled_from([said, said.strip()]))
    return said, f"{said} {rest}", draw(cuttings(rest))


def passed_on(said: str, pieces: list[str]) -> str:
    again = Continuation(said)
    return "".join([*(again.feed(piece) for piece in pieces), again.flush()])


@given(cut_texts() | texts_without_blanks() | texts_gone_on_with())
def test_a_text_that_is_gone_on_with_has_each_word_once(case: Case) -> None:
    """Wherever it was cut, however much of its end is repeated, and in whatever pieces."""
    said, text, pieces = case
    assert text.split() == (said + passed_on(said, pieces)).split()


@given(whole_texts())
def test_a_text_that_begins_anew_has_each_word_once(case: Case) -> None:
    """Any text at all, also after its first letter."""
    said, text, pieces = case
    assert "".join(text.split()) == "".join((said + passed_on(said, pieces)).split())


@given(cut_texts(), st.data())
def test_pieces_change_nothing(case: Case, data: st.DataObject) -> None:
    """However the second text is cut, the same is passed on."""
    said, _, pieces = case
    assert passed_on(said, ["".join(pieces)]) == passed_on(said, data.draw(cuttings("".join(pieces))))


@given(st.text(), st.text().flatmap(cuttings))
def test_only_the_beginning_is_ever_cut_away(said: str, pieces: list[str]) -> None:
    """What a model says after a repetition reaches the reader as it is, whatever it is."""
    text = "".join(pieces)
    assert text.endswith(passed_on(said, pieces).lstrip())


@pytest.mark.parametrize(
    ("said", "again", "passed"),
    [
        ("Take figs, and da", "figs, and dates.", "tes."),
        ("Take figs, and da", "Take figs, and dates.", "tes."),
        ("Take figs, and da", "and dates.", "tes."),
        ("Take figs, and", "dates.", " dates."),
        ("Take figs,", "and dates.", " and dates."),
        ("Take figs.", "Then rest.", " Then rest."),
        ("Take figs (dried).", "(Or dates.)", " (Or dates.)"),
        ("Take figs", "(dried).", " (dried)."),
        ("Take 1,", "000 figs.", "000 figs."),
        ("Take figs, ", "and dates.", "and dates."),
        ("Take figs, ", " and dates.", "and dates."),
        ("Take figs", ", and dates.", ", and dates."),
        ("Take figs", " and dates.", " and dates."),
        ("Take figs", "- Take dates.", "\n- Take dates."),
        ("1. Take figs", "2. Take dates", "\n2. Take dates"),
        ("To", "Tomatoes are red.", "matoes are red."),
        ("I", "I eat.", " eat."),
        ("Take a", "apples.", " apples."),
        ("Take figs\nand  da", "figs and\n\ndates.", "tes."),
        ("Take figs, and da", '"figs, and dates.', "tes."),
        ("Take figs, and da", "...figs, and dates.", "tes."),
        ("Take figs, and da", "… and dates.", "tes."),
        ('Take "figs, and da', '"figs, and dates"', 'tes"'),
        ("Take figs", '"Dates" too.', '"Dates" too.'),
        ("Take figs.", "Take figs.", ""),
        ("Take figs.", "figs.", ""),
        ("Take figs.", "", ""),
        ("早睡早", "早起。", "起。"),
        ("早睡", "早起。", "早起。"),
        ("早睡，", "早睡，早起。", "早起。"),
    ],
)
def test_what_models_go_on_with(said: str, again: str, passed: str) -> None:
    """They repeat what they were asked to, less, more, all or nothing, in quotes, or behind dots."""
    assert passed == passed_on(said, [again])


def test_a_long_text_may_begin_anew() -> None:
    """Though only so much of its end is looked for."""
    said = " ".join(f"word{number}" for number in range(500))
    assert " and more" == passed_on(said, [said[:1000], f"{said[1000:]} and more"])


def test_what_is_surely_no_repetition_is_not_held_back() -> None:
    """The reader sees it at once, and everything after it."""
    again = Continuation("Take figs, and")
    assert [" da", "tes", " and figs", ", "] == [again.feed(piece) for piece in ("da", "tes", " and figs", ", ")]


@pytest.mark.parametrize(
    "lines", [["1. Eat well", "2. Sleep well", "3. Move"], ["- Eat", "- Sleep well"], ["10) Eat", "11) Sleep"]]
)
@pytest.mark.parametrize("by", [1, 2, 3, 100])
def test_a_list_that_broke_off_at_the_end_of_a_line_goes_on_in_the_next(lines: list[str], by: int) -> None:
    """A reply begins without the line's break, and comes in any pieces."""
    for number in range(1, len(lines)):
        said, rest = "\n".join(lines[:number]), "\n".join(lines[number:])
        again = Continuation(said)
        pieces = [again.feed(rest[place : place + by]) for place in range(0, len(rest), by)]
        assert f"\n{rest}" == "".join(pieces) + again.flush()
