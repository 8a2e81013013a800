"""The chat engine that is made of a query engine: more consumers."""

from typing import Any

import pytest

from ..script import QUESTION
from .consumers import Outcome, consumer
from .ways import run, saying

pytest.importorskip("llama_index.core")

from llama_index.core.chat_engine import CondenseQuestionChatEngine
from llama_index.core.memory import ChatMemoryBuffer


def condensing(engine: Any) -> CondenseQuestionChatEngine:
    memory: Any = ChatMemoryBuffer(token_limit=10_000)  # the usual one leaves a database open
    return CondenseQuestionChatEngine.from_defaults(query_engine=engine, llm=saying(QUESTION), memory=memory)


def ended(response: Any, text: str, chat: Any) -> Outcome:
    """See to it that what was said is in the history."""
    assert ["user", "assistant"] == [message.role.value for message in chat.chat_history[-2:]]
    assert text == chat.chat_history[-1].content
    inner = response.sources[0].raw_output
    return Outcome(text, type(inner), tuple(source.node.get_content() for source in response.source_nodes))


@consumer()
def chat(engine: Any) -> Outcome:
    """The second question is condensed first."""
    chats = condensing(engine)
    chats.chat("What of it?", [])
    response = chats.chat("And now?")
    return ended(response, response.response, chats)


@consumer()
def stream_chat(engine: Any) -> Outcome:
    chats = condensing(engine)
    response = chats.stream_chat(QUESTION)
    thread: Any = response.write_response_to_history_thread
    text = "".join(response.response_gen)
    thread.join()
    return ended(response, text, chats)


@consumer()
def achat(engine: Any) -> Outcome:
    chats = condensing(engine)
    response = run(chats.achat(QUESTION))
    return ended(response, response.response, chats)


@consumer()
def astream_chat(engine: Any) -> Outcome:
    async def work() -> Outcome:
        chats = condensing(engine)
        response = await chats.astream_chat(QUESTION)
        task: Any = response.awrite_response_to_history_task
        text = "".join([delta async for delta in response.async_response_gen()])
        await task
        return ended(response, text, chats)

    return run(work())


@consumer()
def toggled(engine: Any) -> Outcome:
    """Streamed and not in turns: the switch is set back before a stream is read."""
    switch, chats = engine._response_synthesizer._streaming, condensing(engine)
    stream = chats.stream_chat(QUESTION)
    assert switch == engine._response_synthesizer._streaming
    text, whole = "".join(stream.response_gen), chats.chat(QUESTION)
    assert (text, switch) == (whole.response, engine._response_synthesizer._streaming)
    return Outcome(text)
