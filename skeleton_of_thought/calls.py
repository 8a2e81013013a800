"""The one door to a language model.

The core knows no provider and no framework. Whatever a question needs from a model is one ``Call``;
whatever can turn a call into a stream of pieces is an ``LLM``. Pieces are text, plain or with what it
came in, and at the end, where the model tells, what the call cost and why it ended.

A door may carry ``abilities``. Without them it is taken for a plain chat model, which is always safe.
"""

from collections.abc import AsyncIterator, Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias

from .skeleton import Skeleton

Role: TypeAlias = Literal["system", "user", "assistant"]
Stage: TypeAlias = Literal["route", "skeleton", "point", "direct"]

TOOL_CALLS = "tool_calls"
"""Why a call ended that asks for tools to be called, whatever text it has besides."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation."""

    role: Role
    text: str
    origin: object = field(default=None, compare=False, repr=False)
    """The framework's own message that this one stands for. An adapter hands it back unchanged."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request to a model."""

    stage: Stage
    messages: tuple[Message, ...]
    """Shared prefix first, task last. A closing assistant message is a prefill: the model goes on from it."""
    point: int | None = None
    """Number of the point that is written, for the stage ``point``."""
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    grammar: str | None = None
    """GBNF, only ever set for a door with ``abilities.grammar``."""
    stream: bool = True
    """``False`` when nobody reads along: the door may then ask for the whole text at once."""
    skeleton: Skeleton | None = None
    """What the point belongs to, for the stage ``point``."""
    said: str = ""
    """What was said of the reply before it broke off. The messages ask the model to go on from there."""
    shared: int = 0
    """How many of the messages, from the first, the skeleton and all points have in common: what is worth keeping in
    a prefix cache. 0 where nothing is known to be."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one or several calls, as the models reported them."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    """How many of the input tokens came from the provider's or engine's prefix cache."""

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cached_tokens + other.cached_tokens,
        )

    def __sub__(self, other: "Usage") -> "Usage":
        return Usage(
            self.input_tokens - other.input_tokens,
            self.output_tokens - other.output_tokens,
            self.cached_tokens - other.cached_tokens,
        )


_REASONS = {
    "max_tokens": "length",
    "end_turn": "stop",
    "stop_sequence": "stop",
    "safety": "content_filter",
    "tool_use": TOOL_CALLS,
}


@dataclass(frozen=True, slots=True)
class Finish:
    """Why a call ended, in the words of the OpenAI protocol: ``stop``, ``length``, ``content_filter``, ``tool_calls``.

    >>> Finish.of("MAX_TOKENS")
    Finish(reason='length')
    """

    reason: str

    @classmethod
    def of(cls, reason: str) -> "Finish":
        """Say what other protocols call a reason, Anthropic's and Google's, in these words."""
        return cls(_REASONS.get(reason.lower(), reason.lower()))


@dataclass(frozen=True, slots=True)
class Said:
    """A text together with the framework's own message that it came in.

    A direct answer carries the message through whole: tool calls, images, whatever else it holds.
    """

    text: str
    origin: object


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a provider still lets through, where it tells it with a reply. ``None`` is what it does not tell."""

    requests: int | None = None
    tokens: int | None = None
    seconds: float | None = None
    """Until what is used up is there again: the longer of the two, where it tells both."""


Piece: TypeAlias = str | Said | Usage | Finish | Allowance


@dataclass(frozen=True, slots=True)
class Abilities:
    """What a model can do beyond plain chat."""

    prefill: bool = False
    """It goes on from a closing assistant message and yields only what comes after it."""
    grammar: bool = False
    """It obeys ``Call.grammar``."""
    small: bool = False
    """Too small to follow instructions about form: it gets the bare question, and its form from the grammar."""
    tools: bool = False
    """It has tools, and may call one in the place of an answer."""


class LLM(Protocol):
    """Anything that answers a call with a stream of pieces.

    A failure is an exception, raised as it is; the engine decides what it means. Closing the stream
    ends the request. The attributes of `Door` are optional.
    """

    def __call__(self, call: Call, /) -> AsyncIterator[Piece]:
        """Answer *call*."""
        ...


@dataclass(frozen=True, slots=True)
class Door:
    """Make an `LLM` of a function and what the model behind it can do."""

    ask: Callable[[Call], AsyncIterator[Piece]]
    abilities: Abilities = Abilities()
    key: Hashable = None
    """Doors of one key lead to one model, which its refusals pause for all."""
    tries: int | Callable[[Call], int] = 1
    """How many requests the model's own client makes of one call that fails before its first token."""
    ends: bool = False
    """One model is behind it: where one streamed reply told why it ended, one that does not was cut."""

    def __call__(self, call: Call, /) -> AsyncIterator[Piece]:
        """Answer *call*."""
        return self.ask(call)


def abilities_of(llm: LLM) -> Abilities:
    """Tell what *llm* can do; a door that does not say is a plain chat model."""
    return getattr(llm, "abilities", Abilities())


class Same:
    """A key that is equal to others of the same object, whatever the object thinks of equality."""

    def __init__(self, of: object) -> None:
        self._of = of  # held, so that nothing else gets its address

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and self._of is other._of

    def __hash__(self) -> int:
        return id(self._of)


def key_of(llm: LLM) -> Hashable:
    """Tell which model *llm* leads to; a door that does not say leads to one of its own."""
    key: Hashable = getattr(llm, "key", None)
    return Same(llm) if key is None else key


def tries_of(llm: LLM, call: Call) -> int:
    """Tell how many requests *llm* makes by itself of one call that fails before its first token."""
    tries = getattr(llm, "tries", 1)
    return int(tries(call) if callable(tries) else tries)


def tells_ends(llm: LLM) -> bool:
    """Tell whether a streamed reply that does not say why it ended was cut, where another has said it."""
    return bool(getattr(llm, "ends", False))


def options_of(call: Call, *, max_tokens: str | None = "max_tokens") -> dict[str, Any]:
    """Return what *call* asks besides its messages, as keyword arguments of a chat model.

    Args:
        max_tokens: what the model calls its bound; ``None`` where it takes none with a call.
    """
    options: dict[str, Any] = {max_tokens: call.max_tokens} if max_tokens and call.max_tokens else {}
    options |= {"stop": list(call.stop)} if call.stop else {}
    options |= {"extra_body": {"grammar": call.grammar}} if call.grammar else {}
    return options


def tags_of(call: Call) -> dict[str, Any]:
    """Return what tells the runs of one answer apart in a trace: the stage, and the point's number."""
    return {"sot_stage": call.stage} | ({} if call.point is None else {"sot_point": call.point})


def merge_runs(messages: tuple[Message, ...]) -> list[Message]:
    """Join neighbours of one role, for endpoints whose chat template wants roles to take turns."""
    merged: list[Message] = []
    for message in messages:
        if merged and merged[-1].role == message.role:
            merged[-1] = Message(message.role, f"{merged[-1].text}\n\n{message.text}")
        else:
            merged.append(message)
    return merged
