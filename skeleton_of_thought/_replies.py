"""How the text of a call is taken: as a point, as a skeleton, or as the answer itself.

A reply may take several requests. Each begins with ``begin``. What was shown of the requests before is ``said``: the
next one goes on from there. As long as nothing was shown it begins anew, and what was heard is forgotten.
"""

from collections.abc import Callable
from typing import Protocol

from ._continuation import Continuation
from ._expansion import ExpansionText
from .errors import EmptyTextError
from .skeleton import Point, SkeletonParser

_BEYOND = 200
"""Signs that a model may write after its list is over before it is cut off. Most end by themselves, and tell usage."""


_CUT = frozenset({"length", "content_filter", "refusal"})
"""Why a reply ends in the middle of a line."""


class Reply(Protocol):
    """Takes what a model says."""

    @property
    def said(self) -> str:
        """What the reader has seen of it, which a further request goes on from."""
        ...

    def begin(self, *, exact: bool) -> None:
        """Begin to hear a request.

        Args:
            exact: the model goes on exactly behind ``said``; otherwise it may repeat some of it.
        """
        ...

    def hear(self, text: str, origin: object) -> bool | None:
        """Take a text and the framework's message that it came in; tell whether enough was heard."""
        ...

    def end(self, finish: str | None) -> None:
        """Take note that a request was heard to its end.

        Raises:
            EmptyTextError: there is no text where there has to be one.
        """
        ...


class PointReply:
    """The text of a point, cleaned, and shown as it comes."""

    def __init__(self, point: Point, pieces: list[str], show: Callable[[str], None]) -> None:
        self._point = point
        self._pieces = pieces
        self._show = show
        self._cleaned: ExpansionText
        self._again: Continuation | None = None

    @property
    def said(self) -> str:
        """What was shown."""
        return "".join(self._pieces)

    def begin(self, *, exact: bool) -> None:
        """Begin to hear a request."""
        self._cleaned = ExpansionText(self._point, begun=exact and bool(self._pieces))  # who begins anew repeats it
        self._again = Continuation(self.said) if self._pieces and not exact else None

    def hear(self, text: str, _: object) -> None:
        """Take a text."""
        self._take(self._cleaned.feed(text))

    def end(self, finish: str | None) -> None:
        """Show what was held back."""
        self._take(self._cleaned.flush())
        if self._again:
            self._give(self._again.flush())
        if not self._pieces:
            raise EmptyTextError(finish)

    def _take(self, text: str) -> None:
        self._give(self._again.feed(text) if self._again else text)

    def _give(self, text: str) -> None:
        if text:
            self._pieces.append(text)
            self._show(text)


class SkeletonReply:
    """The text of a skeleton, and the points in it."""

    def __init__(
        self,
        parser: Callable[[], SkeletonParser],
        say: Callable[[str], None],
        find: Callable[[SkeletonParser, list[Point]], None],
        said: str = "",
    ) -> None:
        self._new_parser = parser
        self._say = say
        self._find = find
        self._beyond = 0
        self._again: Continuation | None = None
        self.parser = parser()
        self.heard: list[tuple[str, object]] = [(said, None)] if said else []
        self.parser.feed(said)

    @property
    def said(self) -> str:
        """All of its text, once there is a point in it."""
        return "".join(text for text, _ in self.heard) if self.parser.points else ""

    def begin(self, *, exact: bool) -> None:
        """Begin to hear a request."""
        if not self.said:
            self.parser, self.heard, self._beyond = self._new_parser(), [], 0
        self._again = Continuation(self.said) if self.said and not exact else None

    def hear(self, text: str, origin: object) -> bool:
        """Take a text, find points in it, and tell whether the list has been over for long."""
        return self._take(self._again.feed(text) if self._again else text, origin)

    def end(self, finish: str | None) -> None:
        """Find the points that the end completes."""
        if self._again:
            self._take(self._again.flush(), None)
        self._find(self.parser, self.parser.flush(cut=finish in _CUT))

    def _take(self, text: str, origin: object) -> bool:
        if text or origin is not None:
            self.heard.append((text, origin))
        if text:
            self._say(text)
        self._find(self.parser, self.parser.feed(text))
        self._beyond += len(text) if self.parser.done else 0
        return self._beyond > _BEYOND


class DirectReply:
    """The answer itself, as the model says it. White space waits for a word: an attempt without any leaves nothing."""

    def __init__(self, show: Callable[[str, object], None], said: str = "") -> None:
        self._show = show
        self._texts = [said] if said.strip() else []
        self._held: list[tuple[str, object]] = []
        self._heard = bool(self._texts)
        self._again: Continuation | None = None

    @property
    def said(self) -> str:
        """What was shown."""
        return "".join(self._texts)

    def begin(self, *, exact: bool) -> None:
        """Begin to hear a request."""
        self._held.clear()
        self._again = Continuation(self.said) if self._texts and not exact else None

    def hear(self, text: str, origin: object) -> None:
        """Take a text."""
        new = self._again.feed(text) if self._again else text
        self._held.append((new, origin if new == text else None))  # the message would say it again
        if self._texts or new.strip() or not any(held for held, _ in self._held):  # messages need no word
            self._give()

    def end(self, finish: str | None) -> None:
        """Show what was held back."""
        if self._again:
            self._held.append((self._again.flush(), None))
        if not self._heard and all(origin is None for _, origin in self._held):
            raise EmptyTextError(finish)
        self._give()

    def _give(self) -> None:
        for text, origin in self._held:
            if text:
                self._texts.append(text)
            self._heard = self._heard or bool(text) or origin is not None
            self._show(text, origin)
        self._held.clear()
