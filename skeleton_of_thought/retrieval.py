"""What a point is answered from, and the number under which the whole answer cites it."""

from collections.abc import Awaitable, Iterable, Sequence
from typing import Protocol

from .answer import Passage, Source
from .errors import ConfigurationError
from .skeleton import Point


class Retriever(Protocol):
    """Anything that finds passages. A failure is an exception, raised as it is."""

    def __call__(self, query: str, point: Point | None, /) -> Awaitable[Sequence[Passage]]:
        """Find what *query* asks for.

        Args:
            query: the point's own words; see ``Prompts.query``.
            point: ``None`` where the whole question is answered at once.
        """
        ...


def passages_only(found: object) -> tuple[Passage, ...]:
    """Return what a retriever found.

    Raises:
        ConfigurationError: it returned anything else.
    """
    passages = tuple(found) if isinstance(found, Iterable) else (found,)
    if not all(isinstance(passage, Passage) for passage in passages):
        raise ConfigurationError(f"the retriever returned {found!r}: it has to return a sequence of Passages")
    return passages


class Numbering:
    """Number passages in reading order, whatever order they are found in.

    A passage that is found for several points has one number. So a point's numbers are known as soon as those of
    all earlier ones are, and are the same in every run that finds the same.

    Args:
        numbers: the points, in reading order; more may be expected later.
        given: passages that stand in the question, and so have the first numbers.

    >>> sleep, walk = Passage("Sleep."), Passage("Walk.")
    >>> numbering = Numbering([1, 2], ())
    >>> numbering.feed(2, [walk, sleep])
    []
    >>> numbering.feed(1, [sleep])
    [1, 2]
    >>> numbering.of(2)
    ((2, 'Walk.'), (1, 'Sleep.'))
    """

    def __init__(self, numbers: Iterable[int], given: Iterable[Passage]) -> None:
        self._waiting = list(numbers)
        self._found: dict[int, Sequence[Passage]] = {}
        self._sources: dict[tuple[str, str], Source] = {}
        for passage in given:
            self._take(passage, ())
        self._given = set(self._sources)

    def know(self, sources: Iterable[Source]) -> None:
        """Keep the numbers of an earlier run's sources."""
        for source in sources:
            self._sources[source.passage.same] = source

    def expect(self, number: int) -> None:
        """Add a point, the last so far in reading order."""
        self._waiting.append(number)

    def feed(self, number: int, passages: Sequence[Passage]) -> list[int]:
        """Take what was found for a point, and return the points whose passages have their numbers now."""
        self._found[number] = passages
        known = []
        while self._waiting and self._waiting[0] in self._found:
            known.append(self._waiting.pop(0))
            for passage in self._found[known[-1]]:
                self._take(passage, known[-1:])
        return known

    def of(self, number: int) -> tuple[tuple[int, str], ...]:
        """Return the passages of a point, each with its number; those that stand in the question need no telling."""
        found = {passage.same: passage for passage in self._found.get(number, ())}
        return tuple((self._sources[key].number, found[key].text) for key in found if key not in self._given)

    def numbers_of(self, number: int) -> tuple[int, ...]:
        """Return the numbers of all that was found for a point."""
        found = dict.fromkeys(passage.same for passage in self._found.get(number, ()))
        return tuple(self._sources[key].number for key in found)

    @property
    def sources(self) -> tuple[Source, ...]:
        """All that have a number, in its order."""
        return tuple(self._sources.values())

    def _take(self, passage: Passage, points: Iterable[int]) -> None:
        key = passage.same
        known = self._sources.get(key, Source(len(self._sources) + 1, passage))
        more = tuple(point for point in points if point and point not in known.points)
        self._sources[key] = Source(known.number, known.passage, known.points + more)
