"""Skeleton-of-Thought for LlamaIndex: swap in a query engine, or only its synthesizer."""

from .instrumentation import PointEndEvent, PointErrorEvent, PointStartEvent, RouteEvent, SkeletonReadyEvent
from .query_engine import SoTQueryEngine
from .synthesizer import SoTSynthesizer

__all__ = [
    "PointEndEvent",
    "PointErrorEvent",
    "PointStartEvent",
    "RouteEvent",
    "SkeletonReadyEvent",
    "SoTQueryEngine",
    "SoTSynthesizer",
]
