"""Skeleton-of-Thought (arXiv 2307.15337): a short skeleton first, then all points of the answer at once.

What is seldom named has its module: ``answer`` (sources, timings), ``errors``, ``events``, ``retrieval``, ``routers``,
``settings``, ``skeleton`` (the parser), ``testing``.
"""

from ._hedge import Hedge
from ._limits import Limit
from ._listen import Timeout
from ._retry import Retry
from .answer import Answer, Passage, Question, Route, Section
from .calls import LLM, Abilities, Call, Finish, Message, Usage
from .engine import SkeletonOfThought
from .errors import ConfigurationError, DeadlineError, InputError, PointError, SoTError
from .prompts import Prompts
from .rate_limit import RateLimit
from .skeleton import Point, Skeleton

__all__ = [
    "LLM",
    "Abilities",
    "Answer",
    "Call",
    "ConfigurationError",
    "DeadlineError",
    "Finish",
    "Hedge",
    "InputError",
    "Limit",
    "Message",
    "Passage",
    "Point",
    "PointError",
    "Prompts",
    "Question",
    "RateLimit",
    "Retry",
    "Route",
    "Section",
    "Skeleton",
    "SkeletonOfThought",
    "SoTError",
    "Timeout",
    "Usage",
]
