"""Whether a thousand questions at the same time, in one process, stay correct, and cost each as much as ten.

All are asked at once, by one object on one event loop, of a `LatencyServer` in another process. No word of an answer is
in any other, and each is compared with what it has to be. Calls are not bounded by the object; `OpenAIModel` itself has
a thousand requests in flight at most. "CPU ms" is CPU time of this process for each answer, connections included: the
cost grows in proportion if it is the same in all lines. "gc ms" is the part of it in which the collector looks for
garbage, through all that is alive. The endpoint is one Python process too and soon busy all the time, so wall time
tells of it and not of us: "its CPU ms" is what it takes itself for each answer. "Late" is the most that the event loop
was busy with one round of its work. Memory is the most that this process ever had, in MiB. The table goes into
``docs/speed.md``.

    python -m benchmarks.many_questions [--questions 10 100 1000] [--points 10] [--streams] [--docs docs]
"""

import argparse
import asyncio
import gc
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from skeleton_of_thought import Limit, SkeletonOfThought
from skeleton_of_thought.events import Text
from skeleton_of_thought.models.openai import OpenAIModel
from skeleton_of_thought.testing import LatencyModel

from .page import put
from .reliable import Book, Counted, Told, endpoint

FIRST, PER_TOKEN = 0.5, 0.05  # seconds
FILES = 4096  # a connection is a file, and a process may have 1,024 where nobody says otherwise
TICK = 0.005  # seconds
HEAD = "| questions | right | requests | in flight | seconds | CPU ms | gc ms | its CPU ms | late, ms | memory |"


def make(book: Book) -> Counted:
    """Make the endpoint."""
    return Counted(book, LatencyModel(reply=book, first_token=FIRST, per_token=PER_TOKEN))


def raise_files() -> None:
    """Let this process, and those that it starts, have enough open files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < FILES:
        most = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


@dataclass
class Took:
    """What so many questions took."""

    questions: int
    right: int
    seconds: float
    cpu: float
    gc: float
    late: float
    memory: float
    """MiB."""

    def row(self, told: Told) -> str:
        """Say it, beside what the endpoint tells."""
        here, looking, there = (1e3 * cpu / self.questions for cpu in (self.cpu, self.gc, told.cpu))
        cells = f"{self.questions:,} | {self.right:,} | {told.requests:,} | {told.peak:,} | {self.seconds:.1f}"
        return f"| {cells} | {here:.1f} | {looking:.1f} | {there:.1f} | {1e3 * self.late:.0f} | {self.memory:.0f} |"


async def say(sot: SkeletonOfThought, question: str, streams: bool) -> str:
    """Ask one question."""
    if not streams:
        return (await sot.aask(question)).text
    return "".join([event.text async for event in sot.astream(question) if isinstance(event, Text)])


@contextmanager
def collector() -> Iterator[list[float]]:
    """Note how long the collector of garbage looks, each time."""
    spent = list[float]()

    def note(phase: str, _: dict[str, int]) -> None:
        now = time.process_time()
        if phase == "start":
            spent.append(-now)
        else:
            spent[-1] += now

    gc.callbacks.append(note)
    yield spent
    gc.callbacks.remove(note)


async def watch(late: list[float]) -> None:
    """Note how late the event loop is."""
    while True:
        due = time.perf_counter() + TICK
        await asyncio.sleep(TICK)
        late.append(time.perf_counter() - due)


async def ask(url: str, book: Book, questions: int, streams: bool) -> Took:
    """Ask so many at the same time, and compare each answer."""
    limit = Limit(questions * book.points, adaptive=False)
    sot = SkeletonOfThought(llm=OpenAIModel("none", base_url=url), router="always", max_concurrency=limit)
    assert await say(sot, book.question(0), streams) == book.answer(0)  # what is done once has been done
    gc.collect()
    numbers = range(1, questions + 1)
    watching = asyncio.create_task(watch(late := [0.0]))
    began, cpu = time.perf_counter(), time.process_time()
    with collector() as spent:
        said = await asyncio.gather(*(say(sot, book.question(number), streams) for number in numbers))
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    watching.cancel()
    with suppress(asyncio.CancelledError):
        await watching
    right = sum(text == book.answer(number) for number, text in zip(numbers, said, strict=True))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return Took(questions, right, seconds, cpu, sum(spent), max(late), memory)


def main() -> None:
    """Measure all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, nargs="+", default=[10, 100, 1000], help="(default: %(default)s)")
    parser.add_argument("--points", type=int, default=10, help="of each answer (default: %(default)s)")
    parser.add_argument("--streams", action="store_true", help="read along")
    parser.add_argument("--docs", type=Path, default=Path("docs"), help="where to put it (default: %(default)s)")
    told = parser.parse_args()
    raise_files()
    book, rows = Book(points=told.points), [HEAD, "|---" * HEAD.count(" | ") + "|---|"]
    print(*rows, sep="\n", flush=True)
    with endpoint(partial(make, book)) as served:
        for questions in told.questions:
            took = asyncio.run(ask(served.url, book, questions, told.streams))
            rows.append(took.row(served.tell()))
            print(rows[-1], flush=True)
            assert took.right == questions, f"{questions - took.right} answers are wrong"
    put(told.docs / "speed.md", "many questions", "\n".join(rows))


if __name__ == "__main__":
    main()
