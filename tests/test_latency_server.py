import asyncio

import pytest

from skeleton_of_thought.testing import LatencyModel, LatencyServer, rate_headers

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


def test_connections_are_counted():
    """A client that is closed leaves none behind; one that is open keeps its own."""
    with LatencyServer() as server:
        with openai.OpenAI(base_url=server.base_url, api_key="none") as client:
            client.models.list()
            client.completions.create(model="m", prompt="a", max_tokens=3)
            assert server.connections == 1
        server.wait_until_left()
        assert server.connections == 0


def test_a_client_that_does_not_leave_is_told():
    """A test that waits for it gets an error."""
    with LatencyServer() as server, openai.OpenAI(base_url=server.base_url, api_key="none") as client:
        client.models.list()
        with pytest.raises(TimeoutError, match="1 clients are connected, not 0"):
            server.wait_until_left(timeout=0.01)


# -- what it tells of its limits -----------------------------------------------------------------------

LIMITS = ["x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"]


def headers(server, **asked):
    """Ask, and return what the reply's headers say of limits."""
    with openai.OpenAI(base_url=server.base_url, api_key="none", max_retries=0) as client:
        try:
            headers = client.completions.with_raw_response.create(model="m", prompt="a", **asked).headers
        except openai.APIStatusError as error:
            headers = error.response.headers
    return {name: value for name, value in headers.items() if name.startswith("x-ratelimit")}


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(("capacity", "left"), [(5, "4"), (1, "0"), (0, "0")])
def test_a_server_with_a_capacity_tells_what_is_left(capacity, left, stream):
    """In each reply, also in one that turns a request away, and in OpenAI's words."""
    with LatencyServer(LatencyModel(capacity=capacity, retry_after=0.5)) as server:
        told = headers(server, stream=stream)

    assert dict(zip(LIMITS, (str(capacity), left, "500ms"), strict=True)) == told


def test_a_server_without_limits_tells_none():
    """As llama.cpp and vLLM do."""
    with LatencyServer() as server:
        assert {} == headers(server)


def test_a_model_may_tell_other_limits():
    """A function of the requests in flight makes them, of requests and of tokens."""

    def told(in_flight):
        return rate_headers(limit=60, remaining=60 - in_flight) | rate_headers(limit=9, remaining=1, of="tokens")

    with LatencyServer(LatencyModel(headers=told)) as server:
        assert told(1) == headers(server)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0s"), (0.02, "20ms"), (0.0086, "8.6ms"), (1, "1s"), (59.5, "59.5s"), (360, "6m0s"), (3661.5, "1h1m1.5s")],
)
def test_times_are_said_as_openai_says_them(seconds, said):
    """Its servers are written in Go."""
    assert said == rate_headers(limit=1, remaining=0, seconds=seconds, of="tokens")["x-ratelimit-reset-tokens"]


# -- chance --------------------------------------------------------------------------------------------


def drawn(*prompts, seed=0):
    """Return what the first token of each request is drawn from."""
    draws = []

    def first_token(chance):
        draws.append(chance.random())
        return 0.0

    model = LatencyModel(first_token=first_token, seed=seed)
    with LatencyServer(model) as server, openai.OpenAI(base_url=server.base_url, api_key="none") as client:
        for prompt in prompts:
            client.completions.create(model="m", prompt=prompt, max_tokens=2)
    return draws


def test_the_first_token_may_be_drawn():
    """Asking again is another draw, whatever was asked in between; the same questions and seed are the same draws."""
    first, other, second = drawn("a", "b", "a")

    assert len({first, other, second}) == 3
    assert [other, first, second] == drawn("b", "a", "a")
    assert [first] != drawn("a", seed=1)
