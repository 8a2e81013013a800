"""What is inside a Runnable that stands for a model or a retriever, as far as it matters for how it is called."""

from traceback import walk_tb
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import Runnable, RunnableConfig, RunnableSequence, RunnableWithFallbacks
from langchain_core.runnables.base import RunnableBindingBase
from langchain_core.runnables.configurable import DynamicRunnable
from langchain_core.runnables.retry import RunnableRetry
from langchain_core.vectorstores import VectorStore, VectorStoreRetriever

from skeleton_of_thought import Call


def given_to(model: Runnable[Any, Any]) -> dict[str, Any]:
    """Return what a caller has bound to a model."""
    match model:
        case RunnableBindingBase():
            return given_to(model.bound) | dict(model.kwargs)
        case RunnableWithFallbacks():
            return given_to(model.runnable)
        case DynamicRunnable():
            return given_to(model.default)
        case _:
            return {}


def chat_models(model: Runnable[Any, Any], config: RunnableConfig) -> list[BaseChatModel]:
    """Find the chat models inside, of which any may answer."""
    match model:
        case BaseChatModel():
            return [model]
        case RunnableBindingBase():
            return chat_models(model.bound, config)
        case RunnableWithFallbacks():
            inside = [chat_models(each, config) for each in model.runnables]
            return [each for found in inside for each in found] if all(inside) else []
        case DynamicRunnable():
            return chat_models(*model.prepare(config))
        case _:
            inner = getattr(model, "sot_chat_model", None)  # that of an agent, which is reached by its own way
            return [inner] if isinstance(inner, BaseChatModel) else []


def tries_of(model: Runnable[Any, Any], config: RunnableConfig, call: Call) -> int:
    """Tell how many requests are made of a call that fails: three by a client that has its own default."""
    match model:
        case RunnableWithFallbacks():
            return sum(tries_of(each, config, call) for each in model.runnables)
        case RunnableRetry() if not call.stream:  # it leaves streams alone
            return model.max_attempt_number * tries_of(model.bound, config, call)
        case RunnableBindingBase():
            return tries_of(model.bound, config, call)
        case RunnableSequence():
            return max(tries_of(each, config, call) for each in model.steps)
        case DynamicRunnable():
            return tries_of(*model.prepare(config), call)
        case _:
            retries = getattr(getattr(model, "sot_chat_model", model), "max_retries", 0)
            return 1 + (retries if isinstance(retries, int) else 2)


def bound_of(model: BaseChatModel) -> str | None:
    """Tell what *model* calls the bound of its output. One that has no such field refuses it with a call as well.

    One that may think gets none: its thoughts count against it, and some providers refuse one below their budget.
    """
    if (getattr(model, "profile", None) or {}).get("reasoning_output"):
        return None
    return next((name for name in ("max_tokens", "max_output_tokens") if name in type(model).model_fields), None)


def only_blocks(model: Runnable[Any, Any], config: RunnableConfig) -> bool:
    """Tell whether the asynchronous methods are the base class's, which use a pool of few threads."""
    models = [] if hasattr(model, "sot_chat_model") else chat_models(model, config)
    return bool(models) and all(
        type(each)._agenerate is BaseChatModel._agenerate and type(each)._astream is BaseChatModel._astream
        for each in models
    )


def searches_in_a_pool(retriever: Runnable[Any, Any]) -> bool:
    """Tell the same of a retriever."""
    if isinstance(retriever, VectorStoreRetriever):
        return type(retriever.vectorstore).asimilarity_search is VectorStore.asimilarity_search
    kind = type(retriever)
    return issubclass(kind, BaseRetriever) and kind._aget_relevant_documents is BaseRetriever._aget_relevant_documents


def says_nothing(error: ValueError) -> bool:
    """Tell whether LangChain itself raised *error*: it does so where a model's stream is empty."""
    *_, (frame, _) = walk_tb(error.__traceback__)
    return frame.f_globals.get("__name__") == BaseChatModel.__module__
