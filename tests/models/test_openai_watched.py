"""What traces calls by putting itself in the place of the client's methods sees what it has always seen."""

import asyncio
import functools

import openai
import pytest
from openai.resources.chat.completions import AsyncCompletions
from openai.types.chat import ChatCompletionChunk

from skeleton_of_thought.calls import Abilities, Call, Finish, Message, Usage
from skeleton_of_thought.models.openai import OpenAIModel
from skeleton_of_thought.testing import LatencyModel, LatencyServer, collect

STREAM = pytest.mark.parametrize("stream", [True, False])
MESSAGES = (Message("system", "Be brief."), Message("user", "How do I sleep?"), Message("assistant", "Go"))
SAID = [{"role": message.role, "content": message.text} for message in MESSAGES]
TEXT = ["Go", " to", " bed", " early."]


@pytest.fixture
def server():
    """Serve a model that says one sentence."""
    with LatencyServer(LatencyModel(reply=lambda _: "Go to bed early.")) as server:
        yield server


def ask(server, stream=True, **settings):
    """Ask on a loop of its own, and return all pieces."""
    model = OpenAIModel("m", base_url=server.base_url, **settings)
    return asyncio.run(collect(model(Call("direct", MESSAGES, stream=stream))))


def closure(create, calls):
    """Stand in the place of a method as a function."""

    @functools.wraps(create)
    async def traced(self, **told):
        calls.append(told)
        return await create(self, **told)

    return traced


class Proxy:
    """Stand in the place of a method as an object that passes itself off as it."""

    def __init__(self, method, calls):
        self._method, self._calls = method, calls

    def __getattr__(self, name):
        return getattr(self._method, name)

    def __get__(self, owner, _=None):
        return Proxy(self._method.__get__(owner), self._calls)

    @property
    def __class__(self):
        return type(self._method)

    def __call__(self, **told):
        self._calls.append(told)
        return self._method(**told)


@STREAM
@pytest.mark.parametrize("watch", [closure, Proxy])
def test_who_watches_sees_the_messages(server, monkeypatch, stream, watch):
    """Also one who comes when a model has been used."""
    calls = []
    ask(server, stream)
    monkeypatch.setattr(AsyncCompletions, "create", watch(AsyncCompletions.create, calls))

    ask(server, stream)

    assert [SAID] == [told["messages"] for told in calls]


@STREAM
def test_a_client_of_the_caller_is_told_the_messages(server, monkeypatch, stream):
    """What it does with them is its own affair."""
    sent = []

    class Own(openai.AsyncOpenAI):
        async def _prepare_options(self, options):
            sent.append(options.json_data["messages"])
            return options

    async def main():
        async with Own(base_url=server.base_url, api_key="none") as client:
            await collect(OpenAIModel("m", client=client)(Call("direct", MESSAGES, stream=stream)))

    asyncio.run(main())
    assert [SAID] == sent


@STREAM
@pytest.mark.parametrize("watched", [True, False])
def test_the_same_is_sent_where_nobody_watches(server, monkeypatch, stream, watched):
    """Messages are part of the body either way, and what the caller adds is in it too."""
    if watched:
        monkeypatch.setattr(AsyncCompletions, "create", closure(AsyncCompletions.create, []))

    ask(server, stream, extra_body={"top_k": 5}, abilities=Abilities(prefill=True))

    more = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
    body = {"model": "m", "messages": SAID, "top_k": 5, "add_generation_prompt": False, "continue_final_message": True}
    assert body | more == server.requests[0].body


def test_who_reads_along_gets_what_the_package_makes(server, monkeypatch):
    """Some put an iterator of their own into a stream instead of wrapping it."""
    seen, create = [], AsyncCompletions.create

    async def traced(self, **told):
        stream = await create(self, **told)
        chunks = stream._iterator

        async def reading():
            async for chunk in chunks:
                seen.append(chunk)
                yield chunk

        stream._iterator = reading()
        return stream

    monkeypatch.setattr(AsyncCompletions, "create", traced)

    assert [*TEXT, Usage(7, 4, 0), Finish("stop")] == ask(server)
    assert {ChatCompletionChunk} == {type(chunk) for chunk in seen}


def test_where_nobody_reads_along_no_model_is_made(server, monkeypatch):
    """Each would cost more than all else that a piece of text needs."""
    monkeypatch.setattr(ChatCompletionChunk, "construct", None)

    assert [*TEXT, Usage(7, 4, 0), Finish("stop")] == ask(server)
