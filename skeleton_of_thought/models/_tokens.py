"""What can be said of tokens without a model: the text they make, and the beginnings they share."""

import codecs
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from itertools import takewhile

_BLOCK = 32
"""Tokens that OpenVINO's prefix cache keeps together, on a CPU."""
_REMEMBERED_BLOCKS = 256
"""What a gigabyte holds of the largest model that one would run on a CPU. Of a small one the engine keeps more."""


class Text:
    """Turn token ids into text as they come: whole characters only, and nothing from a stop string on.

    Args:
        vocabulary: The bytes of each token; a control token has none.
    """

    def __init__(self, vocabulary: Sequence[bytes], stop: tuple[str, ...]) -> None:
        self._vocabulary = vocabulary
        self._stop = tuple(filter(None, stop))
        self._decode = codecs.getincrementaldecoder("utf-8")("ignore").decode
        self._held = ""
        self.stopped = False
        """A stop string has come. There is no more text."""

    def feed(self, ids: Sequence[int]) -> str:
        """Take in the next tokens and return what can be shown of them."""
        if self.stopped:
            return ""
        self._held += self._decode(b"".join(self._vocabulary[each] for each in ids))
        if found := [(at + len(stop), at) for stop in self._stop if (at := self._held.find(stop)) >= 0]:
            self.stopped = True
            return self._held[: min(found)[1]]  # of the one that was complete first, however the tokens were cut
        return self._release(len(self._held) - self._begun())

    def flush(self) -> str:
        """Return what was held back in case a stop string had come of it."""
        return "" if self.stopped else self._release(len(self._held))

    def _begun(self) -> int:
        """Tell how many characters at the end may be the beginning of a stop string."""
        return max((n for stop in self._stop for n in range(1, len(stop)) if self._held.endswith(stop[:n])), default=0)

    def _release(self, end: int) -> str:
        text, self._held = self._held[:end], self._held[end:]
        return text


class Prefixes:
    """What the engine's prefix cache holds, of which the engine itself tells no figure.

    It is kept as the engine keeps it: whole blocks, each known by all tokens up to its end, the least
    lately used forgotten first. Where the two can differ (a block that is filled in part, a larger cache)
    this one knows less, so what it tells is a lower bound.
    """

    def __init__(self) -> None:
        self._blocks: OrderedDict[int, None] = OrderedDict()

    def count(self, ids: Sequence[int]) -> int:
        """Tell how many tokens at the beginning of *ids* need no computing; the last one always does."""
        known = sum(1 for _ in takewhile(self._blocks.__contains__, self._keys(ids)))
        return min(known * _BLOCK, len(ids) - 1)

    def remember(self, ids: Sequence[int]) -> None:
        """Take note that all of *ids* have been computed."""
        for key in self._keys(ids):
            self._blocks[key] = None
            self._blocks.move_to_end(key)
        while len(self._blocks) > _REMEMBERED_BLOCKS:
            self._blocks.popitem(last=False)

    @staticmethod
    def _keys(ids: Sequence[int]) -> Iterator[int]:
        key = 0
        for start in range(0, len(ids) - _BLOCK + 1, _BLOCK):
            key = hash((key, *ids[start : start + _BLOCK]))
            yield key
