"""What replies tell besides their text: limits in their headers, and whether they came to their end."""

import asyncio
import json
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace

import openai
import pytest

from skeleton_of_thought.calls import Allowance, Call, Finish, Message, Usage
from skeleton_of_thought.errors import ModelError, StreamCutError
from skeleton_of_thought.models.openai import OpenAIModel
from skeleton_of_thought.server import running
from skeleton_of_thought.testing import LatencyModel, LatencyServer, collect

CALL = Call("direct", (Message("user", "How do I sleep?"),))
STREAM = pytest.mark.parametrize("stream", [True, False])
CLIENT = pytest.mark.parametrize("kind", [None, openai.AsyncOpenAI, openai.OpenAI])
COST = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}


def said(text, reason=None, **more):
    """Make a chunk of a stream."""
    return {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": reason}], **more}


def whole(text):
    """Make a reply that is not streamed."""
    message = {"role": "assistant", "content": text}
    return {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": COST}


WHOLE = {"choices": [], "usage": COST}
STREAMED = [said("Go"), said(" to bed."), said("", "stop"), WHOLE, "[DONE]"]


@contextmanager
def endpoint(*events, headers=(), kind="text/event-stream", start="data: "):
    """Serve one reply, which is made of *events*, and give its address."""
    lines = [event if isinstance(event, str) else json.dumps(event) for event in events]
    sent = [(name.encode(), value.encode()) for name, value in [("content-type", kind), *headers]]

    async def app(scope, receive, send):
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": sent})
            for line in lines:
                await send({"type": "http.response.body", "body": f"{start}{line}\n\n".encode(), "more_body": True})
            await send({"type": "http.response.body"})

    with running(app) as server:
        yield server.base_url


def ask(url, kind=None, *, stream=True):
    """Ask on a loop of its own, with a client of some kind, and return the pieces and the error."""
    pieces, call = [], replace(CALL, stream=stream)

    async def read(model):
        try:
            async for piece in model(call):
                pieces.append(piece)
        except (StreamCutError, ModelError, openai.APIError) as error:
            return error

    async def main():
        if kind is openai.AsyncOpenAI:
            async with kind(base_url=url, api_key="none") as client:
                return await read(OpenAIModel("m", client=client))
        if kind is openai.OpenAI:
            with kind(base_url=url, api_key="none") as client:
                return await read(OpenAIModel("m", client=client))
        return await read(OpenAIModel("m", base_url=url))

    return pieces, asyncio.run(main())


# -- limits --------------------------------------------------------------------------------------------

HEADERS = [("x-ratelimit-remaining-requests", "59"), ("x-ratelimit-reset-requests", "1.5s")]


@CLIENT
def test_a_stream_tells_its_limits_first(kind):
    """Before any text, so that the next call can already know."""
    with endpoint(*STREAMED, headers=HEADERS) as url:
        pieces, _ = ask(url, kind)

    assert [Allowance(59, None, 1.5), "Go", " to bed.", Usage(3, 2), Finish("stop")] == pieces


@CLIENT
def test_a_whole_reply_tells_its_limits_first(kind):
    """The headers of a plain reply are looked at as well."""
    with endpoint(whole("Go to bed."), headers=HEADERS, kind="application/json", start="") as url:
        pieces, _ = ask(url, kind, stream=False)

    assert [Allowance(59, None, 1.5), "Go to bed.", Usage(3, 2), Finish("stop")] == pieces


# -- the end of a stream -------------------------------------------------------------------------------


@CLIENT
@pytest.mark.parametrize(
    ("events", "pieces"),
    [
        (STREAMED, ["Go", " to bed.", Usage(3, 2), Finish("stop")]),
        ([said("Go", "stop")], ["Go", Finish("stop")]),
        ([said("Go"), WHOLE], ["Go", Usage(3, 2)]),
        ([said("Go", usage=COST)], ["Go", Usage(3, 2)]),
        ([said("Go"), "[DONE]"], ["Go"]),
        ([said("Go", ""), "[DONE]"], ["Go"]),
        (["[DONE]"], []),
    ],
)
def test_a_stream_is_complete_that_has_any_sign_of_its_end(events, pieces, kind):
    """Some gateways send no reason, others no cost, and others nothing but the last line."""
    with endpoint(*events) as url:
        assert (pieces, None) == ask(url, kind)


@CLIENT
@pytest.mark.parametrize(
    "events",
    [
        [said("Go")],
        [said("Go"), said(" to bed. [DONE]\ndata: [DONE]")],  # the text says so, not the stream
        [],
    ],
)
def test_a_stream_that_just_ends_is_an_error(events, kind):
    """A proxy that gives up ends a reply as if it were complete; what came was yielded."""
    with endpoint(*events) as url:
        pieces, error = ask(url, kind)

    assert [event["choices"][0]["delta"]["content"] for event in events] == pieces
    assert isinstance(error, StreamCutError)


def test_the_last_line_may_come_in_pieces():
    """Networks cut where they like, also within it."""

    async def app(scope, receive, send):
        if scope["type"] == "http":
            headers = [(b"content-type", b"text/event-stream")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            for byte in f"data: {json.dumps(said('Go'))}\r\n\r\ndata:[DONE]\r\n\r\n".encode():
                await send({"type": "http.response.body", "body": bytes([byte]), "more_body": True})
            await send({"type": "http.response.body"})

    with running(app) as server:
        assert (["Go"], None) == ask(server.base_url)


class Wrapped:
    """A stream as what watches clients gives it: it reads another one and is none itself."""

    def __init__(self, stream):
        self.close = stream.close
        self._stream = stream

    def __aiter__(self):
        return aiter(self._stream)


def test_a_stream_that_tells_nothing_of_itself_is_believed():
    """Where its bytes cannot be seen, a missing end is no error."""

    async def main(url):
        async with openai.AsyncOpenAI(base_url=url, api_key="none") as client:
            create = client.chat.completions.create

            async def wrapped(**asked):
                return Wrapped(await create(**asked))

            client.chat.completions.create = wrapped
            return await collect(OpenAIModel("m", client=client)(CALL))

    with endpoint(said("Go"), headers=HEADERS) as url:
        assert ["Go"] == asyncio.run(main(url))


@STREAM
def test_a_page_is_no_answer(stream):
    """The wrong address often gives one with the status 200."""
    with endpoint("<html>Welcome!</html>", kind="text/html", start="") as url:
        pieces, error = ask(url, stream=stream)

    assert ([], StreamCutError if stream else ModelError) == (pieces, type(error))


@STREAM
@CLIENT
def test_an_error_with_the_status_of_success_is_an_error(stream, kind):
    """Some gateways tell in this way that a model failed; the error has the code that they tell."""
    failed = {"error": {"message": "Provider disconnected", "code": 502}}
    told = {} if stream else {"kind": "application/json", "start": ""}
    with endpoint(failed, **told) as url:
        pieces, error = ask(url, kind, stream=stream)

    assert ([], openai.APIError, "Provider disconnected", "502") == (pieces, type(error), str(error), str(error.code))


# -- closing -------------------------------------------------------------------------------------------


@pytest.fixture
def mute():
    """Serve a model that says nothing for an hour, so that not even headers come."""
    with LatencyServer(LatencyModel(first_token=3600)) as server:
        yield server


@STREAM
@pytest.mark.parametrize("own", [True, False])
def test_a_call_is_ended_that_waits_for_headers(mute, stream, own):
    """The endpoint sees its client go away while the loop and its connections go on."""

    async def cancel(client):
        model = OpenAIModel("m", client=client) if client else OpenAIModel("m", base_url=mute.base_url)
        task = asyncio.create_task(collect(model(replace(CALL, stream=stream))))
        await asyncio.to_thread(mute.wait_until, 1)
        task.cancel()
        await asyncio.wait([task])
        await asyncio.to_thread(mute.wait_until_idle)

    async def main():
        if own:
            return await cancel(None)
        async with openai.AsyncOpenAI(base_url=mute.base_url, api_key="none") as client:
            return await cancel(client)

    asyncio.run(main())

    assert [True] == [request.cancelled for request in mute.requests]


@pytest.mark.parametrize("leaving", ["task.cancel(); await asyncio.wait([task])", "task.cancel()", "pass"])
def test_no_noise_when_a_loop_ends_that_waits_for_headers(mute, leaving):
    """Even in development mode with warnings as errors, whether the call was ended before or not."""
    code = f"""
import asyncio, sys
from skeleton_of_thought.calls import Call, Message
from skeleton_of_thought.models.openai import OpenAIModel
from skeleton_of_thought.testing import collect

async def main():
    stream = OpenAIModel("m", base_url={mute.base_url!r})(Call("direct", (Message("user", "x"),)))
    task = asyncio.create_task(collect(stream))
    await asyncio.to_thread(sys.stdin.readline)
    {leaving}

asyncio.run(main())
"""
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", code]

    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        mute.wait_until(1)
        _, said = run.communicate("now\n")

    noise = [line for line in said.splitlines() if " took " not in line]  # development mode tells of slow steps
    assert (0, []) == (run.returncode, noise)
    mute.wait_until_idle()
