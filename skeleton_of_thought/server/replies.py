"""What an endpoint of the OpenAI protocol says: pieces in, JSON out. Pure: ids and times are given."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from ..calls import Usage
from ..errors import ContextLengthError, InputError

Json: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Choice:
    """One finished text."""

    text: str
    reason: str
    usage: Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """The form of everything that is said in reply to one request."""

    id: str
    created: int
    model: str

    def opening(self, index: int) -> list[Json]:
        """Say what comes before the text of a choice; plain completions have no such chunk."""
        return [self._chunk({"index": index, "delta": {"role": "assistant", "content": ""}, "finish_reason": None})]

    def text(self, index: int, text: str) -> Json:
        """Say a piece of text."""
        return self._chunk({"index": index, "delta": {"content": text}, "finish_reason": None})

    def ending(self, index: int, reason: str) -> Json:
        """Say that a choice has ended."""
        return self._chunk({"index": index, "delta": {}, "finish_reason": reason})

    def cost(self, usage: Usage) -> Json:
        """Say what the request cost; the last chunk of a stream that was asked for it."""
        return {**self._chunk(), "usage": _usage(usage)}

    def whole(self, choices: Sequence[Choice], usage: Usage) -> Json:
        """Say everything at once."""
        return {
            **self._head("chat.completion"),
            "choices": [
                {
                    "index": index,
                    "message": {"role": "assistant", "content": choice.text},
                    "finish_reason": choice.reason,
                }
                for index, choice in enumerate(choices)
            ],
            "usage": _usage(usage),
        }

    def _chunk(self, *choices: Json) -> Json:
        return {**self._head("chat.completion.chunk"), "choices": list(choices)}

    def _head(self, kind: str) -> Json:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model}


@dataclass(frozen=True, slots=True, kw_only=True)
class TextReply(Reply):
    """Same as `Reply`, but for plain completions."""

    def opening(self, index: int) -> list[Json]:  # noqa: ARG002 -- the signature is the base's
        """Say nothing: a plain completion begins with its text."""
        return []

    def text(self, index: int, text: str) -> Json:
        """Say a piece of text."""
        return self._chunk({"index": index, "text": text, "finish_reason": None})

    def ending(self, index: int, reason: str) -> Json:
        """Say that a choice has ended."""
        return self._chunk({"index": index, "text": "", "finish_reason": reason})

    def whole(self, choices: Sequence[Choice], usage: Usage) -> Json:
        """Say everything at once."""
        said = [
            {"index": index, "text": choice.text, "finish_reason": choice.reason}
            for index, choice in enumerate(choices)
        ]
        return {**self._chunk(*said), "usage": _usage(usage)}

    def _chunk(self, *choices: Json) -> Json:
        return {**self._head("text_completion"), "choices": list(choices)}


def total(choices: Sequence[Choice], per_prompt: int) -> Usage:
    """Add up what *choices* cost; a prompt that is answered several times is read once."""
    once = [choice.usage for choice in choices[::per_prompt]]
    return Usage(
        sum(usage.input_tokens for usage in once),
        sum(choice.usage.output_tokens for choice in choices),
        sum(usage.cached_tokens for usage in once),
    )


def _usage(usage: Usage) -> Json:
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
    }


def failure(error: Exception) -> tuple[int, Json]:
    """Tell the status and the body for *error*. What is not the client's doing stays in the log."""
    match error:
        case ContextLengthError():
            return 400, refusal(400, str(error), code="context_length_exceeded")
        case InputError():
            return 400, refusal(400, str(error))
        case _:
            return 500, refusal(500, "the model failed: the server's log says where")


def refusal(status: int, message: str, *, code: str | None = None) -> Json:
    """Build the body of an error reply."""
    kind = "server_error" if status >= 500 else "invalid_request_error"
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def models(name: str) -> Json:
    """Build the reply of ``/v1/models``."""
    return {
        "object": "list",
        "data": [{"id": name, "object": "model", "created": 0, "owned_by": "skeleton-of-thought"}],
    }
