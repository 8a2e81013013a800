"""Whatever a text holds, however it is cut and however much there is of it."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skeleton_of_thought import Point, Skeleton
from skeleton_of_thought._expansion import ExpansionText
from skeleton_of_thought._merge import Merger
from skeleton_of_thought._reasoning import WithoutReasoning
from skeleton_of_thought.events import Finished
from skeleton_of_thought.skeleton import SkeletonParser, parse
from skeleton_of_thought.testing import ScriptedLLM

from .cutting import SCRAPS, cuttings
from .running import engine, events_of, text_of

# -- lines that are nearly those of a skeleton ---------------------------------------------------------

_DIGITS = st.integers(0, 30) | st.sampled_from([99, 100, 999, 2024])
_SCRIPTS = st.sampled_from([
    "0123456789",
    "٠١٢٣٤٥٦٧٨٩",
    "०१२३४५६७८९",
    "๐๑๒๓๔๕๖๗๘๙",
    "０１２３４５６７８９",
    "𝟎𝟏𝟐𝟑𝟒𝟓𝟔𝟕𝟖𝟗",
])
_DECIMAL = st.builds(lambda number, script: "".join(script[int(sign)] for sign in str(number)), _DIGITS, _SCRIPTS)
_SIGN = st.sampled_from([
    *"①②⑳一二三十ⅠⅡ²",
    "十一",
    "二十",
    "十十",
    "1️⃣",
    "2⃣",
    "第一点",
    "第2步",
    "Step 1",
    "Étape 2",
    "paso 3",
])
_NUMBER = st.builds(
    "{}{}{}".format,
    st.sampled_from(["", "(", "（", "#"]),
    _DECIMAL | _SIGN,
    st.sampled_from([*list(".):：、．)-–"), "", ").", " -"]),
)
_INDENT = st.sampled_from(["", " ", "   ", "\t", "\u3000", "\u200f", "\ufeff", "> ", "### ", "## ", "\x1b[1m", "\0"])
_DRESS = st.sampled_from(["", "**", "__", "*", "_", "***", "`"])
_MARKER = _NUMBER | st.sampled_from(["-", "*", "+", "•", "·", "—", ""])
_WORD = st.sampled_from([
    "Eat well",
    "Sleep",
    "Move: walk",
    "{title}",
    "早睡",
    "تناول",
    "1. Eat",
    "**Rest**",
    "...",
    "<think>",
    "</think>",
    "2. b 3. c",
])
_TITLE = _WORD | st.text(max_size=8) | st.text(st.characters(categories=["Cc", "Cf", "Cs", "Zl", "Zp"]), max_size=4)
_LINE = st.builds(
    lambda *parts: "".join(parts),
    *(_INDENT, _DRESS, _MARKER, _DRESS, st.sampled_from([" ", "", "\u00a0"]), _DRESS, _TITLE, _DRESS),
)
_END = st.sampled_from(["\n", "\n", "\n", "\r\n", "\n\n", "\r", "\u2028", "; "])
NEARLY = st.lists(st.builds("{}{}".format, _LINE, _END), max_size=14).map("".join)
ANY = st.text() | st.text(st.characters()) | SCRAPS | NEARLY
MOST = st.sampled_from([None, 1, 2, 10])


def fed(parser: SkeletonParser, pieces: list[str]) -> SkeletonParser:
    for piece in pieces:
        parser.feed(piece)
    return parser


def bare(text: str) -> str:
    """Take out blanks and emphasis: that of a number may stay where the number goes."""
    return "".join(text.split()).replace("*", "").replace("_", "")


def cleaned(pieces: list[str], point: Point) -> str:
    text = ExpansionText(point)
    return "".join([*map(text.feed, pieces), text.flush()])


@settings(max_examples=400)
@given(st.data(), ANY, MOST, st.booleans())
def test_any_cutting_of_any_text_gives_the_same_points(
    data: st.DataObject, text: str, most: int | None, limited: bool
) -> None:
    """At the end, and where it was ended by a token limit."""
    whole, parser = fed(SkeletonParser(most), [text]), fed(SkeletonParser(most), data.draw(cuttings(text)))
    assert (whole.points, whole.done) == (parser.points, parser.done)
    whole.flush(cut=limited)
    parser.flush(cut=limited)
    assert (whole.points, whole.done) == (parser.points, parser.done)


@settings(max_examples=400)
@given(ANY, MOST)
def test_any_text_has_points_that_can_be_shown(text: str, most: int | None) -> None:
    """Titles are single lines of signs that are seen, numbers go from 1, and there are no more than asked for."""
    points = parse(text, max_points=most)
    assert list(range(1, len(points) + 1)) == [point.number for point in points]
    assert len(points) <= (most or len(points))
    titles = [point.title for point in points]
    assert titles == [" ".join(title.split()) for title in titles if any(map(str.isalnum, title))]
    assert titles == [title.encode(errors="ignore").decode() for title in titles]
    assert [] == [
        sign for sign in "".join(titles) if sign < " " or "\x7f" <= sign <= "\x9f" or "\u202a" <= sign <= "\u202e"
    ]
    assert len({title.casefold() for title in titles}) == len(titles)


@settings(max_examples=400)
@given(st.data(), ANY, st.integers(1, 12), _TITLE.filter(str.strip))
def test_any_cutting_of_any_text_gives_the_same_text(data: st.DataObject, text: str, number: int, title: str) -> None:
    """It has no blank edge, is the end of what was written, and what was shown of it is never taken back."""
    point = Point(number, title)
    whole, shown, expansion = cleaned([text], point), "", ExpansionText(point)
    for piece in data.draw(cuttings(text)):
        shown += expansion.feed(piece)
        assert whole.startswith(shown)
    assert whole == shown + expansion.flush() == whole.strip()
    assert bare(text).endswith(bare(whole))


@settings(max_examples=100)
@given(NEARLY, st.lists(NEARLY, min_size=4, max_size=4), st.booleans())
def test_the_text_of_any_run_is_its_answer(skeleton: str, texts: list[str], pipelined: bool) -> None:
    """Text that is shown is never contradicted, by a skeleton that turns out to be none neither."""
    points = dict(enumerate((f"So {text}." for text in texts), 1))
    llm = ScriptedLLM(skeleton=skeleton, points=points, direct=["Take ", "figs."])
    *events, last = events_of(engine(llm, max_points=4, pipelined=pipelined))
    assert isinstance(last, Finished)
    answer = last.answer
    assert answer.text == text_of(events)
    assert "Take figs." == answer.text or "skeleton" == answer.route.kind
    assert [each.text for each in answer.sections] == [answer.text[slice(*each.span or ())] for each in answer.sections]


# -- much of it ----------------------------------------------------------------------------------------

MEGABYTE = 1_000_000
PARTS = [
    " ",
    "\n",
    "\u3000",
    "\r\n",
    "a",
    "a ",
    "<",
    "<think>",
    "</think>",
    "<think> ",
    "*",
    "2. ",
    "\0",
    "\x1b[",
    "\x1b[0m",
]
TINY = 60_000
SLEEP = Point(2, "Sleep well")


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("before", ["", "a", "<think>", "2. Sleep"])
@pytest.mark.parametrize("make", [SkeletonParser, WithoutReasoning, lambda: ExpansionText(SLEEP)])
def test_tiny_pieces_take_no_longer_than_their_number(
    make: Callable[[], ExpansionText], part: str, before: str
) -> None:
    """Tens of thousands of them; were it quadratic, the time limit of the test would end it."""
    reader = make()
    for piece in [before, *[part] * TINY]:
        reader.feed(piece)
    assert reader.flush() is not None


@pytest.mark.parametrize("part", [*PARTS, "<think></think>", "- a\n", "1) 2) 3) "])
@pytest.mark.parametrize("before", ["", "2. Sleep well", "<think>"])
def test_a_megabyte_at_once_takes_no_longer_than_its_length(part: str, before: str) -> None:
    """However little of it is a point or a text."""
    text = before + part * (MEGABYTE // len(part))
    assert len(cleaned([text], SLEEP)) <= len(text)
    assert len(parse(text)) <= 1


def test_a_long_title_takes_no_longer_than_its_length() -> None:
    """No parser finds one, but a caller may give one."""
    title = "Sleep well " * 50_000
    assert title.strip() == cleaned(list(title), Point(1, title))


def test_a_page_of_many_points_takes_no_longer_than_its_pieces() -> None:
    """Written from the last to the first, so that nearly all is held back."""
    page = Merger()
    shown = [page.add(number, "") for number in range(1, 501)]
    for number in range(500, 0, -1):
        shown += [page.feed(number, "a ") for _ in range(200)] + [page.close(number)]
    assert "\n\n".join(["a " * 200] * 500) == "".join(shown)


def test_a_long_chain_of_points_is_a_skeleton() -> None:
    """A caller may give as many as there are, each after the one before."""
    points = tuple(Point(number, "a", after=(number - 1,) if number > 1 else ()) for number in range(1, 5001))
    assert list(range(1, 5001)) == list(Skeleton(points).order().static_order())


@pytest.mark.parametrize("pipelined", [False, True])
@pytest.mark.parametrize(
    "skeleton",
    [
        ["Well, "] * 20_000 + ["\n1. Eat\n2. Rest"],
        ["\n"] * 20_000 + ["1. Eat\n2. Rest"],
        ["<think>", *["Well, "] * 20_000, "</think>", "1. Eat\n2. Rest"],
        [f"1. Eat\n2. Rest\n{'Well, ' * 200_000}"],
        [f"{'Well, ' * 200_000}\n1. Eat\n2. Rest"],
    ],
    ids=["preamble", "blanks", "thoughts", "more at once", "preamble at once"],
)
def test_a_skeleton_in_a_heap_of_words(skeleton: list[str], pipelined: bool) -> None:
    """It is found, and the heap is not shown."""
    llm = ScriptedLLM(skeleton=skeleton, points={1: "Figs.", 2: "Early."})
    assert "1. Eat: Figs.\n\n2. Rest: Early." == text_of(events_of(engine(llm, pipelined=pipelined)))


@pytest.mark.parametrize(
    "pieces", [["Well, " * 200_000], ["Well, "] * 20_000, ["\n"] * 20_000], ids=["whole", "words", "lines"]
)
def test_a_point_of_a_megabyte(pieces: list[str]) -> None:
    """Whole or in many pieces, as the model wrote it."""
    llm = ScriptedLLM(skeleton="1. Eat\n2. Rest", points={1: ["So: ", *pieces, "Now."], 2: "Early."})
    assert f"1. Eat: So: {''.join(pieces)}Now.\n\n2. Rest: Early." == text_of(events_of(engine(llm)))
