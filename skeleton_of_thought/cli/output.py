"""What is done with a run while it goes on. The live view has a file of its own."""

import json
import os
from dataclasses import fields
from typing import Any, Protocol, TextIO

from ..answer import Answer
from ..events import Event, Text
from . import failure


class Output(Protocol):
    """Where a run is shown."""

    def hear(self, event: Event) -> None:
        """Take the next event."""
        ...

    def leave(self, answer: Answer | None) -> None:
        """End, and leave *answer* behind, whole or not. There is none when the run broke off."""
        ...


class AsText:
    """The text in reading order, as soon as it can be read."""

    def __init__(self) -> None:
        self._shown = 0
        self._ended = True

    def hear(self, event: Event) -> None:
        """Print text."""
        if isinstance(event, Text):
            self._shown += len(event.text)
            self._ended = event.text.endswith("\n")
            print(event.text, end="", flush=True)

    def leave(self, answer: Answer | None) -> None:
        """Print what has not been shown, and end the line."""
        rest = answer.text[self._shown :] if answer else ""
        ended = rest.endswith("\n") if rest else self._ended
        print(rest, end="" if ended else "\n")


class AsJson:
    """The whole answer, as ``Answer.from_json`` reads it."""

    def hear(self, event: Event) -> None:
        """Wait for the end."""

    def leave(self, answer: Answer | None) -> None:
        """Print the answer."""
        if answer:
            print(answer.to_json())


class AsEvents:
    """Each event as a JSON object on a line of its own, with its name as ``event``."""

    def hear(self, event: Event) -> None:
        """Print the event."""
        said = {"event": type(event).__name__, **_values(event)}
        print(json.dumps(said, default=_plain, ensure_ascii=False), flush=True)

    def leave(self, answer: Answer | None) -> None:
        """Do nothing: all has been said."""


def can_animate(stream: TextIO) -> bool:
    """Tell whether *stream* is a terminal on which lines can be written anew."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def _plain(value: Any) -> object:
    """Stand in for what JSON does not know: in an event, values of this package and exceptions."""
    return failure.line(value) if isinstance(value, Exception) else _values(value)


def _values(value: Any) -> dict[str, object]:
    return {field.name: getattr(value, field.name) for field in fields(value)}
