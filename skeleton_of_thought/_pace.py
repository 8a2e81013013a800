"""How soon a model usually begins to speak and how fast it goes on, and so when a call is late or slow."""

from collections import deque
from dataclasses import dataclass, field
from math import ceil

_REMEMBERED = 200
"""How many calls are remembered: enough for a 95th percentile, few enough to follow a provider through the day."""
_LEAST = 20
"""Fewer calls say nothing about a 95th percentile."""

_SLOW = 3.0
"""By what time per token has to grow beyond the best that was seen. A batch costs up to twice as much a token on
engines that gain from it; beyond that the calls only wait for each other."""
_FAST = 0.005
"""Seconds a token, below which nothing is slow: there it is this machine that is measured."""
_FEW = 3
_FORGOTTEN = 1.1
"""By what the best grows with every call that has hardly any other beside it: if it is slow, the provider has become
so. Among many it may be slow because they are many."""
_SMOOTH = 0.2
"""Weight of the newest call in the average time per token."""


@dataclass(slots=True)
class Pace:
    """Seconds to the first token of the last calls to one model, and how many were asked a second time."""

    calls: int = 0
    again: int = 0
    _streamed: deque[float] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))
    _whole: deque[float] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))
    _per_token: float | None = None
    _best: float = float("inf")

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

    def is_slow(self, per_token: float | None, in_flight: int) -> bool:
        """Take note of the seconds between two tokens of a call, where they are known; tell whether calls are slow."""
        if per_token is None:
            return False
        smooth = _SMOOTH if self._per_token is not None else 1.0
        self._per_token = smooth * per_token + (1 - smooth) * (self._per_token or 0.0)
        self._best = min(self._best * (_FORGOTTEN if in_flight < _FEW else 1.0), self._per_token)
        return self._per_token > max(_FAST, _SLOW * self._best)
