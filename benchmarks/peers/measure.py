"""All ways in turns, so that whatever else the machine does meets each of them alike.

Before each run the same way asks something short that is not timed, with as many questions at a time: a client that
keeps its connections has them open then, as in a service that is in use, and one that does not opens them again.
"""

import asyncio
import gc
import re
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from statistics import median

from .by_hand import ByHand
from .endpoint import Endpoint, Told, endpoint
from .langchain_ways import LangChainWays
from .llama_index_ways import LlamaIndexWays
from .ours import Ours
from .way import Way
from .work import QUESTION, WARM_UP, WORDS, Work

_WRITTEN = re.compile(rf"\b({'|'.join(WORDS)})\s+\1\b")


@dataclass(frozen=True)
class Heard:
    """An answer, and the seconds until something of it was shown, until a word of a point was, and until its end."""

    text: str
    first: float
    word: float
    seconds: float


@dataclass(frozen=True)
class Taken:
    """What one run of a way took, with all questions that it was asked at a time."""

    heard: list[Heard]
    cpu: float
    told: Told

    @property
    def wall(self) -> float:
        """Seconds until the last answer was there."""
        return max(heard.seconds for heard in self.heard)


@dataclass
class Row:
    """A way, and what its runs took."""

    way: Way
    taken: list[Taken] = field(default_factory=list)

    def seconds(self) -> list[float]:
        """Tell how long each answer took."""
        return [heard.seconds for taken in self.taken for heard in taken.heard]

    def first(self) -> float:
        """Tell when something was shown."""
        return median(heard.first for taken in self.taken for heard in taken.heard)

    def word(self) -> float:
        """Tell when a word of a point was shown."""
        return median(heard.word for taken in self.taken for heard in taken.heard)

    def cpu(self) -> float:
        """Tell the seconds of CPU time of this process for an answer."""
        return median(taken.cpu / len(taken.heard) for taken in self.taken)

    def requests(self) -> float:
        """Tell the requests for an answer."""
        return median(taken.told.requests / len(taken.heard) for taken in self.taken)

    def peak(self) -> int:
        """Tell the most requests that were in flight."""
        return max(taken.told.peak for taken in self.taken)


@dataclass
class Cell:
    """So many points, asked for by so many questions at a time."""

    work: Work
    questions: int
    rounds: int
    rows: list[Row]

    def row(self, name: str) -> Row | None:
        """Find the row of a way."""
        return next((row for row in self.rows if row.way.name == name), None)

    @property
    def one_call(self) -> float:
        """How long one call took for the same words."""
        return median(self.rows[0].seconds())

    @property
    def load(self) -> float:
        """How much of one core the endpoint used at most: near 1, it is the endpoint that is measured."""
        return max(taken.told.cpu / taken.wall for row in self.rows for taken in row.taken)


def ways(url: str, work: Work, questions: int) -> Iterator[Way]:
    """Make all ways, the sequential call first."""
    yield from ByHand(url)
    yield from LangChainWays(url)
    yield from LlamaIndexWays(url, work)
    yield from Ours(url, work, questions)


async def hear(way: Way, question: str) -> Heard:
    """Ask once, and read it all."""
    began = time.perf_counter()
    pieces = [(time.perf_counter() - began, number, text) async for number, text in way.ask(question) if text]
    end = time.perf_counter() - began
    turn = min(number for _, number, _ in pieces)  # the others are held back until the first is written
    shown = [(at, text) for at, number, text in pieces if number == turn]
    texts: dict[int, str] = {}
    for _, number, text in pieces:
        texts[number] = texts.get(number, "") + text
    answer = "\n\n".join(texts[number] for number in sorted(texts))
    return Heard(answer, shown[0][0], _first_word(shown), end)


def _first_word(shown: Iterable[tuple[float, str]]) -> float:
    so_far = ""
    for at, text in shown:
        so_far += text
        if _WRITTEN.search(so_far):
            return at
    return float("nan")


async def run(way: Way, question: str, questions: int) -> list[Heard]:
    """Ask so many times at once."""
    return await asyncio.gather(*(hear(way, question) for _ in range(questions)))


async def take(way: Way, served: Endpoint, work: Work, questions: int) -> Taken:
    """Let a way run once."""
    await run(way, WARM_UP, questions)
    served.tell()
    gc.collect()
    began = time.process_time()
    heard = await run(way, QUESTION, questions)
    taken = Taken(heard, time.process_time() - began, served.tell())
    for answer in heard:
        assert work.is_said_by(answer.text), (way.name, answer.text)
    return taken


def every(_: Way) -> bool:
    """Choose all ways."""
    return True


def measure(work: Work, questions: int, rounds: int, choose: Callable[[Way], bool] = every) -> Cell:
    """Let the ways that *choose* wants take turns. The sequential call is always among them."""
    with endpoint(work) as served, asyncio.Runner() as loop:
        first, *others = ways(served.url, work, questions)
        rows = [Row(way) for way in (first, *filter(choose, others))]
        gc.freeze()  # what is here already is not looked through in every run
        for _ in range(rounds):
            for row in rows:
                row.taken.append(loop.run(take(row.way, served, work, questions)))
    return Cell(work, questions, rounds, rows)
