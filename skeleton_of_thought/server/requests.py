"""What a client of the OpenAI protocol asks: JSON in, `Generation` out. Pure, nothing here waits.

What would change the meaning of a reply and cannot be done (tools, images, token numbers as a prompt) is
refused with a clear message. Other unknown parameters are ignored, as llama.cpp and vLLM do.
"""

import json
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..calls import Message, Role
from ..errors import InputError
from ..models.generation import Generation

Json: TypeAlias = dict[str, Any]

_ROLES: dict[str, Role] = {"assistant": "assistant", "developer": "system", "system": "system", "user": "user"}
_UNSUPPORTED = ("echo", "functions", "logprobs", "suffix", "tools")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What one request asks for."""

    generations: tuple[Generation, ...]
    """One for each choice of the reply, in order."""
    per_prompt: int = 1
    """How many neighbouring choices answer the same prompt."""
    stream: bool = False
    include_usage: bool = False


class _Part(BaseModel):
    type: str
    text: str = ""


class _Message(BaseModel):
    role: str
    content: str | list[_Part] | None = None


class _StreamOptions(BaseModel):
    include_usage: bool = False


class _JsonSchema(BaseModel):
    schema_: Json = Field(alias="schema")


class _ResponseFormat(BaseModel):
    type: Literal["json_object", "json_schema", "text"]
    json_schema: _JsonSchema | None = None
    schema_: Json | None = Field(default=None, alias="schema")


class _Body(BaseModel):
    model_config = ConfigDict(extra="allow")

    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    n: int | None = Field(default=None, ge=1, le=128)
    max_tokens: int | None = Field(default=None, ge=-1)
    max_completion_tokens: int | None = Field(default=None, ge=-1)
    temperature: float | None = Field(default=None, ge=0)
    top_p: float | None = Field(default=None, gt=0, le=1)
    stop: str | list[str] | None = None
    seed: int | None = None
    repetition_penalty: float | None = Field(default=None, gt=0)
    repeat_penalty: float | None = Field(default=None, gt=0)
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    response_format: _ResponseFormat | None = None
    grammar: str | None = None
    ignore_eos: bool | None = None


class _ChatBody(_Body):
    messages: list[_Message] = Field(min_length=1)


class _TextBody(_Body):
    prompt: str | list[str]


_AnyBody = TypeVar("_AnyBody", bound=_Body)


def read_chat(body: bytes) -> Asked:
    """Read the body of a request to ``/v1/chat/completions``."""
    asked = _checked(_ChatBody, body)
    return _asked(asked, [Generation(messages=tuple(map(_message, asked.messages)))])


def read_text(body: bytes) -> Asked:
    """Read the body of a request to ``/v1/completions``."""
    asked = _checked(_TextBody, body)
    prompts = [asked.prompt] if isinstance(asked.prompt, str) else asked.prompt
    if not prompts:
        raise InputError("`prompt`: the list is empty")
    return _asked(asked, [Generation(prompt=prompt) for prompt in prompts])


def _checked(kind: type[_AnyBody], body: bytes) -> _AnyBody:
    try:
        asked = kind.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        if not first["loc"]:
            raise InputError(f"the body is not what it should be: {first['msg']}") from error
        raise InputError(f"`{'.'.join(map(str, first['loc']))}`: {first['msg']}") from error
    for name in _UNSUPPORTED:
        if (asked.model_extra or {}).get(name):
            raise InputError(f"`{name}` is not supported by this endpoint")
    return asked


def _message(message: _Message) -> Message:
    role = _ROLES.get(message.role)
    if role is None:
        raise InputError(f"messages of the role {message.role!r} are not supported: this endpoint has no tools")
    if message.content is None:
        raise InputError("a message has no content")
    if isinstance(message.content, str):
        return Message(role, message.content)
    for part in message.content:
        if part.type != "text":
            raise InputError(f"content of the type {part.type!r} is not supported: this model reads text only")
    return Message(role, "".join(part.text for part in message.content))


def _asked(body: _Body, prompts: list[Generation]) -> Asked:
    copies = body.n or 1
    generations = [_configured(body, prompt, copy) for prompt in prompts for copy in range(copies)]
    return Asked(
        generations=tuple(generations),
        per_prompt=copies,
        stream=body.stream or False,
        include_usage=body.stream_options is not None and body.stream_options.include_usage,
    )


def _configured(body: _Body, prompt: Generation, copy: int) -> Generation:
    return replace(
        prompt,
        max_tokens=_max_tokens(body),
        temperature=body.temperature,
        top_p=body.top_p,
        stop=_stops(body.stop),
        seed=None if body.seed is None else body.seed + copy,
        repetition_penalty=body.repeat_penalty if body.repetition_penalty is None else body.repetition_penalty,
        presence_penalty=body.presence_penalty,
        frequency_penalty=body.frequency_penalty,
        grammar=body.grammar or None,
        json_schema=_schema(body),
        ignore_eos=body.ignore_eos or False,
    )


def _max_tokens(body: _Body) -> int | None:
    asked = body.max_tokens if body.max_completion_tokens is None else body.max_completion_tokens
    if asked == 0:
        raise InputError("`max_tokens`: must be at least 1, or -1 for no limit")
    return None if asked == -1 else asked


def _stops(stop: str | list[str] | None) -> tuple[str, ...]:
    return tuple(text for text in ([stop] if isinstance(stop, str) else stop or []) if text)


def _schema(body: _Body) -> str | None:
    form = body.response_format
    if form is None or form.type == "text":
        return None
    if body.grammar:
        raise InputError("`grammar` and `response_format` exclude each other")
    if form.type == "json_object":
        return json.dumps(form.schema_ or {"type": "object"})
    if form.json_schema is None:
        raise InputError("`response_format`: `json_schema` is missing")
    return json.dumps(form.json_schema.schema_)
