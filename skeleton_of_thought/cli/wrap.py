"""Lines that end between words: a terminal by itself breaks them anywhere."""

import re

from rich.cells import cell_len

_WIDE = "\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uffef"
"""Scripts that need no spaces: a line may end after each sign."""
_PIECE = re.compile(rf"\s+|[{_WIDE}]|[^\s{_WIDE}]+")
_CONTROL = dict.fromkeys([
    *range(9),
    *range(11, 32),
    *range(127, 160),
    *range(0x202A, 0x202F),  # marks of direction that turn around what follows
    *range(0x2066, 0x206A),
])


def harmless(text: str) -> str:
    """Take out what a terminal would obey and not show: a model may write anything."""
    return text.translate(_CONTROL)


class WordWrap:
    """Break lines between words, in text that comes piece by piece.

    >>> page = WordWrap(12)
    >>> page.feed("One two thr") + page.feed("ee four.") + page.flush()
    'One two\\nthree four.'
    """

    def __init__(self, width: int) -> None:
        self._width = width
        self._column = 0
        self._space = ""
        self._word = ""

    def feed(self, text: str) -> str:
        """Take the next piece and return the words that it completes."""
        pieces = _PIECE.findall(self._word + harmless(text))
        self._word = "" if not pieces or pieces[-1].isspace() else pieces.pop()
        return "".join(map(self._place, pieces))

    def flush(self) -> str:
        """End the text and return what its end completes."""
        word, self._word = self._word, ""
        return self._place(word) if word else ""

    def _place(self, piece: str) -> str:
        if piece.isspace():
            *lines, space = piece.split("\n")
            self._space = space if lines else self._space + space
            self._column = 0 if lines else self._column
            return "\n" * len(lines)
        space, self._space = self._space, ""
        if self._column and self._column + len(space) + cell_len(piece) > self._width:
            self._column = cell_len(piece)
            return f"\n{piece}"
        self._column += len(space) + cell_len(piece)
        return space + piece
