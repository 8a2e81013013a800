"""A clock that goes on only when nothing else can happen: what takes time takes none, and happens in the same order."""

import asyncio
import selectors

import pytest


class _Selector(selectors.DefaultSelector):
    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        found = super().select(timeout and 0)
        if not found:
            self.now += timeout or 0.0
        return found


class SkippingLoop(asyncio.SelectorEventLoop):
    """An event loop with such a clock."""

    def __init__(self) -> None:
        self._clock = _Selector()
        super().__init__(self._clock)

    def time(self) -> float:
        return self._clock.now


def skip_time(patch: pytest.MonkeyPatch) -> None:
    """Let each new loop be such a one."""
    patch.setattr(asyncio.events, "new_event_loop", SkippingLoop)
