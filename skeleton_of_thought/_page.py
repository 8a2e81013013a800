"""What the reader sees of a run, said and noted at once."""

from ._merge import Merger
from ._record import Record
from ._relay import Emit
from .answer import Heading, Section, heading_of
from .events import Event, PointDone, PointFailed, PointText, Text
from .skeleton import Point


class Page:
    """The text of an answer in the making.

    Args:
        patient: show a heading only together with what follows it, so that a point can be left out until then.
    """

    def __init__(self, record: Record, emit: Emit[Event], heading: Heading, *, patient: bool) -> None:
        self._record = record
        self._emit = emit
        self._heading: Heading = heading
        self._merger = Merger(patient=patient)

    def say(self, text: str, origin: object = None) -> None:
        """Show a text, with the framework's message that it came in."""
        if origin is not None:
            self._record.origins.append(origin)
        if text:
            self._record.say(text)
        if text or origin is not None:
            self._emit(Text(text, origin))

    def begin(self, point: Point, *, alone: bool = False) -> None:
        """Add a point, the last so far in reading order. One that is alone has no heading."""
        heading = self._record.headings[point.number] = "" if alone else heading_of(point, self._heading)
        self.say(self._merger.add(point.number, heading))

    def take(self, point: Point, text: str) -> None:
        """Take a piece of a point's text; show it when its turn comes."""
        self._emit(PointText(point.number, text))
        self.say(self._merger.feed(point.number, text))

    def done(self, section: Section) -> None:
        """Take note that a point is written."""
        number = section.point.number
        self._record.done[number] = section
        self._emit(PointDone(section))
        self.say(self._merger.close(number))

    def recall(self, section: Section) -> None:
        """Show a point, or what there is of it, that an earlier run had written."""
        number = section.point.number
        self._record.pieces[number] = [section.text] if section.text else []
        if section.text:  # of one that has none, the heading waits where it may be left out
            self.say(self._merger.feed(number, section.text))
        if section.done:
            self._record.resumed.add(number)
            self._record.done[number] = section
            self.say(self._merger.close(number))

    def is_shown(self, point: Point) -> bool:
        """Tell whether anything of a point was shown, its heading included."""
        return self._merger.is_shown(point.number)

    def give_up(self, point: Point, error: Exception, ending: str | None) -> None:
        """Take note that a point will not be written.

        Args:
            ending: what stands in the place of what is missing; ``None`` leaves the point out.
        """
        self._emit(PointFailed(point, error))
        rest = self._record.give_up(point, type(error).__name__, ending)
        if ending is None:
            self.say(self._merger.leave_out(point.number))
        else:
            self.say(self._merger.feed(point.number, rest))
            self.say(self._merger.close(point.number))
