"""Thoughts are not the answer: what reasoning models put between ``<think>`` and ``</think>`` is left out.

They come first. Once anything else was said, a tag is a part of the text.
"""

import re

_TAG = r"(?:think|thinking|thought|thoughts|reasoning)"
_OPEN = re.compile(rf"\s*<{_TAG}>", re.IGNORECASE)
_CLOSE = re.compile(rf"</{_TAG}>", re.IGNORECASE)
_UNDECIDED = re.compile(r"\s*(?:<[a-z]{0,9})?", re.IGNORECASE)
_LONGEST_TAG = len("</reasoning>")


class WithoutReasoning:
    """Pass on a text without its thoughts. A tag that is cut in two is held back until it is whole."""

    def __init__(self) -> None:
        self._held = ""
        self._thinking = False
        self._said = False

    def feed(self, text: str) -> str:
        """Take the next piece and return what can be passed on."""
        if self._said:  # nearly always
            return text
        self._held += text
        while not self._said:
            if self._thinking:
                if not (closed := _CLOSE.search(self._held)):
                    self._held = self._held[-_LONGEST_TAG:]
                    return ""
                self._held, self._thinking = self._held[closed.end() :], False
            elif opened := _OPEN.match(self._held):
                self._held, self._thinking = self._held[opened.end() :], True
            elif _UNDECIDED.fullmatch(self._held):
                return ""
            else:
                self._said = True
        said, self._held = self._held, ""
        return said

    def flush(self) -> str:
        """End the text and return what was held back. Thoughts without an end are thoughts."""
        held, self._held = self._held, ""
        return "" if self._thinking else held


def after_lost_reasoning(text: str) -> str | None:
    """Return what follows a closing tag that had no opening one, or ``None`` where there is none.

    Some chat templates open the thoughts themselves, so that only their end is seen.
    """
    pieces = _CLOSE.split(text)
    return pieces[-1] if len(pieces) > 1 else None
