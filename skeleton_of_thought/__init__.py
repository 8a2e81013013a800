"""Skeleton-of-Thought (arXiv 2307.15337): a short skeleton first, then all points of the answer at once."""

from ._limits import Limit
from .answer import Answer, Passage, Question, Route, Section, Source, Timings
from .calls import LLM, Abilities, Call, Finish, Message, Usage
from .engine import SkeletonOfThought
from .errors import (
    ConfigurationError,
    ContextLengthError,
    EmptyTextError,
    InputError,
    ModelError,
    ModelFileError,
    ModelMissingError,
    PointError,
    SkeletonError,
    SoTError,
)
from .prompts import Prompts
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
    "EmptyTextError",
    "Finish",
    "InputError",
    "Limit",
    "Message",
    "ModelError",
    "ModelFileError",
    "ModelMissingError",
    "Passage",
    "Point",
    "PointError",
    "Prompts",
    "Question",
    "Retriever",
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
    "Timings",
    "Usage",
]
