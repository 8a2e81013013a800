"""Skeleton-of-Thought for LangChain: `SoTChain` goes where a chat model goes.

`SoTMiddleware` for agents is in ``langchain_sot.middleware``: it needs the package ``langchain``.
"""

from .chain import SoTChain
from .prompts import ChatPrompts
from .retrieval import SoTRetrievalChain, create_sot_retrieval_chain
from .steps import ExpansionChain, SkeletonChain

__all__ = [
    "ChatPrompts",
    "ExpansionChain",
    "SkeletonChain",
    "SoTChain",
    "SoTRetrievalChain",
    "create_sot_retrieval_chain",
]
