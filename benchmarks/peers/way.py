"""A way to ask, and what the reader hears of it."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from .work import Work

Family: TypeAlias = Literal["one call", "by hand", "paper", "LangChain", "LangGraph", "LlamaIndex", "ours"]
Piece: TypeAlias = tuple[int, str]
"""Where in reading order a piece of text belongs, and the text. 0 is for all that comes in reading order by itself."""
Ask: TypeAlias = Callable[[str], AsyncIterator[Piece]]
Path: TypeAlias = Callable[[Work], float]


@dataclass(frozen=True, kw_only=True)
class Way:
    """A way to ask."""

    family: Family
    name: str
    ask: Ask
    streams: bool = False
    pipelined: bool = False
    path: Path = lambda work: work.path
    """How long its own requests take at the endpoint's pace, if nothing else takes time."""

    def least(self, work: Work) -> float:
        """Tell the critical path of an answer made like this: that of all, or of those that are pipelined."""
        return work.pipelined_path if self.pipelined else work.path


def whole(answer: Callable[[str], Any]) -> Ask:
    """Make a way of a function that returns the whole answer."""

    async def ask(question: str) -> AsyncIterator[Piece]:
        yield 0, str(await answer(question))

    return ask
