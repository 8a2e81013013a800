"""The live view of a terminal: first the skeleton, line by line, then all points at once, then the answer.

While a run goes on there is a board: a title for each point and the last lines of its text, never more
than the terminal has rows, redrawn in place. When it is over, the board gives way to the plain text of the
answer. A direct answer is printed as it comes.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from threading import Lock
from time import perf_counter

from rich.console import Console, ConsoleOptions, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text as Row

from ..answer import Answer
from ..events import Event, PointDone, PointFailed, PointFound, PointText, Routed, SkeletonReady, SkeletonText, Text
from ..skeleton import Point
from .wrap import WordWrap, harmless

_INDENT = 6
_FRAMES_PER_SECOND = 10


class LiveView:
    """The board, then the text."""

    def __init__(self) -> None:
        console = Console(file=sys.stdout, highlight=False)
        self._board = _Board(console.width)
        self._live = Live(self._board, console=console, refresh_per_second=_FRAMES_PER_SECOND, transient=True)
        self._page = WordWrap(console.width)
        self._direct = False
        self._begun = False
        self._live.start()

    def hear(self, event: Event) -> None:
        """Draw what has changed; print the text of a direct answer."""
        self._board.feed(event)
        if isinstance(event, Routed):
            self._direct = event.route.kind == "direct"
        if isinstance(event, Text) and self._direct:
            self._live.stop()
            self._begun = True
            print(self._page.feed(event.text), end="", flush=True)

    def leave(self, answer: Answer | None) -> None:
        """Replace the board by the answer. When the run broke off without one, the board stays as it was."""
        if answer is None:
            self._board.over = True
            self._live.transient = False
        self._live.stop()
        rest = answer.text if answer and not self._direct else ""
        text = self._page.feed(rest) + self._page.flush()
        if text or self._begun:
            print(text, flush=True)


@dataclass(slots=True)
class _Entry:
    """A point on the board."""

    point: Point
    wrap: WordWrap
    lines: list[str] = field(default_factory=lambda: [""])
    mark: str = " "
    style: str = "dim"

    def feed(self, text: str) -> None:
        first, *more = self.wrap.feed(text).split("\n")
        self.lines[-1] += first
        self.lines += more
        self.style = "bold"

    def end(self, mark: str, style: str) -> None:
        self.lines[-1] += self.wrap.flush()
        self.mark, self.style = mark, style

    def rows(self, most: int) -> Iterator[Row]:
        """Draw the title, and so many of the last lines that there are *most* rows."""
        yield _row(f"{self.mark} {self.point.number:>2}. {harmless(self.point.title)}", self.style)
        written = [line for line in self.lines if line.strip()]
        for line in written[len(written) - most + 1 :] if most <= len(written) else written:
            yield _row(" " * _INDENT + line.strip(), "" if self.style == "bold" else "dim")


class _Board:
    """What is on the screen while a run goes on. One thread writes it, and another draws it."""

    def __init__(self, width: int) -> None:
        self.over = False
        self._width = width - _INDENT
        self._entries: dict[int, _Entry] = {}
        self._doing = "waiting for the model"
        self._started = perf_counter()
        self._spinner = Spinner("dots")
        self._lock = Lock()

    def feed(self, event: Event) -> None:
        """Take note of an event."""
        with self._lock:
            self._feed(event)

    def _feed(self, event: Event) -> None:
        match event:
            case Routed(route) if route.kind == "direct":
                self._entries.clear()
                self._doing = f"answering directly: {route.why}"
            case SkeletonText():
                self._doing = "writing the skeleton"
            case PointFound(point):
                self._entries[point.number] = _Entry(point, WordWrap(self._width))
            case SkeletonReady(skeleton):
                self._doing = f"writing {len(skeleton.points)} points at the same time"
            case PointText(number, text):
                self._entries[number].feed(text)
            case PointDone(section):
                self._entries[section.point.number].end("✓", "green")
            case PointFailed(point):
                self._entries[point.number].end("✗", "red")

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        height = console.height - 3  # a blank row, the status, and one for the cursor when all is erased
        with self._lock:
            most = max(1, height // max(1, len(self._entries)))
            rows = [row for entry in self._entries.values() for row in entry.rows(most)]
            done = sum(entry.mark != " " for entry in self._entries.values())
        yield from rows[:height]
        if not self.over:
            seconds = perf_counter() - self._started
            counted = f", {done} done" if done else ""
            self._spinner.text = _row(f"{self._doing}{counted}  {seconds:.1f} s", "dim")
            if rows:
                yield _row("")
            yield self._spinner.render(console.get_time())


def _row(text: str, style: str = "") -> Row:
    return Row(text, style, no_wrap=True, overflow="ellipsis")
