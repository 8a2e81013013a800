"""Measure Skeleton-of-Thought on the embedded engine, beside one answer after another on it and on llama.cpp.

Each round takes another of our own questions. First the skeleton is written, uncounted: so the number of points is
known, and every way finds the question, and nothing more, in its prefix cache; llama.cpp writes one token of it. Then
all ways take turns, in another order each round, and write as many tokens as all points together, whatever the model
would like: nobody wins by saying less. Every text is handed out when it is whole. Only ratios within a round are taken.

    python -m benchmarks.embedded [--rounds 5] [--tokens 64] [--model NAME] [--docs docs]
"""

import argparse
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from skeleton_of_thought.models._openvino import engine_for
from skeleton_of_thought.models._store import DEFAULT_MODEL, find
from skeleton_of_thought.models.local import LocalModel

from ..page import put
from . import report
from .peer import LlamaCpp, in_q4_0, is_here, llama_cpp
from .report import PIPELINED, PLAIN, SEQUENTIAL
from .ways import QUESTIONS, Run, Ways

WARM_UP = "What are the advantages of public libraries?"
WIDTHS = (1, 2, 4, 8, 12, 16)

Way = Callable[[], Run]


def in_turns(ways: Mapping[str, Way], turn: int) -> dict[str, Run]:
    """Take all ways, beginning with another one at each turn, and tell in the given order what came of them."""
    names = list(ways)
    first = turn % len(names)
    runs = {name: ways[name]() for name in names[first:] + names[:first]}
    return {name: runs[name] for name in names}


def equal(ours: Ways, peers: Mapping[str, LlamaCpp], rounds: int) -> dict[str, list[Run]]:
    """Measure all ways at equal output."""
    runs: dict[str, list[Run]] = {}
    for turn, question in enumerate(_questions(rounds)):
        tokens = ours.points_of(question) * ours.tokens
        for peer in peers.values():
            peer.sequential(question, 1)
        told = in_turns(_equal_ways(ours, peers, question, tokens), turn)
        for name, run in told.items():
            runs.setdefault(name, []).append(run)
        seconds = ", ".join(f"{run.seconds:.2f}" for run in told.values())
        print(f"{tokens // ours.tokens:3} points: {seconds} s  {question}", file=sys.stderr, flush=True)
    return runs


def _equal_ways(ours: Ways, peers: Mapping[str, LlamaCpp], question: str, tokens: int) -> dict[str, Way]:
    return {
        PLAIN: partial(ours.sot, question, pipelined=False),
        PIPELINED: partial(ours.sot, question, pipelined=True),
        SEQUENTIAL: partial(ours.sequential, question, tokens),
    } | {name: partial(peer.sequential, question, tokens) for name, peer in peers.items()}


def natural(ours: Ways, rounds: int) -> dict[str, list[Run]]:
    """Measure all ways at natural length."""
    runs: dict[str, list[Run]] = {}
    for turn, question in enumerate(_questions(rounds)):
        ways: dict[str, Way] = {
            PLAIN: partial(ours.natural, question, pipelined=False),
            PIPELINED: partial(ours.natural, question, pipelined=True),
            SEQUENTIAL: partial(ours.natural_direct, question),
        }
        for name, run in in_turns(ways, turn).items():
            runs.setdefault(name, []).append(run)
    return runs


def widths(ours: Ways, rounds: int) -> dict[int, list[Run]]:
    """Measure batches of every width."""
    runs: dict[int, list[Run]] = {width: [] for width in WIDTHS}
    for _ in range(rounds):
        for width in WIDTHS:
            runs[width].append(ours.batch(width, WARM_UP))
    return runs


def _questions(rounds: int) -> tuple[str, ...]:
    return tuple(QUESTIONS[turn % len(QUESTIONS)] for turn in range(rounds))


def measure(model: str, tokens: int, rounds: int) -> str:
    """Measure everything and make the report."""
    path = find(model)
    ours = Ways(LocalModel(model), engine_for(path), tokens)
    ours.sot(WARM_UP, pipelined=False)
    with ExitStack() as stack:
        files = {"llama.cpp, Q4_0": in_q4_0, "llama.cpp, as shipped": Path} if is_here() else {}
        peers = {name: stack.enter_context(llama_cpp(make(path))) for name, make in files.items()}
        for peer in peers.values():
            peer.sequential(WARM_UP, 16)
        same = equal(ours, peers, rounds)
    told = [f"`python -m benchmarks.embedded --rounds {rounds} --tokens {tokens}`, {model}, on {report.machine()}."]
    told += ["", f"Medians of {rounds} rounds (lowest to highest), {tokens} tokens a point.", ""]
    told += [*report.equal_table(same), "", report.cached(same), ""]
    if not peers:
        told += ["Not measured beside llama.cpp: `xllamacpp` is not installed.", ""]
    told += [*report.natural_table(natural(ours, rounds)), "", *report.width_table(widths(ours, 3)), ""]
    return "\n".join(told)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--rounds", type=int, default=5, help="(default: %(default)s)")
    parser.add_argument("--tokens", type=int, default=64, help="of each point (default: %(default)s)")
    parser.add_argument("--docs", type=Path, default=Path("docs"), help="where to put them (default: %(default)s)")
    arguments = parser.parse_args()
    began = time.perf_counter()
    said = measure(arguments.model, arguments.tokens, arguments.rounds)
    print(said)
    print(f"{time.perf_counter() - began:.0f} seconds")
    put(arguments.docs / "speed.md", "embedded tables", said)


if __name__ == "__main__":
    main()
