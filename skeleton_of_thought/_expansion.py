"""What of a point's text is its text: no thoughts, no repeated number or title, no blank edges."""

import re

from ._reasoning import WithoutReasoning
from .skeleton import Point

_MARKUP = 24  # signs that may surround a repeated number and title: "### **10. " and "**: "


class ExpansionText:
    """Clean the text of one point while it is being written.

    >>> text = ExpansionText(Point(2, "Sleep well"))
    >>> text.feed("2. **Sleep well**: ") + text.feed("Go to bed ") + text.feed("early. ") + text.flush()
    'Go to bed early.'
    """

    def __init__(self, point: Point) -> None:
        title = re.escape(point.title)
        self._repeated = re.compile(
            rf"""[#*_"\s]*
            (?: (?:{point.number}[.):、]\s*)? [*_"]* {title} ["*_]* \s* (?:[:：]|[-–—]\s|\n|\Z) [*_"]*
              | {point.number}[.)、]\s )""",
            re.VERBOSE | re.IGNORECASE,
        )
        self._begins = [_letters(point.title), f"{point.number}{_letters(point.title)}"]
        self._wait = len(point.title) + _MARKUP
        self._said = WithoutReasoning()
        self._held = ""
        self._begun = False

    def feed(self, text: str) -> str:
        """Take the next piece and return what can be shown."""
        self._held += self._said.feed(text)
        if not self._begun:
            if self._may_repeat_title():
                return ""
            self._begin()
        return self._show(len(self._held.rstrip()))

    def flush(self) -> str:
        """End the text and return what was held back."""
        self._held += self._said.flush()
        if not self._begun:
            self._begin()
        return self._show(len(self._held.rstrip()))

    def _may_repeat_title(self) -> bool:
        letters = _letters(self._held)
        return len(self._held) < self._wait and any(
            begin.startswith(letters) or letters.startswith(begin) for begin in self._begins
        )

    def _begin(self) -> None:
        repeated = self._repeated.match(self._held)
        self._held = self._held[repeated.end() if repeated else 0 :].lstrip()
        self._begun = bool(self._held)

    def _show(self, length: int) -> str:
        shown, self._held = self._held[:length], self._held[length:]
        return shown


def _letters(text: str) -> str:
    return "".join(re.findall(r"\w", text)).casefold()
