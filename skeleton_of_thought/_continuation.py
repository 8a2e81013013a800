"""A reply that broke off goes on: what the model repeats of it is cut away.

A model is asked to repeat the last words and go on from there, because a reply never begins with a blank, and so
would not tell whether it goes on in the middle of a word. Models that do something else go on at once, or begin
the whole text anew. What the new text begins with and the old one ends with is not said again; neither is all of the
old one. White space of any length counts as one blank.
"""

import re
from collections.abc import Iterator

_SURE = 4
"""Letters of a repetition that may end within a word of the new text. A shorter one has to end where a word ends."""
_BACK = 400
"""How far back a repetition may begin, unless it begins with the whole text."""
_NEW_LINE = re.compile(r"(?:\d{1,3}[.)、]|[-*•])\s")
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
        begun = " ".join(self._held.split())
        blank = " " if self._held[-1:].isspace() else ""
        if not begun or any(f"{end} ".startswith(begun + blank) for end in self._ends):
            return ""  # it may become a repetition yet
        return self.flush()

    def flush(self) -> str:
        """End the text and return what was held back."""
        held, self._held = self._held or "", None
        repeated = next((end for end in self._ends if _repeats(" ".join(held.split()), end)), "")
        rest = _after(held, repeated)
        if self._said[-1:].isspace():
            return rest.lstrip()
        if repeated or not self._said:
            return rest
        if _NEW_LINE.match(rest):
            return f"\n{rest}"
        return f" {rest}" if _is_word(self._said[-1]) and _is_word(rest[:1]) else rest


def _ends(said: str) -> Iterator[str]:
    """Yield the ends of a text that begin with a word, and the whole."""
    for start in range(max(0, len(said) - _BACK), len(said)):
        if start == 0 or said[start] >= _WITHOUT_BLANKS or (said[start] != " " and not _is_word(said[start - 1])):
            yield said[start:]
    if len(said) > _BACK:
        yield said


def _repeats(text: str, end: str) -> bool:
    return text.startswith(end) and (
        len(end) >= _SURE or end[-1] >= _WITHOUT_BLANKS or not _is_word(text[len(end) : len(end) + 1])
    )


def _after(text: str, repeated: str) -> str:
    """Return what follows the repetition, which may have other white space here."""
    left = len(repeated.replace(" ", ""))
    for place, sign in enumerate(text):
        if left == 0:
            return text[place:]
        left -= not sign.isspace()
    return text if not repeated else ""


def _is_word(sign: str) -> bool:
    return sign.isalnum() and sign < _WITHOUT_BLANKS
