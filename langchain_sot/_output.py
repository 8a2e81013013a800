"""From an answer to what a chat model gives, and from events to LangChain's custom events."""

from typing import Any
from uuid import UUID

from langchain_core.documents import Document
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, message_chunk_to_message
from langchain_core.messages.ai import InputTokenDetails, UsageMetadata, add_ai_message_chunks, add_usage

from skeleton_of_thought import Answer, Section, Usage
from skeleton_of_thought.answer import Source
from skeleton_of_thought.calls import TOOL_CALLS, Finish
from skeleton_of_thought.events import (
    CallRetried,
    Event,
    Finished,
    PointDone,
    PointFailed,
    PointStarted,
    PointText,
    Routed,
    SkeletonReady,
    Text,
)


def message(answer: Answer, run_id: UUID) -> AIMessage:
    """Return an answer as the message of a chat model; of a direct one, the model's own message."""
    own = _own(answer)
    about = {"sot": _about(answer)}
    if own is None:
        told = {"finish_reason": answer.finish} if answer.finish else {}
        usage = usage_metadata(answer.total_usage) if answer.usage else None
        return AIMessage(answer.text, id=_id(run_id), response_metadata=about | told, usage_metadata=usage)
    more = answer.total_usage - (usage_of(own) or Usage())  # what its own words for its cost do not tell
    usage = add_usage(own.usage_metadata, usage_metadata(more)) if more != Usage() else own.usage_metadata
    return own.model_copy(update={"response_metadata": own.response_metadata | about, "usage_metadata": usage})


def chunk(event: Event, run_id: UUID) -> AIMessageChunk | None:
    """Say an event in the language of a chat model's stream, where it has a word for it."""
    match event:
        case Text(text, origin):
            return _passed(origin) if isinstance(origin, AIMessage) else AIMessageChunk(content=text, id=_id(run_id))
        case Finished(answer):
            return _last(answer, run_id)
        case _:
            return None


def point_chunk(event: Event, run_id: UUID) -> AIMessageChunk | None:
    """Do as `chunk` does, for a single point."""
    match event:
        case PointText(_, text):
            return AIMessageChunk(content=text, id=_id(run_id))
        case PointDone(section):
            return AIMessageChunk(content="", id=_id(run_id), chunk_position="last", **_of_section(section))
        case _:
            return None


def point_message(section: Section, run_id: UUID) -> AIMessage:
    """Return a point's text as the message of a chat model."""
    return AIMessage(content=section.text, id=_id(run_id), **_of_section(section))


def custom_event(event: Event) -> tuple[str, dict[str, Any]] | None:
    """Return the name and data of the custom event that tells of *event*, where there is one."""
    match event:
        case Routed(route):
            return "sot_route", {"kind": route.kind, "by": route.by, "why": route.why}
        case SkeletonReady(skeleton):
            points = [{"number": point.number, "title": point.title} for point in skeleton.points]
            return "sot_skeleton", {"points": points}
        case PointStarted(point):
            return "sot_point_start", {"number": point.number, "title": point.title}
        case PointDone(section):
            return "sot_point_end", _about_section(section) | {"text": section.text}
        case CallRetried(stage, number, error, seconds):
            about = {"stage": stage, "number": number, "error": repr(error), "seconds": seconds}
            return "sot_retry", about
        case PointFailed(point, error):
            return "sot_point_error", {"number": point.number, "title": point.title, "error": repr(error)}
        case _:
            return None


def usage_of(said: BaseMessage) -> Usage | None:
    """Return what a message tells of its cost."""
    told = said.usage_metadata if isinstance(said, AIMessage) else None
    if not told:
        return None
    return Usage(
        told["input_tokens"], told["output_tokens"], told.get("input_token_details", {}).get("cache_read") or 0
    )


def finish_of(said: BaseMessage) -> Finish | None:
    """Return what a message tells of why it ended."""
    if isinstance(said, AIMessage) and (said.tool_calls or getattr(said, "tool_call_chunks", None)):
        return Finish(TOOL_CALLS)
    if not (told := said.response_metadata):
        return None
    reason = told.get("finish_reason") or told.get("stop_reason") or told.get("done_reason")
    return Finish.of(str(reason)) if reason else None


def usage_metadata(usage: Usage) -> UsageMetadata:
    """Say a cost as LangChain says it."""
    return UsageMetadata(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        total_tokens=usage.input_tokens + usage.output_tokens,
        input_token_details=InputTokenDetails(cache_read=usage.cached_tokens),
    )


def _own(answer: Answer) -> AIMessage | None:
    """Return the message that the model itself gave for a direct answer: whole, or in chunks where time is limited."""
    said = [origin for origin in answer.origins if isinstance(origin, AIMessage)]
    if not said or not isinstance(said[0], AIMessageChunk):
        return _saying(said[0], answer.text) if said else None
    chunks = [each for each in said if isinstance(each, AIMessageChunk)]
    whole = message_chunk_to_message(add_ai_message_chunks(chunks[0], *chunks[1:]))
    assert isinstance(whole, AIMessage)
    return _saying(whole, answer.text)


def _saying(said: AIMessage, text: str) -> AIMessage:
    """Put the whole text into a message that has only some of it, as one that was cut or gone on with."""
    if said.text == text:
        return said
    others = [block for block in said.content if isinstance(block, dict) and block.get("type") != "text"]
    return said.model_copy(update={"content": [*others, {"type": "text", "text": text}] if others else text})


def _passed(said: AIMessage) -> AIMessageChunk:
    """Hand a message on as a chunk that is not the last: ours is."""
    if not isinstance(said, AIMessageChunk):
        return AIMessageChunk(**said.model_dump(exclude={"type"}))
    return said.model_copy(update={"chunk_position": None}) if said.chunk_position else said


def _last(answer: Answer, run_id: UUID) -> AIMessageChunk:
    """Tell what no earlier chunk told."""
    said = [origin for origin in answer.origins if isinstance(origin, AIMessage)]
    told = {"finish_reason": answer.finish} if answer.finish and not said else {}
    usage, earlier = answer.total_usage, sum((usage_of(each) or Usage() for each in said), Usage())
    return AIMessageChunk(
        content="",
        id=said[0].id if said else _id(run_id),
        chunk_position="last",
        response_metadata={"sot": _about(answer)} | told,
        usage_metadata=usage_metadata(usage - earlier) if answer.usage and usage != earlier else None,
    )


def _id(run_id: UUID) -> str:
    return f"lc_run--{run_id}"  # as chat models name theirs, so that the pieces of one message are put together


def _about(answer: Answer) -> dict[str, Any]:
    return answer.about() | {
        "usage": {stage: usage_metadata(usage) for stage, usage in answer.usage.items()},
        "points": [_about_section(section) for section in answer.sections],
        "sources": [_about_source(source) for source in answer.sources],
    }


def _about_section(section: Section) -> dict[str, Any]:
    return section.about() | {"usage": usage_metadata(section.usage) if section.usage else None}


def _about_source(source: Source) -> dict[str, Any]:
    about: dict[str, Any] = {"number": source.number, "points": list(source.points), "text": source.passage.text}
    document, key = source.passage.origin, source.passage.key
    if isinstance(document, Document):
        return about | {"id": document.id, "metadata": document.metadata}
    return about | ({"id": key} if key else {})


def _of_section(section: Section) -> dict[str, Any]:
    told = {"finish_reason": section.finish} if section.finish else {}
    return {
        "response_metadata": {"sot": _about_section(section)} | told,
        "usage_metadata": usage_metadata(section.usage) if section.usage else None,
    }
