"""Who leaves a run ends all its requests at the endpoint, whatever the endpoint was about to do."""

import asyncio
import signal
import subprocess
import sys
import threading
import time

import openai
import pytest

from skeleton_of_thought import Retry, SkeletonOfThought
from skeleton_of_thought.cli import failure
from skeleton_of_thought.models.openai import OpenAIModel
from skeleton_of_thought.testing import (
    Dropped,
    LatencyModel,
    LatencyServer,
    Rejected,
    Stalled,
    collect,
    faults_by,
    script_reply,
)

from ..leaving import all_ended
from ..script import QUESTION, SKELETON

PATIENCE = 20.0  # seconds after which a test that waits has failed
POINTS = (1, 2, 3)
LONG = "and " * 20_000
REPLY = script_reply(skeleton=SKELETON, points=dict.fromkeys(POINTS, LONG), direct=LONG)

LATER = {"retry-after": "600"}
FAULTS = {
    "tokens": ({}, 3),
    "the headers of the skeleton": ({"skeleton": [Stalled(after=None)]}, 1),
    "the first token of the skeleton": ({"skeleton": [Stalled(after=0)]}, 1),
    "the headers of points": ({number: [Stalled(after=None)] for number in POINTS}, 3),
    "the first tokens of points": ({number: [Stalled(after=0)] for number in POINTS}, 3),
    "further tokens of points": ({number: [Stalled(after=2)] for number in POINTS}, 3),
    "the end of a pause": ({1: [Rejected(429, LATER)]}, 2),
    "the end of a pause before points": ({"skeleton": [Rejected(429, LATER)]}, 0),
    "the next attempt": ({3: [Rejected(500, LATER)]}, 2),
    "what is left of a point": ({2: [Dropped(after=5), Stalled(after=None)]}, 3),
}
"""What is waited for: what goes wrong with requests for what, and how many are in flight then."""
waits = pytest.mark.parametrize("waits", FAULTS)
streamed = pytest.mark.parametrize("waits", [each for each in FAULTS if "skeleton" not in each])


@pytest.fixture
def endpoint(waits):
    """Serve an answer that would take minutes, with faults."""
    with LatencyServer(LatencyModel(reply=REPLY, per_token=0.01), faults=faults_by(FAULTS[waits][0])) as server:
        yield server


@pytest.fixture
def wait(endpoint, waits):
    """Wait until all faults have happened, and what is in flight stays there."""
    faults, in_flight = FAULTS[waits]
    expected = (sum(map(len, faults.values())), in_flight)

    def wait():
        end = time.monotonic() + PATIENCE
        while expected != (sum(each.fault is not None for each in endpoint.requests), endpoint.in_flight):
            assert time.monotonic() < end, [(each.stage, each.fault, each.ended) for each in endpoint.requests]
            time.sleep(0.002)
        time.sleep(0.02)  # so that what is on its way has come

    return wait


@pytest.fixture
def left(endpoint, request):
    """See that all requests ended soon after a moment, that the client did it, and that no other is made."""

    return lambda moment: all_ended(endpoint, moment, request.node.name)


def engine(**how):
    """Make an engine that waits as long as it is asked to."""
    return SkeletonOfThought(
        llm=OpenAIModel("m", **how), router="always", retry=Retry(seconds=3600, first_wait=0.01), max_concurrency=4
    )


async def cancelled(asked, wait):
    """Cancel who asks when the run waits; tell when."""
    reader = asyncio.ensure_future(asked)
    await asyncio.to_thread(wait)
    moment = time.perf_counter()
    reader.cancel()
    await asyncio.wait([reader])
    assert reader.cancelled()
    return moment


async def closed(stream, wait):
    """Close a stream that is not read at the moment; tell when."""
    await anext(stream)
    await asyncio.to_thread(wait)
    moment = time.perf_counter()
    await stream.aclose()
    return moment


async def see_no_task():
    """See that whoever asked is the only one left."""
    await asyncio.sleep(0)
    assert {asyncio.current_task()} == asyncio.all_tasks()


# -- asynchronous callers ------------------------------------------------------------------------------


WAYS = {
    "cancelled": lambda sot, wait: cancelled(collect(sot.astream(QUESTION)), wait),
    "closed": lambda sot, wait: closed(sot.astream(QUESTION), wait),
    "whole": lambda sot, wait: cancelled(sot.aask(QUESTION), wait),
}


@pytest.mark.parametrize(
    ("way", "waits"),
    [(way, waits) for way in WAYS for waits in FAULTS if (way, waits) != ("whole", "what is left of a point")],
)
def test_who_leaves_ends_all_requests(endpoint, wait, left, way):
    """No task is left, and after the loop no connection."""

    async def leave():
        moment = await WAYS[way](engine(base_url=endpoint.base_url), wait)
        await asyncio.to_thread(left, moment)
        await see_no_task()

    asyncio.run(leave())
    endpoint.wait_until_left()


@streamed
def test_a_client_of_the_caller_has_all_its_connections_again(endpoint, wait, left):
    """One with few of them would soon have none."""

    async def leave():
        async with openai.AsyncOpenAI(base_url=endpoint.base_url, api_key="none", max_retries=0) as client:
            left(await cancelled(collect(engine(client=client).astream(QUESTION)), wait))
            await see_no_task()

    asyncio.run(leave())
    endpoint.wait_until_left()


@waits
def test_a_loop_that_ends_ends_all_requests(endpoint, wait, left):
    """It cancels all tasks at once, and some of them twice."""
    moments = []

    async def leave():
        reader = asyncio.create_task(collect(engine(base_url=endpoint.base_url).astream(QUESTION)))
        await asyncio.to_thread(wait)
        moments.append(time.perf_counter())
        assert not reader.done()

    asyncio.run(leave())
    left(moments[0])
    endpoint.wait_until_left()


# -- synchronous callers -------------------------------------------------------------------------------


@waits
def test_closing_a_synchronous_stream_ends_all_requests(endpoint, wait, left):
    """At once, as its requests are made on a loop."""
    stream = engine(base_url=endpoint.base_url).stream(QUESTION)
    next(stream)
    wait()
    moment = time.perf_counter()
    stream.close()
    left(moment)


@pytest.mark.parametrize("waits", ["tokens"])
def test_a_synchronous_client_hangs_up_at_the_next_token(endpoint, wait, left):
    """Its threads end too."""
    with openai.OpenAI(base_url=endpoint.base_url, api_key="none", max_retries=0) as client:
        stream = engine(client=client).stream(QUESTION)
        next(stream)
        wait()
        moment = time.perf_counter()
        stream.close()
        left(moment)
        for thread in threading.enumerate():
            if thread.name == "sot-model":
                thread.join(PATIENCE)
        assert "sot-model" not in {thread.name for thread in threading.enumerate()}
    endpoint.wait_until_left()


# -- the command ---------------------------------------------------------------------------------------


def command(endpoint):
    """Run ``sot ask``; warnings are errors."""
    told = ("--base-url", endpoint.base_url, "--model", "m", "--router", "always")
    errors = (f"-Werror::{kind}" for kind in ("ResourceWarning", "RuntimeWarning"))
    python = (sys.executable, *errors, "-m", "skeleton_of_thought")
    return subprocess.Popen([*python, "ask", QUESTION, *told], stdout=-1, stderr=-1)


@waits
def test_an_interrupt_ends_all_requests(endpoint, wait, left, waits):
    """It is one of the exit codes, and nothing is said."""
    if "600" in str(FAULTS[waits][0]):
        pytest.skip("the command waits no longer than a minute for a provider")
    with command(endpoint) as process:
        wait()
        moment = time.perf_counter()
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=PATIENCE)
    left(moment)
    assert (failure.INTERRUPTED, b"") == (process.returncode, said)
    endpoint.wait_until_left()


@pytest.mark.parametrize("waits", ["tokens"])
def test_a_reader_that_has_enough_ends_all_requests(endpoint, wait, left):
    """As ``head`` does: at the next word that is written to nobody."""
    with command(endpoint) as process:
        process.stdout.read(4)
        wait()
        moment = time.perf_counter()
        process.stdout.close()
        said = process.stderr.read()
        left(moment)
    assert (failure.READER_LEFT, b"") == (process.returncode, said)
    endpoint.wait_until_left()
