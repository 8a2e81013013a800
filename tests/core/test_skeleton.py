import re
from graphlib import CycleError

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skeleton_of_thought import Point, Skeleton
from skeleton_of_thought.errors import SkeletonError
from skeleton_of_thought.skeleton import SkeletonParser, parse

from .cutting import LISTS, SCRAPS, cuttings

HM = "Okay, the user asks how to stay healthy. I should think of what matters most to most people. " * 3
EAT_SLEEP_MOVE = ["Eat well", "Sleep well", "Move every day"]

STYLES = {
    "dot": "1. Eat well\n2. Sleep well\n3. Move every day",
    "parenthesis": "1) Eat well\n2) Sleep well\n3) Move every day",
    "two parentheses": "(1) Eat well\n(2) Sleep well\n(3) Move every day",
    "colon": "1: Eat well\n2: Sleep well\n3: Move every day",
    "dash": "1- Eat well\n2- Sleep well\n3- Move every day",
    "spaced dash": "1 – Eat well\n2 – Sleep well\n3 – Move every day",
    "no space": "1.Eat well\n2.Sleep well\n3.Move every day",
    "leading zero": "01. Eat well\n02. Sleep well\n03. Move every day",
    "ideographic comma": "1、Eat well\n2、Sleep well\n3、Move every day",
    "full-width dot": "1．Eat well\n2．Sleep well\n3．Move every day",
    "Chinese number": "一、Eat well\n二、Sleep well\n三、Move every day",
    "Chinese number in parentheses": "（一）Eat well\n（二）Sleep well\n（三）Move every day",
    "Chinese ordinal": "第一点：Eat well\n第二点：Sleep well\n第三点：Move every day",
    "Chinese ordinal and comma": "第一，Eat well\n第二，Sleep well\n第三，Move every day",
    "Chinese step with a digit": "第1步：Eat well\n第2步：Sleep well\n第3步：Move every day",
    "circled": "① Eat well\n② Sleep well\n③ Move every day",
    "keycap": "1️⃣ Eat well\n2️⃣ Sleep well\n3️⃣ Move every day",
    "Arabic digits": "١. Eat well\n٢. Sleep well\n٣. Move every day",
    "Devanagari digits": "१. Eat well\n२. Sleep well\n३. Move every day",
    "word and number": "Point 1: Eat well\nPoint 2: Sleep well\nPoint 3: Move every day",
    "Spanish word and number": "Paso 1: Eat well\nPaso 2: Sleep well\nPaso 3: Move every day",
    "bold word and number": "**Step 1:** Eat well\n**Step 2:** Sleep well\n**Step 3:** Move every day",
    "bold line": "**1. Eat well**\n**2. Sleep well**\n**3. Move every day**",
    "bold number": "**1.** Eat well\n**2.** Sleep well\n**3.** Move every day",
    "bold number, bold title": "**1.** **Eat well**\n**2.** **Sleep well**\n**3.** **Move every day**",
    "bold title": "1. **Eat well**\n2. **Sleep well**\n3. **Move every day**",
    "bold title with colon": "1. **Eat well:**\n2. **Sleep well:**\n3. **Move every day:**",
    "underlined": "__1. Eat well__\n__2. Sleep well__\n__3. Move every day__",
    "italic": "*1. Eat well*\n*2. Sleep well*\n*3. Move every day*",
    "bold that never ends": "1. **Eat well\n2. **Sleep well\n3. **Move every day",
    "heading": "### 1. Eat well\n### 2. Sleep well\n### 3. Move every day",
    "bold heading": "## **1. Eat well**\n## **2. Sleep well**\n## **3. Move every day**",
    "heading glued to its number": "#1: Eat well\n#2: Sleep well\n#3: Move every day",
    "hyphen": "- Eat well\n- Sleep well\n- Move every day",
    "asterisk": "* Eat well\n* Sleep well\n* Move every day",
    "plus": "+ Eat well\n+ Sleep well\n+ Move every day",
    "middle dot": "· Eat well\n· Sleep well\n· Move every day",
    "em dash": "— Eat well\n— Sleep well\n— Move every day",
    "dot bullet": "• Eat well\n• Sleep well\n• Move every day",
    "bold bullets": "- **Eat well**\n- **Sleep well**\n- **Move every day**",
    "numbers behind bullets": "- 1. Eat well\n- 2. Sleep well\n- 3. Move every day",
    "indented": "   1. Eat well\n   2. Sleep well\n   3. Move every day",
    "tabbed": "\t1. Eat well\n\t2. Sleep well\n\t3. Move every day",
    "first line not indented": "1. Eat well\n 2. Sleep well\n 3. Move every day",
    "Windows line ends": "1. Eat well\r\n2. Sleep well\r\n3. Move every day\r\n",
    "blank lines": "\n\n1. Eat well\n\n\n2. Sleep well\n\n3. Move every day\n\n",
    "closing marks": "1. Eat well.\n2. Sleep well;\n3. Move every day:",
    "lazy numbers": "1. Eat well\n1. Sleep well\n1. Move every day",
    "a number twice": "1. Eat well\n2. Sleep well\n2. Move every day",
    "from zero": "0. Eat well\n1. Sleep well\n2. Move every day",
    "second item first": "2. Eat well\n3. Sleep well\n4. Move every day",
    "a gap": "1. Eat well\n3. Sleep well\n7. Move every day",
    "one line": "1. Eat well 2. Sleep well 3. Move every day",
    "one line with a preamble": "Sure! 1. Eat well 2. Sleep well 3. Move every day",
    "one line in parentheses": "(1) Eat well (2) Sleep well (3) Move every day",
    "one line, circled": "① Eat well ② Sleep well ③ Move every day",
    "one line, semicolons": "1、Eat well；2、Sleep well；3、Move every day",
    "code fence": "```markdown\n1. Eat well\n2. Sleep well\n3. Move every day\n```",
}

AROUND = {
    "preamble": "Sure, here is the skeleton:\n\n{}",
    "preamble with a version number": "Since Python 3.12 was released, 3. things changed:\n{}",
    "preamble with a decimal": "1.5 million people read this in 2. quarter:\n{}",
    "preamble that begins with a year": "2024. A year to remember.\n{}",
    "preamble with a time": "10:30 is when I write this.\n{}",
    "preamble that begins with a large number": "99. That is how often I was asked.\n{}",
    "preamble in bold": "**Skeleton:**\n{}",
    "preamble as a heading": "# Skeleton\n\n{}",
    "rule of asterisks": "* * *\n{}\n* * *",
    "rule of hyphens": "---\n{}\n---",
    "spaced rule of hyphens": "- - -\n{}",
    "thoughts": "<think>\n1. The user\n2. wants health\n</think>\n{}",
    "thoughts on the same line": "<think>1. hm 2. hm 3. hm</think>{}",
    "thoughts under another name": "<Reasoning>1. Hm</Reasoning>\n{}",
    "thoughts without an opening tag": "1. The user\n2. wants\n3. health\n</think>\n\n{}",
    "long thoughts without an opening tag": HM + "1. Hm\n2. So\n\nOr rather:\n1. Ah\n2. Oh\n3. No\n</think>\n{}",
    "thoughts twice": "<think>1. a</think><think>2. b</think>\n{}",
    "empty thoughts": "<think>\n\n</think>\n\n{}",
    "a closing remark": "{}\n\nLet me know if you want me to expand any of these!",
    "a closing remark with a number in it": "{}\n\nThese 3 points, 1. and 2. above all, matter.",
    "a second list": "{}\n\n1. Other\n2. List\n3. Here\n4. Longer",
    "another question": "{}\n\nQuestion: How do I cook?\nSkeleton:\n1. Buy\n2. Cook\n3. Eat\n4. Wash up",
    "a note in bullets": "{}\n\n- Note: this is general advice",
}

TO_TWELVE = [*"一二三四五六七八九十", "十一", "十二"]
NUMBERED = "1. Eat well\n2. Sleep well\n3. Move every day"

ROWS = {
    **{f"style: {name}": (text, EAT_SLEEP_MOVE) for name, text in STYLES.items()},
    **{f"around: {name}": (text.format(NUMBERED), EAT_SLEEP_MOVE) for name, text in AROUND.items()},
    "nothing": ("", []),
    "a refusal": ("I'm sorry, but I can't help with that.", []),
    "prose": ("Health has many sides. Eat well. Sleep well, 8. hours at least.", []),
    "a year alone": ("In 2019. it began.\n2020. it went on.", []),
    "only thoughts": ("<think>\n1. Eat\n2. Sleep\n3. Move", []),
    "a table": ("| # | Point |\n|---|---|\n| 1 | Eat well |\n| 2 | Sleep well |", []),
    "JSON": ('["Eat well", "Sleep well"]', []),
    "one point": ("1. Eat well", ["Eat well"]),
    "two numbers on one line": ("1. Compare plan 2. with plan 3.", ["Compare plan 2. with plan 3"]),
    "a number inside a title": ("1. Eat well (see 2. below)\n2. Sleep", ["Eat well (see 2. below)", "Sleep"]),
    "empty items": ("1.\n2. Eat well\n3.\n4. Sleep well\n5. **\n6. ...", ["Eat well", "Sleep well"]),
    "an empty item swallows nothing": ("1. \n2. Eat well\n3. Sleep well", ["Eat well", "Sleep well"]),
    "duplicates": ("1. Eat well\n2. **eat well**\n3. Sleep well\n4. EAT WELL:", ["Eat well", "Sleep well"]),
    "nested numbers": ("1. Eat\n1.1. Fruit\n1.2 Nuts\n2. Sleep\n2.1. Early", ["Eat", "Sleep"]),
    "nested indented numbers": ("1. Eat\n   1. Fruit\n   2. Nuts\n2. Sleep\n   1. Early", ["Eat", "Sleep"]),
    "nested letters": ("1. Eat\n  a) fruit\n  b) nuts\n2. Sleep", ["Eat", "Sleep"]),
    "nested bullets": ("1. Eat\n   - Fruit\n   - Nuts\n2. Sleep\n   * Early", ["Eat", "Sleep"]),
    "bullets at the margin": ("1. Eat\n- Fruit\n- Nuts\n2. Sleep\n- Early", ["Eat", "Sleep"]),
    "nested bullets in bullets": ("- Eat\n  - Fruit\n- Sleep\n    - Early", ["Eat", "Sleep"]),
    "numbers under bullets": ("- Eat\n  1. Fruit\n  2. Nuts\n- Sleep", ["Eat", "Sleep"]),
    "numbers at the margin under bullets": ("- Eat\n1. Fruit\n2. Nuts\n- Sleep", ["Eat", "Sleep"]),
    "bullets under headings": ("### 1. Eat\n- Fruit\n### 2. Sleep\n- Early", ["Eat", "Sleep"]),
    "numbers under headings": ("### 1. Eat\n1. Fruit\n2. Nuts\n### 2. Sleep\n1. Early", ["Eat", "Sleep"]),
    "bold led explanation": ("1. **Eat**: Fruit, mostly.\n2. **Sleep** - Early.", ["Eat", "Sleep"]),
    "bold led with colon inside": ("1. **Eat:** Fruit, mostly.\n2. **Sleep.** Early.", ["Eat", "Sleep"]),
    "explanation behind a bold line": ("**1. Eat** Fruit.\n**2. Sleep** Early.", ["Eat", "Sleep"]),
    "bold word in a title": ("1. **Avoid** sugar\n2. **Avoid** stress", ["Avoid sugar", "Avoid stress"]),
    "bold word inside a title": ("1. Never **ever** smoke\n2. Eat", ["Never ever smoke", "Eat"]),
    "long explanation after a colon": (
        "1. Eat well: food is what the body is made of, so what you eat is what you are, now and later on\n2. Sleep",
        ["Eat well", "Sleep"],
    ),
    "long explanation after a dash": (
        "1. Eat well – food is what the body is made of, so what you eat is what you are, now and later on\n2. Sleep",
        ["Eat well", "Sleep"],
    ),
    "long explanation as a sentence": (
        "1. Eat well. Food is what the body is made of, so what you eat is what you are, now and later on.\n2. Sleep",
        ["Eat well", "Sleep"],
    ),
    "long explanation behind bold": (
        "1. **Eat well** because food is what the body is made of, so what you eat is what you are, early and late\n",
        ["Eat well"],
    ),
    "long explanation in Chinese": (f"1. 合理饮食：{'多吃蔬菜和水果，' * 12}\n2. 早睡", ["合理饮食", "早睡"]),
    "short title with a colon": ("1. Phase one: plan\n2. Phase two: act", ["Phase one: plan", "Phase two: act"]),
    "title that begins with a number": ("1. 10 minutes a day\n2. 2024 goals", ["10 minutes a day", "2024 goals"]),
    "title with a range": ("1. 7-9 hours of sleep\n2. 3 - 4 walks", ["7-9 hours of sleep", "3 - 4 walks"]),
    "title with code": ("1. Use `list()`\n2. C++ and C#", ["Use `list()`", "C++ and C#"]),
    "title that asks": ("1. Why sleep?\n2. Move!", ["Why sleep?", "Move!"]),
    "spaces in a title": ("1.   Eat \t  well  \n2. Sleep", ["Eat well", "Sleep"]),
    "Chinese up to twelve": (
        "\n".join(f"{sign}、点{sign}" for sign in TO_TWELVE),
        [f"点{sign}" for sign in TO_TWELVE],
    ),
    "Chinese tens": ("(三)甲\n(十九)乙\n(二十)丙", ["甲", "乙", "丙"]),
    "Korean": ("1. 규칙적인 운동\n2. 충분한 수면", ["규칙적인 운동", "충분한 수면"]),
    "right to left": ("1. تناول طعامًا صحيًا\n2. نم جيدًا", ["تناول طعامًا صحيًا", "نم جيدًا"]),
}


def titles(text: str) -> list[str]:
    return [point.title for point in parse(text)]


def told(parser: SkeletonParser, pieces: list[str]) -> list[Point]:
    return [point for piece in pieces for point in parser.feed(piece)] + parser.flush()


# -- what is a point -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("text", "expected"), ROWS.values(), ids=ROWS)
def test_points_of_what_models_write(text: str, expected: list[str]) -> None:
    """Each row is a way in which some model writes, or fails to write, a list."""
    assert expected == titles(text)


@pytest.mark.parametrize("text", STYLES.values(), ids=STYLES)
def test_points_are_numbered_anew(text: str) -> None:
    """Whatever the model counts, ours go from 1 without a gap."""
    assert [1, 2, 3] == [point.number for point in parse(text)]


def test_a_title_has_an_end() -> None:
    """A model that writes a page on one line has not written a page as a title."""
    [point] = parse("1. " + "word " * 1000)
    assert 159 == len(point.title)


def test_no_more_points_than_asked_for() -> None:
    """What comes after ``max_points`` is cut."""
    assert ["Eat well", "Sleep well"] == [point.title for point in parse(NUMBERED, max_points=2)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1. Eat well\n2. Sleep w", ["Eat well"]),
        ("1. Eat well\n2.", ["Eat well"]),
        ("1. Eat well\n2", ["Eat well"]),
        ("1. Eat well\n2. Sleep well\n", ["Eat well", "Sleep well"]),
        ("1. Eat well 2. Sleep well 3. Mo", ["Eat well", "Sleep well"]),
        ("1. Ea", []),
        ("", []),
        ("<think>1. Eat\n2. Sle", []),
        ("1. Eat well\n2. Sleep well <thi", ["Eat well"]),
    ],
)
def test_a_point_cut_by_a_token_limit_is_none(text: str, expected: list[str]) -> None:
    """Half a title would be expanded as if it were meant."""
    parser = SkeletonParser()
    parser.feed(text)
    parser.flush(cut=True)
    assert expected == [point.title for point in parser.points]


# -- when is the list over -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "done"),
    [
        ("1. Eat\n2. Sleep\n", False),
        ("1. Eat\n2. Sleep\n3. Move", False),
        ("1. Eat\n2. Sleep\n3. Move\n", True),
        ("1. Eat\n2. Sleep\n1. Again\n", True),
        ("1. Eat\n2. Sleep\n1. Again\n</think>\n1. Eat\n", True),
        (f"{HM}1. Hm\n2. So\n1. Again\n2. So\n", False),
        (f"{HM}1. Hm\n2. So\n1. Again\n</think>\n1. Eat\n", False),
        (f"{HM}1. Hm\n2. So\n1. Again\n</think>\n1. Eat\n2. Sleep\n3. Move\n", True),
        ("- Eat\n- Sleep\n- Move\n", True),
        ("No list.\nAt all.\n", False),
    ],
)
def test_done_stops_the_model(text: str, done: bool) -> None:
    """Once the list is full, or a second one begins, nothing is left to hear, unless it may all be a thought."""
    parser = SkeletonParser(max_points=3)
    parser.feed(text)
    assert done is parser.done


def test_each_point_is_told_once_and_at_once() -> None:
    """A point is complete when its line is."""
    parser = SkeletonParser()
    told = [[point.title for point in parser.feed(piece)] for piece in ("1. E", "at\n2", ". Sleep\n3.", " Move")]
    assert [[], ["Eat"], ["Sleep"], []] == told
    assert ["Move"] == [point.title for point in parser.flush()]


def test_points_from_lost_thoughts_are_taken_back() -> None:
    """A closing tag without an opening one makes thoughts of all that came before."""
    parser = SkeletonParser()
    assert [Point(1, "Hm")] == parser.feed("1. Hm\n")
    assert [Point(1, "Eat")] == parser.feed("</think>1. Eat\n")
    assert [Point(1, "Eat")] == parser.points


# -- no cutting changes anything -----------------------------------------------------------------------


@pytest.mark.parametrize("text", [text for text, _ in ROWS.values()], ids=ROWS)
def test_letter_by_letter(text: str) -> None:
    """The smallest pieces give what the whole gives, and every point is told once."""
    whole, parser = SkeletonParser(max_points=10), SkeletonParser(max_points=10)
    told(whole, [text])
    found = told(parser, list(text))
    assert (whole.points, whole.done) == (parser.points, parser.done)
    assert "</think>" in text or found == parser.points


@given(st.data(), st.sampled_from([text for text, _ in ROWS.values()]) | SCRAPS | LISTS, st.sampled_from([None, 2, 10]))
def test_no_cutting_changes_the_points(data: st.DataObject, text: str, max_points: int | None) -> None:
    """Networks cut anywhere."""
    whole, parser = SkeletonParser(max_points), SkeletonParser(max_points)
    told(whole, [text])
    told(parser, data.draw(cuttings(text)))
    assert (whole.points, whole.done) == (parser.points, parser.done)


@given(st.data(), SCRAPS | LISTS, st.sampled_from([None, 2]))
def test_a_model_that_is_stopped_has_said_all_its_points(
    data: st.DataObject, text: str, max_points: int | None
) -> None:
    """Whoever stops at ``done`` has the points of the whole text."""
    stopped = SkeletonParser(max_points)
    for piece in data.draw(cuttings(text)):
        if not stopped.done:
            stopped.feed(piece)
    stopped.flush()
    assert parse(text, max_points=max_points) == tuple(stopped.points)


@given(st.data(), SCRAPS | LISTS)
def test_no_cutting_changes_what_a_limit_leaves(data: st.DataObject, text: str) -> None:
    """Neither where the text was ended by a token limit."""
    whole, parser = SkeletonParser(), SkeletonParser()
    whole.feed(text)
    whole.flush(cut=True)
    for piece in data.draw(cuttings(text)):
        parser.feed(piece)
    parser.flush(cut=True)
    assert whole.points == parser.points


@given(st.text() | SCRAPS)
def test_any_text_has_points_or_none(text: str) -> None:
    """Nothing raises, numbers go from 1, titles are told apart and have no blank edge."""
    points = parse(text, max_points=10)
    assert list(range(1, len(points) + 1)) == [point.number for point in points]
    assert len(points) == len({point.title.casefold() for point in points})
    assert all(point.title and point.title == " ".join(point.title.split()) for point in points)


@settings(max_examples=30)
@given(st.lists(st.from_regex(r"[A-Za-z]{2,9}( [a-z]{2,9}){1,4}", fullmatch=True), unique_by=str.casefold, min_size=1))
def test_a_skeleton_reads_as_itself(titles: list[str]) -> None:
    """What we print, and show to the model as its own message, we would parse again."""
    skeleton = Skeleton(tuple(Point(number, title) for number, title in enumerate(titles, 1)))
    assert skeleton.points == parse(str(skeleton))


LONG = 1_000_000


@pytest.mark.parametrize(
    "part",
    [
        "a", " ", "\n", "1", "1. a ", "1. a\n", "- a\n", "*", "** ", "__ ", "#", "<", "<think>", "</think>",
        "<think></think>", "1) 2) 3) ", "1. **a** ", "(1)", " (1)", "①", " ①", "\t", "一、", ": ", "。", "1 -", "\r",
    ],
)  # fmt: skip
def test_a_long_text_takes_no_longer_than_its_length(part: str) -> None:
    """A megabyte of anything returns; were it quadratic, the time limit of the test would end it."""
    text = (part * (LONG // len(part) + 1))[:LONG]
    assert isinstance(parse("1. a " + text), tuple)


@pytest.mark.parametrize("part", ["a", "1. a ", "1. b{}\n", "<think></think>"])
def test_many_pieces_take_no_longer_than_their_number(part: str) -> None:
    """A long line, or a long list, that comes in small pieces costs no more than its length either."""
    parser = SkeletonParser()
    for number in range(LONG // 5):
        parser.feed(part.format(number))
    parser.flush()
    assert len(parser.points) in {0, 1, LONG // 5}


# -- skeletons -----------------------------------------------------------------------------------------


def test_a_skeleton_prints_as_a_list() -> None:
    """In reading order, with the points' own numbers."""
    assert "2. Sleep\n1. Eat" == str(Skeleton((Point(2, "Sleep"), Point(1, "Eat"))))


@pytest.mark.parametrize(
    ("points", "message"),
    [
        ((Point(1, "A"), Point(1, "B")), "a point's number appears twice: [1, 1]"),
        ((Point(1, "A"), Point(2, "B", after=(3, 4))), "point 2 ('B') comes after unknown points [3, 4]"),
        ((Point(1, "A", after=(1,)),), "points wait for each other: [1, 1]"),
        ((Point(1, "A", after=(2,)), Point(2, "B", after=(1,))), "points wait for each other: "),
    ],
)
def test_points_that_are_no_skeleton(points: tuple[Point, ...], message: str) -> None:
    """The error says which points, and no error of the library below leaks out."""
    with pytest.raises(SkeletonError, match=re.escape(message)) as caught:
        Skeleton(points)
    assert not isinstance(caught.value.__cause__, CycleError)


def test_a_point_is_found_by_its_number() -> None:
    """Not by its place."""
    skeleton = Skeleton((Point(2, "Sleep"), Point(7, "Move", after=(2,))))
    assert Point(7, "Move", after=(2,)) == skeleton.point(7)


@pytest.mark.parametrize("number", [0, 1, 3, -1, None, "2"])
def test_a_number_without_a_point_is_refused(number: object) -> None:
    """The error says which there are."""
    skeleton = Skeleton((Point(2, "Sleep"), Point(7, "Move")))
    with pytest.raises(SkeletonError, match=re.escape(f"there is no point {number!r}: use one of [2, 7]")):
        skeleton.point(number)  # type: ignore[arg-type]  # that is the point


def test_an_order_is_used_up_alone() -> None:
    """Each caller gets a sorter of its own."""
    skeleton = Skeleton((Point(1, "A", after=(2,)), Point(2, "B")))
    assert (2, 1) == tuple(skeleton.order().static_order())
    assert (2, 1) == tuple(skeleton.order().static_order())
