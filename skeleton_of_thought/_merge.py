"""What may be shown now: the points in reading order, whatever order they are written in.

The first point that is not done is shown as it comes. What comes early for the others is held back, and
shown in one piece when their turn comes.
"""

from collections.abc import Mapping

BETWEEN_POINTS = "\n\n"


class Merger:
    """Put pieces of several points into reading order.

    Args:
        headings: what stands before the text of each point, by number, in reading order.

    >>> page = Merger({1: "1. Eat: ", 2: "2. Sleep: "})
    >>> page.open() + page.feed(2, "Early.") + page.feed(1, "Well.") + page.close(1) + page.close(2)
    '1. Eat: Well.\\n\\n2. Sleep: Early.'
    """

    def __init__(self, headings: Mapping[int, str]) -> None:
        self._waiting = list(headings)
        self._held = {number: [heading] for number, heading in headings.items()}
        self._done: set[int] = set()

    def add(self, number: int, heading: str) -> str:
        """Add a point, the last so far in reading order, and return what can be shown."""
        first = not self._held
        self._held[number] = [heading]
        self._waiting.append(number)
        if len(self._waiting) > 1:
            return ""
        return ("" if first else BETWEEN_POINTS) + self._release()

    def open(self) -> str:
        """Return what can be shown before anything is written: the first heading."""
        return self._release()

    def feed(self, number: int, text: str) -> str:
        """Take a piece of a point's text and return what can be shown."""
        self._held[number].append(text)
        return self._release() if number in self._waiting[:1] else ""

    def close(self, number: int) -> str:
        """Take note that a point is done and return what can be shown."""
        self._done.add(number)
        shown = ""
        while self._waiting and self._waiting[0] in self._done:
            self._waiting.pop(0)
            if self._waiting:
                shown += BETWEEN_POINTS + self._release()
        return shown

    def _release(self) -> str:
        held = self._held[self._waiting[0]]
        text = "".join(held)
        held.clear()
        return text
