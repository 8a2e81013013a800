"""What reads a model's words, on a million texts that are nearly skeletons and nearly points.

Each text is read at once and cut into random pieces, as a skeleton and as the text of a point. What has to hold:

* Nothing raises. Any cutting gives the same points and the same text, also where a token limit ends it.
* Points are numbered from 1, no more than asked for; titles are single lines of signs that are seen, none twice.
* Text that was shown is never taken back, has no blank edge, and is all of what stands behind an echo of the title.

Texts come from one random generator: lines with numbers in many scripts, bullets, markup, blanks, controls, half signs
and thoughts; one in a thousand is long. The first text that breaks a promise is printed, and the exit code is 1.

    python -m benchmarks.fuzz_parser [--inputs 1000000] [--seed 0]
"""

import argparse
import sys
import time
import traceback
from collections import Counter
from itertools import pairwise
from random import Random

from skeleton_of_thought import Point
from skeleton_of_thought._expansion import ExpansionText
from skeleton_of_thought.skeleton import SkeletonParser

DIGITS = ["0123456789"] * 6 + ["٠١٢٣٤٥٦٧٨٩", "०१२३४५६७८९", "๐๑๒๓๔๕๖๗๘๙", "０１２３４５６７８９", "𝟎𝟏𝟐𝟑𝟒𝟓𝟔𝟕𝟖𝟗"]
SIGNS = [
    *"①②⑳一二三十ⅠⅡ²", "十一", "二十", "十十", "1️⃣", "2⃣", "第一点", "第2步", "Step 1", "Étape 2", "paso 3", "point 1",
]  # fmt: skip
OPENINGS = ["", "", "", "(", "（", "#"]
CLOSINGS = [
    ". ", ". ", ". ", ".", ") ", ")", ": ", "：", "、", "．", " - ", "– ", "-", "). ", "\u00a0: ", "", "\ufe0f\u20e3 ",
]  # fmt: skip
BULLETS = ["- ", "* ", "+ ", "• ", "· ", "— ", "-", "-\t", "> "]
INDENTS = ["", "", "", "", " ", "   ", "\t", "\u3000", "\u200f", "\ufeff", "### ", "#", "\x1b[1m", "\0", "| "]
DRESSES = ["", "", "", "", "", "**", "**", "__", "*", "_", "***", "`", '"', "“"]
WORDS = [
    "Eat well", "Sleep", "sleep well", "Move: walk", "Rest – a lot.", "{title}", "早睡", "تناول", "é", "１", "a" * 90,
    "",
]  # fmt: skip
NAMES = [*"ABCDEFGHIJKL", "well", "(a b)", "again and again", "2", "吃"]
ODD = [
    "<think>", "</think>", "<Reasoning>", "</reasoning>", "<thi", "nk>", "</", "<", "...", "1. Eat", " 2. b 3. c",
    "Point 2: ",
]  # fmt: skip
UNSEEN = [
    "\0", "\x1b[31m", "\x1b", "\x07", "\x85", "\u2028", "\x0b", "\ud83d", "\ude00", "\u202e", "\u200d", "\u00ad",
    "\xa0", "\r",
]  # fmt: skip
PROSE = [
    "Sure! Here is the skeleton:", "I'm sorry, I can't.", "Skeleton:", "```", "---", "Well, " * 30, "| 1 | Eat |",
    '["a"]',
]  # fmt: skip
ENDS = ["\n"] * 8 + ["\n\n", "\r\n", "\r", "\u2028", "; ", " ", ""]
POINTS = [
    Point(2, "Sleep well"), Point(1, "Why sleep?"), Point(10, "C++ (and {title})"), Point(3, "早睡"), Point(1, "2 a*"),
]  # fmt: skip
MOST = [None, 1, 2, 10]
LONG_EVERY = 1000
LONG = 20_000  # signs, about


# -- texts ---------------------------------------------------------------------------------------------


def marker(random: Random) -> str:
    """Make what may stand before a title."""
    kind = random.random()
    if kind < 0.6:
        script, number = random.choice(DIGITS), random.choice((1, 2, 3, 4, 5, 6, 10, 11, 0, 99, 2024))
        signs = "".join(script[int(sign)] for sign in str(number))
        return random.choice(OPENINGS) + signs + random.choice(CLOSINGS)
    return random.choice(SIGNS) + random.choice(CLOSINGS) if kind < 0.75 else random.choice(BULLETS)


def line(random: Random) -> str:
    """Make a line that looks like a point, or like what stands around points."""
    kind = random.random()
    if kind < 0.12:
        return random.choice(PROSE)
    if kind < 0.16:
        return "".join(chr(random.choice((random.randrange(0x80), random.randrange(0x110000)))) for _ in range(9))
    dress = random.choice(DRESSES)
    parts = [random.choice(INDENTS), dress, marker(random), random.choice(("", dress)), random.choice(DRESSES)]
    parts += [random.choice(WORDS), random.choice(ODD) if random.random() < 0.15 else "", dress]
    if random.random() < 0.2:
        parts.insert(random.randrange(len(parts)), random.choice(UNSEEN))
    return "".join(parts)


def item(random: Random, style: tuple[str, ...], number: int) -> str:
    """Make a line of a list that has one style, now and then with a slip."""
    if random.random() < 0.1:
        return line(random)
    indent, dress, opening, script, closing = style
    if not script:  # its opening is a bullet
        return f"{indent}{opening}{dress}{random.choice(WORDS)} {random.choice(NAMES)}{dress}"
    signs = "".join(script[int(sign)] for sign in str(number + (random.random() < 0.1)))
    begin = f"{indent}{dress}{opening}{signs}{closing}"
    return f"{begin}{random.choice(WORDS)} {random.choice(NAMES)}{dress}"


def style_of(random: Random) -> tuple[str, ...]:
    """Choose how the lines of a list begin."""
    indent, dress = random.choice(INDENTS), random.choice(DRESSES)
    if random.random() < 0.2:
        return indent, dress, random.choice(BULLETS), "", ""
    return indent, dress, random.choice(OPENINGS), random.choice(DIGITS), random.choice(CLOSINGS)


def text_of(random: Random, *, long: bool) -> str:
    """Make a text of a few lines; a long one has one piece again and again."""
    style, count, end = style_of(random), random.randrange(9), random.choice(ENDS)
    alike = random.random() < 0.6
    lines = [item(random, style, number + 1) if alike else line(random) for number in range(count)]
    lines = [each + (end if alike else random.choice(ENDS)) for each in lines]
    if random.random() < 0.2:
        lines.insert(0, random.choice((*ODD[:4], *PROSE)) + random.choice(ENDS))
    if long:
        part = random.choice((*ODD, *UNSEEN, *CLOSINGS, *BULLETS, *DRESSES, *WORDS, line(random) + "\n")) or " "
        lines.insert(random.randrange(len(lines) + 1), part * (LONG // len(part)))
    return "".join(lines)


def pieces_of(random: Random, text: str) -> list[str]:
    """Cut a text, sometimes into its signs."""
    if random.random() < 0.1:
        return list(text)
    places = sorted(random.randrange(len(text) + 1) for _ in range(random.randrange(8)))
    return [text[start:end] for start, end in pairwise([0, *places, len(text)])]


# -- what has to hold ----------------------------------------------------------------------------------


def read(pieces: list[str], most: int | None, *, cut: bool) -> SkeletonParser:
    """Read a skeleton to its end."""
    parser = SkeletonParser(most)
    for piece in pieces:
        parser.feed(piece)
    parser.flush(cut=cut)
    return parser


def check_points(text: str, pieces: list[str], most: int | None, *, cut: bool) -> int:
    """See to it that points are as they have to be, and return how many there are."""
    whole, parser = read([text], most, cut=cut), read(pieces, most, cut=cut)
    assert (whole.points, whole.done) == (parser.points, parser.done), "cutting changes the points"
    titles = [point.title for point in whole.points]
    assert [point.number for point in whole.points] == list(range(1, len(titles) + 1)), "numbers have gaps"
    assert len(titles) <= (most or len(titles)), "more points than asked for"
    assert len({title.casefold() for title in titles}) == len(titles), "a title appears twice"
    for title in titles:
        assert title, "a title is empty"
        assert title == " ".join(title.split()), "a title has odd blanks"
        assert not any(map(is_unseen, title)), "a title has signs that are not seen"
    return len(titles)


def is_unseen(sign: str) -> bool:
    """Tell whether a terminal obeys a sign in the place of showing it."""
    return (
        sign < " "
        or "\x7f" <= sign <= "\x9f"
        or "\u2028" <= sign <= "\u202e"
        or sign == "\ufeff"
        or "\ud800" <= sign <= "\udfff"
    )


def check_text(text: str, pieces: list[str], point: Point) -> bool:
    """See to it that a point's text is as it has to be, and tell whether there is one."""
    one, cut, shown = ExpansionText(point), ExpansionText(point), ""
    whole = one.feed(text) + one.flush()
    for piece in pieces:
        shown += cut.feed(piece)
    assert whole.startswith(shown), "shown text is taken back"
    assert whole == shown + cut.flush(), "cutting changes the text"
    assert whole == whole.strip(), "the text has a blank edge"
    assert "<" in text or bare(text).endswith(bare(whole)), "the text is not what was written"
    return bool(whole)


def bare(text: str) -> str:
    """Take out blanks and emphasis."""
    return "".join(text.split()).replace("*", "").replace("_", "")


# -- a million of them ---------------------------------------------------------------------------------


def fuzz(inputs: int, seed: int) -> int:
    """Try so many texts, print what came of it, and return the exit code."""
    random, found, started = Random(seed), Counter[str](), time.perf_counter()  # noqa: S311 -- that it comes again is wanted
    slowest, slowest_text = 0.0, ""
    for number in range(inputs):
        text = text_of(random, long=number % LONG_EVERY == 0)
        pieces, most, point = pieces_of(random, text), random.choice(MOST), random.choice(POINTS)
        cut = random.random() < 0.3
        begun = time.perf_counter()
        try:
            points = check_points(text, pieces, most, cut=cut)
            found["with a text"] += check_text(text, pieces, point)
        except Exception:  # noqa: BLE001 -- any at all is what is looked for
            traceback.print_exc(limit=-3)
            print(f"seed {seed}, input {number}: {point}, {most=}, {cut=}\n{text!a}\nin pieces {pieces!a}")
            return 1
        found["signs"] += len(text)
        found["points"] += points
        found["skeletons"] += points > 1
        if (seconds := time.perf_counter() - begun) > slowest:
            slowest, slowest_text = seconds, text
    total = time.perf_counter() - started
    print(f"{inputs:,} inputs, seed {seed}, no promise broken; {total:.0f} s, {inputs / total:,.0f} inputs per second")
    print(", ".join(f"{count:,} {name}" for name, count in sorted(found.items())))
    print(f"slowest: {slowest * 1000:.1f} ms for {len(slowest_text):,} signs, {slowest_text[:100]!a}...")
    return 0


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    sys.exit(fuzz(asked.inputs, asked.seed))


if __name__ == "__main__":
    main()
