import pytest
from hypothesis import given
from hypothesis import strategies as st

from skeleton_of_thought import Point
from skeleton_of_thought._expansion import ExpansionText

from .cutting import SCRAPS, cuttings

POINT = Point(2, "Sleep well")

ECHOES = {
    "title and colon": "Sleep well: Go to bed.",
    "title and full-width colon": "Sleep well：Go to bed.",
    "title and spaced colon": "Sleep well : Go to bed.",
    "title and dash": "Sleep well - Go to bed.",
    "title and long dash": "Sleep well — Go to bed.",
    "title as a sentence": "Sleep well. Go to bed.",
    "title on its own line": "Sleep well\nGo to bed.",
    "title on its own line, spaced": "Sleep well\n\n\n  Go to bed.",
    "title in bold": "**Sleep well**: Go to bed.",
    "title in bold with its colon": "**Sleep well:** Go to bed.",
    "title in bold with its stop": "**Sleep well.** Go to bed.",
    "title in bold on its own line": "**Sleep well**\n\nGo to bed.",
    "title underlined": "__Sleep well__: Go to bed.",
    "title in italics": "*Sleep well*: Go to bed.",
    "title in quotes": '"Sleep well": Go to bed.',
    "title in curly quotes": "“Sleep well”: Go to bed.",
    "title as a heading": "### Sleep well\nGo to bed.",
    "title in capitals": "SLEEP WELL: Go to bed.",
    "number and title": "2. Sleep well: Go to bed.",
    "number glued to title": "2.Sleep well: Go to bed.",
    "number in parentheses": "(2) Sleep well: Go to bed.",
    "number and parenthesis": "2) Sleep well: Go to bed.",
    "number and ideographic comma": "2、Sleep well：Go to bed.",
    "number and dash": "2 - Sleep well: Go to bed.",
    "number and title in bold": "**2. Sleep well**: Go to bed.",
    "number and title in bold and italics": "***2. Sleep well***\n\nGo to bed.",
    "number, title in bold": "2. **Sleep well**: Go to bed.",
    "bold number, bold title": "**2.** **Sleep well**: Go to bed.",
    "number and title as a heading": "## 2. Sleep well\n\nGo to bed.",
    "number and title as a bold heading": "### **2. Sleep well:**\n\nGo to bed.",
    "word, number and title": "Point 2: Sleep well\nGo to bed.",
    "word, number and title as in the task": "Point 2, Sleep well: Go to bed.",
    "word, number and title in bold": "**Point 2: Sleep well**\nGo to bed.",
    "number alone": "2. Go to bed.",
    "number and parenthesis alone": "2) Go to bed.",
    "bold number alone": "**2.** Go to bed.",
    "word and number alone": "Point 2: Go to bed.",
    "blanks before": "\n\n   2. Sleep well: Go to bed.",
    "very many blanks before": " " * 500 + "2. Sleep well: Go to bed.",
    "thoughts before": "<think>2. Sleep well: Hm.</think>\n\n2. Sleep well: Go to bed.",
    "no echo": "Go to bed.",
    "no echo, blanks around": "\n Go to bed. \n\n",
}

KEPT = (
    "Sleep well is what doctors say.",
    "Sleep wellness is a market.",
    "Sleep well-being: a question of habit.",
    "Sleep well, and rise early: that helps.",
    "Sleep: it matters.",
    "Sleep",
    "**Sleep well** every night.",
    "2, 3 or 4 hours are too few.",
    "2 hours are too few.",
    "2.5 hours are too few.",
    "2nd, dim the light.",
    "20. July was a short night.",
    "1. Dim the light.\n2. Open the window.",
    "3. Dim the light.",
    "Point 2 is the one that matters.",
    "Points: many.",
    "- Dim the light.\n- Open the window.",
    "**Dim** the light.",
    "#hashtag",
    "*",
    "First, dim the light. Sleep well: a wish.",
    "a < b and c > d </b>",
    "It says <thinking about it> there",
    "早点睡觉。",
)


def cleaned(pieces: list[str], point: Point = POINT) -> str:
    text = ExpansionText(point)
    return "".join([*map(text.feed, pieces), text.flush()])


@pytest.mark.parametrize("text", ECHOES.values(), ids=ECHOES)
def test_number_and_title_are_not_said_twice(text: str) -> None:
    """They stand in the heading already, in whatever dress the model repeats them."""
    assert "Go to bed." == cleaned([text])


@pytest.mark.parametrize("text", KEPT)
def test_a_text_that_only_begins_like_the_title_is_kept(text: str) -> None:
    """Nothing is taken from a sentence."""
    assert text == cleaned([text])


@pytest.mark.parametrize(
    ("point", "text", "expected"),
    [
        (Point(1, "Why sleep?"), "Why sleep? Because.", "Because."),
        (Point(1, "Why sleep?"), "**1. Why sleep?** Because.", "Because."),
        (Point(1, "C++ (and C#)"), "1. C++ (and C#): Old.", "Old."),
        (Point(1, "snake_case"), "`snake_case` is used.", "`snake_case` is used."),
        (Point(1, "snake_case"), "**snake_case**: used.", "used."),
        (Point(1, ".*"), "All of it: kept.", "All of it: kept."),
        (Point(1, "{title}"), "{title}: used.", "used."),
        (Point(10, "Rest"), "### **Point 10: Rest:**\n\nWell.", "Well."),
        (Point(3, "早睡"), "3、早睡：十点。", "十点。"),
        (Point(3, "早睡"), "**早睡。**十点。", "十点。"),
        (Point(3, "早睡"), "早睡的人健康。", "早睡的人健康。"),
        (Point(2, "24 hours"), "2. 24 hours: one day.", "one day."),
        (Point(2, "24 hours"), "24 hours are one day.", "24 hours are one day."),
        (Point(5, "Straße"), "STRASSE is how capitals write it.", "STRASSE is how capitals write it."),
        (Point(2, "Getting up"), "**2. Getting out of bed**: Hard.", "**Getting out of bed**: Hard."),
    ],
)
def test_titles_of_all_kinds(point: Point, text: str, expected: str) -> None:
    """A title is text: no sign in it means anything to us."""
    assert expected == cleaned([text], point)
    assert expected == cleaned(list(text), point)


@pytest.mark.parametrize("text", ["", " \n\t ", "Sleep well", "**2. Sleep well**\n", "<think>Hm", "<think></think>"])
def test_nothing_is_nothing(text: str) -> None:
    """A point without a text is empty, however many signs the model spent on it."""
    assert "" == cleaned([text]) == cleaned(list(text))


@pytest.mark.parametrize("text", [*ECHOES.values(), *KEPT])
def test_letter_by_letter(text: str) -> None:
    """The smallest pieces give what the whole gives."""
    assert cleaned([text]) == cleaned(list(text))


BEGINNINGS = st.sampled_from(["", "2. ", "**2. ", "Point 2: ", "### ", "Sleep", "Sleep well", "Sleep well: ", "__"])


@given(st.data(), BEGINNINGS, st.text() | SCRAPS)
def test_no_cutting_changes_the_text(data: st.DataObject, beginning: str, rest: str) -> None:
    """Networks cut anywhere, the reader sees one text, and it has no blank edge."""
    text = beginning + rest
    whole = cleaned([text])
    assert whole == cleaned(data.draw(cuttings(text)))
    assert whole == whole.strip()


@given(st.data(), SCRAPS)
def test_what_is_shown_is_never_taken_back(data: st.DataObject, scraps: str) -> None:
    """At any moment it is the beginning of the whole text."""
    whole, shown, text = cleaned([scraps]), "", ExpansionText(POINT)
    for piece in data.draw(cuttings(scraps)):
        shown += text.feed(piece)
        assert whole.startswith(shown)


@given(st.from_regex(r"[A-Za-z]{1,9}( [a-z]{1,9}){0,4}", fullmatch=True), st.text(alphabet="abc ,;-'\n.", min_size=1))
def test_a_sentence_is_kept_whole(title: str, rest: str) -> None:
    """Where the title goes on as a word, or with a comma, it is no echo."""
    text = f"{title}ly, {rest} end"
    assert text == cleaned([text], Point(1, title))


def test_text_is_shown_as_it_comes() -> None:
    """Once it is clear that the title is not repeated, only blanks are held back."""
    text = ExpansionText(POINT)
    assert ["Going", " to", "", "  bed", ""] == [text.feed(piece) for piece in ["Going", " to ", " ", "bed", "\n"]]


@pytest.mark.parametrize("part", [" ", "*", "Sleep well ", "2. ", "<think></think>", "#", '"', "<"])
def test_a_long_text_takes_no_longer_than_its_length(part: str) -> None:
    """A megabyte of anything returns; were it quadratic, the time limit of the test would end it."""
    assert isinstance(cleaned([part * (1_000_000 // len(part))]), str)


@pytest.mark.parametrize(
    "text",
    [
        "Models wrap thoughts in <think> and </think> tags.",
        "Use the <think> tag to mark it. Then go on.",
        "A <thinking> man",
    ],
)
def test_a_text_about_thoughts_is_kept_whole(text: str) -> None:
    """Thoughts come first; once anything else was said, a tag is a part of the text."""
    cleaned = ExpansionText(Point(1, "Sleep well"))
    assert text == "".join(cleaned.feed(sign) for sign in text) + cleaned.flush()
