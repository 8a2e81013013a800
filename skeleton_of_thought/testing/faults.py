"""What can go wrong between a client and a model, as values, and plans of when it does.

A `LatencyServer` is asked for a fault before each reply. Its plan is a function of the request and of how many
requests for the same came before, so that a first request can fail and its repetition go well.

Faults that need a reply to break do it after so many tokens, a word being one, and at the latest before the
reply's finish reason. They leave a reply alone that is itself an error.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from .scripted import Key

if TYPE_CHECKING:
    from ._exchange import LoggedRequest


@dataclass(frozen=True, slots=True)
class Rejected:
    """The request is answered with a status and an error body, as OpenAI words it."""

    status: int = 429
    headers: Mapping[str, str] = field(default_factory=dict, hash=False)
    """``{"retry-after": "1"}``, for example."""
    code: str | None = None
    """Such as ``insufficient_quota``, which no waiting cures."""
    kind: str | None = None
    """The error's ``type``; what goes with the status if there is none."""


@dataclass(frozen=True, slots=True)
class Dropped:
    """The connection is lost. What has been sent of the reply arrives."""

    after: int | None = None
    """Tokens, 0 being after the headers. ``None``: before any byte of the reply.

    Of a reply that is not streamed about half arrives, whatever the number.
    """
    reset: bool = False
    """By a TCP reset, as a process that is killed sends it; else by closing the connection."""


@dataclass(frozen=True, slots=True)
class Stalled:
    """The reply stops for a while, and goes on. A reply that is not streamed comes that much later."""

    after: int | None = 0
    """Tokens, 0 being after the headers. ``None``: before any byte of the reply."""
    seconds: float = 60.0
    """It ends at once when the client leaves and when the server is shut down."""


@dataclass(frozen=True, slots=True)
class EndedEarly:
    """The reply ends cleanly but incomplete: without finish reason, usage and ``[DONE]``."""

    after: int


@dataclass(frozen=True, slots=True)
class ErrorEvent:
    """The stream ends with an event that tells an error, as OpenAI's and vLLM's do. Not streamed: a status 500."""

    after: int = 0
    code: str | int | None = None
    kind: str = "server_error"
    """The error's ``type``."""


@dataclass(frozen=True, slots=True)
class Garbage:
    """The stream has an event that is no JSON, and goes on. Not streamed, all of the body is none."""

    after: int = 0


@dataclass(frozen=True, slots=True)
class Empty:
    """The reply is in order, but says nothing, or only what is given here."""

    finish: str = "stop"
    """``content_filter``, for example."""
    text: str = ""


Breaking: TypeAlias = Dropped | Stalled | EndedEarly | ErrorEvent | Garbage
"""A fault that happens to a reply on its way."""
Fault: TypeAlias = Rejected | Dropped | Stalled | EndedEarly | ErrorEvent | Garbage | Empty
FaultPlan: TypeAlias = Callable[["LoggedRequest", int], Fault | None]
"""Gets the request, with its ``stage``, and how many for the same came before; ``None`` lets it go well."""


def faults_by(table: Mapping[Key, Sequence[Fault | None]]) -> FaultPlan:
    """Make a plan of a table by stage and by point: the first request gets the first fault, later ones none.

    >>> plan = faults_by({"skeleton": [Rejected(503)], 2: [Dropped(after=3), None, Garbage()]})
    """

    def plan(request: "LoggedRequest", earlier: int) -> Fault | None:
        row = table.get(request.stage, ())
        return row[earlier] if earlier < len(row) else None

    return plan


def random_faults(rate: float, *, seed: int = 0) -> FaultPlan:
    """Make a plan in which each request fails with probability *rate*, in any way that trying again cures.

    What happens comes from the seed, the stage or point, and the number of requests for it before, not from
    the order in which requests come.
    """

    def plan(request: "LoggedRequest", earlier: int) -> Fault | None:
        chance = random.Random(f"{seed} {request.stage} {earlier}")  # noqa: S311 -- a fault, not a secret
        return _any_fault(chance) if chance.random() < rate else None

    return plan


def _any_fault(chance: random.Random) -> Fault:
    after = chance.randrange(12)
    return chance.choice((
        Rejected(429, {"retry-after": "0.01"}),
        Rejected(500),
        Rejected(503),
        Rejected(529, kind="overloaded_error"),
        Dropped(),
        Dropped(after),
        Dropped(after, reset=True),
        EndedEarly(after),
        ErrorEvent(after),
    ))
