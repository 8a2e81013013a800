"""Whether a question gets a skeleton.

A router takes a `Question` and returns a `Route`, at once or as an awaitable. It decides for precision:
a skeleton where none belongs costs quality, a direct answer where one would have done costs only time.
"""

from collections.abc import Awaitable
from typing import Protocol

from ..answer import Question, Route
from . import rules

__all__ = ["Router", "always", "named", "never", "rules"]


class Router(Protocol):
    """Anything that decides whether a question gets a skeleton."""

    def __call__(self, question: Question, /) -> Route | Awaitable[Route]:
        """Decide on *question*."""
        ...


def always(_question: Question, /) -> Route:
    """Give every question a skeleton."""
    return Route("skeleton", "always", "every question gets one")


def never(_question: Question, /) -> Route:
    """Answer every question directly."""
    return Route("direct", "never", "no question gets one")


def named(name: str) -> Router:
    """Return the router behind a setting: ``auto``, ``always`` or ``never``."""
    return {"auto": rules.route, "always": always, "never": never}[name]
