import asyncio

import pytest

from skeleton_of_thought.testing import LatencyModel, LatencyServer

openai = pytest.importorskip("openai")


def test_requests_are_logged():
    """With their bodies, their times and how they ended."""
    with LatencyServer() as server, openai.OpenAI(base_url=server.base_url, api_key="none") as client:
        client.models.list()
        client.completions.create(model="m", prompt="a", max_tokens=3)
        server.wait_until_idle()

    (logged,) = server.requests
    assert (logged.path, logged.body["prompt"], logged.status) == ("/v1/completions", "a", 200)
    assert logged.began < logged.ended
    assert (logged.cancelled, server.peak) == (False, 1)


def test_a_full_server_says_when_to_come_back():
    """Above its capacity it answers 429; the SDK obeys the header and comes again."""
    model = LatencyModel(first_token=0.05, capacity=2, retry_after=0.01)

    async def ask_all(base_url):
        async with openai.AsyncOpenAI(base_url=base_url, api_key="none", max_retries=50) as client:
            asked = (client.completions.create(model="m", prompt="a", max_tokens=3) for _ in range(4))
            return await asyncio.gather(*asked)

    with LatencyServer(model) as server:
        replies = asyncio.run(ask_all(server.base_url))

    assert len(replies) == 4
    assert {logged.status for logged in server.requests} == {200, 429}
    assert sum(logged.status == 200 for logged in server.requests) == 4


def test_waiting_ends_with_an_error():
    """A test that waits for what does not happen is told so."""
    with LatencyServer() as server, pytest.raises(TimeoutError, match="0 requests are in flight, not 1"):
        server.wait_until(1, timeout=0.01)
