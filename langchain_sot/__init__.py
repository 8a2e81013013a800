"""Skeleton-of-Thought for LangChain: `SoTChain` goes where a chat model goes."""

from .chain import SoTChain

__all__ = ["SoTChain"]
