"""A call of a tool that breaks in mid-air is an error: half of it cannot be gone on with."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from skeleton_of_thought.server import running
from skeleton_of_thought.testing._exchange import transport_of

from ..faulty import RETRY
from ..script import ALONE, QUESTION

ChatOpenAI = pytest.importorskip("langchain_openai").ChatOpenAI

import httpx  # noqa: E402 -- only where the framework is
import openai  # noqa: E402
from langchain_core.tools import tool  # noqa: E402

from langchain_sot import SoTChain  # noqa: E402

from .ways import WHOLE, ask, model_threads  # noqa: E402

BROKEN = (httpx.TransportError, openai.APIError, json.JSONDecodeError)
HOW = pytest.mark.parametrize("how", ["error", "garbage", "dropped"])
ROUTER = pytest.mark.parametrize("router", ["always", "never"])


@tool
def look_up(word: str) -> str:
    """Look up a word."""
    return word


def _said(delta: dict[str, Any], reason: str | None = None) -> str:
    chunk = {"id": "c", "object": "chat.completion.chunk", "created": 0, "model": "m"}
    return json.dumps(chunk | {"choices": [{"index": 0, "delta": delta, "finish_reason": reason}]})


def _arguments(text: str, **more: Any) -> str:
    return _said({"tool_calls": [{"index": 0, "function": {"arguments": text} | more.pop("function", {}), **more}]})


BEGINNING = [
    _said({"role": "assistant", "content": ""}),
    _arguments('{"wo', function={"name": "look_up"}, id="call_1", type="function"),
]
ENDING = [_arguments('rd": "sleep"}'), _said({}, "tool_calls"), "[DONE]"]


class Endpoint:
    """Calls a tool. The first reply breaks in the middle of it, in a way."""

    def __init__(self, how: str) -> None:
        self.how, self.asked = how, 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        self.asked += 1
        broken = self.asked == 1
        await send({
            "type": "http.response.start",
            "status": 200,
            "headers": [(b"content-type", b"text/event-stream")],
        })
        error = {"error": {"message": "failed by a test", "type": "server_error", "param": None, "code": None}}
        instead = {"error": [json.dumps(error)], "garbage": ["{"], "dropped": []}[self.how]
        for data in BEGINNING + (instead if broken else ENDING):
            await send({"type": "http.response.body", "body": f"data: {data}\n\n".encode(), "more_body": True})
        if broken and self.how == "dropped":
            transport_of(receive).abort()
        await send({"type": "http.response.body"})


@pytest.fixture
def threads() -> Iterator[None]:
    yield
    assert [] == model_threads()


def chain_of(url: str, router: Any) -> SoTChain:
    llm = ChatOpenAI(base_url=url, model="m", api_key="none", max_retries=0, default_headers=ALONE, streaming=True)
    return SoTChain(llm=llm, router=router, retry=RETRY).bind_tools([look_up])


@HOW
@ROUTER
@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("way", ["stream", "astream"])
def test_half_a_call_of_a_tool_is_an_error(how: str, router: Any, way: str) -> None:
    """It is raised as it is, and nothing is asked again."""
    endpoint = Endpoint(how)
    with running(endpoint) as server, pytest.raises(BROKEN):
        ask(way, chain_of(server.base_url, router), QUESTION)

    assert 1 == endpoint.asked


@HOW
@ROUTER
@WHOLE
@pytest.mark.usefixtures("threads")
def test_where_nobody_has_read_it_the_call_is_made_again(how: str, router: Any, way: str) -> None:
    """Nothing was heard of the first reply, so the second is the message."""
    endpoint = Endpoint(how)
    with running(endpoint) as server:
        message = ask(way, chain_of(server.base_url, router), QUESTION)

    assert [("look_up", {"word": "sleep"})] == [(call["name"], call["args"]) for call in message.tool_calls]
    assert 2 == endpoint.asked
