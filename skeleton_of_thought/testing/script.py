"""What a script says to each request of a run, which are told apart by what they ask. Pure.

A request can also ask for the rest of a reply that broke off, in one of two ways:

* Its last message is the assistant's, and holds the text so far, behind a point's number and title or without.
* The text so far is an assistant's message, and a user's message with an instruction follows it.

It is such a request if the script's text for what was asked before begins with that assistant message; where the
spaces are may differ. Two readings are possible at two places, and this is the one that is taken: a user's message
that has the title of a point, after lines of the skeleton that have it too, asks for that point; and one after
the whole direct text is a new question.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from typing import TypeAlias

from ..calls import Message
from ..models.generation import Generation
from .scripted import Key

ReplyFunction: TypeAlias = Callable[[Generation], str]
GoingOn: TypeAlias = Callable[[str, str], str]
"""Gets what was said and what is left of the text, and returns what is said next."""


def filler(generation: Generation) -> str:
    """Say as many words as are asked for, 64 if none are: the same words each time."""
    return " ".join(islice(cycle(("one", "word", "after", "another,", "and")), generation.max_tokens or 64))


# -- how a model goes on -------------------------------------------------------------------------------


def go_on(_: str, rest: str) -> str:
    """Say exactly what is left, with the space before it, if it begins with one."""
    return rest


def go_on_with_a_word(_: str, rest: str) -> str:
    """Say what is left without the space before it, as chat models begin a message."""
    return rest.lstrip()


def repeat_words(words: int) -> GoingOn:
    """Make a model that first says the last *words* words again, also one that was cut."""

    def going_on(said: str, rest: str) -> str:
        repeated = re.findall(r"\S+\s*", said)[-words:] if words else []
        return "".join(repeated) + rest

    return going_on


def start_again(said: str, rest: str) -> str:
    """Say the whole text again."""
    return said + rest


# -- the script ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptReply:
    """A reply function that says what `script_reply` was given."""

    skeleton: str
    points: Mapping[int, str]
    direct: str = ""
    going_on: GoingOn = go_on

    def __call__(self, generation: Generation, /) -> str:
        """Say the text that *generation* asks for, or what is left of it."""
        key, end = self._read(generation)
        text = self.points[key] if isinstance(key, int) else self._text(key)
        return self.going_on(text[:end], text[end:]) if end else text

    def stage_of(self, generation: Generation, /) -> Key:
        """Tell the number of the point that *generation* asks for, or ``skeleton``, or ``direct``."""
        return self._read(generation)[0]

    def _read(self, generation: Generation) -> tuple[Key, int]:
        """Tell what is asked for, and how much of its text was said already."""
        if generation.prompt is not None:
            return self._asked(generation.prompt), 0
        return self._conversation(generation.messages)

    def _conversation(self, messages: Sequence[Message]) -> tuple[Key, int]:
        users = [number for number, message in enumerate(messages) if message.role == "user"]
        if not users:
            return self._begun("direct", 0, _joined(messages))
        last = users[-1]
        key, end = self._task(messages[: last + 1])
        closing = _joined(messages[last + 1 :])
        return self._begun(key, end, closing) if closing else (key, end)

    def _begun(self, key: Key, said: int, closing: str) -> tuple[Key, int]:
        """Read a closing assistant message: the text so far, or the number and title of a point before it."""
        if (end := _end(self._text(key), closing, said)) is not None:
            return key, end
        found = {closing.find(title): number for number, title in self._titles().items() if title in closing}
        if not found:
            return key, said
        number = found[min(found)]
        begun = closing[min(found) + len(self._titles()[number]) :].lstrip(":* \n")
        return number, _end(self._text(number), begun) or 0

    def _task(self, messages: Sequence[Message]) -> tuple[Key, int]:
        """Read a conversation that ends with the user: a task, or the instruction to go on."""
        *before, task = messages
        if before and before[-1].role == "assistant" and any(message.role == "user" for message in before):
            begun = before[-1].text
            key, said = self._conversation(before[:-1])
            end = _end(self._text(key), begun, said)
            if end is not None and self._asks_to_go_on(key, task.text, begun, end):
                return key, end
        return self._asked(task.text), 0

    def _asks_to_go_on(self, key: Key, task: str, begun: str, end: int) -> bool:
        if isinstance(key, int):
            return True
        asked = _QUOTED.sub("", task)  # the last words, which may hold a title
        if key == "skeleton" and any(title in asked and title in begun for title in self._titles().values()):
            return False
        return end < len(self._text(key).rstrip())

    def _asked(self, task: str) -> Key:
        found = {task.rfind(title): number for number, title in self._titles().items() if title in task}
        if found:
            return found[max(found)]
        return "skeleton" if "skeleton" in task.lower() else "direct"

    def _titles(self) -> dict[int, str]:
        lines = re.findall(r"^\s*(\d+)[.)]\s*(.*\w)", self.skeleton, re.MULTILINE)
        return {int(number): title for number, title in lines}

    def _text(self, key: Key) -> str:
        if isinstance(key, int):
            return self.points.get(key, "")
        return self.skeleton if key == "skeleton" else self.direct


_QUOTED = re.compile(r'"[^"]*"')


def script_reply(
    *, skeleton: str, points: Mapping[int, str], direct: str = "", going_on: GoingOn = go_on
) -> ScriptReply:
    """Make a reply function that tells the requests of a run apart by their last message.

    The point is the one whose title, as it stands in *skeleton*, comes last in the task. Without any title
    a task that has the word "skeleton" gets the skeleton, and any other gets *direct*. A closing assistant
    message belongs to the task.

    Args:
        going_on: what is said to a request for the rest of a reply that broke off.

    >>> script = script_reply(skeleton="1. Sleep\\n2. Walk", points={1: "Go to bed.", 2: "Walk a lot."})
    >>> script.stage_of(Generation(prompt="Now write point 2, Walk.")), script(Generation(prompt="Write: Walk"))
    (2, 'Walk a lot.')
    """
    return ScriptReply(skeleton=skeleton, points=points, direct=direct, going_on=going_on)


def _joined(messages: Sequence[Message]) -> str:
    return "\n".join(message.text for message in messages)


def _end(text: str, begun: str, start: int = 0) -> int | None:
    """Tell where *begun* ends in *text*, which says it from *start* on. Any space is as good as another."""
    words = begun.split()
    pattern = r"\s*" + r"\s+".join(map(re.escape, words)) + (r"\s*" if begun[-1:].isspace() else "")
    found = re.compile(pattern).match(text, start)
    return found.end() if words and found else None
