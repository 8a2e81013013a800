"""Where a provider has to be told what to keep of a prompt, how to tell it.

Most keep the beginning of a prompt by themselves, and there is nothing to say. Anthropic and Bedrock keep what stands
before a breakpoint. The place for one is the end of what the skeleton and all points have in common
(`Call.shared <skeleton_of_thought.calls.Call>`): the call for the skeleton writes it, and points read it, since none of
them starts before that reply has begun, which is when the entry exists. A prefix that is shorter than the model's
least is not kept, and costs nothing, so nobody here has to count tokens.

What was read where is in docs/engines.md.
"""

import re
from dataclasses import dataclass
from typing import Final, Literal

MOST: Final = 4
"""Breakpoints that a request may have."""


@dataclass(frozen=True, slots=True)
class Breakpoint:
    """How a provider is told to keep all that comes before."""

    key: Literal["cache_control", "cachePoint"]
    """The first is a field of the last block, the second a block of its own behind it."""
    kind: Literal["ephemeral", "default"]
    models: re.Pattern[str] = re.compile("")
    """Found in the names of the models that take one: others there refuse the whole request."""


_ON_BEDROCK: Final = re.compile(r"anthropic\.claude-(3-7|[a-z]+-\d)|amazon\.nova-(micro|lite|pro|premier)-v")

BREAKPOINTS: Final = {
    "anthropic-chat": Breakpoint("cache_control", "ephemeral"),
    "anthropic-chat-vertexai": Breakpoint("cache_control", "ephemeral"),
    "anthropic-bedrock-chat": Breakpoint("cache_control", "ephemeral", _ON_BEDROCK),
    "amazon_bedrock_converse_chat": Breakpoint("cachePoint", "default", _ON_BEDROCK),
    "Anthropic_LLM": Breakpoint("cache_control", "ephemeral"),
    "Bedrock_Converse_LLM": Breakpoint("cachePoint", "default", _ON_BEDROCK),
}
"""By what LangChain's models (``_llm_type``) and LlamaIndex's (``class_name()``) call themselves."""


def breakpoint_of(client: str, model: str) -> Breakpoint | None:
    """Tell how a *client* is told what to keep; ``None`` where its provider needs no word, or *model* takes none.

    >>> breakpoint_of("amazon_bedrock_converse_chat", "eu.anthropic.claude-sonnet-4-6").key
    'cachePoint'
    >>> breakpoint_of("amazon_bedrock_converse_chat", "us.deepseek.r1-v1:0") is None
    True
    """
    found = BREAKPOINTS.get(client)
    return found if found and found.models.search(model) else None
