"""What is said to a prefix cache, and what it tells: a breakpoint where a provider needs one, and counts of tokens."""

from typing import Any

from llama_index.core import llms
from llama_index.core.base.llms.types import ChatResponse, CompletionResponse
from llama_index.core.llms import CacheControl, CachePoint

from skeleton_of_thought import Usage
from skeleton_of_thought.models._prefix_cache import breakpoint_of


def mark_for(model: llms.LLM) -> CachePoint | None:
    """Return what marks the end of what *model* is to keep; ``None`` where it needs no mark, or sets its own."""
    how = breakpoint_of(model.class_name(), str(getattr(model, "model", "")))
    options = getattr(model, "additional_kwargs", None) or {}
    own = "cache_control" in options or getattr(model, "cache_idx", None) is not None
    return CachePoint(cache_control=CacheControl(type=how.kind)) if how and not own else None


def usage_of(response: ChatResponse | CompletionResponse) -> Usage | None:
    """Return what a response tells of its cost, in the words of its provider.

    OpenAI counts what came from a cache among the tokens of the prompt, Anthropic and Bedrock beside them.
    """
    told = as_dict(as_dict(response.raw).get("usage")) | (response.additional_kwargs or {})
    asked, written = (
        told.get(f"{ours}_tokens", told.get(f"{theirs}_tokens"))
        for ours, theirs in (("prompt", "input"), ("completion", "output"))
    )
    if asked is None or written is None:
        return None
    if among := as_dict(told.get("prompt_tokens_details") or told.get("input_tokens_details")):
        return Usage(asked, written, among.get("cached_tokens") or 0)
    cached = told.get("cache_read_input_tokens") or 0
    return Usage(asked + cached + (told.get("cache_creation_input_tokens") or 0), written, cached)


def as_dict(raw: Any) -> dict[str, Any]:
    """Return what a provider's own object holds; some clients make it a dictionary."""
    return raw if isinstance(raw, dict) else getattr(raw, "__dict__", {})
