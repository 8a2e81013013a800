"""How soon a model usually begins to speak, and so when a call is late."""

from collections import deque
from dataclasses import dataclass, field
from math import ceil

_REMEMBERED = 200
"""How many calls are remembered: enough for a 95th percentile, few enough to follow a provider through the day."""
_LEAST = 20
"""Fewer calls say nothing about a 95th percentile."""


@dataclass(slots=True)
class Pace:
    """Seconds to the first token of the last calls to one model, and how many were asked a second time."""

    calls: int = 0
    again: int = 0
    _streamed: deque[float] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))
    _whole: deque[float] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))

    def heard(self, seconds: float, *, streamed: bool) -> None:
        """Take note of a first token. One that has not come by then counts as if it had: it is no sooner."""
        (self._streamed if streamed else self._whole).append(seconds)

    def late_after(self, percentile: float, *, streamed: bool) -> float | None:
        """Return how long a first token takes at most in so many of the calls; ``None`` while too few are known."""
        known = sorted(self._streamed if streamed else self._whole)
        return known[ceil(percentile * len(known)) - 1] if len(known) >= _LEAST else None

    def may_ask_again(self, budget: float) -> bool:
        """Tell whether one more second call keeps to the budget, a share of all calls."""
        return self.again + 1 <= budget * self.calls
