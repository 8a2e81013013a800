"""`TemplatePrompts`: the wording as LlamaIndex's own prompt templates."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from llama_index.core.llms import LLM
from llama_index.core.prompts import BasePromptTemplate, PromptTemplate

from skeleton_of_thought import ConfigurationError, Prompts
from skeleton_of_thought.prompts import REQUIRED

_SUFFIX = "_template"
_ALIASES = {"question": "query_str", "passages": "context_str"}
"""What LlamaIndex calls the same."""
_BETWEEN = "\n\n"


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
        has = set(template.template_vars)
        missing = [name for name in REQUIRED.get(known[key], ()) if not has.intersection(_called(name, template))]
        if missing:
            raise ConfigurationError(f"{key} needs {{{'}, {'.join(missing)}}} somewhere: {template!r}")
    return {**prompts.templates, **{known[key]: template for key, template in new.items()}}


def _called(name: str, template: BasePromptTemplate) -> Iterator[str]:
    """Yield what *name* may be called inside *template*."""
    mappings = template.template_var_mappings or {}
    for called in (name, _ALIASES.get(name, name)):
        yield mappings.get(called, called)
