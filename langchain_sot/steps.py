"""The two steps of a chain as Runnables of their own."""

from collections.abc import AsyncGenerator, Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID

from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.runnables.utils import ConfigurableFieldSpec
from pydantic import ConfigDict
from typing_extensions import TypedDict  # pydantic wants these below Python 3.12

from skeleton_of_thought import InputError, Skeleton
from skeleton_of_thought.events import Event, PointDone, SkeletonReady
from skeleton_of_thought.skeleton import parse

from ._messages import question_of
from ._models import STEPS, Way
from ._output import point_chunk, point_message
from ._runnable import EventRunnable

if TYPE_CHECKING:
    from .chain import SoTChain


class SkeletonChain(EventRunnable[LanguageModelInput, Skeleton, Skeleton]):
    """Write the skeleton of an answer, and no more: `SoTChain.skeleton_chain`.

    Takes a question as a chat model does. The `Skeleton` may have any number of points, down to none.
    A stream of it is one piece.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid", frozen=True, hide_input_in_errors=True)

    chain: Any
    """The `SoTChain` whose step it is."""
    name: str | None = STEPS["skeleton"]

    @property
    def config_specs(self) -> list[ConfigurableFieldSpec]:
        """What can be set in the chain's models."""
        return list(self.chain.config_specs)

    def _events(self, value: LanguageModelInput, way: Way, *, whole: bool) -> AsyncGenerator[Event, None]:
        chain: SoTChain = self.chain
        return chain.engine(way).astream_skeleton(question_of(value), whole=whole)

    def _chunk(self, event: Event, run_id: UUID) -> Skeleton | None:  # noqa: ARG002 -- a skeleton has no id
        return event.skeleton if isinstance(event, SkeletonReady) else None

    def _output(self, last: Event, run_id: UUID, value: LanguageModelInput) -> Skeleton:  # noqa: ARG002 -- a skeleton has no id
        assert isinstance(last, SkeletonReady)
        return last.skeleton


class Expansion(TypedDict):
    """What `SoTChain.expansion_chain` takes."""

    question: LanguageModelInput
    skeleton: Skeleton | str
    """As text it is a numbered list."""
    point: int
    """The number of the point to write."""


class ExpansionChain(EventRunnable[Expansion, AIMessage, AIMessageChunk]):
    """Write one point of a skeleton, and no more: `SoTChain.expansion_chain`.

    The message is the point's text, without its heading. Where the chain has a retriever it is asked, and
    passages are cited by the numbers that they have in this point alone.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid", frozen=True, hide_input_in_errors=True)

    chain: Any
    """The `SoTChain` whose step it is."""
    name: str | None = STEPS["point"]

    @property
    def config_specs(self) -> list[ConfigurableFieldSpec]:
        """What can be set in the chain's models."""
        return list(self.chain.config_specs)

    def _events(self, value: Expansion, way: Way, *, whole: bool) -> AsyncGenerator[Event, None]:
        chain: SoTChain = self.chain
        if missing := {"question", "skeleton", "point"} - set(value if isinstance(value, Mapping) else ()):
            raise InputError(f"an expansion needs {', '.join(sorted(missing))}: give a dict with all three")
        skeleton = value["skeleton"]
        skeleton = Skeleton(parse(skeleton)) if isinstance(skeleton, str) else skeleton
        return chain.engine(way).astream_point(question_of(value["question"]), skeleton, value["point"], whole=whole)

    def _chunk(self, event: Event, run_id: UUID) -> AIMessageChunk | None:
        return point_chunk(event, run_id)

    def _output(self, last: Event, run_id: UUID, value: Expansion) -> AIMessage:  # noqa: ARG002 -- all is in the event
        assert isinstance(last, PointDone)
        return point_message(last.section, run_id)
