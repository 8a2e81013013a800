"""Thoughts are not the answer: what reasoning models put between ``<think>`` and ``</think>`` is left out.

They come first. Once anything else was said, a tag is a part of the text.
"""

import re

_TAG = r"(?:think|thinking|thought|thoughts|reasoning)"
_OPEN = re.compile(rf"<{_TAG}>", re.IGNORECASE)
_CLOSE = re.compile(rf"</{_TAG}>", re.IGNORECASE)
_BLANK = re.compile(r"\s*")
_UNDECIDED = re.compile(r"(?:<[a-z]{0,9})?", re.IGNORECASE)
_LONGEST_TAG = len("</reasoning>")


class WithoutReasoning:
    """Pass on a text without its thoughts. A tag that is cut in two is held back until it is whole."""

    def __init__(self) -> None:
        self._blanks: list[str] = []
        self._held = ""
        self._thinking = False
        self._said = False

    def feed(self, text: str) -> str:
        """Take the next piece and return what can be passed on."""
        if self._said:  # nearly always
            return text
        text, place = self._held + text, 0
        while True:
            if self._thinking:
                if not (closed := _CLOSE.search(text, place)):
                    self._held = text[max(place, len(text) - _LONGEST_TAG) :]
                    return ""
                place, self._thinking = closed.end(), False
            blank = _BLANK.match(text, place)
            assert blank
            if opened := _OPEN.match(text, blank.end()):
                place, self._thinking = opened.end(), True
                self._blanks.clear()
            elif _UNDECIDED.fullmatch(text, blank.end()):
                self._blanks.append(blank[0])
                self._held = text[blank.end() :]
                return ""
            else:
                self._said, self._held = True, text[place:]
                return self.flush()

    def flush(self) -> str:
        """End the text and return what was held back. Thoughts without an end are thoughts."""
        held = "".join([*self._blanks, self._held])
        self._blanks.clear()
        self._held = ""
        return "" if self._thinking else held


def after_lost_reasoning(text: str) -> str | None:
    """Return what follows a closing tag that had no opening one, or ``None`` where there is none.

    Some chat templates open the thoughts themselves, so that only their end is seen.
    """
    pieces = _CLOSE.split(text)
    return pieces[-1] if len(pieces) > 1 else None
