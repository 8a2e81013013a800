"""Thoughts are not the answer: what reasoning models put between ``<think>`` and ``</think>`` is left out."""

import re

_TAG = r"(?:think|thinking|thought|thoughts|reasoning)"
_OPEN = re.compile(rf"<{_TAG}>", re.IGNORECASE)
_CLOSE = re.compile(rf"</{_TAG}>", re.IGNORECASE)
_BEGUN_TAG = re.compile(r"</?[a-z]{0,9}\Z", re.IGNORECASE)


class WithoutReasoning:
    """Pass on a text without its thoughts. A tag that is cut in two is held back until it is whole."""

    def __init__(self) -> None:
        self._held = ""
        self._thinking = False

    def feed(self, text: str) -> str:
        """Take the next piece and return what can be passed on."""
        text, passed, start = self._held + text, [], 0
        while tag := (_CLOSE if self._thinking else _OPEN).search(text, start):
            passed.append("" if self._thinking else text[start : tag.start()])
            start, self._thinking = tag.end(), not self._thinking
        begun = _BEGUN_TAG.search(text, start)
        ready = begun.start() if begun else len(text)
        passed.append("" if self._thinking else text[start:ready])
        self._held = text[ready:]
        return "".join(passed)

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
