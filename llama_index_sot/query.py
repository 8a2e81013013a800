"""What is asked for one call alone: LlamaIndex has no config for it, but lets a bundle through."""

from dataclasses import dataclass
from typing import Any

try:
    from llama_index.core.base.response.schema import RESPONSE_TYPE, PydanticResponse, Response, StreamingResponse
except ImportError as error:
    raise ImportError(
        'llama_index_sot needs llama-index-core: pip install "skeleton-of-thought[llama-index]"'
    ) from error

from llama_index.core.base.response.schema import AsyncStreamingResponse
from llama_index.core.schema import QueryBundle, QueryType

from skeleton_of_thought import Answer, InputError, Source, Timeout

from ._models import passages_of


@dataclass
class SoTQueryBundle(QueryBundle):
    """A query with limits of its own, or one to go on with: ``engine.query(SoTQueryBundle("...", deadline=5.0))``."""

    timeout: float | Timeout | None = None
    """Seconds that a model may be silent; the synthesizer's own where there is none."""
    deadline: float | None = None
    """Seconds for the answer, from the end of the first retrieval; the synthesizer's own where there is none."""
    resume: Answer | RESPONSE_TYPE | str | None = None
    """An answer that is not complete, its JSON, or the response that it came in: only what is missing is written."""


def settings_of(query: QueryType) -> dict[str, Any]:
    """Return the settings that a query brings."""
    if not isinstance(query, SoTQueryBundle):
        return {}
    return {name: value for name in ("timeout", "deadline") if (value := getattr(query, name)) is not None}


def resumed(query: QueryType) -> Answer | None:
    """Return the answer to go on with.

    Raises:
        InputError: what was given is no answer.
    """
    if not isinstance(query, SoTQueryBundle):
        return None
    match given := query.resume:
        case None | Answer():
            return given
        case str():
            return Answer.from_json(given)
        case Response() | StreamingResponse() if "sot" in (given.metadata or {}):
            return _answer_of(str(given), given, query.query_str)
        case AsyncStreamingResponse() if "sot" in (given.metadata or {}) and given.response_txt is not None:
            return _answer_of(given.response_txt, given, query.query_str)
        case _:
            raise InputError(f"resume is {type(given).__name__}: give an Answer, its JSON, or a response that was read")


def _answer_of(text: str, response: RESPONSE_TYPE, question: str) -> Answer:
    assert not isinstance(response, PydanticResponse)
    about = (response.metadata or {})["sot"]
    passages = {passage.key: passage for passage in passages_of(response.source_nodes)}
    sources = (
        Source(told["number"], passages[told["node"]], tuple(told["points"]))
        for told in about["sources"]
        if told["node"] in passages
    )
    return Answer.from_about(question, text, about, tuple(sources))
