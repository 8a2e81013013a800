"""A reply that broke off goes on: what the model repeats of it is cut away.

A model is asked to repeat the last words and go on from there, because a reply never begins with a blank, and so
would not tell whether it goes on in the middle of a word. Models that do something else go on at once, or begin
the whole text anew. What the new text begins with and the old one ends with is not said again; neither is all of the
old one. White space of any length counts as one blank, and a quote or dots before a repetition belong to it.
"""

import re
from collections.abc import Iterator

_SURE = 4
"""Letters of a repetition that may end within a word of the new text. A shorter one has to end where a word ends."""
_BACK = 400
"""How far back a repetition may begin, unless it begins with the whole text."""
_NEW_LINE = re.compile(r"(?:\d{1,3}[.)、]|[-*•])\s")
_MAY_BE_NEW_LINE = re.compile(r"\d{1,3}[.)、]?|[-*•]")
_BEFORE = '"“„«…. \n'
"""What may stand before a repetition, because it was asked for in quotes."""
_CLOSING, _OPENING = frozenset(".,;:!?…)]}"), frozenset("([{“„«")
"""After and before which there is a blank in a text."""
_WITHOUT_BLANKS = "\u2e80"
"""From here on scripts have no blanks between words, nearly."""


class Continuation:
    """Pass on the text of a second request, without what it repeats of the first.

    >>> again = Continuation("Take figs, and da")
    >>> again.feed("figs, ") + again.feed("and dates, ") + again.feed("and nuts.") + again.flush()
    'tes, and nuts.'
    """

    def __init__(self, said: str) -> None:
        self._said = said
        self._ends = sorted(_ends(" ".join(said.split())), key=len, reverse=True)
        self._held: str | None = ""

    def feed(self, text: str) -> str:
        """Take the next piece and return what can be passed on."""
        if self._held is None:  # nearly always
            return text
        self._held += text
        if _MAY_BE_NEW_LINE.fullmatch(self._held) or any(map(self._may_repeat, _beginnings(self._held))):
            return ""
        return self.flush()

    def flush(self) -> str:
        """End the text and return what was held back."""
        held, self._held = self._held or "", None
        rest, repeated = held, False
        for begun in _beginnings(held):
            if end := next((end for end in self._ends if self._repeats(" ".join(begun.split()), end)), ""):
                rest, repeated = _after(begun, end), True
                break
        if self._said[-1:].isspace():
            return rest.lstrip()
        if repeated or not self._said:
            return rest
        if _NEW_LINE.match(rest):
            return f"\n{rest}"
        return f" {rest}" if _are_apart(self._said[-1], rest[:1]) else rest

    def _may_repeat(self, begun: str) -> bool:
        text, blank = " ".join(begun.split()), " " if begun[-1:].isspace() else ""
        return not text or any(f"{end} ".startswith(text + blank) for end in self._ends)

    def _repeats(self, text: str, end: str) -> bool:
        if not text.startswith(end):
            return False
        whole = len(end) >= _SURE or end == self._ends[0]
        return whole or end[-1] >= _WITHOUT_BLANKS or not _is_word(text[len(end) : len(end) + 1])


def _beginnings(held: str) -> tuple[str, ...]:
    """Return a text as it is, and without what may stand before a repetition."""
    return (held, held.lstrip(_BEFORE)) if held[:1] in _BEFORE else (held,)


def _ends(said: str) -> Iterator[str]:
    """Yield the ends of a text that begin with a word, and the whole."""
    for start in range(max(0, len(said) - _BACK), len(said)):
        if start == 0 or said[start] >= _WITHOUT_BLANKS or (said[start] != " " and not _is_word(said[start - 1])):
            yield said[start:]
    if len(said) > _BACK:
        yield said


def _after(text: str, repeated: str) -> str:
    """Return what follows the repetition, which may have other white space here."""
    left = len(repeated.replace(" ", ""))
    for place, sign in enumerate(text):
        if left == 0:
            return text[place:]
        left -= not sign.isspace()
    return ""


def _are_apart(last: str, first: str) -> bool:
    """Tell whether there is a blank between two signs that end and begin a word."""
    return (_is_word(last) and (_is_word(first) or first in _OPENING)) or (
        last in _CLOSING and (first in _OPENING or (first.isalpha() and _is_word(first)))
    )


def _is_word(sign: str) -> bool:
    return sign.isalnum() and sign < _WITHOUT_BLANKS
