"""A chat model that answers by the stage it is asked for, and keeps what it was asked."""

import asyncio
import re
import threading
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.ai import InputTokenDetails, UsageMetadata
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import ConfigDict, SkipValidation

from ..script import DIRECT, POINTS, SKELETON

Stage = str | int
"""``skeleton``, ``direct``, or the number of a point."""

TITLES = dict(enumerate((line.split(". ")[1] for line in SKELETON.split("\n")), 1))
PATIENCE = 10.0  # seconds after which a test that waits has failed


class FakeModelError(Exception):
    """What a failing call raises."""


@dataclass(frozen=True)
class Asked:
    """One call."""

    stage: Stage
    messages: list[BaseMessage]
    options: dict[str, Any]
    streamed: bool


class Gate:
    """Holds calls until so many are there at the same time; then it stays open."""

    def __init__(self, width: int) -> None:
        self._width = width
        self._there = 0
        self._lock = threading.Lock()
        self._open = threading.Event()

    def _enter(self) -> None:
        with self._lock:
            self._there += 1
            if self._there >= self._width:
                self._open.set()

    def wait(self) -> None:
        self._enter()
        assert self._open.wait(PATIENCE), f"fewer than {self._width} calls at a time"

    async def await_(self) -> None:
        self._enter()
        async with asyncio.timeout(PATIENCE):
            while not self._open.is_set():  # noqa: ASYNC110 -- it opens for threads and for any loop
                await asyncio.sleep(0.001)
        for _ in range(20):  # so that whoever else may begin has begun
            await asyncio.sleep(0)


@dataclass
class Script:
    """What is answered, and what was asked: one for any number of models and copies of them."""

    replies: Mapping[Stage, str | AIMessage] = field(default_factory=dict)
    fails: Mapping[Stage, int] = field(default_factory=dict)
    """How many calls of a stage fail."""
    fails_after: int = 1
    """How many pieces come before, where it is streamed."""
    hangs: Iterable[Stage] = ()
    """Stages that stop for ever after their first piece; blocking ones until they are released."""
    gate: Gate | None = None
    """What points have to pass."""
    released: threading.Event = field(default_factory=threading.Event)
    calls: list[Asked] = field(default_factory=list)
    in_flight: int = 0
    peak: int = 0
    pieces: int = 0
    _failed: Counter[Stage] = field(default_factory=Counter)
    _lock: Any = field(default_factory=threading.Lock)

    def __deepcopy__(self, _: Any) -> "Script":
        return self

    @property
    def stages(self) -> list[Stage]:
        """What was asked, points sorted last."""
        return sorted((call.stage for call in self.calls), key=lambda stage: (isinstance(stage, int), stage))

    @contextmanager
    def call(self, messages: list[BaseMessage], options: dict[str, Any], *, streamed: bool) -> Iterator[Stage]:
        stage = _stage(messages)
        with self._lock:
            self.calls.append(Asked(stage, list(messages), options, streamed))
            self.in_flight += 1
            self.peak = max(self.peak, self.in_flight)
        try:
            yield stage
        finally:
            with self._lock:
                self.in_flight -= 1

    def fail(self, stage: Stage) -> None:
        with self._lock:
            fails = self._failed[stage] < self.fails.get(stage, 0)
            self._failed[stage] += fails
        if fails:
            raise FakeModelError(f"{stage} fails")

    def message(self, stage: Stage, options: dict[str, Any]) -> AIMessage:
        if options.get("tool_choice"):
            tool = options["tools"][0]["function"]["name"]
            args = {"points": list(TITLES.values())}
            return AIMessage("", tool_calls=[{"name": tool, "args": args, "id": "forced"}])
        usual = POINTS[stage] if isinstance(stage, int) else {"skeleton": SKELETON, "direct": DIRECT}[stage]
        said = self.replies.get(stage, usual)
        return said if isinstance(said, AIMessage) else AIMessage(said)


def _stage(messages: list[BaseMessage]) -> Stage:
    task = next(message for message in reversed(messages) if message.type in {"human", "HumanMessageChunk", "chat"})
    found = {task.text.rfind(title): number for number, title in TITLES.items() if title in task.text}
    if found:
        return found[max(found)]
    return "skeleton" if "skeleton" in task.text else "direct"


def usage(output_tokens: int) -> UsageMetadata:
    """Tell what a call costs here."""
    return UsageMetadata(
        input_tokens=10,
        output_tokens=output_tokens,
        total_tokens=10 + output_tokens,
        input_token_details=InputTokenDetails(cache_read=4),
    )


def words(text: str) -> list[str]:
    """Cut a text as it is streamed; each piece is a token."""
    return re.findall(r"\s*\S+", text)


def _finish(said: AIMessage) -> dict[str, Any]:
    return {"finish_reason": "tool_calls" if said.tool_calls else "stop", "model_name": "fake"}


def _whole(said: AIMessage) -> ChatResult:
    told = {"usage_metadata": usage(len(words(said.text))), "response_metadata": said.response_metadata | _finish(said)}
    return ChatResult(generations=[ChatGeneration(message=said.model_copy(update=told))])


def _pieces(said: AIMessage) -> Iterator[AIMessageChunk]:
    whole = [said.content] if isinstance(said.content, list) else words(said.content)
    for content in whole:
        yield AIMessageChunk(content=content, id=said.id)
    for index, call in enumerate(said.tool_calls):
        args = str(call["args"]).replace("'", '"')
        parts = [(call["name"], call["id"], args[:4]), (None, None, args[4:])]
        for name, key, part in parts:
            chunk = tool_call_chunk(name=name, args=part, id=key, index=index)
            yield AIMessageChunk(content="", tool_call_chunks=[chunk], id=said.id)
    if said.additional_kwargs:
        yield AIMessageChunk(content="", additional_kwargs=said.additional_kwargs, id=said.id)
    told = said.response_metadata | _finish(said)
    yield AIMessageChunk(content="", id=said.id, response_metadata=told, usage_metadata=usage(len(words(said.text))))


class Blocking(BaseChatModel):
    """One that has synchronous methods only."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    script: SkipValidation[Script]
    max_tokens: int | None = None
    temperature: float = 0.0

    @property
    def _llm_type(self) -> str:
        return "fake"

    def _options(self, options: dict[str, Any], stop: Any) -> dict[str, Any]:
        return {"temperature": self.temperature, "stop": stop} | options

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **options: Any) -> ChatResult:
        with self.script.call(messages, self._options(options, stop), streamed=False) as stage:
            self._pass(stage)
            self.script.fail(stage)
            if stage in self.script.hangs:
                self.script.released.wait(PATIENCE)
            return _whole(self.script.message(stage, options))

    def _stream(
        self, messages: Any, stop: Any = None, run_manager: Any = None, **options: Any
    ) -> Iterator[ChatGenerationChunk]:
        with self.script.call(messages, self._options(options, stop), streamed=True) as stage:
            self._pass(stage)
            for number, piece in enumerate(_pieces(self.script.message(stage, options))):
                if number == self.script.fails_after:
                    self.script.fail(stage)
                if number == 1 and stage in self.script.hangs:
                    self.script.released.wait(PATIENCE)
                yield _heard(self.script, piece)

    def _pass(self, stage: Stage) -> None:
        if self.script.gate and isinstance(stage, int):
            self.script.gate.wait()


def _heard(script: Script, piece: AIMessageChunk) -> ChatGenerationChunk:
    script.pieces += 1
    return ChatGenerationChunk(message=piece)


class Native(Blocking):
    """One that has asynchronous methods of its own."""

    async def _agenerate(self, messages: Any, stop: Any = None, run_manager: Any = None, **options: Any) -> ChatResult:
        with self.script.call(messages, self._options(options, stop), streamed=False) as stage:
            await self._apass(stage)
            self.script.fail(stage)
            if stage in self.script.hangs:
                await asyncio.Event().wait()
            return _whole(self.script.message(stage, options))

    async def _astream(
        self, messages: Any, stop: Any = None, run_manager: Any = None, **options: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        with self.script.call(messages, self._options(options, stop), streamed=True) as stage:
            await self._apass(stage)
            for number, piece in enumerate(_pieces(self.script.message(stage, options))):
                if number == self.script.fails_after:
                    self.script.fail(stage)
                if number == 1 and stage in self.script.hangs:
                    await asyncio.Event().wait()
                await asyncio.sleep(0)
                yield _heard(self.script, piece)  # noqa: ASYNC119 -- who is left open is what tests ask

    async def _apass(self, stage: Stage) -> None:
        if self.script.gate and isinstance(stage, int):
            await self.script.gate.await_()


class WithTools(Native):
    """One that can be told of tools, and so knows structured output."""

    def bind_tools(self, tools: Any, *, tool_choice: Any = None, **options: Any) -> Runnable[Any, Any]:  # type: ignore[override]
        told = {"tools": [convert_to_openai_tool(tool) for tool in tools]}
        return self.bind(**told | ({"tool_choice": tool_choice} if tool_choice else {}) | options)
