"""Every word that is said to a model.

All calls of a run begin with the same bytes: system message, earlier turns, passages and question, in that
order. The task comes last. So whatever caches prefixes, a provider or an engine on this machine, reads
the long part once: the skeleton call warms the cache for the expansions. These go on from the skeleton's own
conversation, so that each of them sees the whole skeleton (paper, section 2.1).

A model that can be given the beginning of its own message gets the number and title that way and only goes
on; others are told to leave them out. A model that is too small to follow instructions gets none: it sees the
question, and begins where we want it to begin.

The wording is ours. The measures are the paper's: 3 to 10 points of 3 to 5 words, 1 to 2 sentences for each
(section 2.1 and appendix B).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Final, Literal, TypeAlias

from ._grammars import list_grammar, sentences_grammar
from .answer import Question
from .calls import Abilities, Call, Message
from .errors import ConfigurationError
from .skeleton import Point, Skeleton

Detail: TypeAlias = Literal["short", "medium", "long"]

LENGTHS: Final[dict[Detail, str]] = {
    "short": "1 to 2 sentences",
    "medium": "one paragraph of 4 to 6 sentences",
    "long": "2 to 3 paragraphs",
}
POINT_MAX_TOKENS: Final[dict[Detail, int]] = {"short": 256, "medium": 512, "long": 1024}
"""Generous: they stop a model that does not stop, not one that writes long words."""

SKELETON_MAX_TOKENS: Final = 1024
"""Ten points need about 100. The rest is for models that think aloud first."""

SMALL_SKELETON_MAX_TOKENS: Final = 256

SMALL_SENTENCES: Final[dict[Detail, tuple[int, int]]] = {"short": (1, 2), "medium": (4, 6), "long": (8, 12)}
"""The same lengths for a small model, which is held to them by a grammar."""
SMALL_POINT_MAX_TOKENS: Final[dict[Detail, int]] = {"short": 96, "medium": 192, "long": 384}
"""A small model that has said what it can goes on saying it."""

Numbered: TypeAlias = tuple[tuple[int, str], ...]
"""Passages, each with the number that it is cited by."""

_END = 40
"""How many signs of a reply that broke off are quoted, so that the model finds its place again."""

_PLACEHOLDER = re.compile(r"\{(\w+)\}")
REQUIRED: Final[dict[str, tuple[str, ...]]] = {
    "passages": ("passages",),
    "sources": ("passages",),
    "query": ("title",),
    "point": ("title",),
    "point_start": ("title",),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """What shape the answer has, and what the model that writes it can do."""

    max_points: int
    detail: Detail
    point_max_tokens: int | None
    abilities: Abilities
    stream: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompts:
    """The wording, as templates with ``{names}``. Braces around anything else are left as they are.

    Raises:
        ConfigurationError: a template lacks a name that it cannot do without.

    >>> Prompts(point="Explain {title} to a child, in {length}.").point
    'Explain {title} to a child, in {length}.'
    """

    passages: str = "Answer from these passages.\n\n{passages}\n\nThe question:"
    """Names: ``passages``. Stands before the question when there are passages."""

    sources: str = (
        "Passages for this:\n\n{passages}\n\nUse what they say. Put the number of each passage that you use behind "
        "the sentence that uses it, like [1]."
    )
    """Names: ``passages``. Stands before the task of a point that passages were retrieved for."""

    query: str = "{title} ({question})"
    """Names: ``title``, ``question``. What passages for a point are searched by."""

    skeleton: str = (
        "Do not answer yet. Write only the skeleton of the answer: a numbered list of {min_points} to {max_points} "
        "points, each of 3 to 5 words, one on a line, in the language of the question. Do not explain the points."
    )
    """Names: ``min_points``, ``max_points``."""

    tools: str = "If you need a tool, call it now and write nothing. If you need none:"
    """Stands before ``skeleton`` for a model that has tools."""

    no_tools: str = "Call no tool."
    """Follows ``point`` for such a model."""

    skeleton_start: str = "1."
    """How the skeleton begins, for models that can be given their beginning."""

    point: str = "Write only point {number}, {title}, in {length}, in the language of the question."
    """Names: ``number``, ``title``, ``length``."""

    point_unstarted: str = (
        "Begin directly with its text: no number, no title, no introduction. "
        "The other points are written separately: leave their content to them, and sum nothing up."
    )
    """Follows ``point`` for models that cannot be given their beginning."""

    point_start: str = "{number}. {title}:"
    """Names: ``number``, ``title``. How a point begins, for models that can be given their beginning."""

    continuation: str = (
        "Your message broke off. Write the rest of it: begin with its last words, {end}, and go on from there. "
        "Repeat nothing else, and do not speak of this."
    )
    """Names: ``end``. Follows a reply that broke off, for models that cannot simply go on."""

    def __post_init__(self) -> None:
        for field in fields(Prompts):
            template = getattr(self, field.name)
            if not isinstance(template, str):
                raise ConfigurationError(f"prompts.{field.name} is a template as text, not {template!r}")
            for name in REQUIRED.get(field.name, ()):
                if f"{{{name}}}" not in template:
                    raise ConfigurationError(f"prompts.{field.name} needs {{{name}}} somewhere: {template!r}")

    def say(self, name: str, names: Mapping[str, str]) -> str:
        """Fill *names* into the template *name*."""
        return _fill(getattr(self, name), names)

    def query_for(self, question: Question, point: Point | None) -> str:
        """Say what to search for, for a point or for the whole question."""
        return self.say("query", {"title": point.title, "question": question.text}) if point else question.text

    def direct_call(self, question: Question, form: Form, passages: Numbered = ()) -> Call:
        """Ask for the whole answer."""
        return Call("direct", self.prefix(question) + self._task("", passages), stream=form.stream)

    def skeleton_call(self, question: Question, form: Form) -> Call:
        """Ask for the skeleton."""
        shared = self._skeleton_messages(question, form)
        start = self.skeleton_prefill(form)
        messages = (*shared, Message("assistant", start)) if start else shared
        grammar = list_grammar(form.max_points, question.text) if form.abilities.grammar else None
        max_tokens = SMALL_SKELETON_MAX_TOKENS if form.abilities.small else SKELETON_MAX_TOKENS
        return Call(
            "skeleton", messages, max_tokens=max_tokens, grammar=grammar, stream=form.stream, shared=len(shared)
        )

    def skeleton_prefill(self, form: Form) -> str:
        """Tell what of the skeleton is given to the model, and so is not in its text."""
        return self.say("skeleton_start", {}) if form.abilities.prefill and not form.abilities.grammar else ""

    def point_call(
        self, question: Question, form: Form, skeleton: Skeleton, point: Point, passages: Numbered = ()
    ) -> Call:
        """Ask for the text of one point."""
        names = self.names(question, form, skeleton, point, passages)
        start = (Message("assistant", self.say("point_start", names)),) if form.abilities.prefill else ()
        usual = SMALL_POINT_MAX_TOKENS if form.abilities.small else POINT_MAX_TOKENS
        max_tokens = form.point_max_tokens or usual[form.detail]
        if start and form.abilities.small:
            least, most = SMALL_SENTENCES[form.detail]
            grammar = sentences_grammar(least, most, question.text) if form.abilities.grammar else None
            return Call(
                "point",
                self.prefix(question, passages) + start,
                point.number,
                max_tokens=max_tokens,
                stop=("\n",),
                grammar=grammar,
                stream=form.stream,
                skeleton=skeleton,
            )
        parts = ("point", *(("no_tools",) if form.abilities.tools else ()), *(() if start else ("point_unstarted",)))
        task = " ".join(self.say(part, names) for part in parts)
        shared = self._skeleton_messages(question, form)
        return Call(
            "point",
            (*shared, Message("assistant", str(skeleton)), *self._task(task, passages), *start),
            point.number,
            max_tokens=max_tokens,
            stream=form.stream,
            skeleton=skeleton,
            shared=len(shared),
        )

    def continued(self, call: Call, said: str, abilities: Abilities) -> Call:
        """Ask for the rest of a reply that broke off."""
        *before, last = call.messages
        if abilities.prefill:
            begun = last.text if last.role == "assistant" else ""
            blank = " " if begun and not begun[-1].isspace() and not said[0].isspace() else ""
            start = Message("assistant", f"{begun}{blank}{said}")
            messages = (*before, start) if begun else (*call.messages, start)
        else:
            end = said.strip()
            end = end if len(end) <= _END else end[-_END:].split(" ", 1)[-1]  # at the beginning of a word
            task = self.say("continuation", {"end": f'"{end}"'})
            messages = (*call.messages, Message("assistant", said), Message("user", task))
        return replace(call, messages=messages, grammar=None, said=said)  # a grammar would begin anew

    def _skeleton_messages(self, question: Question, form: Form) -> tuple[Message, ...]:
        prefix = self.prefix(question)
        if form.abilities.small and form.abilities.grammar:
            return prefix
        names, parts = self.names(question, form), ("tools", "skeleton") if form.abilities.tools else ("skeleton",)
        return (*prefix, Message("user", " ".join(self.say(part, names) for part in parts)))

    def names(
        self,
        question: Question,
        form: Form,
        skeleton: Skeleton | None = None,
        point: Point | None = None,
        passages: Numbered = (),
    ) -> dict[str, str]:
        """Return what can be filled into a template of the skeleton, or of a point."""
        names = {"question": question.text}
        if skeleton is None or point is None:
            return names | {"min_points": str(min(3, form.max_points)), "max_points": str(form.max_points)}
        about = {"number": str(point.number), "title": point.title, "length": LENGTHS[form.detail]}
        return names | about | {"skeleton": str(skeleton), "passages": _listed(passages)}

    def prefix(self, question: Question, passages: Numbered = ()) -> tuple[Message, ...]:
        """Return what all calls of a run begin with."""
        asked = Message("user", question.text, question.origin)
        passages = (*enumerate((passage.text for passage in question.given), 1), *passages)
        given = (Message("user", self.say("passages", {"passages": _listed(passages)})),) if passages else ()
        return (*question.history, *given, asked, *question.since)

    def _task(self, task: str, passages: Numbered) -> tuple[Message, ...]:
        sources = self.say("sources", {"passages": _listed(passages)}) if passages else ""
        text = "\n\n".join(filter(None, (sources, task)))
        return (Message("user", text),) if text else ()


def _listed(passages: Numbered) -> str:
    return "\n\n".join(f"[{number}] {text}" for number, text in passages)


def _fill(template: str, names: Mapping[str, str]) -> str:
    return _PLACEHOLDER.sub(lambda match: names.get(match[1], match[0]), template)
