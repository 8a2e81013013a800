"""A breakpoint at the end of what the skeleton and all points have in common, for providers that need one."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage

from skeleton_of_thought.models._prefix_cache import MOST, Breakpoint, breakpoint_of

Mark: TypeAlias = Callable[[list[BaseMessage]], list[BaseMessage]]
"""Returns messages with a breakpoint behind the last."""


def mark_for(models: Sequence[BaseChatModel], options: Mapping[str, Any]) -> Mark | None:
    """Tell how to mark what *models* are to keep; ``None`` where they need no mark, or do not all take the same.

    Args:
        options: what goes with each call. A ``cache_control`` there sets the breakpoints itself.
    """
    found = {breakpoint_of(each._llm_type, _name(each)) for each in models}
    own = (options, *(getattr(each, "model_kwargs", None) or {} for each in models))
    if len(found) != 1 or (how := found.pop()) is None or any("cache_control" in each for each in own):
        return None
    return partial(_marked, how, MOST - _count(how, options))


def _name(model: BaseChatModel) -> str:
    return str(getattr(model, "model_id", None) or getattr(model, "model", ""))


def _marked(how: Breakpoint, free: int, messages: list[BaseMessage]) -> list[BaseMessage]:
    """Leave *messages* as they are where the caller's own marks leave no room. The last block is always ours."""
    if not messages or free <= _count(how, [each.content for each in messages]):
        return messages
    *before, last = messages
    content = [last.content] if isinstance(last.content, str) else last.content
    blocks = [{"type": "text", "text": each} if isinstance(each, str) else each for each in content]
    mark = {how.key: {"type": how.kind}}
    blocks = [*blocks, mark] if how.key == "cachePoint" else [*blocks[:-1], mark | blocks[-1]]
    return [*before, last.model_copy(update={"content": blocks})]


def _count(how: Breakpoint, value: object) -> int:
    """Count the caller's own, wherever they are."""
    match value:
        case Mapping():
            return (how.key in value) + sum(_count(how, each) for each in value.values())
        case list() | tuple():
            return sum(_count(how, each) for each in value)
        case _:
            return 0
