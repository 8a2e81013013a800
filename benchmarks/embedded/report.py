"""The report, as Markdown: what is printed is what stands in ``docs/speed.md``."""

import os
import platform
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from statistics import median

from .ways import Run

PACKAGES = ("openvino-genai", "xllamacpp")
PLAIN, PIPELINED, SEQUENTIAL = "**SoT**", "**SoT, pipelined**", "one text, the same engine"
Runs = Mapping[str, Sequence[Run]]
"""By way, in the order of the rounds."""


def machine() -> str:
    """Say what was measured on, and with what."""
    with open("/proc/cpuinfo", encoding="utf-8") as told:
        model = next((line.partition(":")[2].strip() for line in told if line.startswith("model name")), "unknown")
    packages = ", ".join(f"{name} {_version(name)}" for name in PACKAGES)
    return f"{os.cpu_count()} cores of {model}, Python {platform.python_version()}; {packages}"


def equal_table(runs: Runs) -> Iterator[str]:
    """Tell how long answers of one length took, and how much sooner the points were written."""
    sooner = [f"sooner than {name}" for name in runs if name not in (PLAIN, PIPELINED)]
    yield from _table(
        ["equal output", "seconds", "skeleton", "tokens/s of text", *sooner],
        (
            [
                name,
                _spread([run.seconds for run in ours]),
                _skeleton(ours),
                f"{median(run.speed for run in ours):.0f}",
                *(_sooner(ours, theirs) for other, theirs in runs.items() if other not in (PLAIN, PIPELINED)),
            ]
            for name, ours in runs.items()
        ),
    )


def natural_table(runs: Runs) -> Iterator[str]:
    """Tell how long answers took that end where the model ends them."""
    alone = runs[SEQUENTIAL]
    yield from _table(
        ["natural length", "seconds", "tokens", "tokens/s of text", "seconds, of one text's"],
        (
            [
                name,
                _spread([run.seconds for run in ours]),
                f"{median(run.tokens for run in ours):.0f}",
                f"{median(run.speed for run in ours):.0f}",
                _spread([one.seconds / run.seconds for run, one in zip(ours, alone, strict=True)], "x"),
            ]
            for name, ours in runs.items()
        ),
    )


def width_table(runs: Mapping[int, Sequence[Run]]) -> Iterator[str]:
    """Tell how fast a batch is by its width."""
    speeds = {width: median(run.speed for run in theirs) for width, theirs in runs.items()}
    yield from _table(
        ["texts in one batch", *map(str, speeds)],
        (
            ["tokens/s, all together", *(f"{speed:.0f}" for speed in speeds.values())],
            ["beside one text", *(f"{speed / speeds[1]:.1f}x" for speed in speeds.values())],
        ),
    )


def cached(runs: Runs) -> str:
    """Tell how much of the points' prompts needed no computing."""
    shares = {name: median(run.cached or 0 for run in runs[name]) for name in (PLAIN, PIPELINED)}
    told = ", ".join(f"{share:.0%} ({name.strip('*')})" for name, share in shares.items())
    return f"Of the points' prompt tokens the prefix cache served, in whole blocks of 32: {told}."


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(heads)} |"
    yield f"|{'---|' * len(heads)}"
    yield from (f"| {' | '.join(row)} |" for row in rows)


def _spread(values: Sequence[float], unit: str = "") -> str:
    return f"{median(values):.2f}{unit} ({min(values):.2f} to {max(values):.2f})"


def _sooner(ours: Sequence[Run], theirs: Sequence[Run]) -> str:
    """Divide within each round: a machine that is slow in one is slow for all."""
    return "" if ours is theirs else _spread([a.speed / b.speed for a, b in zip(ours, theirs, strict=True)], "x")


def _skeleton(runs: Sequence[Run]) -> str:
    written: Callable[[Run], bool] = lambda run: run.skeleton is not None  # noqa: E731
    return f"{median(run.skeleton or 0 for run in runs):.2f}" if all(map(written, runs)) else ""


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "is not installed"
