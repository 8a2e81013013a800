"""What ``config["configurable"]`` says for one call: time limits, and an answer to go on with."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from langchain_core.documents import Document
from langchain_core.messages import AIMessage
from langchain_core.runnables.utils import ConfigurableFieldSpec

from skeleton_of_thought import Answer, Passage
from skeleton_of_thought._resume import kept_answer
from skeleton_of_thought.answer import Source

from ._models import Way

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


def resumed(way: Way) -> Answer | None:
    """Return the answer to go on with, from an `Answer`, its JSON, or the message that a chain returned.

    Raises:
        InputError: what the caller has configured is none of them.
    """
    return kept_answer("sot_resume", way.configured.get("sot_resume"), _answer, "a message of a SoTChain")


def _answer(given: object) -> Answer:
    if not isinstance(given, AIMessage):
        raise TypeError
    about = given.response_metadata["sot"]
    answer = Answer.from_about(str(given.text), about, tuple(map(_source, about["sources"])))
    return replace(answer, origins=(_without_ours(given),)) if answer.complete else answer


def _without_ours(message: AIMessage) -> AIMessage:
    """Return what the model itself has said, and it costs nothing to say it again."""
    told = {name: value for name, value in message.response_metadata.items() if name != "sot"}
    return message.model_copy(update={"response_metadata": told, "usage_metadata": None})


def _source(about: Mapping[str, Any]) -> Source:
    text, key = about["text"], about.get("id") or ""
    origin = Document(text, id=key or None, metadata=about["metadata"]) if "metadata" in about else None
    return Source(about["number"], Passage(text, key, origin), tuple(about["points"]))
