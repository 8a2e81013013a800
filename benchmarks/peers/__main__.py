"""Measure this package beside every other way to the same answer, draw what came of it, and print one report.

An endpoint in another process says the same skeleton and the same points to all, each word at its time, so the critical
path is known: the skeleton, then the slowest point. All ways take turns. The default run takes about six minutes and
has all ways at ten points, and those that return whole answers elsewhere; ``--full`` has all ways with 2, 6, 10 and 20
points and 1, 10 and 100 questions at a time, and takes more than an hour. The drawings in ``docs/images`` and the
tables in ``docs/speed.md`` are made anew. How to read them is told there.

    python -m benchmarks.peers [--full] [--rounds 3] [--docs docs]
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from ..page import put
from .measure import Cell, every, measure
from .pays import measure_pays
from .plots import draw
from .report import report
from .timeline import draw_up
from .way import Way
from .work import Work

PACE = {1: 0.005, 10: 0.01, 100: 0.05}
"""Seconds a token, by questions at a time: slow enough that the endpoint, one Python process, can keep up."""
TO_FIRST = 8
"""So many times as long as a further token takes the first."""
POINTS = (2, 6, 10, 20)


def _work(points: int, questions: int) -> Work:
    return Work(points=points, first=TO_FIRST * PACE[questions], per_token=PACE[questions])


def _whole(way: Way) -> bool:
    return not way.streams


def _parallel(way: Way) -> bool:
    return not way.streams and way.family != "paper"


def _measured(points: int, questions: int, rounds: int, choose: Callable[[Way], bool] = every) -> Cell:
    began = time.perf_counter()
    cell = measure(_work(points, questions), questions, max(1, rounds), choose)
    took = time.perf_counter() - began
    print(f"{points} points, {questions} questions at a time: measured in {took:.0f} s", file=sys.stderr, flush=True)
    return cell


def _some(rounds: int) -> Iterator[Cell]:
    yield _measured(10, 1, rounds)
    yield from (_measured(points, 1, rounds - 1, _whole) for points in (2, 6, 20))
    yield _measured(10, 10, rounds - 1, _parallel)
    yield _measured(10, 100, rounds - 2, _parallel)


def _all(rounds: int) -> Iterator[Cell]:
    yield from (_measured(points, questions, rounds) for questions in PACE for points in POINTS)


def main() -> None:
    """Measure, draw and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="all ways, all points, all questions")
    parser.add_argument("--rounds", type=int, default=3, help="of ten points (default: %(default)s)")
    parser.add_argument("--docs", type=Path, default=Path("docs"), help="where to put them (default: %(default)s)")
    told = parser.parse_args()
    began = time.perf_counter()
    cells = sorted((_all if told.full else _some)(told.rounds), key=lambda cell: (cell.questions, cell.work.points))
    pays = measure_pays(max(1, told.rounds - 2))
    draw(told.docs / "images", draw_up(_work(6, 10)), cells, pays)
    command = f"python -m benchmarks.peers{' --full' * told.full} --rounds {told.rounds}"
    said = report(command, cells, pays)
    print(said)
    print(f"{time.perf_counter() - began:.0f} seconds")
    put(told.docs / "speed.md", "tables", said)


if __name__ == "__main__":
    main()
