"""What a point is: its number, its title, what it leans on.

A skeleton is what a model wrote, so the parser has to be tolerant, and it must not be fooled. Its rules:

* A point begins at the start of a line, with a marker: a number (``1.`` ``1)`` ``(1)`` ``1、`` ``一、`` ``①``,
  plain, bold or in a heading) or a bullet. A number inside a sentence is never a marker.
* The first marker decides: in a numbered list bullets are details, in a bulleted list numbers are.
  Details, as well as lines that are indented deeper than the first point, are passed over.
* Numbers rise. A number that falls back begins a second list, and the skeleton is over; only a list that
  numbers every line with 1 may go on. Points are numbered anew, from 1, in the order they came.
* Thoughts between ``<think>`` and ``</think>`` are not the answer.
* Whatever comes before the list is a preamble, whatever comes after it is not needed.

``feed`` takes any pieces of the text and returns the points they complete; ``flush`` returns what the end
of the text completes. No cutting of a text changes the points.
"""

import re
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

from ._reasoning import WithoutReasoning, after_lost_reasoning
from .errors import SkeletonError


@dataclass(frozen=True, slots=True)
class Point:
    """One point of a skeleton."""

    number: int
    title: str
    after: tuple[int, ...] = ()
    """Numbers of the points whose text this one needs. It is written when they are done."""


@dataclass(frozen=True, slots=True)
class Skeleton:
    """The points of an answer, in reading order.

    Raises:
        SkeletonError: a number appears twice, ``after`` names an unknown point, or points wait for each other.

    >>> print(Skeleton((Point(1, "Move every day"), Point(2, "Sleep well"))))
    1. Move every day
    2. Sleep well
    """

    points: tuple[Point, ...]

    def __post_init__(self) -> None:
        numbers = [point.number for point in self.points]
        if len(set(numbers)) < len(numbers):
            raise SkeletonError(f"a point's number appears twice: {numbers}")
        for point in self.points:
            if unknown := set(point.after) - set(numbers):
                raise SkeletonError(
                    f"point {point.number} ({point.title!r}) comes after unknown points {sorted(unknown)}"
                )
        try:
            self.order().prepare()
        except CycleError as error:
            raise SkeletonError(f"points wait for each other: {error.args[1]}") from None

    def order(self) -> TopologicalSorter[int]:
        """Give a fresh sorter of the points' numbers: who may be written when."""
        return TopologicalSorter({point.number: point.after for point in self.points})

    def __str__(self) -> str:
        return "\n".join(f"{point.number}. {point.title}" for point in self.points)


_CHINESE = {sign: value for value, sign in enumerate("一二三四五六七八九十", 1)}
_CIRCLED = {chr(0x2460 + value): value + 1 for value in range(20)}
_NUMBER = re.compile(
    rf"""(?P<indent>[ \t]*)(?:\#{{1,6}}[ \t]*)?(?:\*\*|__|\*|_)?
    (?: (?P<circled>[{"".join(_CIRCLED)}])[.、:]?
      | (?:point|step|punto|paso|ponto|passo)[ ](?P<named>\d{{1,2}})[ ]?[.:)\-–—]
      | 第(?P<nth>[一二三四五六七八九十]{{1,2}})[点步条][：:，,、]?
      | (?P<chinese>[一二三四五六七八九十]{{1,2}})[、.．:：]
      | [(（](?P<enclosed>\d{{1,3}}|[一二三四五六七八九十]{{1,2}})[)）][.、:]?
      | (?P<plain>\d{{1,3}})[.)、．:：](?!\d)
    )[ \t]*(?P<title>.*)""",
    re.VERBOSE | re.IGNORECASE,
)
_BULLET = re.compile(r"(?P<indent>[ \t]*)[-*+•‣▪–][ \t]+(?P<title>\S.*)")
_NEXT_NUMBER = re.compile(r"(?<=\s)(?=\d{1,2}[.)、]\s?\D)")
_LED_BY_BOLD = re.compile(r"(\*\*|__)(?P<title>.+?)\1")
_EXPLAINED = re.compile(r"(?P<title>.{3,}?)(?:[:：]\s|\s[-–—]\s|——|[.。]\s)")
_LONG_TITLE = 80
_LONGEST_TITLE = 160
_FIRST_NUMBERS = range(4)  # "99. Yes" at the start of a line is no list


class SkeletonParser:
    """Find the points in a skeleton while it is being written.

    Args:
        max_points: the list is over after so many points.

    >>> parser = SkeletonParser()
    >>> parser.feed("Sure!\n1. Eat well\n2. Sl")
    [Point(number=1, title='Eat well', after=())]
    >>> parser.feed("eep well")
    []
    >>> parser.flush()
    [Point(number=2, title='Sleep well', after=())]
    """

    def __init__(self, max_points: int | None = None) -> None:
        self.points: list[Point] = []
        """All points so far."""
        self.done = False
        """Nothing that follows can add a point: the model may be stopped."""
        self._max_points = max_points
        self._answer = WithoutReasoning()
        self._rest = ""
        self._style: re.Pattern[str] | None = None
        self._indent = 0
        self._last = 0

    def feed(self, text: str) -> list[Point]:
        """Take the next piece of the text and return the points that it completes."""
        known = set(self.points)
        *lines, self._rest = (self._rest + self._answer.feed(text)).split("\n")
        for line in lines:
            self._read(line)
        return [point for point in self.points if point not in known]

    def flush(self, *, cut: bool = False) -> list[Point]:
        """End the text and return the points that its end completes.

        Args:
            cut: the text was ended by a token limit, so its last point is not whole.
        """
        known = set(self.points)
        items = _items_on(self._rest + self._answer.flush())
        self._rest = ""
        for item in items[:-1] if cut else items:
            self._read(item)
        return [point for point in self.points if point not in known]

    def _read(self, line: str) -> None:
        answer = after_lost_reasoning(line)
        if answer is not None:  # everything until here was a thought
            self.points, self._style, self._last, self.done = [], None, 0, False
        for item in _items_on(line if answer is None else answer):
            if not self.done:
                self._read_item(item)

    def _read_item(self, item: str) -> None:
        match = self._style.match(item) if self._style else _NUMBER.match(item) or _BULLET.match(item)
        if match is None:
            return
        indent = len(match["indent"].expandtabs(4))
        if self._style is None:
            if match.re is _NUMBER and _value(match) not in _FIRST_NUMBERS:
                return
            self._style, self._indent = match.re, indent
        if indent > self._indent + 1:
            return
        if match.re is _NUMBER and not self._rises(_value(match)):
            self.done = True
            return
        self._add(match["title"])

    def _rises(self, number: int) -> bool:
        last, self._last = self._last, number
        return number > last or number == last == 1

    def _add(self, text: str) -> None:
        title = _title(text)
        if not title or title.casefold() in {point.title.casefold() for point in self.points}:
            return
        self.points.append(Point(len(self.points) + 1, title))
        self.done = len(self.points) == self._max_points


def parse(text: str, *, max_points: int | None = None) -> tuple[Point, ...]:
    """Return the points of a whole skeleton text.

    >>> [point.title for point in parse("**1. Plan ahead**\n   - buy early\n**2. Pack light**")]
    ['Plan ahead', 'Pack light']
    """
    parser = SkeletonParser(max_points)
    parser.feed(text)
    parser.flush()
    return tuple(parser.points)


def list_grammar(max_points: int) -> str:
    """Write the GBNF of a numbered list of 3 to *max_points* points of 2 to 8 words.

    For models that do not keep to a list by themselves: only a list can be written, in any script.
    """
    most = max(max_points, 3)
    more = "\n".join(
        f'more{number} ::= "\\n{number}. " title' + (f" more{number + 1}?" if number < most else "")
        for number in range(4, most + 1)
    )
    return "\n".join([
        'root ::= "1. " title "\\n2. " title "\\n3. " title' + (" more4?" if most > 3 else ""),
        more,
        'title ::= word (" " word){1,7}',
        r"""word ::= [^ \t\r\n0-9.,:;!?*#"'()\[\]{}/<>_`~+=|\\-] [^ \t\r\n0-9.,:;!?*#"()\[\]{}/<>_`~+=|\\]{0,17}""",
    ])


def _value(match: re.Match[str]) -> int:
    digits = match["plain"] or match["enclosed"] or match["named"] or match["chinese"] or match["nth"]
    if digits is None:
        return _CIRCLED[match["circled"]]
    return int(digits) if digits.isdecimal() else _chinese_value(digits)


def _chinese_value(signs: str) -> int:
    """Read 一 to 十九, 二十, 三十 and so on."""
    first, *second = (_CHINESE[sign] for sign in signs)
    if not second:
        return first
    return first * second[0] if second[0] == 10 else first + second[0]


def _items_on(line: str) -> list[str]:
    """Split a list that was written on one line; any other line comes back whole.

    Three numbers in a row are a list. One or two could be part of a sentence.
    """
    items: list[str] = []
    for piece in _NEXT_NUMBER.split(line):
        number = _NUMBER.match(piece)
        if number and (not items or _value(number) == len(items) + 1):
            items.append(piece)
        elif items:
            items[-1] += piece
    return items if len(items) > 2 else [line]


def _title(text: str) -> str:
    """Reduce what stands behind a marker to a title: no markup, no explanation, no closing mark."""
    if inner := _NUMBER.match(text):  # "- 1. Plan"
        text = inner["title"]
    if bold := _LED_BY_BOLD.match(text):
        text = bold["title"]
    elif text.count("**") == 1:  # the other half stood before the number
        text = text.partition("**")[0]
    text = _LED_BY_BOLD.sub(r"\g<title>", text)
    if len(text) > _LONG_TITLE and (explained := _EXPLAINED.match(text)):
        text = explained["title"]
    return " ".join(text[:_LONGEST_TITLE].split()).strip(" *_").rstrip(":：;；,，、.。 ")
