"""Skeleton-of-Thought for LlamaIndex: swap in a query engine, or only its synthesizer."""

from .query_engine import SoTQueryEngine
from .synthesizer import SoTSynthesizer

__all__ = ["SoTQueryEngine", "SoTSynthesizer"]
