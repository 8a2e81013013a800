"""`TemplatePrompts`: the wording as LlamaIndex's own prompt templates, and what of the passages fits in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from llama_index.core.indices.prompt_helper import PromptHelper
from llama_index.core.llms import LLM
from llama_index.core.prompts import BasePromptTemplate, PromptTemplate

from skeleton_of_thought import ConfigurationError, Prompts
from skeleton_of_thought.prompts import REQUIRED

_SUFFIX = "_template"
_ALIASES = {"question": "query_str", "passages": "context_str"}
"""What LlamaIndex calls the same."""
_BETWEEN = "\n\n"
_FORM = 400
"""Tokens kept free for the skeleton in the conversation, and for the task."""


@dataclass(frozen=True, kw_only=True)
class TemplatePrompts(Prompts):
    """Same as `Prompts`, but any of them can be a prompt template of LlamaIndex."""

    templates: Mapping[str, BasePromptTemplate] = field(default_factory=dict)
    """By the names of `Prompts`."""
    llm: LLM | None = None
    """Chooses between variants for chat and for completion."""
    filled: Mapping[str, Any] = field(default_factory=dict)
    """What a caller fills in besides."""

    def say(self, name: str, names: Mapping[str, str]) -> str:
        """Fill *names* into the template *name*; of a chat prompt, the texts of its messages are joined."""
        template = self.templates.get(name)
        if template is None:
            return super().say(name, names)
        known = dict(names) | {_ALIASES[each]: names[each] for each in names if each in _ALIASES}
        messages = template.format_messages(llm=self.llm, **(dict(self.filled) | known))
        return _BETWEEN.join(message.content or "" for message in messages)

    def as_templates(self) -> dict[str, BasePromptTemplate]:
        """Return all of them, as LlamaIndex shows prompts."""
        return {
            each.name + _SUFFIX: self.templates.get(each.name) or PromptTemplate(getattr(self, each.name))
            for each in fields(Prompts)
        }


def updated(prompts: TemplatePrompts, new: Mapping[str, BasePromptTemplate]) -> dict[str, BasePromptTemplate]:
    """Return the templates with those of *new* in the places of the old.

    Raises:
        ConfigurationError: one lacks a variable that it cannot do without.
    """
    known = {each.name + _SUFFIX: each.name for each in fields(Prompts)}
    for key, template in new.items():
        wanted = REQUIRED.get(known[key], ())
        missing = [name for name in wanted if not {name, _ALIASES.get(name, name)} & set(template.template_vars)]
        if missing:
            raise ConfigurationError(f"{key} needs {{{'}, {'.join(missing)}}} somewhere: {template!r}")
    return {**prompts.templates, **{known[key]: template for key, template in new.items()}}


def fitting(texts: Sequence[str], query: str, helper: PromptHelper, llm: LLM) -> list[str]:
    """Return as much of *texts*, in their order, as the context window takes; the last may be cut.

    Raises:
        ValueError: not even the question fits, as LlamaIndex tells it.
    """
    rest = PromptTemplate("{query_str}" + " and" * _FORM).partial_format(query_str=query)
    windows = helper.repack(rest, texts, llm=llm) if any(text.strip() for text in texts) else []
    if len(windows) < 2:
        return list(texts)
    free, kept = len(windows[0]), list[str]()
    for text in map(str.strip, texts):
        if free <= 0:
            break
        kept.append(text[:free])
        free -= len(text) + len(_BETWEEN)
    return kept
