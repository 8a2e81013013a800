"""`create_sot_retrieval_chain`: question in; sources and a cited answer out."""

from collections.abc import AsyncGenerator, Iterable, Sequence
from typing import (
    Any,
    NotRequired,  # pydantic wants these below Python 3.12
)
from uuid import UUID

from langchain_core.documents import Document
from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import HumanMessage
from langchain_core.runnables.utils import AddableDict, ConfigurableFieldSpec
from pydantic import ConfigDict
from typing_extensions import TypedDict

from skeleton_of_thought import InputError
from skeleton_of_thought.answer import Source
from skeleton_of_thought.events import Event, Finished, SourcesFound, Text

from ._messages import question_of
from ._models import AnyRetriever, Model, Way
from ._per_call import resumed
from ._runnable import EventRunnable
from .chain import SoTChain


class RetrievalInput(TypedDict):
    """What a retrieval chain takes. Further keys are handed through."""

    input: str
    chat_history: NotRequired[list[Any]]
    """Earlier messages."""


class RetrievalOutput(RetrievalInput):
    """What a retrieval chain returns; its stream has the same keys, piece by piece."""

    context: list[Document]
    """Each once; the first is cited as ``[1]``."""
    answer: str


class SoTRetrievalChain(EventRunnable[RetrievalInput, RetrievalOutput, AddableDict]):
    """Answer from what a retriever finds for each point. Made by `create_sot_retrieval_chain`."""

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid", frozen=True, hide_input_in_errors=True)

    chain: SoTChain

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """Tell that it can be saved with ``dumpd``."""
        return True

    @property
    def config_specs(self) -> list[ConfigurableFieldSpec]:
        """What can be set in the chain's models and retriever."""
        return self.chain.config_specs

    @property
    def _has_steps(self) -> bool:
        return True

    def _events(self, value: RetrievalInput, way: Way, *, whole: bool) -> AsyncGenerator[Event, None]:
        if not isinstance(value, dict) or not isinstance(value.get("input"), str):
            raise InputError(f"a retrieval chain takes a dict with the question under 'input', not {value!r}")
        earlier = value.get("chat_history") or []
        if isinstance(earlier, str) or not isinstance(earlier, Sequence):
            raise InputError(f"chat_history is a list of messages, not {type(earlier).__name__}")
        asked: LanguageModelInput = [*earlier, HumanMessage(value["input"])]
        return self.chain.engine(way).astream(question_of(asked), whole=whole, terse=True, resume=resumed(way))

    def _first(self, value: RetrievalInput) -> Iterable[AddableDict]:
        return [AddableDict({key: value[key] for key in value if key not in ("context", "answer")})]  # type: ignore[literal-required]  # further keys

    def _chunk(self, event: Event, run_id: UUID) -> AddableDict | None:  # noqa: ARG002 -- these have no id
        match event:
            case Text(text):
                return AddableDict(answer=text)
            case SourcesFound(sources):
                return AddableDict(context=_documents(sources))
            case Finished(answer) if not answer.sources:
                return AddableDict(context=[])
            case _:
                return None

    def _output(self, last: Event, run_id: UUID, value: RetrievalInput) -> RetrievalOutput:  # noqa: ARG002
        assert isinstance(last, Finished)
        return {**value, "context": _documents(last.answer.sources), "answer": last.answer.text}


def create_sot_retrieval_chain(retriever: AnyRetriever, llm: Model, **settings: Any) -> SoTRetrievalChain:
    """Make the whole pipeline, in the place of LangChain's ``create_retrieval_chain``.

    It takes ``input`` and, optionally, ``chat_history``; it returns them with ``context``, the Documents in
    the order of their citation numbers, and ``answer``. Each point is answered from what *retriever* finds
    for it; a question that is answered directly, from what is found for the question.

    Args:
        retriever: a retriever, or any Runnable from text to Documents.
        llm: any chat model.
        settings: those of `SoTChain`.
    """
    return SoTRetrievalChain(chain=SoTChain(llm=llm, retriever=retriever, **settings))


def _documents(sources: Iterable[Source]) -> list[Document]:
    return [
        origin if isinstance(origin := source.passage.origin, Document) else Document(source.passage.text)
        for source in sources
    ]
