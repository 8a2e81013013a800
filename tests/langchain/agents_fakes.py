"""A chat model for agents, which answers by what its last message asks for, and middleware that looks on."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from threading import Lock
from typing import Any

from langchain.agents.middleware import AgentMiddleware, ModelRequest, ModelResponse
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.tool import ToolCall, tool_call_chunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import Field, PrivateAttr

from ..script import DIRECT, POINTS, SKELETON


class ModelDownError(Exception):
    """What a call raises that is to fail."""


class AgentModel(BaseChatModel):
    """Writes a skeleton where one is asked for, a point where one is; calls a tool first, where it wants one."""

    wants: ToolCall | None = None
    """What it calls as long as no result of a tool is there."""
    skeleton: str = SKELETON
    failures: dict[int, int] = Field(default_factory=dict)
    """How many times a point fails."""
    max_tokens: int | None = None
    calls: list[tuple[str | int, list[BaseMessage], dict[str, Any]]] = Field(default_factory=list)
    """The stage or number of the point, the messages, the options."""
    _lock: Any = PrivateAttr(default_factory=Lock)

    @property
    def _llm_type(self) -> str:
        return "agent-model"

    @property
    def stages(self) -> list[str]:
        """What was asked for, by name, sorted."""
        return sorted(str(stage) for stage, _, _ in self.calls)

    def bind_tools(self, tools: Any, *, tool_choice: Any = None, **options: Any) -> Runnable[Any, AIMessage]:
        told = {"tools": [convert_to_openai_tool(tool) for tool in tools]}
        return self.bind(**told | ({"tool_choice": tool_choice} if tool_choice else {}) | options)

    def _said(self, messages: list[BaseMessage], options: dict[str, Any]) -> AIMessage:
        task = next(message.text for message in reversed(messages) if message.type == "human")
        numbers = re.findall(r"Write only point (\d+)", task)
        stage = int(numbers[0]) if numbers else "skeleton" if "skeleton" in task else "direct"
        with self._lock:
            self.calls.append((stage, messages, options))
            if self.failures.get(stage, 0):  # type: ignore[call-overload]
                self.failures[stage] -= 1  # type: ignore[index]
                raise ModelDownError(f"{stage} failed")
        if isinstance(stage, int):
            return AIMessage(POINTS[stage])
        forced = options.get("tool_choice")
        if forced and forced != "auto":
            name = options["tools"][-1]["function"]["name"]
            return AIMessage("", tool_calls=[self.wants or {"name": name, "args": {"text": DIRECT}, "id": "forced"}])
        if self.wants and options.get("tools") and not any(message.type == "tool" for message in messages):
            return AIMessage("", tool_calls=[self.wants])
        return AIMessage(self.skeleton if stage == "skeleton" else DIRECT)

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **options: Any) -> ChatResult:
        said = self._said(messages, options)
        usage = {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}
        whole = said.model_copy(update={"response_metadata": {"model_name": "agent-model"}, "usage_metadata": usage})
        return ChatResult(generations=[ChatGeneration(message=whole)])

    async def _agenerate(self, messages: Any, stop: Any = None, run_manager: Any = None, **options: Any) -> ChatResult:
        return self._generate(messages, stop, run_manager, **options)

    def _stream(
        self, messages: Any, stop: Any = None, run_manager: Any = None, **options: Any
    ) -> Iterator[ChatGenerationChunk]:
        said = self._said(messages, options)
        for word in re.findall(r"\s*\S+", said.text):
            yield ChatGenerationChunk(message=AIMessageChunk(content=word))
        for call in said.tool_calls:
            args = str(call["args"]).replace("'", '"')
            chunk = tool_call_chunk(name=call["name"], args=args, id=call["id"], index=0)
            yield ChatGenerationChunk(message=AIMessageChunk(content="", tool_call_chunks=[chunk]))

    async def _astream(
        self, messages: Any, stop: Any = None, run_manager: Any = None, **options: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        for chunk in self._stream(messages, stop, run_manager, **options):
            yield chunk


class Watch(AgentMiddleware[Any, Any, Any]):
    """Keeps what passes in both directions."""

    def __init__(self, name: str = "Watch") -> None:
        super().__init__()
        self._name = name
        self.requests: list[ModelRequest[Any]] = []
        self.responses: list[ModelResponse[Any]] = []

    @property
    def name(self) -> str:
        return self._name

    def wrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], ModelResponse[Any]]
    ) -> ModelResponse[Any]:
        self.requests.append(request)
        self.responses.append(handler(request))
        return self.responses[-1]

    async def awrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]]
    ) -> ModelResponse[Any]:
        self.requests.append(request)
        response = await handler(request)
        self.responses.append(response)
        return response
