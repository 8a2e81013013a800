"""An answer to go on with, in whatever form it was kept."""

from collections.abc import Callable
from typing import Any

from .answer import Answer
from .errors import InputError


def kept_answer(name: str, given: Any, read: Callable[[Any], Answer], framework: str) -> Answer | None:
    """Return the answer that is given back: as it is, as its JSON, or in a framework's own form.

    Args:
        name: what it is given as.
        read: takes the framework's form; raises a `KeyError`, `TypeError` or `ValueError` where it holds no answer.
        framework: what that form is called.

    Raises:
        InputError: it holds no answer.
    """
    if given is None or isinstance(given, Answer):
        return given
    try:
        return Answer.from_json(given) if isinstance(given, str) else read(given)
    except (KeyError, TypeError, ValueError) as error:
        kind = type(given).__name__
        raise InputError(f"{name} of type {kind} holds no answer: give an Answer, its JSON, or {framework}") from error
