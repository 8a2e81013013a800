"""Who gets the next place: the run that holds fewest; of equals, the one that has held so few for longest.

However many runs wait, it takes the same time to tell.
"""

from collections import OrderedDict, deque
from collections.abc import Hashable
from typing import Generic, TypeVar

Turn = TypeVar("Turn")


class Fairness(Generic[Turn]):
    """What runs hold, and the calls of each that wait for their turn, in the order they came.

    >>> fair = Fairness[str]()
    >>> for turn in ("long, point 1", "long, point 2", "short, point 1"):
    ...     fair.add(turn.partition(",")[0], turn)
    >>> run, turn = fair.pop()
    >>> fair.hold(run)
    >>> turn, fair.pop()
    ('long, point 1', ('short', 'short, point 1'))
    """

    def __init__(self) -> None:
        self.held: dict[Hashable, int] = {}
        """How many places each run holds; those that hold none are not there."""
        self._waiting: dict[Hashable, deque[Turn]] = {}
        self._levels: dict[int, OrderedDict[Hashable, None]] = {}
        """The runs that wait, by how many places they hold. An ``OrderedDict`` finds its first at once."""

    def __len__(self) -> int:
        return len(self._waiting)

    def hold(self, run: Hashable) -> None:
        """Take note that a run has one place more."""
        self._change(run, 1)

    def release(self, run: Hashable) -> None:
        """Take note that a run has one place fewer."""
        self._change(run, -1)

    def add(self, run: Hashable, turn: Turn) -> None:
        """Let a call of a run wait, behind the others of the same run."""
        if run not in self._waiting:
            self._waiting[run] = deque()
            self._enter(run)
        self._waiting[run].append(turn)

    def waits(self, run: Hashable, turn: Turn) -> bool:
        """Tell whether a call waits."""
        return turn in self._waiting.get(run, ())

    def remove(self, run: Hashable, turn: Turn) -> None:
        """Let a call wait no more, if it does."""
        if self.waits(run, turn):
            self._waiting[run].remove(turn)
            self._leave_if_none_waits(run)

    def pop(self) -> tuple[Hashable, Turn]:
        """Take out the call that is next, and tell of which run it is."""
        run = next(iter(self._levels[min(self._levels)]))
        turn = self._waiting[run].popleft()
        self._leave_if_none_waits(run)
        return run, turn

    def _change(self, run: Hashable, by: int) -> None:
        waits = run in self._waiting
        if waits:
            self._leave(run)
        self.held[run] = self.held.get(run, 0) + by
        if not self.held[run]:
            del self.held[run]
        if waits:
            self._enter(run)

    def _leave_if_none_waits(self, run: Hashable) -> None:
        if not self._waiting[run]:
            del self._waiting[run]
            self._leave(run)

    def _enter(self, run: Hashable) -> None:
        self._levels.setdefault(self.held.get(run, 0), OrderedDict())[run] = None

    def _leave(self, run: Hashable) -> None:
        held = self.held.get(run, 0)
        del self._levels[held][run]
        if not self._levels[held]:
            del self._levels[held]
