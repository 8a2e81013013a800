"""Connections of a loop: one to each request at a time, used again, bounded, and ended with the loop."""

import asyncio
import threading
from collections import Counter
from dataclasses import replace

import openai
import pytest

from skeleton_of_thought.calls import Call, Finish, Message
from skeleton_of_thought.models import _openai_pool
from skeleton_of_thought.models.openai import OpenAIModel, http_client
from skeleton_of_thought.testing import Dropped, LatencyModel, LatencyServer, Rejected, collect, faults_by

CALL = Call("direct", (Message("user", "How do I sleep?"),))
STREAM = pytest.mark.parametrize("stream", [True, False])
BOTH = replace(CALL, stream=False), CALL


@pytest.fixture
def faults():
    """Tell what goes wrong."""
    return {}


@pytest.fixture
def server(faults):
    """Serve a model that says one sentence."""
    with LatencyServer(LatencyModel(reply=lambda _: "Go to bed early."), faults=faults_by(faults)) as server:
        yield server


def free(lanes):
    """Count the lanes that nobody uses."""
    return sum(map(len, lanes._free.values()))


async def ask(server, *calls):
    """Ask all at the same time, and return how many lanes are open, and how many free."""
    model = OpenAIModel("m", base_url=server.base_url)
    await asyncio.gather(*(collect(model(call)) for call in calls), return_exceptions=True)
    lanes = await _openai_pool.lanes_here()
    return len(lanes._open), free(lanes)


@STREAM
def test_as_many_lanes_as_requests_at_a_time(server, stream):
    """They are free again with the end of the reply, and taken by the next."""
    call = replace(CALL, stream=stream)

    async def main():
        counts = [await ask(server, call, call, call), await ask(server, call), await ask(server, *[call] * 5)]
        return counts, server.connections

    assert ([(3, 3), (3, 3), (5, 5)], 5) == asyncio.run(main())


@STREAM
@pytest.mark.parametrize("faults", [{"direct": [Rejected(429)]}])
def test_a_refusal_leaves_a_good_connection(server, stream):
    """It was read to its end."""
    assert (1, 1) == asyncio.run(ask(server, replace(CALL, stream=stream)))


@STREAM
@pytest.mark.parametrize("faults", [{"direct": [Dropped()]}, {"direct": [Dropped(2)]}])
def test_a_lane_that_broke_off_is_given_up(server, stream):
    """Others have a connection, and come first."""
    assert (0, 0) == asyncio.run(ask(server, replace(CALL, stream=stream)))


def test_so_is_one_that_was_left(server):
    """Its reply may still be on its way."""

    async def main():
        stream = OpenAIModel("m", base_url=server.base_url)(CALL)
        await anext(stream)
        await stream.aclose()
        lanes = await _openai_pool.lanes_here()
        return len(lanes._open), free(lanes)

    assert (0, 0) == asyncio.run(main())


def test_no_more_than_so_many_requests_in_one_round(monkeypatch):
    """Others have their turn in the next one, in their order; who is cancelled takes none."""
    monkeypatch.setattr(_openai_pool, "_ROUND", 2)

    async def main():
        lanes, rounds, done, loop = _openai_pool.Lanes(), [0], [], asyncio.get_running_loop()

        def count():
            rounds[0] += 1
            loop.call_soon(count)

        async def one(number):
            await lanes.turn()
            done.append((number, rounds[0]))

        tasks = [asyncio.create_task(one(number)) for number in range(7)]
        loop.call_soon(count)
        await asyncio.sleep(0)
        tasks[3].cancel()
        await asyncio.wait(tasks)
        return done

    done = asyncio.run(main())
    assert [0, 1, 2, 4, 5, 6] == [number for number, _ in done]
    assert 2 == max(Counter(when for _, when in done).values())


def test_those_that_nobody_used_for_long_are_closed(server, monkeypatch):
    """When another one is left."""

    async def main():
        await ask(server, *BOTH, *BOTH)
        monkeypatch.setattr(_openai_pool, "KEPT", 0.0)
        await asyncio.sleep(0.01)
        return await ask(server, CALL)

    assert (1, 1) == asyncio.run(main())


def test_no_more_requests_than_so_many(server, monkeypatch):
    """The others wait, and are answered."""
    monkeypatch.setattr(_openai_pool, "_MOST", 2)

    assert (2, 2) == asyncio.run(ask(server, *[CALL] * 6))
    assert 6 == len(server.requests)
    assert 2 >= server.peak


def test_hosts_have_lanes_of_their_own(server):
    """What was left for one may be connected with it."""

    async def main():
        with LatencyServer() as other:
            await ask(server, CALL)
            return await ask(other, CALL)

    assert (2, 2) == asyncio.run(main())


def test_other_clients_can_have_it(server):
    """On many loops, also at the same time; nothing is left of it behind them."""
    client = openai.AsyncOpenAI(base_url=server.base_url, api_key="none", http_client=http_client())
    model, heard = OpenAIModel("m", client=client), []

    def ask():
        heard.append(asyncio.run(collect(model(CALL)))[-1])

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    ask()
    for thread in threads:
        thread.join()
    ask()

    assert [Finish("stop")] * 5 == heard
    server.wait_until_left()


def test_proxies_of_the_environment_are_used(server, monkeypatch):
    """As the HTTP package understands its variables."""
    for name in ("http_proxy", "HTTP_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, server.base_url.removesuffix("/v1") if "http" in name.lower() else "")

    with pytest.raises(openai.NotFoundError):  # it takes the whole address for a path
        asyncio.run(collect(OpenAIModel("m", base_url="http://nowhere.invalid/v1")(CALL)))

    assert ["http://nowhere.invalid/v1/chat/completions"] == [request.path for request in server.requests]
