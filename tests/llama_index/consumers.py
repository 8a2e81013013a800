"""What uses a query engine, and what comes of it; first of all tools and agents."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from ..script import DIRECT, QUESTION
from .ways import aread, run

pytest.importorskip("llama_index.core")

from llama_index.core.agent import FunctionAgent
from llama_index.core.base.llms.types import ChatMessage, ToolCallBlock
from llama_index.core.llms.mock import MockFunctionCallingLLM
from llama_index.core.tools import QueryEngineTool


@dataclass(frozen=True)
class Outcome:
    """What a consumer got."""

    text: str
    kind: type | None = None
    sources: tuple[str, ...] = ()

    def with_answer(self, answer: str) -> "Outcome":
        """Put *answer* in the places of the direct one: outer engines make nodes of what inner ones answer."""
        texts = [text.replace(DIRECT, answer) for text in (self.text, *self.sources)]
        return Outcome(texts[0], self.kind, tuple(texts[1:]))

    @classmethod
    def of(cls, response: Any, text: str | None = None) -> "Outcome":
        text = str(response) if text is None else text
        sources = [source.node.get_content() for source in response.source_nodes]
        return cls(text, type(response), tuple(sources))

    @classmethod
    async def aof(cls, response: Any) -> "Outcome":
        return cls.of(response, await aread(response))


Use = Callable[[Any], Outcome]


@dataclass(frozen=True)
class Consumer:
    """What uses an engine."""

    use: Use
    streaming: tuple[bool, ...] = (False, True)
    """What the engine may be switched to."""


CONSUMERS: dict[str, Consumer] = {}


def consumer(**options: Any) -> Callable[[Use], Any]:
    """Add to what is tested."""

    def add(use: Use) -> Any:
        CONSUMERS[use.__name__] = Consumer(use, **options)
        return use

    return add


def tool(engine: Any, name: str = "docs") -> Any:
    return QueryEngineTool.from_defaults(engine, name=name, description="Knows of sleep.")


def outcome(engine: Any) -> Outcome:
    response = engine.query(QUESTION)
    return Outcome.of(response)


def aoutcome(engine: Any) -> Outcome:
    async def work() -> Outcome:
        return await Outcome.aof(await engine.aquery(QUESTION))

    return run(work())


@consumer()
def tool_call(engine: Any) -> Outcome:
    output = tool(engine).call(QUESTION)
    assert output.content == str(output.raw_output)
    return Outcome.of(output.raw_output, output.content)


@consumer()
def tool_acall(engine: Any) -> Outcome:
    output = run(tool(engine).acall(QUESTION))
    return Outcome.of(output.raw_output, output.content)


@consumer()
def function_agent(engine: Any) -> Outcome:
    def reply(messages: Sequence[ChatMessage], **_: Any) -> ChatMessage:
        if messages[-1].role == "tool":
            return ChatMessage(role="assistant", content=f"I read: {messages[-1].content}")
        call = ToolCallBlock(tool_call_id="1", tool_name="docs", tool_kwargs={"input": QUESTION})
        return ChatMessage(role="assistant", blocks=[call])

    async def work() -> Outcome:
        llm = MockFunctionCallingLLM(response_generator=reply, is_chat_model=True)
        output = await FunctionAgent(tools=[tool(engine)], llm=llm, streaming=False).run(user_msg=QUESTION)
        raw = output.tool_calls[0].tool_output.raw_output
        return Outcome.of(raw, str(output))

    return run(work())
