"""Skeleton-of-Thought (arXiv 2307.15337): a short skeleton first, then all points of the answer at once."""

from ._hedge import Hedge
from ._limits import Limit
from ._listen import Timeout
from ._retry import Retry
from .answer import Answer, Passage, Question, Route, Section, Source, Timings
from .calls import LLM, Abilities, Call, Finish, Message, Usage
from .engine import SkeletonOfThought
from .errors import (
    ConfigurationError,
    ContextLengthError,
    DeadlineError,
    EmptyTextError,
    InputError,
    ModelError,
    ModelFileError,
    ModelMissingError,
    ModelTimeoutError,
    PointError,
    SkeletonError,
    SoTError,
    StreamCutError,
)
from .prompts import Prompts
from .rate_limit import RateLimit
from .retrieval import Retriever
from .routers import Router
from .settings import Settings
from .skeleton import Point, Skeleton, SkeletonParser

__all__ = [
    "LLM",
    "Abilities",
    "Answer",
    "Call",
    "ConfigurationError",
    "ContextLengthError",
    "DeadlineError",
    "EmptyTextError",
    "Finish",
    "Hedge",
    "InputError",
    "Limit",
    "Message",
    "ModelError",
    "ModelFileError",
    "ModelMissingError",
    "ModelTimeoutError",
    "Passage",
    "Point",
    "PointError",
    "Prompts",
    "Question",
    "RateLimit",
    "Retriever",
    "Retry",
    "Route",
    "Router",
    "Section",
    "Settings",
    "Skeleton",
    "SkeletonError",
    "SkeletonOfThought",
    "SkeletonParser",
    "SoTError",
    "Source",
    "StreamCutError",
    "Timeout",
    "Timings",
    "Usage",
]
