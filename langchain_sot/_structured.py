"""A model that is asked for the skeleton as structured output, in the place of one that writes a list."""

from typing import Any

from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableLambda
from pydantic import BaseModel

from skeleton_of_thought import ConfigurationError

from ._models import Model


class Points(BaseModel):
    """Titles of points."""  # a model may be shown this

    points: list[str]


def structured(llm: Model) -> Model:
    """Return *llm* with its skeletons written as a list, whatever form it gave them.

    Raises:
        ConfigurationError: *llm* knows no structured output.
    """
    try:
        asked = getattr(llm, "with_structured_output")(Points, include_raw=True)  # noqa: B009 -- not every Runnable has it
    except (AttributeError, NotImplementedError) as error:
        raise ConfigurationError(
            f"structured_skeleton=True cannot work with {type(llm).__name__}: use a model with with_structured_output"
        ) from error
    return asked | RunnableLambda(_as_list, name="as_list")  # type: ignore[no-any-return]  # a Runnable, as asked for


def _as_list(answer: dict[str, Any]) -> AIMessage:
    raw, parsed = answer["raw"], answer["parsed"]
    titles = parsed.points if isinstance(parsed, Points) else []
    text = "\n".join(f"{number}. {title}" for number, title in enumerate(titles, 1)) or raw.text
    return AIMessage(content=text, usage_metadata=raw.usage_metadata)
