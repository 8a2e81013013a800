"""Messages, in both directions: from what a chat model takes to a question, and back for each call."""

from collections.abc import Iterable

from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    HumanMessage,
    SystemMessage,
    convert_to_messages,
    merge_message_runs,
)
from langchain_core.prompt_values import PromptValue

from skeleton_of_thought import InputError, Message, Question
from skeleton_of_thought.calls import Role

_MESSAGES: dict[Role, type[BaseMessage]] = {"system": SystemMessage, "user": HumanMessage, "assistant": AIMessage}
_ROLES: dict[str, Role] = {"system": "system", "developer": "system", "assistant": "assistant"}


def question_of(value: LanguageModelInput) -> Question:
    """Take the last message by the user for the question; what comes before and after it is kept beside it."""
    messages = _given(value)
    place = next((place for place in reversed(range(len(messages))) if _asks(messages[place])), None)
    if place is None:
        told = [message.type for message in messages]
        raise InputError(f"there is no question in the messages {told}: add a HumanMessage")
    asked, since = messages[place], messages[place + 1 :]
    if since and isinstance(since[-1], AIMessage):
        raise InputError("the last message is the model's own: end with a HumanMessage, or with results of tools")
    if not asked.text.strip() and not _holds_more(asked):
        raise InputError("the question is empty: ask something, in words")
    earlier = tuple(map(message_of, messages[:place]))
    return Question(str(asked.text), earlier, since=tuple(map(message_of, since)), origin=asked)


def _given(value: LanguageModelInput) -> list[BaseMessage]:
    if isinstance(value, str):
        return [HumanMessage(value)]
    if isinstance(value, PromptValue):
        return value.to_messages()
    if isinstance(value, BaseMessage) or not isinstance(value, (list, tuple)):
        raise InputError(f"a question is text, a prompt or a list of messages, not {type(value).__name__}")
    return convert_to_messages(value)


def _asks(message: BaseMessage) -> bool:
    if message.additional_kwargs.get("lc_source") == "summarization":  # of what was said, in a user's message
        return False
    return isinstance(message, HumanMessage) or (isinstance(message, ChatMessage) and _role(message) == "user")


def _holds_more(message: BaseMessage) -> bool:
    return any(block["type"] != "text" for block in message.content_blocks)


def message_of(message: BaseMessage) -> Message:
    """Let the core carry a message without knowing it."""
    return Message(_role(message), str(message.text), message)


def _role(message: BaseMessage) -> Role:
    if isinstance(message, ChatMessage):
        return _ROLES.get(message.role, "user")
    if isinstance(message, SystemMessage):
        return "system"
    return "assistant" if isinstance(message, AIMessage) else "user"


def messages_of(messages: Iterable[Message]) -> list[BaseMessage]:
    """Hand the caller's own messages back unchanged; join ours to a neighbour of the same kind."""
    converted: list[BaseMessage] = []
    ours = False
    for message in messages:
        theirs = message.origin if isinstance(message.origin, BaseMessage) else None
        joins = bool(converted) and (ours or theirs is None)
        new = theirs or _new(message, as_blocks=joins and isinstance(converted[-1].content, list))
        if joins and converted[-1].type == new.type:
            converted[-1] = _joined(converted[-1], new, theirs)
        else:
            converted.append(new)
        ours = theirs is None
    return converted


def _joined(one: BaseMessage, other: BaseMessage, theirs: BaseMessage | None) -> BaseMessage:
    """Join neighbours, at least one of which is ours and so has nothing but a text."""
    if isinstance(one.content, str) and isinstance(other.content, str):  # nearly always; and it costs a tenth
        return (theirs or one).model_copy(update={"content": f"{one.content}\n\n{other.content}"})
    [joined] = merge_message_runs([one, other], chunk_separator="\n\n")
    return joined


def _new(message: Message, *, as_blocks: bool) -> BaseMessage:
    return _MESSAGES[message.role](content=[{"type": "text", "text": message.text}] if as_blocks else message.text)
