"""The settings of a run: one name, one meaning and one default each, wherever they are used."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Final, Literal, Self, TypeAlias, get_args

from ._hedge import Hedge
from ._limits import Limit
from ._listen import Timeout
from ._numbers import check_seconds, check_whole
from ._retry import Retry
from .answer import Heading
from .errors import ConfigurationError, PointError
from .prompts import Detail, Prompts
from .rate_limit import Waits
from .retrieval import Retriever
from .routers import Router

PER_CALL: Final = ("timeout", "deadline")
"""What a framework may set for one call alone."""

RouterChoice: TypeAlias = Literal["auto", "always", "never"]
PointErrorChoice: TypeAlias = Literal["raise", "mark", "leave_out"]
OnPointError: TypeAlias = PointErrorChoice | Callable[[PointError], str | Awaitable[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How an answer is made. The same names in the core, in both adapters and on the command line.

    Raises:
        ConfigurationError: a value cannot work; the message names those that can.
    """

    router: RouterChoice | Router = "auto"
    """Whether a question gets a skeleton: by written rules, always, never, or as a router of yours decides."""
    retriever: Retriever | None = None
    """Finds passages for each point by the point's own words; they are numbered, given to the model and cited."""
    prompts: Prompts = Prompts()
    pipelined: bool = False
    """Write a point as soon as its line of the skeleton is complete. It then knows only the lines before it; without,
    each point sees the whole skeleton, as in the paper."""
    max_points: int = 10
    """More points are cut (paper, section 2.1: 3 to 10)."""
    min_points: int = 2
    """Fewer points mean a direct answer."""
    detail: Detail = "short"
    """How much is written for each point: 1 to 2 sentences as in the paper, a paragraph, or several."""
    point_max_tokens: int | None = None
    """Upper bound of each expansion, in tokens; ``None`` is one that fits ``detail``."""
    heading: Heading = "numbered"
    """How a point's title shows in the text."""
    max_concurrency: int | Limit = 16
    """Model calls in flight, over all runs of the object. A `Limit` bounds several objects together."""
    rate_limit: Waits | None = None
    """Requests and tokens a minute: a `RateLimit`, or what waits as it does. Several chains may be given the same."""
    retry: Retry = Retry()
    """What may go well the next time is tried again."""
    timeout: float | Timeout | None = None
    """Seconds that a model may be silent, before its first token and between two. Calls are streamed then."""
    deadline: float | None = None
    """Seconds for the whole answer. What is written by then is the answer, and what is missing is marked."""
    on_point_error: OnPointError = "raise"
    """What to do with a point that cannot be written: raise `PointError`, mark the gap, leave the point out, or put the
    text there that a function returns for the error; an empty one leaves it out. What was shown of a point stays."""
    hedge: Hedge | None = None
    """Ask a second time for a point whose first token is late."""

    @classmethod
    def of(cls, named: Mapping[str, Any]) -> Self:
        """Make settings of keyword arguments that were only passed on.

        Raises:
            ConfigurationError: there is no setting of such a name, or a value cannot work.
        """
        known = [field.name for field in fields(cls)]
        if unknown := sorted(set(named) - set(known)):
            raise ConfigurationError(f"there is no setting {', '.join(unknown)}: use one of {', '.join(known)}")
        return cls(**named)

    def __post_init__(self) -> None:
        self._check_numbers()
        self._check_choices()
        self._check_kinds()

    def _check_numbers(self) -> None:
        least = {"max_points": 2, "min_points": 2}
        least |= {} if self.point_max_tokens is None else {"point_max_tokens": 1}
        least |= {} if isinstance(self.max_concurrency, Limit) else {"max_concurrency": 1}
        for name, bound in least.items():
            check_whole(name, getattr(self, name), bound)
        if self.min_points > self.max_points:
            raise ConfigurationError(f"min_points={self.min_points} is more than max_points={self.max_points}")
        for name in ("deadline", *(() if isinstance(self.timeout, Timeout) else ("timeout",))):
            if getattr(self, name) is not None:
                check_seconds(name, getattr(self, name))

    def _check_choices(self) -> None:
        choices = {"detail": get_args(Detail), "heading": get_args(Heading)}
        choices |= {} if callable(self.router) else {"router": get_args(RouterChoice)}
        choices |= {} if callable(self.on_point_error) else {"on_point_error": get_args(PointErrorChoice)}
        for name, possible in choices.items():
            value = getattr(self, name)
            if value not in possible:
                raise ConfigurationError(f"{name}={value!r} cannot work: use one of {', '.join(map(repr, possible))}")

    def _check_kinds(self) -> None:
        if self.retriever is not None and not callable(self.retriever):
            raise ConfigurationError.of_kind("retriever", self.retriever, "use a function")
        if not isinstance(self.pipelined, bool):
            raise ConfigurationError(f"pipelined={self.pipelined!r} cannot work: use True or False")
        if self.rate_limit is not None and not callable(getattr(self.rate_limit, "wait", None)):
            raise ConfigurationError.of_kind("rate_limit", self.rate_limit, "use skeleton_of_thought.RateLimit(...)")
        if self.rate_limit and self.hedge:
            raise ConfigurationError("hedge asks again, which rate_limit lets nobody do for free: leave one out")
        for name, kind in {"prompts": Prompts, "retry": Retry, "hedge": Hedge}.items():
            value = getattr(self, name)
            if not isinstance(value, kind) and not (value is None and name == "hedge"):
                raise ConfigurationError.of_kind(name, value, f"use skeleton_of_thought.{kind.__name__}(...)")
