"""What of a point's text is its text: no thoughts, no repeated number or title, no blank edges."""

import re

from ._reasoning import WithoutReasoning
from .skeleton import Point

_LONGEST_TITLE = 200  # longer ones, which no parser finds, may be said twice
_MARKUP = 32  # signs that may surround a repeated number and title: "### **Point 10: " and ":**\n\n"


class ExpansionText:
    """Clean the text of one point while it is being written.

    Args:
        begun: the text goes on from an earlier one, so no title stands before it.

    >>> text = ExpansionText(Point(2, "Sleep well"))
    >>> text.feed("2. **Sleep well**: ") + text.feed("Go to bed ") + text.feed("early. ") + text.flush()
    'Go to bed early.'
    """

    def __init__(self, point: Point, *, begun: bool = False) -> None:
        self._point = point
        letters = _letters(point.title)
        self._begins = (letters, f"{point.number}{letters}", f"point{point.number}{letters}")
        self._wait = min(len(point.title), _LONGEST_TITLE) + _MARKUP
        self._said = WithoutReasoning()
        self._held = ""
        self._blanks: list[str] = []
        self._begun = begun

    def feed(self, text: str) -> str:
        """Take the next piece and return what can be shown."""
        return self._take(self._said.feed(text))

    def flush(self) -> str:
        """End the text and return what was held back."""
        shown = self._take(self._said.flush())
        if not self._begun:
            self._begin()
        return shown + self._show(self._held)

    def _take(self, said: str) -> str:
        if self._begun:
            return self._show(said)
        taken = 0
        while not self._begun and taken < len(said):  # sign by sign: no cutting of the text changes what is seen here
            sign, taken = said[taken], taken + 1
            if not self._held and sign.isspace():
                continue
            self._held += sign
            if not self._may_repeat_title():
                self._begin()
        return self._show(self._held + said[taken:]) if self._begun else ""

    def _may_repeat_title(self) -> bool:
        letters = _letters(self._held)
        return len(self._held) < self._wait and any(begin.startswith(letters) for begin in self._begins)

    def _begin(self) -> None:
        letters, number = _letters(self._held), str(self._point.number)
        if letters.startswith(self._begins) and (repeated := _title(self._point).match(self._held)):
            self._held = self._held[repeated.end() :]
        elif letters.startswith((number, f"point{number}")) and (numbered := _number(number).match(self._held)):
            self._held = (numbered["kept"] or "") + self._held[numbered.end() :]
        self._held = self._held.lstrip()
        self._begun = bool(self._held)

    def _show(self, text: str) -> str:
        self._held, length = "", len(text.rstrip())
        self._blanks.append(text[length:])
        if not length:
            return ""
        shown = "".join(self._blanks[:-1]) + text[:length]
        del self._blanks[:-1]
        return shown


# Compiled where a text begins like its title or number: compiling takes longer than all the rest.


def _title(point: Point) -> re.Pattern[str]:
    number, title = point.number, re.escape(point.title)
    asked = r"|\s" if point.title.endswith(("?", "!", "？", "！")) else ""
    return re.compile(
        rf"""[\#*_"“(\s]* (?:(?:point\s*)?{number}(?:[.):：、,]|\s*[-–—]\s)[*_]*\s*)? [*_"“]* {title} [*_"”]*
        (?: \s* (?:[:：]|[-–—]\s|\n|\Z) | \.(?=[*_"”]*(?:\s|\Z)) | 。 {asked} ) [*_"”]*""",
        re.VERBOSE | re.IGNORECASE,
    )


def _number(number: str) -> re.Pattern[str]:
    return re.compile(
        rf"""[\#\s]*
        (?: (?P<dress>[*_]+)(?:{number}[.)、]|point\s*{number}[.):：、,])(?P=dress)
          | (?P<kept>[*_]*)(?:{number}[.)、]|point\s*{number}[.):：、,]) )\s""",
        re.VERBOSE | re.IGNORECASE,
    )


def _letters(text: str) -> str:
    return "".join(re.findall(r"[^\W_]", text)).casefold()
