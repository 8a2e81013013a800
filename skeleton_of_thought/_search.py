"""Everything that is retrieved in one run."""

import asyncio
from time import perf_counter

from ._record import Record
from ._relay import Emit
from .answer import Question, Source
from .events import Event, SourcesFound
from .prompts import Numbered, Prompts
from .retrieval import Numbering, Retriever, passages_only
from .skeleton import Point

_WHOLE_QUESTION = 0
"""Stands in the place of a point's number where passages are retrieved for a direct answer."""


class Search:
    """Let every point retrieve at once, and wait for its passages until they have their numbers."""

    def __init__(
        self, retriever: Retriever | None, prompts: Prompts, question: Question, record: Record, emit: Emit[Event]
    ) -> None:
        self._retriever = retriever
        self._prompts = prompts
        self._question = question
        self._record = record
        self._emit = emit
        self._numbering = Numbering((), question.given)
        self._numbered: dict[int, asyncio.Future[None]] = {}
        record.sources = self._numbering.sources

    def know(self, sources: tuple[Source, ...]) -> None:
        """Keep the numbers of an earlier run's sources."""
        self._numbering.know(sources)
        self._record.sources = self._numbering.sources
        if sources:
            self._emit(SourcesFound(sources))

    def expect(self, point: Point | None) -> None:
        """Take note of a point that will retrieve; points are expected in reading order."""
        if self._retriever:
            number = _number(point)
            self._numbering.expect(number)
            self._numbered[number] = asyncio.get_running_loop().create_future()

    async def find(self, point: Point | None) -> None:
        """Retrieve for a point that was expected. A failure is raised by `passages`."""
        if self._retriever is None:
            return
        number, started = _number(point), perf_counter()
        try:
            query = self._prompts.query_for(self._question, point)
            passages = passages_only(await self._retriever(query, point))
            self._record.retrieval[number] = perf_counter() - started
        except Exception as error:  # noqa: BLE001 -- raised where the passages are waited for
            self._numbered[number].set_exception(error)
            self._numbered[number].exception()  # retrieved: who waits may have been cancelled
            passages = ()
        except BaseException:  # so that nobody waits for what does not come any more
            for future in self._numbered.values():
                future.cancel()
            raise
        for known in self._numbering.feed(number, passages):
            if not self._numbered[known].done():
                self._numbered[known].set_result(None)
        earlier, self._record.sources = len(self._record.sources), self._numbering.sources
        if new := self._record.sources[earlier:]:
            self._emit(SourcesFound(new))

    async def passages(self, point: Point | None) -> Numbered:
        """Return what was found for a point, each passage with its number."""
        if self._retriever:
            await self._numbered[_number(point)]
        return self._numbering.of(_number(point))

    def numbers_of(self, point: Point) -> tuple[int, ...]:
        """Return the numbers of all that was found for a point."""
        return self._numbering.numbers_of(point.number)


def _number(point: Point | None) -> int:
    return point.number if point else _WHOLE_QUESTION
