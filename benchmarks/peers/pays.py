"""When a skeleton pays: what its parts take by their lengths and the pace, and what was measured at the same settings.

One call takes its first token, and then all tokens. A skeleton takes two first tokens, its own tokens and those of one
point. Points of the same length pay from as many tokens as `break_even` tells; each row is what `Work` computes for
points of unlike lengths, in which the longest decides. Where a server is full, each text slows all others.
"""

from dataclasses import dataclass
from functools import partial
from statistics import median

from .measure import Cell, measure
from .work import Busy, Work, idle


def shared(texts: int) -> float:
    """Slow all texts a little for each other one, as a batch on a graphics card does: eight take 1.7 times as long."""
    return 1 + (texts - 1) / 10


def full(texts: int) -> float:
    """Slow each text by all others, as where nothing is idle."""
    return float(texts)


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A model and a kind of answer."""

    name: str
    first: float
    """Seconds."""
    pace: int
    """Tokens a second."""
    points: int
    tokens: int
    """Of a point, on average: the shortest has a quarter less, the longest a quarter more."""
    busy: Busy = idle

    @property
    def work(self) -> Work:
        """What the endpoint has to say."""
        return Work(
            points=self.points,
            shortest=round(self.tokens * 0.75),
            longest=round(self.tokens * 1.25),
            first=self.first,
            per_token=1 / self.pace,
            busy=self.busy,
        )

    @property
    def break_even(self) -> float:
        """From how many tokens a point on a skeleton pays, on an idle server."""
        return (self.first * self.pace + 5 * self.points - 1) / (self.points - 1)


SETTINGS = (
    Setting(name="large model, hosted", first=0.4, pace=50, points=8, tokens=40),
    Setting(name="small model, hosted", first=0.25, pace=100, points=8, tokens=40),
    Setting(name="the same, 3 points", first=0.25, pace=100, points=3, tokens=40),
    Setting(name="the same, 2 points", first=0.25, pace=100, points=2, tokens=40),
    Setting(name="the same, short points", first=0.25, pace=100, points=8, tokens=8),
    Setting(name="the same, long points", first=0.25, pace=100, points=8, tokens=100),
    Setting(name="fast decoder", first=0.25, pace=400, points=8, tokens=40),
    Setting(name="very fast decoder", first=0.25, pace=1000, points=8, tokens=40),
    Setting(name="the same, long points", first=0.25, pace=1000, points=8, tokens=100),
    Setting(name="small model, shared server", first=0.25, pace=100, points=8, tokens=40, busy=shared),
    Setting(name="small model, full server", first=0.25, pace=100, points=8, tokens=40, busy=full),
)
DECODERS = tuple(
    Setting(name="", first=0.25, pace=pace, points=8, tokens=40) for pace in (20, 30, 50, 70, 100, 200, 400, 700, 1000)
)
"""One kind of answer, at any pace: what is drawn."""


@dataclass(frozen=True)
class Pay:
    """A setting, and what was measured at it."""

    setting: Setting
    cell: Cell

    def seconds(self, name: str) -> float:
        """Tell how long a way took."""
        row = self.cell.row(name)
        assert row
        return median(row.seconds())

    def measured(self, name: str) -> float:
        """Tell how many times sooner than one call a way was."""
        return self.cell.one_call / self.seconds(name)

    @property
    def predicted(self) -> float:
        """Tell how many times sooner it has to be, if nothing but the model takes time."""
        return self.setting.work.one_call / self.setting.work.path

    @property
    def predicted_pipelined(self) -> float | None:
        """Tell the same where points begin with their lines. Not told for servers that texts slow."""
        work = self.setting.work
        return work.one_call / work.pipelined_path if work.busy is idle else None


PLAIN, PIPELINED = "core", "core, pipelined"


def measure_pays(rounds: int) -> list[Pay]:
    """Measure at all settings."""
    chosen = partial(measure, questions=1, rounds=rounds, choose=lambda way: way.name in (PLAIN, PIPELINED))
    return [Pay(setting, chosen(setting.work)) for setting in SETTINGS]
