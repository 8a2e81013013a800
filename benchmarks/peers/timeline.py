"""When what of one answer happened, from its events."""

import asyncio
import time
from contextlib import aclosing
from dataclasses import dataclass, field

from skeleton_of_thought.events import PointDone, PointStarted, PointText, SkeletonReady, SkeletonText, Text

from .endpoint import endpoint
from .ours import core
from .work import QUESTION, WARM_UP, Work


@dataclass
class Span:
    """A call: its begin, its first token and its end."""

    begin: float = 0.0
    first: float = 0.0
    end: float = 0.0


@dataclass
class Timeline:
    """An answer, in seconds from the question."""

    pipelined: bool
    path: float
    skeleton: Span = field(default_factory=Span)
    points: dict[int, Span] = field(default_factory=dict)
    shown: float = 0.0
    """When the reader saw something."""
    total: float = 0.0

    def take(self, event: object, now: float) -> None:
        """Note when an event came."""
        match event:
            case SkeletonText():
                self.skeleton.first = self.skeleton.first or now
            case SkeletonReady():
                self.skeleton.end = now
            case PointStarted(point):
                self.points[point.number] = Span(begin=now)
            case PointText(number):
                self.points[number].first = self.points[number].first or now
            case PointDone(section):
                self.points[section.point.number].end = now
            case Text():
                self.shown = self.shown or now


def draw_up(work: Work) -> list[Timeline]:
    """Ask once, plain and pipelined, and listen."""
    with endpoint(work) as served, asyncio.Runner() as loop:
        return [loop.run(_listen(served.url, work, pipelined)) for pipelined in (False, True)]


async def _listen(url: str, work: Work, pipelined: bool) -> Timeline:
    sot = core(url, pipelined=pipelined)
    await sot.aask(WARM_UP)
    timeline = Timeline(pipelined, work.pipelined_path if pipelined else work.path)
    began = time.perf_counter()
    async with aclosing(sot.astream(QUESTION)) as events:
        async for event in events:
            timeline.take(event, time.perf_counter() - began)
    timeline.total = time.perf_counter() - began
    return timeline
