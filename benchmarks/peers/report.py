"""The report, as Markdown: what is printed is what stands in ``docs/speed.md``."""

import os
import platform
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import version
from statistics import median

from .measure import Cell, Row
from .pays import PIPELINED, PLAIN, Pay
from .way import Way

GOAL_PART, GOAL_SECONDS = 0.03, 0.01
"""How much more than the critical path an answer may take: a part of it, and seconds."""
PACKAGES = ("langchain-core", "langchain-openai", "langgraph", "llama-index-core", "openai")


def machine() -> str:
    """Say what was measured on, and with what."""
    with open("/proc/cpuinfo", encoding="utf-8") as told:
        model = next((line.partition(":")[2].strip() for line in told if line.startswith("model name")), "unknown")
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return f"{os.cpu_count()} cores of {model}, Python {platform.python_version()}; {packages}"


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(heads)} |"
    yield f"|{'---|' * len(heads)}"
    yield from (f"| {' | '.join(row)} |" for row in rows)


def _about(cell: Cell) -> str:
    work, pace = cell.work, 1e3 * cell.work.per_token
    return (
        f"{work.points} points, {cell.questions} question{'s' * (cell.questions > 1)} at a time, {work.first:g} s to "
        f"the first token, {pace:g} ms a token, medians of {cell.rounds} rounds (lowest to highest). One call takes "
        f"{work.one_call:.3f} s, the critical path {work.path:.3f} s, pipelined {work.pipelined_path:.3f} s. "
        f"The endpoint used up to {cell.load:.0%} of a core."
    )


def whole_table(cell: Cell) -> Iterator[str]:
    """Tell all of the ways that return whole answers."""
    heads = ["whole answers", "seconds", "beside the path", "ms over its own", "sooner", "CPU ms", "requests", "peak"]
    yield from _table(heads, (_cells(cell, row) for row in cell.rows if not row.way.streams))


def streamed_table(cell: Cell) -> Iterator[str]:
    """Tell all of those that stream, and when a reader sees what."""
    heads = ["streamed answers", "first text", "first word of a point", "seconds", "beside the path"]
    heads += ["ms over its own", "sooner", "CPU ms", "requests", "peak"]

    def cells(row: Row) -> list[str]:
        name, *others = _cells(cell, row)
        return [name, f"{row.first():.3f}", f"{row.word():.3f}", *others]

    yield from _table(heads, (cells(row) for row in cell.rows if row.way.streams))


def name_of(way: Way) -> str:
    """Say which way it is."""
    return f"{'**' * (way.family == 'ours')}{way.family}: {way.name}{'**' * (way.family == 'ours')}"


def _cells(cell: Cell, row: Row) -> list[str]:
    seconds, work = row.seconds(), cell.work
    middle = median(seconds)
    return [
        name_of(row.way),
        f"{middle:.3f} ({min(seconds):.3f} to {max(seconds):.3f})",
        f"{middle / row.way.least(work):.3f}",
        f"{1e3 * (middle - row.way.path(work)):.1f}",
        f"{cell.one_call / middle:.2f}x",
        f"{1e3 * row.cpu():.1f}",
        f"{row.requests():g}",
        f"{row.peak()}",
    ]


def grid(cells: Sequence[Cell], what: str) -> Iterator[str]:
    """Tell one thing of all ways in all cells: ``path`` or ``cpu``."""
    heads = [f"{cell.work.points} points, {cell.questions} at a time" for cell in cells]
    names = list(dict.fromkeys(name_of(row.way) for cell in cells for row in cell.rows))
    found = [{name_of(row.way): row for row in cell.rows} for cell in cells]

    def said(cell: Cell, row: Row | None) -> str:
        if row is None:
            return ""
        if what == "cpu":
            return f"{1e3 * row.cpu():.1f}"
        return f"{median(row.seconds()) / row.way.least(cell.work):.3f}"

    rows = ([name, *(said(cell, rows.get(name)) for cell, rows in zip(cells, found, strict=True))] for name in names)
    yield from _table([{"cpu": "CPU ms an answer", "path": "beside the path"}[what], *heads], rows)


def verdicts(cell: Cell) -> Iterator[str]:
    """Tell whether ours keep to the goal, and how they stand beside the best peer that does the same requests."""
    heads = ["", "ms over the path", "goal", "", "best peer", "ms over the path", "ours is later by, ms"]
    peers = [row for row in cell.rows if row.way.family not in ("ours", "one call", "paper")]

    def cells(row: Row) -> list[str]:
        work, over = cell.work, median(row.seconds()) - row.way.least(cell.work)
        goal = GOAL_PART * row.way.least(work) + GOAL_SECONDS
        best = min((peer for peer in peers if peer.way.streams == row.way.streams), key=lambda r: median(r.seconds()))
        theirs = median(best.seconds()) - work.path
        behind = median(row.seconds()) - median(best.seconds())
        kept = "met" if over <= goal else "missed"
        ms = [f"{1e3 * value:.1f}" for value in (over, goal, theirs, behind)]
        return [name_of(row.way), ms[0], ms[1], kept, name_of(best.way), ms[2], ms[3]]

    yield from _table(heads, (cells(row) for row in cell.rows if row.way.family == "ours"))


def pays_table(pays: Sequence[Pay]) -> Iterator[str]:
    """Tell when a skeleton pays, computed and measured."""
    heads = ["setting", "first token", "tokens/s", "points", "tokens a point", "pays from", "computed", "measured"]
    heads += ["pipelined, computed", "measured"]

    def cells(pay: Pay) -> list[str]:
        setting, pipelined = pay.setting, pay.predicted_pipelined
        about = [setting.name, f"{setting.first:g} s", f"{setting.pace}", f"{setting.points}", f"{setting.tokens}"]
        told = [f"{setting.break_even:.0f}", _times(pay.predicted), _times(pay.measured(PLAIN))]
        return [*about, *told, _times(pipelined) if pipelined else "", _times(pay.measured(PIPELINED))]

    yield from _table(heads, map(cells, pays))


def _times(ratio: float) -> str:
    return f"{ratio:.2f}x{' (loses)' * (ratio < 1)}"


def report(command: str, cells: Sequence[Cell], pays: Sequence[Pay]) -> str:
    """Say all."""
    main = next(cell for cell in cells if (cell.work.points, cell.questions) == (10, 1))
    parts = [
        [f"`{command}`, on {machine()}."],
        ["### Ten points", "", _about(main)],
        whole_table(main),
        streamed_table(main),
        ["### Beside the goal: the critical path, 3 % and 10 ms", ""],
        verdicts(main),
        ["### More points and more questions", "", *(f"* {_about(cell)}" for cell in cells)],
        grid(cells, "path"),
        grid(cells, "cpu"),
        ["### When it pays"],
        pays_table(pays),
    ]
    return "\n\n".join("\n".join(part) for part in parts) + "\n"
