"""The drawings in ``docs/images``."""

from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import matplotlib
from matplotlib import pyplot

from .measure import Cell
from .pays import DECODERS, PIPELINED, PLAIN, Pay
from .timeline import Timeline
from .work import Work

matplotlib.use("svg")
matplotlib.rcParams.update({
    "svg.fonttype": "none",  # text stays text: smaller, and readable for machines
    "svg.hashsalt": "skeleton-of-thought",  # the same drawing is the same file
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
})
BLUE, ORANGE, GREY, LIGHT = "#2b6cb0", "#dd6b20", "#718096", "#bee3f8"
GROWING = {
    "openai, asyncio.gather": GREY,
    "template, .map()": "#319795",
    "Send": "#805ad5",
    "SubQuestion, answers joined": "#b7791f",
    "core": BLUE,
    "SoTChain": "#2c5282",
    "SoTQueryEngine": "#63b3ed",
}


def draw(folder: Path, timelines: Sequence[Timeline], cells: Sequence[Cell], pays: Sequence[Pay]) -> None:
    """Draw all."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, figure in {
        "timeline": _timeline(timelines),
        "speed-up": _speed_up(cells, pays),
        "growth": _growth(cells),
    }.items():
        figure.savefig(folder / f"{name}.svg", bbox_inches="tight", metadata={"Date": None})
        pyplot.close(figure)


def _timeline(timelines: Sequence[Timeline]) -> Any:
    figure, panels = pyplot.subplots(1, len(timelines), figsize=(9, 2.8), sharex=True, sharey=True)
    for panel, timeline in zip(panels, timelines, strict=True):
        rows = [("skeleton", timeline.skeleton, ORANGE)]
        rows += [(f"point {number}", span, BLUE) for number, span in sorted(timeline.points.items())]
        for height, (_, span, colour) in enumerate(rows):
            panel.barh(height, span.first - span.begin, left=span.begin, color=LIGHT, height=0.6)
            panel.barh(height, span.end - span.first, left=span.first, color=colour, height=0.6)
        panel.axvline(timeline.shown, color=GREY, linestyle=":", label=f"first text, {timeline.shown:.2f} s")
        panel.axvline(timeline.path, color=ORANGE, linestyle="--", label=f"critical path, {timeline.path:.2f} s")
        panel.axvline(timeline.total, color=BLUE, label=f"answer, {timeline.total:.2f} s")
        panel.set_yticks(range(len(rows)), [name for name, _, _ in rows])
        panel.set(title="pipelined" if timeline.pipelined else "plain", xlabel="seconds (pale: before the first token)")
        panel.legend(loc="upper center", bbox_to_anchor=(0.5, -0.25), ncols=3, fontsize=7, columnspacing=1)
    panels[0].invert_yaxis()
    return figure


def _speed_up(cells: Sequence[Cell], pays: Sequence[Pay]) -> Any:
    figure, (points, paces) = pyplot.subplots(1, 2, figsize=(9, 2.8))
    alone = [cell for cell in cells if cell.questions == 1]
    numbers = range(2, 21)
    works = [Work(points=number, first=alone[0].work.first, per_token=alone[0].work.per_token) for number in numbers]
    points.set_xticks(range(2, 21, 2))
    points.plot(numbers, [work.one_call / work.path for work in works], color=BLUE, label="computed")
    pipelined = [work.one_call / work.pipelined_path for work in works]
    points.plot(numbers, pipelined, color=ORANGE, label="computed, pipelined")
    for name, colour in ((PLAIN, BLUE), (PIPELINED, ORANGE)):
        rows = [(cell, row) for cell in alone if (row := cell.row(name))]
        sooner = [cell.one_call / median(row.seconds()) for cell, row in rows]
        points.plot([cell.work.points for cell, _ in rows], sooner, "o", color=colour, label=f"measured: {name}")
    points.set(xlabel="points", ylabel="times sooner than one call", ylim=(0, None))
    computed = [setting.work.one_call / setting.work.path for setting in DECODERS]
    paces.plot([setting.pace for setting in DECODERS], computed, color=BLUE, label="computed")
    same = [pay for pay in pays if (pay.setting.points, pay.setting.tokens) == (8, 40) and pay.predicted_pipelined]
    same = [pay for pay in same if pay.setting.first == DECODERS[0].first]
    measured = [pay.measured(PLAIN) for pay in same]
    paces.plot([pay.setting.pace for pay in same], measured, "o", color=BLUE, label="measured: core")
    paces.set(xlabel="tokens a second (8 points of 40, 0.25 s to the first token)", xscale="log", ylim=(0, None))
    for panel in (points, paces):
        panel.axhline(1, color=GREY, linestyle=":")
        panel.legend(fontsize=7)
    return figure


def _growth(cells: Sequence[Cell]) -> Any:
    figure, panels = pyplot.subplots(2, 2, figsize=(9, 5))
    kinds: tuple[tuple[list[Cell], str, Callable[[Cell], int]], ...] = (
        ([cell for cell in cells if cell.questions == 1], "points", lambda cell: cell.work.points),
        ([cell for cell in cells if cell.work.points == 10], "questions at a time", lambda cell: cell.questions),
    )
    for column, (chosen, label, at) in enumerate(kinds):
        for name, colour in GROWING.items():
            rows = [(cell, row) for cell in chosen if (row := cell.row(name))]
            where = [at(cell) for cell, _ in rows]
            beside = [median(row.seconds()) / row.way.least(cell.work) for cell, row in rows]
            panels[0][column].plot(where, beside, "o-", color=colour, label=name, markersize=3)
            panels[1][column].plot(where, [1e3 * row.cpu() for _, row in rows], "o-", color=colour, markersize=3)
        panels[1][column].set(xlabel=label, ylim=(0, None))
        for panel in (panels[0][column], panels[1][column]):
            panel.set_xscale("log" if column else "linear")
    panels[0][0].set_ylabel("time beside the critical path")
    panels[1][0].set_ylabel("CPU ms an answer")
    panels[0][0].legend(fontsize=7)
    return figure
