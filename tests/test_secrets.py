"""Keys and passwords are seen nowhere, and nothing that is asked or answered is logged."""

import asyncio
import logging
import os
import pickle
import subprocess
import sys
from contextlib import nullcontext
from dataclasses import replace

import openai
import pytest

from skeleton_of_thought import ConfigurationError, Question, SkeletonOfThought
from skeleton_of_thought.calls import Call, Message
from skeleton_of_thought.models.openai import OpenAIModel
from skeleton_of_thought.server import running
from skeleton_of_thought.testing import LatencyModel, LatencyServer, collect

from .script import REPLY
from .secret import BODY, HEADERS, KEY, NOWHERE, PASSWORD, QUESTION, TEXTS, refusing, secrets_in, shown, with_password

SOT = [sys.executable, "-m", "skeleton_of_thought"]
WAYS = pytest.mark.parametrize("way", ["ask", "stream", "aask", "astream"])
CALL = Call("direct", (Message("user", QUESTION),))


def model(base_url=NOWHERE, **told):
    """Make a model that knows every kind of secret."""
    return OpenAIModel("m", base_url=with_password(base_url), api_key=KEY, extra_body=BODY, **told)


def ask(sot, way):
    """Ask in one of four ways, to the end."""
    match way:
        case "ask":
            return sot.ask(QUESTION)
        case "stream":
            return collect(sot.stream(QUESTION))
        case "aask":
            return asyncio.run(sot.aask(QUESTION))
        case _:
            return asyncio.run(collect(sot.astream(QUESTION)))


def ours(records):
    """Return what this package logs."""
    names = ("skeleton_of_thought", "langchain_sot", "llama_index_sot")
    return [record.getMessage() for record in records if record.name.startswith(names)]


@pytest.fixture
def log(caplog):
    """Hear everything that is logged."""
    caplog.set_level(logging.DEBUG)
    return caplog


# -- what is shown of objects --------------------------------------------------------------------------


@pytest.mark.parametrize("show", [repr, str, lambda it: repr(pickle.loads(pickle.dumps(it)))])  # noqa: S301 -- our own
def test_a_model_shows_no_secret(show):
    """Its address is shown, but neither who uses it, nor what goes into the body."""
    assert [] == secrets_in(show(model()))
    assert "base_url='http://***@127.0.0.1:9/v1'" in show(model())


@pytest.mark.parametrize(
    "url",
    [
        f"https://{PASSWORD}@host/v1",
        f"https://a:{PASSWORD}@host/v1",
        f"https://a:p@{PASSWORD}@host/v1",
        f"https://a:p/{PASSWORD}@host/v1",  # no address at all
        f"HTTPS://a@b.c:{PASSWORD}@host/v1",
    ],
)
def test_no_part_of_a_password_is_shown(url):
    """However it is written."""
    assert [] == secrets_in(OpenAIModel("m", base_url=url))


@pytest.mark.parametrize("kind", [openai.OpenAI, openai.AsyncOpenAI])
def test_a_client_is_not_shown(kind):
    """What it knows is its own affair."""
    client = kind(api_key=KEY, base_url=with_password(NOWHERE), default_headers=HEADERS)
    assert [] == secrets_in(OpenAIModel("m", client=client))


def test_an_engine_shows_no_secret():
    """It shows its models."""
    sot = SkeletonOfThought(llm=model(), point_llm=model())
    assert [] == secrets_in(repr(sot), str(sot))
    assert "OpenAIModel" in repr(sot)


# -- errors --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: OpenAIModel("m", api_key=KEY, client=openai.OpenAI(api_key=KEY)),
        lambda: model(max_retries=-1),
        lambda: SkeletonOfThought(llm=model(), router="sometimes"),
    ],
)
def test_settings_that_cannot_work_show_no_secret(wrong):
    """The error names what is wrong with them."""
    with pytest.raises(ConfigurationError) as raised:
        wrong()
    assert [] == secrets_in(shown(raised.value))


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("client", [None, openai.OpenAI, openai.AsyncOpenAI])
@pytest.mark.parametrize("endpoint", [refusing, lambda: nullcontext(NOWHERE)])
def test_a_call_that_fails_shows_no_secret(endpoint, client, stream, log):
    """Neither its error nor any log, those of the packages below included."""

    async def read(url):
        given = client and client(base_url=url, api_key=KEY, default_headers=HEADERS, max_retries=0)
        llm = OpenAIModel("m", client=given, extra_body=BODY) if given else model(url)
        try:
            await collect(llm(replace(CALL, stream=stream)))
        finally:
            if isinstance(given, openai.AsyncOpenAI):
                await given.close()
            elif given:
                given.close()

    with endpoint() as url, pytest.raises(openai.APIError) as raised:
        asyncio.run(read(url))
    texts = [
        record.getMessage() for record in log.records if "json_data" not in record.getMessage()
    ]  # theirs: the body
    assert [] == secrets_in(shown(raised.value), *texts)


@WAYS
@pytest.mark.parametrize("points_only", [True, False])
def test_a_run_that_fails_shows_no_secret(way, points_only, log):
    """The point that failed, and why."""
    with (
        refusing(points_only=points_only) as url,
        pytest.raises(Exception, match="point" if points_only else "401") as e,
    ):
        ask(SkeletonOfThought(llm=model(url)), way)
    assert [] == secrets_in(shown(e.value), *ours(log.records))
    assert openai.AuthenticationError is type(e.value.__cause__ if points_only else e.value)


@pytest.mark.parametrize("points_only", [True, False])
@pytest.mark.parametrize("form", [[], ["--json"], ["--events"]])
def test_the_command_shows_no_secret(points_only, form):
    """Neither as output nor as an error."""
    with refusing(points_only=points_only) as url:
        done = sot("ask", QUESTION, "--model", "m", "--base-url", with_password(url), "--api-key-env", "MY_KEY", *form)
    assert (1, []) == (done.returncode, secrets_in(done.stdout, done.stderr))
    assert "401" in done.stderr


@pytest.mark.parametrize(
    "url", [with_password(NOWHERE), f"somebody:{PASSWORD}@host/v1", f"http://a:b/{PASSWORD}@host/v1"]
)
def test_the_command_shows_no_secret_of_an_address_that_cannot_be_reached(url):
    """Nor of one that is none."""
    done = sot("ask", QUESTION, "--router", "never", "--model", "m", "--base-url", url, "--api-key-env", "MY_KEY")
    assert (1, []) == (done.returncode, secrets_in(done.stdout, done.stderr))


@pytest.mark.parametrize("option", ["--api-key-env", "--api-key"])
def test_the_command_does_not_repeat_a_key_in_the_place_of_its_name(option):
    """Who gives the key itself gets an error that may be shown to others."""
    done = sot("ask", QUESTION, "--model", "m", option, KEY)
    assert (2, []) == (done.returncode, secrets_in(done.stdout, done.stderr))


def sot(*arguments):
    """Run the command in a process of its own that has the key."""
    environment = {**os.environ, "MY_KEY": KEY}
    return subprocess.run([*SOT, *arguments], capture_output=True, text=True, timeout=50, env=environment)


# -- logs ----------------------------------------------------------------------------------------------


@WAYS
def test_nothing_that_is_asked_or_answered_is_logged(way, log):
    """Whoever logs everything of all packages gets nothing of it from this one."""
    with LatencyServer(LatencyModel(reply=REPLY)) as server:
        ask(SkeletonOfThought(llm=OpenAIModel("m", base_url=server.base_url)), way)
        ask(SkeletonOfThought(llm=OpenAIModel("m", base_url=server.base_url), router="never"), way)
    assert [] == [text for text in TEXTS for message in ours(log.records) if text in message]


def test_a_server_that_fails_logs_nothing_that_was_asked(log):
    """It tells where it failed, not with what."""

    class Failing:
        name = "failing"

        async def generate(self, generation, /):
            raise RuntimeError(Question(generation.messages[-1].text))
            yield

    with running(Failing()) as server, pytest.raises(openai.InternalServerError):
        asyncio.run(collect(OpenAIModel("m", base_url=server.base_url, api_key=KEY)(CALL)))
    (message,) = ours(log.records)
    assert "RuntimeError" in message
    assert [] == [text for text in (*TEXTS, KEY) if text in message]
