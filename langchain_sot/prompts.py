"""`ChatPrompts`: the wording as LangChain's own prompt templates."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from langchain_core.prompts import ChatPromptTemplate

from skeleton_of_thought import Call, ConfigurationError, Point, Prompts, Question, Skeleton
from skeleton_of_thought.prompts import Form, Numbered

from ._messages import message_of, messages_of

_SKELETON = ("messages", "question", "min_points", "max_points")
_POINT = ("messages", "question", "skeleton", "number", "title", "length", "passages")


@dataclass(frozen=True, kw_only=True)
class ChatPrompts(Prompts):
    """Same as `Prompts`, but the two steps can be whole prompts of yours.

    In a template ``messages`` is a placeholder for system message, earlier turns and question, as the
    caller gave them. Begin both templates with it, so that a provider's prefix cache can read it once.

    Raises:
        ConfigurationError: a template wants a name that there is none for, or lacks one that it needs.

    >>> prompts = ChatPrompts(
    ...     point_messages=ChatPromptTemplate([("placeholder", "{messages}"), ("human", "Only {title}, in {length}.")])
    ... )
    """

    skeleton_messages: ChatPromptTemplate | None = None
    """Names: ``messages``, ``question``, ``min_points``, ``max_points``. It has to ask for a list."""
    point_messages: ChatPromptTemplate | None = None
    """Names: ``messages``, ``question``, ``skeleton``, ``number``, ``title``, ``length``, ``passages``."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _check("skeleton_messages", self.skeleton_messages, _SKELETON, ("messages", "question"))
        _check("point_messages", self.point_messages, _POINT, ("title",))

    def skeleton_call(self, question: Question, form: Form) -> Call:
        """Ask for the skeleton."""
        call = super().skeleton_call(question, form)
        return self._with(self.skeleton_messages, call, question, self.names(question, form))

    def skeleton_prefill(self, form: Form) -> str:
        """Tell what of the skeleton is given to the model: nothing, by a prompt of yours."""
        return "" if self.skeleton_messages else super().skeleton_prefill(form)

    def point_call(
        self, question: Question, form: Form, skeleton: Skeleton, point: Point, passages: Numbered = ()
    ) -> Call:
        """Ask for the text of one point."""
        call = super().point_call(question, form, skeleton, point, passages)
        return self._with(self.point_messages, call, question, self.names(question, form, skeleton, point, passages))

    def _with(self, template: ChatPromptTemplate | None, call: Call, question: Question, names: dict[str, str]) -> Call:
        if template is None:  # with the other of yours it may have nothing in common
            return replace(call, shared=0) if self.skeleton_messages or self.point_messages else call
        said = template.format_messages(messages=messages_of(self.prefix(question)), **names)
        return replace(call, messages=tuple(map(message_of, said)), grammar=None, stop=(), shared=0)


def _check(name: str, template: ChatPromptTemplate | None, known: Sequence[str], needed: Sequence[str]) -> None:
    if template is None:
        return
    if not isinstance(template, ChatPromptTemplate):
        raise ConfigurationError(f"prompts.{name} is a ChatPromptTemplate, not {template!r}")
    wanted = {*template.input_variables, *template.optional_variables}
    if unknown := sorted(wanted - set(known)):
        raise ConfigurationError(f"prompts.{name} wants {', '.join(unknown)}: there are {', '.join(known)}")
    if not wanted & set(needed):
        raise ConfigurationError(f"prompts.{name} needs {' or '.join(f'{{{name}}}' for name in needed)} somewhere")
