"""How many calls a provider seems to bear: additive increase, multiplicative decrease, as in TCP.

It starts at the bound. When a call is refused it falls to as many as are still in flight, which the provider has
taken; it halves if there are none. From there it grows by one with every call that goes well, up to half of what it
was, and beyond that by one with every round of calls. It halves when calls become slow, and falls to what a provider
says it still lets through, besides those in flight.

Calls that are refused together are one sign of how fast it may grow again: only one that began later is another.
"""

from dataclasses import dataclass


@dataclass(slots=True)
class Width:
    """A width from 1 up to *most*. Times are seconds of one clock, which the caller reads."""

    most: int
    _width: float = 0.0
    _fast: float = 0.0
    """Up to which width it grows fast."""
    _changed: float = float("-inf")

    def __post_init__(self) -> None:
        self._width = self._fast = float(self.most)

    @property
    def now(self) -> int:
        """How many may be in flight."""
        return max(1, int(self._width))

    def refused(self, began: float, now: float, in_flight: int) -> None:
        """Take note that a call which began at *began* was refused; it is still among those in flight."""
        first, taken = began > self._changed, in_flight - 1
        if first:
            self._fast, self._changed = self._width / 2, now
        if taken:
            self._width = max(1.0, min(self._width, taken))
        elif first:  # it was alone, so nothing is known of how many would have been taken
            self._width = max(1.0, self._fast)

    def allowed(self, more: int, now: float, in_flight: int) -> None:
        """Take note that a provider lets so many *more* calls through, besides those in flight."""
        if in_flight + more < self._width:
            self._width, self._changed = float(max(1, in_flight + more)), now

    def went_well(self, began: float, now: float, in_flight: int, *, slow: bool = False) -> None:
        """Take note of a call that was heard to its end, though perhaps *slow*."""
        if not slow or in_flight < 2:  # one that is alone waits for no other of ours
            self._width = min(float(self.most), self._width + (1 if self._width < self._fast else 1 / self._width))
        elif began > self._changed:
            self._width = self._fast = max(1.0, min(self._width, in_flight) / 2)
            self._changed = now
