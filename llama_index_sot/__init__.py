"""Skeleton-of-Thought for LlamaIndex: swap in a query engine, or only its synthesizer."""

from .instrumentation import (
    CallRetryEvent,
    PointEndEvent,
    PointErrorEvent,
    PointStartEvent,
    RouteEvent,
    SkeletonReadyEvent,
)
from .query import SoTQueryBundle
from .query_engine import SoTQueryEngine
from .synthesizer import SoTSynthesizer

__all__ = [
    "CallRetryEvent",
    "PointEndEvent",
    "PointErrorEvent",
    "PointStartEvent",
    "RouteEvent",
    "SkeletonReadyEvent",
    "SoTQueryBundle",
    "SoTQueryEngine",
    "SoTSynthesizer",
]
