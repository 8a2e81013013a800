"""Ten thousand answers from an endpoint at which every twentieth request fails: no word lost, and none said twice.

An endpoint in another process answers 429, 500, 503 and 529, hangs up before the reply or in the middle of it, ends it
early, or tells an error in the stream; each request has the same chance of it, those that go on from a reply that broke
off too. These go on in four ways, as models do: exactly, without the blank, with the last three words again, or anew.
Some dozens of answers are streamed at a time by one object. No word comes twice in an answer, so what was streamed, in
reading order and point by point, is compared word by word with what has to come out, also of an answer that failed.

A call is given up after ``--attempts`` requests. With the default of `Retry`, 4, one call in 160,000 is, or about 0.6
in 10,000 answers of 9 calls; with 6, one in 64 million. Waits are short, as they would only make this last longer.

At 10, 50 and 100 percent it is looked at what is left, with no answer in flight and garbage collected. The exit code
is 1 if a text is not as it has to be, or if what is left is not flat. Flat is: from 10 to 100 percent Python's objects
grow by no more than 1 percent, there are no more tasks and threads, and no more sockets but one for each place, as
connections may be kept; and from 50 to 100 percent, as allocators take their time to settle, the resident memory grows
by no more than 3 percent.

    python -m benchmarks.soak [--adapter core] [--answers 10000] [--rate 0.05] [--attempts 6] [--seed 0]
"""

import argparse
import asyncio
import gc
import os
import resource
import sys
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from skeleton_of_thought import Limit, Retry, SkeletonOfThought
from skeleton_of_thought.events import CallRetried, Finished, PointText, Text
from skeleton_of_thought.models.openai import OpenAIModel
from skeleton_of_thought.testing import LatencyModel, random_faults

from .elsewhere import Endpoint
from .reliable import Book, Counted, Told, endpoint, percentile

BOOK = Book()
PAGE, ANSWER, RETRIED = "page", "answer", "retried"  # what is heard, besides the numbers of points
Hear: TypeAlias = Callable[[str | int, str], None]
"""Takes where a text belongs, and the text."""
Ask: TypeAlias = Callable[[str, Hear], Awaitable[None]]


def serve(rate: float, seed: int) -> Counted:
    """Make the endpoint."""
    return Counted(BOOK, LatencyModel(reply=BOOK, seed=seed), random_faults(rate, seed=seed))


# -- the ways to ask -----------------------------------------------------------------------------------


def core(url: str, told: dict[str, Any]) -> Ask:
    """Stream with `SkeletonOfThought`."""
    sot = SkeletonOfThought(llm=OpenAIModel("none", base_url=url), **told)

    async def ask(question: str, hear: Hear) -> None:
        async with aclosing(sot.astream(question)) as events:
            async for event in events:
                match event:
                    case Text(text):
                        hear(PAGE, text)
                    case PointText(number, text):
                        hear(number, text)
                    case Finished(answer):
                        hear(ANSWER, answer.text)
                    case CallRetried(error=error):
                        hear(RETRIED, type(error).__name__)

    return ask


def langchain(url: str, told: dict[str, Any]) -> Ask:
    """Stream with `SoTChain`."""
    from langchain_openai import ChatOpenAI  # only what is asked for is loaded, as memory is measured

    from langchain_sot import SoTChain

    model: dict[str, Any] = {"model": "none", "api_key": "none", "max_retries": 0}
    chain = SoTChain(llm=ChatOpenAI(base_url=url, **model), **told)

    async def ask(question: str, hear: Hear) -> None:
        async with aclosing(chain.astream(question)) as chunks:
            async for chunk in chunks:
                hear(PAGE, chunk.text)

    return ask


def llama_index(url: str, told: dict[str, Any]) -> Ask:
    """Stream with `SoTQueryEngine`."""
    from llama_index.core import MockEmbedding, VectorStoreIndex  # as above
    from llama_index.core.schema import TextNode
    from llama_index.llms.openai_like import OpenAILike  # type: ignore[import-untyped]

    from llama_index_sot import SoTQueryEngine

    model = OpenAILike(api_base=url, model="none", api_key="none", is_chat_model=True, max_retries=0)
    retriever = VectorStoreIndex([TextNode(text="A day has hours.")], embed_model=MockEmbedding(8)).as_retriever()
    engine: Any = SoTQueryEngine.from_args(retriever, model, streaming=True, **told)

    async def ask(question: str, hear: Hear) -> None:
        async for text in (await engine.aquery(question)).async_response_gen():
            hear(PAGE, text)

    return ask


ADAPTERS = {way.__name__: way for way in (core, langchain, llama_index)}


# -- what came of it -----------------------------------------------------------------------------------


def wrong(expected: str, heard: str) -> str | None:
    """Tell what is wrong with a text."""
    if heard == expected:
        return None
    due, said = Counter(expected.split()), Counter(heard.split())
    if due - said:
        return "lost"
    return "duplicated" if said - due else "contradicted"


@dataclass
class Outcome:
    """What came of the answers so far."""

    seconds: list[float] = field(default_factory=list)
    wrong: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    retried: Counter[str] = field(default_factory=Counter)
    not_right: set[int] = field(default_factory=set)

    def judge(self, number: int, heard: dict[str | int, str], error: Exception | None) -> None:
        """Compare what was heard with what had to be; of an answer that failed, as far as it goes."""
        if error is not None:
            self.failed[f"{type(error).__name__} from {type(error.__cause__ or error).__name__}"] += 1
            self.not_right.add(number)
        for where, text in heard.items():
            due = BOOK.text(number, where) if isinstance(where, int) else BOOK.answer(number)
            due = due if error is None else due[: len(text)]
            if (what := wrong(due, text)) is not None:
                self.wrong[what] += 1
                self.not_right.add(number)
                same = next((n for n, sign in enumerate(text) if sign != due[n : n + 1]), len(text))
                here = slice(max(0, same - 40), same + 40)
                print(f"{what} in answer {number}, {where}: {due[here]!r} became {text[here]!r}", file=sys.stderr)


@dataclass(frozen=True)
class Left:
    """What is there when nothing is in flight."""

    answers: int
    megabytes: float
    objects: int
    sockets: int
    tasks: int
    threads: int

    @classmethod
    def now(cls, answers: int) -> "Left":
        """Look."""
        gc.collect()
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        opened = [os.readlink(each) for each in Path("/proc/self/fd").iterdir() if each.is_symlink()]
        sockets = sum(name.startswith("socket:") for name in opened)
        objects, tasks = len(gc.get_objects()), len(asyncio.all_tasks())
        return cls(answers, pages * resource.getpagesize() / 2**20, objects, sockets, tasks, threading.active_count())

    def is_flat(self, first: "Left", half: "Left", kept: int) -> bool:
        """Tell whether it is as much as before; *kept* connections may be there or not."""
        few = self.tasks <= first.tasks and self.threads <= first.threads and self.sockets <= first.sockets + kept
        return few and self.objects <= 1.01 * first.objects and self.megabytes <= 1.03 * half.megabytes


class Soak:
    """Many answers, some dozens at a time."""

    def __init__(self, ask: Ask, runs: int) -> None:
        self._ask = ask
        self._runs = runs
        self.outcome = Outcome()

    async def warm(self) -> None:
        """Ask once, and do not count it: clients that say nothing of a broken stream have to know a whole one."""
        await self._ask(BOOK.question(0), lambda *_: None)

    async def answers(self, first: int, last: int) -> None:
        """Ask all questions from *first* to *last*."""
        numbers = iter(range(first, last + 1))
        async with asyncio.TaskGroup() as group:
            for _ in range(self._runs):
                group.create_task(self._work(numbers))

    async def _work(self, numbers: Iterator[int]) -> None:
        for number in numbers:
            heard: dict[str | int, str] = {PAGE: ""}

            def hear(where: str | int, text: str, heard: dict[str | int, str] = heard) -> None:
                if where == RETRIED:
                    self.outcome.retried[text] += 1
                else:
                    heard[where] = heard.get(where, "") + text

            began, failure = time.perf_counter(), None
            try:
                await self._ask(BOOK.question(number), hear)
            except Exception as error:  # noqa: BLE001 -- whatever it is, it is counted
                failure = error
            self.outcome.seconds.append(time.perf_counter() - began)
            self.outcome.judge(number, heard, failure)


# -- the report ----------------------------------------------------------------------------------------


def report(outcome: Outcome, told: Told, seconds: float, cpu: float) -> None:
    """Say what came of it."""
    answers, wrong = len(outcome.seconds), outcome.wrong
    calls = answers * (BOOK.points + 1)
    survived = Counter(what for number, what in told.faults if number not in outcome.not_right)
    print(f"answers             {answers}, of {BOOK.points} points of {BOOK.words} words")
    print(f"texts lost          {wrong['lost']}")
    print(f"texts duplicated    {wrong['duplicated']}")
    print(f"texts contradicted  {wrong['contradicted']}")
    print(f"answers not right   {len(outcome.not_right)}")
    print(f"  of which failed   {sum(outcome.failed.values())} {dict(outcome.failed) or ''}")
    print(f"requests            {told.requests}, {told.requests / answers:.2f} an answer, for {calls} calls")
    print(f"requests again      {told.requests - calls}, {(told.requests - calls) / answers:.3f} an answer")
    print(f"requests a second   {told.requests / seconds:.0f}, in {seconds:.0f} s, at most {told.peak} at a time")
    p50, p99 = (percentile(outcome.seconds, share) for share in (0.5, 0.99))
    print(f"seconds an answer   p50 {p50:.3f}, p99 {p99:.3f}")
    print(f"CPU ms a request    client {1e3 * cpu / told.requests:.2f}, endpoint {1e3 * told.cpu / told.requests:.2f}")
    print(f"faults              {len(told.faults)}, of which in answers that are right: {sum(survived.values())}")
    for what, count in sorted(Counter(what for _, what in told.faults).items()):
        print(f"  {what:<36}{count:>6}{survived[what]:>7}")
    for what, count in outcome.retried.most_common():
        print(f"  asked again after {what:<18}{count:>6}")


async def measure(told: argparse.Namespace, soak: Soak, served: Endpoint[Told]) -> tuple[list[Left], float]:
    """Ask all questions; return what was left, and the seconds that it took."""
    await soak.warm()
    served.tell()
    print(f"{'answers':>8}{'memory MB':>11}{'objects':>9}{'sockets':>9}{'tasks':>7}{'threads':>9}")
    left, seconds, first = list[Left](), 0.0, 1
    for share in (0.1, 0.5, 1.0):
        last, began = round(share * told.answers), time.perf_counter()
        await soak.answers(first, last)
        seconds, first = seconds + time.perf_counter() - began, last + 1
        await asyncio.sleep(0.5)  # what is to be closed is closed by then
        left.append(now := Left.now(last))
        counted = f"{now.objects:>9}{now.sockets:>9}{now.tasks:>7}{now.threads:>9}"
        print(f"{last:>8}{now.megabytes:>11.1f}{counted}", flush=True)
    return left, seconds


def main() -> None:
    """Ask, compare, and tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--adapter", choices=ADAPTERS, default="core")
    parser.add_argument("--answers", type=int, default=10_000)
    parser.add_argument("--rate", type=float, default=0.05, help="of requests that fail (default: %(default)s)")
    parser.add_argument("--attempts", type=int, default=6, help="requests for one call (default: %(default)s)")
    parser.add_argument("--runs", type=int, default=32, help="answers at a time (default: %(default)s)")
    parser.add_argument("--places", type=int, default=32, help="calls at a time (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    told = parser.parse_args()
    settings = {"router": "always", "max_points": BOOK.points, "max_concurrency": Limit(told.places)}
    settings["retry"] = Retry(attempts=told.attempts, first_wait=0.02)
    with endpoint(partial(serve, told.rate, told.seed)) as served:
        soak = Soak(ADAPTERS[told.adapter](served.url, settings), told.runs)
        left, seconds = asyncio.run(measure(told, soak, served))
        report(soak.outcome, served.tell(), seconds, time.process_time())
    flat = left[2].is_flat(left[0], left[1], told.places)
    print("what is left is flat" if flat else "what is left is NOT flat")
    sys.exit(0 if flat and not soak.outcome.wrong else 1)


if __name__ == "__main__":
    main()
