"""What the trained router sees of a text: its words and letters, counted by bucket.

A feature is hashed into a bucket (CRC-32), so that no list of words has to be shipped. There are two blocks: words
(up to three in a row, the first ones of the text, those of its last sentence) and letters (two to five in a row, within
a word). The same code counts when the router is trained and when it decides.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from zlib import crc32

BUCKETS = 2**17

_END = 500  # so many signs at each end of a long question are read, by the rules too
_WORD = re.compile(r"[^\W\d_]+|\d+|[^\w\s]")
_SENTENCE = re.compile(r"(?<=[.?!。？！؟।\n])\s*")
_UNSPACED = re.compile(r"[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff]")
_OPENING = 5


def shortened(text: str, end: int = _END) -> str:
    """Return *end* signs of the beginning and the end of a long text, where the task stands, and a short one whole."""
    return text if len(text) <= 2 * end else f"{text[:end]}\n{text[-end:]}"


def sentences(text: str) -> list[str]:
    """Cut a text at the marks that end a sentence in the scripts that are tested."""
    return [part for part in _SENTENCE.split(text.strip()) if part]


def counted(text: str) -> tuple[Counter[int], Counter[int]]:
    """Count the features of a text: those of its words, and those of its letters. Keys are below `BUCKETS`."""
    text = unicodedata.normalize("NFKC", shortened(text)).lower()
    words = _words(text)
    of_words, of_letters = Counter(_of_words(text, words)), Counter(_of_letters(words))
    return _hashed(of_words), _hashed(of_letters)


def _hashed(features: Counter[str]) -> Counter[int]:
    buckets: Counter[int] = Counter()
    for feature, times in features.items():
        buckets[crc32(feature.encode()) % BUCKETS] += times
    return buckets


def _words(text: str) -> list[str]:
    words: list[str] = []
    for word in _WORD.findall(re.sub(r"\d", "0", text)):
        words += word if _UNSPACED.match(word) else [word]  # scripts without spaces: each sign is a word
    return words


def _of_words(text: str, words: list[str]) -> Iterator[str]:
    for length in (1, 2, 3):
        for start in range(len(words) - length + 1):
            yield " ".join(words[start : start + length])
    for length in range(1, _OPENING):
        yield "^" + " ".join(words[:length])
    if last := sentences(text)[-1:]:
        closing = _words(last[0])
        for word in closing:
            yield "$" + word
        yield "$^" + " ".join(closing[:2])


def _of_letters(words: list[str]) -> Iterator[str]:
    for word in words:
        bounded = f" {word} "
        for length in range(2, 6):
            for start in range(len(bounded) - length + 1):
                yield "#" + bounded[start : start + length]
