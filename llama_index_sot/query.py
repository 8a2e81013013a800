"""What is asked for one call alone: LlamaIndex has no config for it, but lets a bundle through."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

try:
    from llama_index.core.base.response.schema import RESPONSE_TYPE, Response, StreamingResponse
except ImportError as error:
    raise ImportError(
        'llama_index_sot needs llama-index-core: pip install "skeleton-of-thought[llama-index]"'
    ) from error

from llama_index.core.base.response.schema import AsyncStreamingResponse
from llama_index.core.schema import QueryBundle, QueryType

from skeleton_of_thought import Answer, Timeout
from skeleton_of_thought._resume import kept_answer
from skeleton_of_thought.answer import Source
from skeleton_of_thought.settings import PER_CALL, Settings

from ._models import passages_of


@dataclass
class SoTQueryBundle(QueryBundle):
    """A query with limits of its own, or one to go on with: ``engine.query(SoTQueryBundle("...", deadline=5.0))``.

    Raises:
        ConfigurationError: a limit cannot work.
    """

    timeout: float | Timeout | None = None
    """Seconds that a model may be silent; the synthesizer's own where there is none."""
    deadline: float | None = None
    """Seconds for the answer, from the end of the first retrieval; the synthesizer's own where there is none."""
    resume: Answer | RESPONSE_TYPE | str | None = None
    """An answer that is not complete, its JSON, or the response that it came in: only what is missing is written."""

    def __post_init__(self) -> None:
        Settings(**settings_of(self))  # here, before anything is retrieved


def settings_of(query: QueryType) -> dict[str, Any]:
    """Return the settings that a query brings."""
    if not isinstance(query, SoTQueryBundle):
        return {}
    return {name: value for name in PER_CALL if (value := getattr(query, name)) is not None}


def resumed(query: QueryType) -> Answer | None:
    """Return the answer to go on with.

    Raises:
        InputError: what was given is no answer.
    """
    given = query.resume if isinstance(query, SoTQueryBundle) else None
    return kept_answer("resume", given, _answer, "a response that was read")


def _answer(given: object) -> Answer:
    if not isinstance(given, Response | StreamingResponse | AsyncStreamingResponse):
        raise TypeError
    about = (given.metadata or {})["sot"]
    return getattr(about, "answer", None) or _saved(given, about)


def _saved(response: RESPONSE_TYPE, about: Mapping[str, Any]) -> Answer:
    """Put the answer together again from a response whose metadata were saved as JSON."""
    passages = {passage.key: passage for passage in passages_of(response.source_nodes)}
    sources = (Source(told["number"], passages[told["node"]], tuple(told["points"])) for told in about["sources"])
    return Answer.from_about(str(response), about, tuple(sources))
