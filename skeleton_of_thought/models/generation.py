"""One text to generate, as an OpenAI-compatible endpoint understands it, and what can generate it."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from ..calls import Finish, Message, Usage

Generated: TypeAlias = str | Usage | Finish
"""What a generator yields."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """What to generate. ``None`` leaves a value to the generator."""

    messages: tuple[Message, ...] = ()
    """A conversation. A closing assistant message is gone on from, and is not repeated."""
    prompt: str | None = None
    """Plain text to go on from, instead of a conversation."""
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    repetition_penalty: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    grammar: str | None = None
    """GBNF."""
    json_schema: str | None = None
    """A JSON schema, as JSON text."""
    ignore_eos: bool = False
    """Go on to ``max_tokens`` whatever the model would like; for measurements at equal length."""
    whole: bool = False
    """Yield the text in one piece when it is over; to hand out each token costs time that a step could use."""


class Generator(Protocol):
    """Anything that generates text: the embedded engine, or a fake one that only takes its time."""

    @property
    def name(self) -> str:
        """The model's name, as ``/v1/models`` tells it."""
        ...

    def generate(self, generation: Generation, /) -> AsyncGenerator[Generated, None]:
        """Yield text as it comes, then one ``Usage`` and one ``Finish``. Closing it ends the work.

        Raises `InputError` when the generation cannot be done as asked.
        """
        ...
