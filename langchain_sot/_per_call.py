"""What ``config["configurable"]`` says for one call: time limits, and an answer to go on with."""

from collections.abc import Mapping
from typing import Any

from langchain_core.documents import Document
from langchain_core.messages import AIMessage
from langchain_core.runnables.utils import ConfigurableFieldSpec

from skeleton_of_thought import Answer, InputError, Passage, Question, Source

PER_CALL = ("timeout", "deadline")
"""Settings of one call; ``sot_`` stands before their names in the config."""

SPECS = (
    ConfigurableFieldSpec(
        id="sot_timeout", annotation=float | None, name="Timeout", description="Seconds that a model may be silent."
    ),
    ConfigurableFieldSpec(
        id="sot_deadline", annotation=float | None, name="Deadline", description="Seconds for the whole answer."
    ),
    ConfigurableFieldSpec(
        id="sot_resume", annotation=Any, name="Resume", description="An answer, or its message, to be completed."
    ),
)


def resumed(given: Any, question: Question) -> Answer | None:
    """Return the answer to go on with, from an `Answer`, its JSON, or the message that a chain returned.

    Raises:
        InputError: it is none of them.
    """
    try:
        return _answer(given, question)
    except (KeyError, TypeError, ValueError) as error:
        kind = type(given).__name__
        raise InputError(
            f"sot_resume of type {kind} holds no answer: give an Answer, its JSON, or a message of a SoTChain"
        ) from error


def _answer(given: Any, question: Question) -> Answer | None:
    match given:
        case None | Answer():
            return given
        case str():
            return Answer.from_json(given)
        case AIMessage():
            about = given.response_metadata["sot"]
            return Answer.from_about(question.text, str(given.text), about, tuple(map(_source, about["sources"])))
        case _:
            raise TypeError


def _source(about: Mapping[str, Any]) -> Source:
    text, key = about["text"], about.get("id") or ""
    origin = Document(text, id=key or None, metadata=about["metadata"]) if "metadata" in about else None
    return Source(about["number"], Passage(text, key, origin), tuple(about["points"]))
