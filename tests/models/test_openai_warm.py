"""Connections that are opened while a skeleton is being written, and those that are kept."""

import asyncio
import gc
import subprocess
import sys
import time
import warnings
from contextlib import aclosing
from dataclasses import replace

import openai
import pytest

from skeleton_of_thought import SkeletonOfThought
from skeleton_of_thought.calls import Call, Finish, Message
from skeleton_of_thought.models import _openai_warm
from skeleton_of_thought.models.openai import OpenAIModel
from skeleton_of_thought.testing import LatencyModel, LatencyServer, collect, faults_by
from skeleton_of_thought.testing.faults import Stalled

from ..script import POINTS, QUESTION, REPLY, TEXT

pytest.importorskip("trustme")

from .tls import certificates, tls

SPARE = _openai_warm._SPARE
PATIENCE = 45.0
CALL = Call("direct", (Message("user", QUESTION),))
SKELETON = replace(CALL, stage="skeleton")


@pytest.fixture(scope="module")
def certified(tmp_path_factory):
    """Make the certificates of a server, once."""
    return certificates(str(tmp_path_factory.mktemp("tls")))


@pytest.fixture
def faults():
    """Tell what goes wrong."""
    return {}


@pytest.fixture
def secure(certified, faults, monkeypatch):
    """Serve an answer over TLS. Its skeleton takes a quarter of a second, its points no time."""
    context, trusted = certified
    monkeypatch.setenv("SSL_CERT_FILE", trusted)
    monkeypatch.setattr(_openai_warm, "_PATIENCE", PATIENCE)  # a machine that is busy may take longer than a user would
    with (
        LatencyServer(LatencyModel(reply=REPLY), faults=faults_by(faults)) as server,
        tls(server.base_url, context) as secure,
    ):
        secure.server = server
        yield secure


async def comes(condition):
    """Wait for something that has to come."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        await asyncio.sleep(0.001)


async def warm(secure):
    """Ask for a skeleton that does not come, until all connections are open, and leave it."""
    stream = OpenAIModel("m", base_url=secure.base_url)(SKELETON)
    task = asyncio.ensure_future(anext(stream))
    await comes(lambda: len(secure.heads) == SPARE)
    await asyncio.sleep(0.05)  # so that the replies have come
    task.cancel()
    await asyncio.wait([task])
    await stream.aclose()


stalled = pytest.mark.parametrize("faults", [{"skeleton": [Stalled(after=None)]}])


@stalled
def test_points_find_connections_that_are_open(secure):
    """Those of the skeleton's time serve as many calls, and none more is opened."""

    async def main():
        await warm(secure)
        model = OpenAIModel("m", base_url=secure.base_url)
        said = await asyncio.gather(*(collect(model(CALL)) for _ in range(SPARE)))
        return [pieces[-1] for pieces in said]

    assert [Finish("stop")] * SPARE == asyncio.run(main())
    assert 1 + SPARE == secure.opened


@stalled
def test_what_is_asked_for_is_no_call(secure):
    """Neither a key nor a path of the interface."""
    asyncio.run(warm(secure))

    assert {b"HEAD / HTTP/1.1"} == {head.splitlines()[0] for head in secure.heads}
    assert not [head for head in secure.heads if b"authorization" in head.lower()]


@stalled
def test_open_connections_are_enough(secure):
    """A second skeleton opens none, as long as nobody uses those of the first."""

    async def main():
        await warm(secure)
        secure.server.wait_until_idle()
        model = OpenAIModel("m", base_url=secure.base_url)
        await collect(model(SKELETON))
        await asyncio.sleep(3 * _openai_warm._BEHIND)

    asyncio.run(main())
    assert SPARE == len(secure.heads)


@stalled
def test_who_leaves_a_skeleton_leaves_no_task(secure):
    """Wherever its connections are by then. A handshake that is cancelled leaves its socket to the collector."""

    async def main():
        for wait in (0.0, 0.01, 0.031, 0.033, 0.035, 0.04, 0.05):
            task = asyncio.create_task(collect(OpenAIModel("m", base_url=secure.base_url)(SKELETON)))
            await asyncio.sleep(wait)
            task.cancel()
            await asyncio.wait([task])
            await comes(lambda: {asyncio.current_task()} == asyncio.all_tasks())

    with warnings.catch_warnings(action="ignore"):
        asyncio.run(main())
        gc.collect()
    asyncio.run(comes(lambda: not secure.open))


@stalled
def test_no_noise_when_a_loop_ends_with_them(secure):
    """Even in development mode with warnings as errors."""
    code = f"""
import asyncio, sys
from skeleton_of_thought.calls import Call, Message
from skeleton_of_thought.models import _openai_warm
from skeleton_of_thought.models.openai import OpenAIModel

_openai_warm._PATIENCE = {PATIENCE}

async def main():
    stream = OpenAIModel("m", base_url={secure.base_url!r})(Call("skeleton", (Message("user", "x"),)))
    await anext(stream)
    await asyncio.to_thread(sys.stdin.readline)
    await asyncio.sleep(0.1)
    await stream.aclose()

asyncio.run(main())
"""
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", code]

    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        asyncio.run(comes(lambda: len(secure.heads) == SPARE))
        _, said = run.communicate("now\n")

    noise = [line for line in said.splitlines() if " took " not in line]  # development mode tells of slow steps
    assert (0, []) == (run.returncode, noise)


def test_what_fails_of_it_is_silent(secure):
    """A host that knows no such request hangs up, and the answer is the same."""
    secure.refuses_heads = True
    model = OpenAIModel("m", base_url=secure.base_url)

    assert TEXT == asyncio.run(SkeletonOfThought(llm=model, router="always").aask(QUESTION)).text


@pytest.mark.parametrize("stage", ["direct", "point", "route"])
def test_only_a_skeleton_opens_connections(secure, stage):
    """After all others there is nothing to come."""

    async def main():
        await collect(OpenAIModel("m", base_url=secure.base_url)(replace(CALL, stage=stage)))
        await asyncio.sleep(3 * _openai_warm._BEHIND)

    asyncio.run(main())
    assert (1, []) == (secure.opened, secure.heads)


@stalled
def test_a_client_of_the_caller_is_left_alone(secure):
    """Its connections are the caller's affair."""

    async def main():
        async with openai.AsyncOpenAI(base_url=secure.base_url, api_key="none", timeout=PATIENCE) as client:
            task = asyncio.create_task(collect(OpenAIModel("m", client=client)(SKELETON)))
            await comes(lambda: secure.server.in_flight == 1)
            await asyncio.sleep(3 * _openai_warm._BEHIND)
            task.cancel()
            await asyncio.wait([task])

    asyncio.run(main())
    assert (1, []) == (secure.opened, secure.heads)


@pytest.mark.parametrize("stream", [True, False])
def test_a_connection_is_used_again(secure, stream):
    """Also where a stream came by it, which ends behind its last line."""

    async def main():
        model = OpenAIModel("m", base_url=secure.base_url)
        for _ in range(3):
            await collect(model(replace(CALL, stream=stream)))

    asyncio.run(main())
    assert 1 == secure.opened


def test_a_whole_answer_over_tls(secure):
    """Reading along as well."""

    async def main():
        sot = SkeletonOfThought(llm=OpenAIModel("m", base_url=secure.base_url), router="always")
        async with aclosing(sot.astream(QUESTION)) as events:
            return [event async for event in events][-1].answer.text

    assert TEXT == asyncio.run(main())
    assert 1 + len(POINTS) == len(secure.server.requests)
