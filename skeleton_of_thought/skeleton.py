"""What a point is: its number, its title, what it leans on.

A skeleton is what a model wrote, so the parser has to be tolerant, and it must not be fooled. Its rules:

* A point begins at the start of a line, with a marker: a number (``1.`` ``1)`` ``(1)`` ``1 -`` ``1、`` ``一、`` ``①``,
  plain, bold or in a heading) or a bullet. A number inside a sentence is never a marker.
* The first marker decides: in a numbered list bullets are details, in a bulleted list numbers are, and among
  numbered headings both are. Details, as well as lines that are indented deeper than the first point, are passed over.
* Numbers never fall. One that does begins a second list, and the skeleton is over; one that is written twice is a
  slip. Points are numbered anew, from 1, in the order they came.
* Signs that are not seen (controls, escape sequences, marks of direction) are not there; any blank is a blank.
* Thoughts between ``<think>`` and ``</think>`` are not the answer.
* Whatever comes before the list is a preamble, whatever comes after it is not needed. A long preamble may be a
  thought whose opening tag was lost: then the model is heard to its end.

``feed`` takes any pieces of the text and returns the points they complete; ``flush`` returns what the end
of the text completes. No cutting of a text changes the points.
"""

import re
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise

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
        known = set(numbers)
        if len(known) < len(numbers):
            raise SkeletonError(f"a point's number appears twice: {numbers}")
        for point in self.points:
            if unknown := set(point.after) - known:
                raise SkeletonError(
                    f"point {point.number} ({point.title!r}) comes after unknown points {sorted(unknown)}"
                )
        try:
            self.order().prepare()
        except CycleError as error:
            raise SkeletonError(f"points wait for each other: {error.args[1]}") from None

    def point(self, number: int) -> Point:
        """Return the point of that number.

        Raises:
            SkeletonError: there is none.
        """
        for point in self.points:
            if point.number == number:
                return point
        raise SkeletonError(f"there is no point {number!r}: use one of {[point.number for point in self.points]}")

    def order(self) -> TopologicalSorter[int]:
        """Give a fresh sorter of the points' numbers: who may be written when."""
        return TopologicalSorter({point.number: point.after for point in self.points})

    def __str__(self) -> str:
        return "\n".join(f"{point.number}. {point.title}" for point in self.points)


_CHINESE = {sign: value for value, sign in enumerate("一二三四五六七八九十", 1)}
_CIRCLED = {chr(0x2460 + value): value + 1 for value in range(20)}


def _numbered(dress: str) -> re.Pattern[str]:
    signs, circled = "".join(_CHINESE), "".join(_CIRCLED)
    return re.compile(
        rf"""(?P<indent>[ \t]*){dress}(?P<bold>\*\*|__|\*|_)?
        (?: (?P<circled>[{circled}])[.、:：]?
          | (?P<keycap>\d)\ufe0f?\u20e3
          | (?:point|step|punto|paso|ponto|passo|punkt|schritt|étape)[ ](?P<named>\d{{1,2}})[ ]?[.:：)\-–—]
          | 第(?P<nth>\d{{1,2}}|[{signs}]{{1,2}})(?:[点步条][：:，,、]?|[：:，,、])
          | (?P<chinese>[{signs}]{{1,2}})[、.．:：]
          | [(（](?P<enclosed>\d{{1,3}}|[{signs}]{{1,2}})[)）][.、:]?
          | (?P<plain>\d{{1,3}})(?:[.)、．:：](?!\d)|[ ]?[-–—][ \t]+(?!\d))
        )(?:(?P=bold)(?=[ \t]))?[ \t]*""",
        re.VERBOSE | re.IGNORECASE,
    )


_UNSEEN = re.compile(  # but not what joins letters
    r"\x1b\[[0-?]*[ -/]*[@-~]"
    r"|[\0-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u061c\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff\ud800-\udfff\ufffd]"
)
_BLANK = re.compile(r"[^\S\t ]")
_HEADING = _numbered(r"\#{1,6}[ \t]*")
_NUMBER = _numbered("")
_BULLET = re.compile(r"(?P<indent>[ \t]*)[-*+•‣▪◦●·–—][ \t]+(?=\S)")
_NEXT_NUMBER = re.compile(rf"(?<=[\s;；。])(?=\d{{1,2}}[.)、．]\s?\D|[(（]\d{{1,2}}[)）]|[{''.join(_CIRCLED)}])")
_BOLD = re.compile(r"(\*\*|__)(?P<title>.+?)\1")
_TITLE_ENDS = re.compile(r"(?<=[:：.](?:\*\*|__))|\s*(?:[-–—:：.。,，;；(（]|$)")
_EXPLAINED = re.compile(r"(?P<title>.{3,}?)(?::\s|：|\s[-–—]\s|——|\.\s|。)")
_LONG_PREAMBLE = 200
_LONG_TITLE = 80
_LONGEST_TITLE = 160
_FIRST_NUMBERS = range(4)  # "99. Yes" at the start of a line is no list


class SkeletonParser:
    """Find the points in a skeleton while it is being written.

    Args:
        max_points: the list is over after so many points.

    >>> parser = SkeletonParser()
    >>> parser.feed("Sure!\\n1. Eat well\\n2. Sl")
    [Point(number=1, title='Eat well', after=())]
    >>> parser.feed("eep well")
    []
    >>> parser.flush()
    [Point(number=2, title='Sleep well', after=())]
    """

    points: list[Point]
    """All points so far."""

    def __init__(self, max_points: int | None = None) -> None:
        self._max_points = max_points
        self._answer = WithoutReasoning()
        self._line: list[str] = []
        self._kept = False
        self._forget()

    @property
    def done(self) -> bool:
        """Nothing that follows can change the points: the model may be stopped."""
        return self._over and self._preamble <= _LONG_PREAMBLE

    def keep(self) -> None:
        """Hold on to the points so far, whatever comes: they are being written already."""
        self._kept = True

    def feed(self, text: str) -> list[Point]:
        """Take the next piece of the text and return the points that it completes."""
        *lines, rest = self._answer.feed(text).split("\n")
        for line in lines:
            self._read("".join(self._line) + line)
            self._line.clear()
        self._line.append(rest)
        return self._taken()

    def flush(self, *, cut: bool = False) -> list[Point]:
        """End the text and return the points that its end completes.

        Args:
            cut: the text was ended by a token limit, so its last point is not whole.
        """
        items = _items_on("".join(self._line) + self._answer.flush())
        self._line.clear()
        for item in items[:-1] if cut else items:
            self._read(item)
        return self._taken()

    def _forget(self) -> None:
        self.points, self._over = [], False
        self._found: list[Point] = []
        self._titles: set[str] = set()
        self._preamble = 0
        self._style: re.Pattern[str] | None = None
        self._indent = 0
        self._last = 0

    def _taken(self) -> list[Point]:
        taken, self._found = self._found, []
        return taken

    def _read(self, line: str) -> None:
        answer = None if self.done or self._kept else after_lost_reasoning(line)
        if answer is not None:  # everything until here was a thought
            self._forget()
        elif self._over or not line.strip():
            return
        for item in _items_on(line if answer is None else answer):
            if not self._over:
                self._read_item(item)
                self._preamble += 0 if self._style else len(item)

    def _read_item(self, item: str) -> None:
        styles = (self._style,) if self._style else (_HEADING, _NUMBER, _BULLET)
        marker = next(filter(None, (style.match(item) for style in styles)), None)
        if marker is None:
            return
        title, indent = _title(item[marker.end() :]), len(marker["indent"].expandtabs(4))
        if self._style is None:
            if not title if marker.re is _BULLET else _value(marker) not in _FIRST_NUMBERS:
                return
            self._style, self._indent = marker.re, indent
        if indent > self._indent + 1:
            return
        number = self._last if marker.re is _BULLET else _value(marker)
        if number < self._last:
            self._over = True
            return
        self._last = number
        self._add(title)

    def _add(self, title: str) -> None:
        if not title or title.casefold() in self._titles:
            return
        self._titles.add(title.casefold())
        point = Point(len(self.points) + 1, title)
        self.points.append(point)
        self._found.append(point)
        self._over = len(self.points) == self._max_points


def parse(text: str, *, max_points: int | None = None) -> tuple[Point, ...]:
    """Return the points of a whole skeleton text.

    >>> [point.title for point in parse("**1. Plan ahead**\\n   - buy early\\n**2. Pack light**")]
    ['Plan ahead', 'Pack light']
    """
    parser = SkeletonParser(max_points)
    parser.feed(text)
    parser.flush()
    return tuple(parser.points)


def _value(marker: re.Match[str]) -> int:
    kinds = ("plain", "enclosed", "named", "chinese", "nth", "keycap")
    signs = next((marker[kind] for kind in kinds if marker[kind]), None)
    if signs is None:
        return _CIRCLED[marker["circled"]]
    return int(signs) if signs.isdecimal() else _chinese_value(signs)


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
    line, starts = _BLANK.sub(" ", _UNSEEN.sub("", line)), list[int]()
    for place in (0, *(found.start() for found in _NEXT_NUMBER.finditer(line))):
        number = _NUMBER.match(line, place)
        if number and _value(number) == len(starts) + 1:
            starts.append(place)
    return [line[start:end] for start, end in pairwise([*starts, len(line)])] if len(starts) > 2 else [line]


def _title(text: str) -> str:
    """Reduce what stands behind a marker to a title: no markup, no explanation, no closing mark."""
    if inner := _NUMBER.match(text):  # "- 1. Plan"
        text = text[inner.end() :]
    bold = _BOLD.match(text)
    if bold and (len(text) > _LONG_TITLE or _TITLE_ENDS.match(text, bold.end())):
        text = bold["title"]
    elif text.count("**") == 1:  # the other half stood before the number
        text = text.lstrip("*").partition("**")[0]
    text = _BOLD.sub(r"\g<title>", text)
    if len(text) > _LONG_TITLE and (explained := _EXPLAINED.match(text)):
        text = explained["title"]
    title = " ".join(text[:_LONGEST_TITLE].split()).strip(" *_").rstrip(":：;；,，、.。 ")
    return title if any(map(str.isalnum, title)) else ""
