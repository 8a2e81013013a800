"""What may be shown now: the points in reading order, whatever order they are written in.

The first point that is not done is shown as it comes. What comes early for the others is held back, and
shown in one piece when their turn comes.
"""

BETWEEN_POINTS = "\n\n"


class Merger:
    """Put pieces of several points into reading order.

    Args:
        patient: show a heading only together with what follows it, so that a point can be left out until then.

    >>> page = Merger()
    >>> page.add(1, "1. Eat: ") + page.add(2, "2. Sleep: ")
    '1. Eat: '
    >>> page.feed(2, "Early.") + page.feed(1, "Well.") + page.close(1) + page.close(2)
    'Well.\\n\\n2. Sleep: Early.'
    """

    def __init__(self, *, patient: bool = False) -> None:
        self._patient = patient
        self._waiting: list[int] = []
        self._held: dict[int, list[str]] = {}
        self._done: set[int] = set()
        self._shown: set[int] = set()

    def add(self, number: int, heading: str) -> str:
        """Add a point, the last so far in reading order, and return what can be shown."""
        self._held[number] = [heading]
        self._waiting.append(number)
        return self._show() if len(self._waiting) == 1 else ""

    def feed(self, number: int, text: str) -> str:
        """Take a piece of a point's text and return what can be shown."""
        self._held[number].append(text)
        return self._show() if self._waiting[0] == number else ""

    def close(self, number: int) -> str:
        """Take note that a point is done and return what can be shown."""
        self._done.add(number)
        return self._show() if self._waiting[0] == number else ""

    def leave_out(self, number: int) -> str:
        """Take a point away of which `is_shown` tells nothing, and return what can be shown."""
        first = self._waiting[0] == number
        self._waiting.remove(number)
        return self._show() if first else ""

    def is_shown(self, number: int) -> bool:
        """Tell whether anything of a point was shown, its heading included."""
        return number in self._shown

    def _show(self) -> str:
        shown = ""
        while self._waiting:
            shown += self._release(self._waiting[0])
            if self._waiting[0] not in self._done:
                break
            self._waiting.pop(0)
        return shown

    def _release(self, number: int) -> str:
        held = self._held[number]
        if self._patient and len(held) < 2 and number not in self._shown and number not in self._done:
            return ""
        before = BETWEEN_POINTS if self._shown and number not in self._shown else ""
        self._shown.add(number)
        text = "".join(held)
        held.clear()
        return before + text
