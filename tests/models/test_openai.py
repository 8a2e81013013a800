import asyncio
import subprocess
import sys
import threading
from dataclasses import replace

import openai
import pytest

from skeleton_of_thought.calls import Abilities, Call, Finish, Message, Usage, abilities_of
from skeleton_of_thought.errors import ConfigurationError
from skeleton_of_thought.models import _openai_pool
from skeleton_of_thought.models import openai as module
from skeleton_of_thought.models.openai import OpenAIModel
from skeleton_of_thought.server import running
from skeleton_of_thought.testing import LatencyModel, LatencyServer, collect

CALL = Call("direct", (Message("user", "How do I sleep?"),))
STARTED = replace(CALL, messages=(*CALL.messages, Message("assistant", "1. Keep")))


@pytest.fixture
def server():
    """Serve a model that says one sentence."""
    with LatencyServer(LatencyModel(reply=lambda _: "Go to bed early.")) as server:
        yield server


@pytest.fixture
def slow():
    """Serve a model that would take minutes."""
    with LatencyServer(LatencyModel(per_token=0.02, reply=lambda _: "on " * 10_000)) as server:
        yield server


@pytest.fixture
def no_key(monkeypatch):
    """Take what the environment says about keys and endpoints away."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)


def ask(server, call=CALL, **settings):
    """Ask on a loop of its own, and return all pieces."""
    return asyncio.run(collect(OpenAIModel("m", base_url=server.base_url, **settings)(call)))


def body(server, call=CALL, **settings):
    """Return the body that was sent, but for what is in each."""
    ask(server, call, **settings)
    sent = dict(server.requests[-1].body)
    common = {"model": "m", "messages": [{"role": "user", "content": "How do I sleep?"}]}
    assert {name: sent.pop(name) for name in common} == common
    assert sent.pop("stream", None) == (True if call.stream else None)
    assert sent.pop("stream_options", None) == ({"include_usage": True} if call.stream else None)
    return sent


# -- what comes back -----------------------------------------------------------------------------------


def test_a_stream_has_the_text_then_the_cost_then_the_reason(server):
    """Text comes in the pieces that the endpoint sends; the rest comes last."""
    assert ask(server) == ["Go", " to", " bed", " early.", Usage(4, 4, 0), Finish("stop")]


def test_a_whole_answer_is_one_piece(server):
    """When nobody reads along, one plain request is enough."""
    assert ask(server, replace(CALL, stream=False)) == ["Go to bed early.", Usage(4, 4, 0), Finish("stop")]


@pytest.mark.parametrize("stream", [True, False])
def test_cached_tokens_are_counted(server, stream):
    """The second request with the same words has them from the cache."""
    usages = [ask(server, replace(CALL, stream=stream))[-2] for _ in range(2)]

    assert usages == [Usage(4, 4, 0), Usage(4, 4, 4)]


@pytest.mark.parametrize("stream", [True, False])
def test_the_limit_is_a_finish_reason(server, stream):
    """A text that was cut ends with ``length``."""
    assert ask(server, replace(CALL, max_tokens=2, stream=stream))[-1] == Finish("length")


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("said", "text"),
    [
        ("1. Keep regular hours", " regular hours"),  # llama.cpp repeats, when it does not stream
        (" regular hours", " regular hours"),
        ("1. Sleep", "1. Sleep"),  # begins like an echo and is none
        ("1.", "1."),
        ("1. Keep", ""),
        ("", ""),
    ],
)
def test_an_echo_of_the_prefill_is_cut_off(said, text, stream):
    """What comes back goes on from the prefill, whether the endpoint repeats it or not."""
    with LatencyServer(LatencyModel(reply=lambda _: said)) as server:
        pieces = ask(server, replace(STARTED, stream=stream), abilities=Abilities(prefill=True))

    assert "".join(piece for piece in pieces if isinstance(piece, str)) == text


def test_without_prefill_nothing_is_cut_off(server):
    """A model that answers a conversation may repeat its last message; that is its answer."""
    with LatencyServer(LatencyModel(reply=lambda _: "1. Keep regular hours")) as server:
        assert ask(server, replace(STARTED, stream=False))[0] == "1. Keep regular hours"


# -- what is sent --------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("call", "settings", "sent"),
    [
        ({}, {}, {}),
        ({"max_tokens": 5}, {}, {"max_tokens": 5}),
        ({"max_tokens": 5}, {"token_limit": "max_completion_tokens"}, {"max_completion_tokens": 5}),
        ({"stop": ("\n", "x")}, {}, {"stop": ["\n", "x"]}),
        ({}, {"temperature": 0.0}, {"temperature": 0.0}),
        ({}, {"extra_body": {"top_k": 5}}, {"top_k": 5}),
        (
            {"grammar": "root"},
            {"abilities": Abilities(grammar=True), "extra_body": {"top_k": 5}},
            {"grammar": "root", "top_k": 5},
        ),
        ({"grammar": "root"}, {}, {}),
        ({}, {"abilities": Abilities(prefill=True)}, {}),
    ],
)
def test_a_call_is_sent_as_it_is(server, call, settings, sent, stream):
    """What a call or a setting says is in the body; what neither says is left to the endpoint."""
    assert body(server, replace(CALL, stream=stream, **call), **settings) == sent


def test_neighbours_of_one_role_are_merged(server):
    """Chat templates want roles to take turns, while a run keeps its prefix and its task apart."""
    messages = (Message("system", "Be brief."), Message("user", "Question"), Message("user", "Task"))

    ask(server, replace(CALL, messages=messages))

    assert server.requests[0].body["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Question\n\nTask"},
    ]


def test_a_prefill_is_sent_with_what_servers_need(server):
    """vLLM and SGLang go on from the last message only when they are told, llama.cpp does so anyhow."""
    ask(server, STARTED, abilities=Abilities(prefill=True))

    sent = server.requests[0].body
    assert sent["messages"][-1] == {"role": "assistant", "content": "1. Keep"}
    assert (sent["continue_final_message"], sent["add_generation_prompt"]) == (True, False)


def test_extra_body_wins(server):
    """Who knows the endpoint better may say otherwise."""
    ask(server, STARTED, abilities=Abilities(prefill=True), extra_body={"continue_final_message": "content"})

    assert server.requests[0].body["continue_final_message"] == "content"


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("api.openai.com", "max_completion_tokens"),
        ("eu.api.openai.com", "max_completion_tokens"),
        ("mine.openai.azure.com", "max_completion_tokens"),
        ("localhost", "max_tokens"),
        ("api.mistral.ai", "max_tokens"),
    ],
)
def test_the_limit_has_the_name_that_the_endpoint_takes(host, name):
    """OpenAI's reasoning models take one name only, and many other endpoints know the other only."""
    assert module._token_limit(host) == name


# -- settings ------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("no_key")
def test_a_missing_key_names_both_cures():
    """The error comes when the model is made, not with its first call."""
    with pytest.raises(ConfigurationError, match=r"OPENAI_API_KEY.* api_key"):
        OpenAIModel("m")


@pytest.mark.usefixtures("no_key")
def test_an_endpoint_may_need_no_key(server):
    """With a base URL and no key a placeholder is sent, which local servers ignore."""
    assert ask(server)[-1] == Finish("stop")


def test_the_environment_is_the_openai_packages(server, monkeypatch):
    """Key and endpoint can come from the variables that the ``openai`` package reads."""
    monkeypatch.setenv("OPENAI_API_KEY", "from-the-environment")
    monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)

    assert asyncio.run(collect(OpenAIModel("m")(CALL)))[-1] == Finish("stop")


@pytest.mark.parametrize("setting", [{"base_url": "http://x"}, {"api_key": "k"}, {"timeout": 1.0}, {"max_retries": 1}])
def test_a_client_brings_its_own_settings(setting):
    """A setting beside a client would be ignored, so it is refused."""
    with openai.OpenAI(api_key="none") as client, pytest.raises(ConfigurationError, match="brings its own settings"):
        OpenAIModel("m", client=client, **setting)


def test_the_key_is_not_shown():
    """A model is safe to print and to log."""
    model = OpenAIModel("m", base_url="http://localhost/v1", api_key="sk-secret")

    assert "sk-secret" not in f"{model!r} {model}"
    assert "'m'" in repr(model)


def test_fewer_retries_than_none_are_refused():
    """The ``openai`` package would not even ask once."""
    with pytest.raises(ConfigurationError, match="max_retries=-1 cannot work"):
        OpenAIModel("m", base_url="http://localhost/v1", max_retries=-1)


@pytest.mark.parametrize("kind", [openai.OpenAI, openai.AsyncOpenAI])
def test_a_model_tells_how_often_it_tries(kind):
    """So that what asks it need not ask again as often."""
    own = [OpenAIModel("m", base_url="http://localhost/v1", **told).tries for told in ({}, {"max_retries": 2})]
    given = OpenAIModel("m", client=kind(api_key="none", max_retries=4)).tries

    assert (own, given) == ([1, 3], 5)


def test_abilities_are_those_that_were_configured():
    """An endpoint does not tell what it can do, so the user does."""
    model = OpenAIModel("m", base_url="http://localhost/v1", abilities=Abilities(prefill=True))

    assert abilities_of(model) == Abilities(prefill=True)


# -- errors --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [True, False])
def test_a_failure_is_the_openai_packages(stream):
    """Its class tells what happened, and its response when to come back."""
    model = LatencyModel(capacity=0, retry_after=7)
    with LatencyServer(model) as server, pytest.raises(openai.RateLimitError) as raised:
        ask(server, replace(CALL, stream=stream))

    assert raised.value.response.headers["retry-after"] == "7"
    assert len(server.requests) == 1


def test_retries_are_the_openai_packages():
    """The setting is handed on: one attempt and two more."""
    with LatencyServer(LatencyModel(capacity=0, retry_after=0.01)) as server, pytest.raises(openai.RateLimitError):
        ask(server, max_retries=2)

    assert len(server.requests) == 3


def test_a_failure_in_mid_stream_is_raised():
    """What came before it was yielded."""

    class Failing:
        name = "failing"

        async def generate(self, generation, /):
            yield "Go"
            raise OSError

    async def read(base_url, pieces):
        async for piece in OpenAIModel("m", base_url=base_url)(CALL):
            pieces.append(piece)

    pieces = []
    with running(Failing()) as server, pytest.raises(openai.APIError, match="the model failed"):
        asyncio.run(read(server.base_url, pieces))
    assert pieces == ["Go"]


# -- closing -------------------------------------------------------------------------------------------


def test_closing_the_stream_ends_the_request(slow):
    """The endpoint sees its client go away while the loop and its pool go on."""

    async def leave():
        stream = OpenAIModel("m", base_url=slow.base_url)(CALL)
        assert await anext(stream) == "on"
        await stream.aclose()
        await asyncio.to_thread(slow.wait_until_idle)

    asyncio.run(leave())

    assert slow.requests[0].cancelled


@pytest.mark.parametrize("stream", [True, False])
def test_cancelling_ends_the_request(slow, stream):
    """A cancelled task hangs up, before the first piece too."""

    async def cancel():
        model = OpenAIModel("m", base_url=slow.base_url)
        tasks = [asyncio.create_task(collect(model(replace(CALL, stream=stream)))) for _ in range(3)]
        await asyncio.to_thread(slow.wait_until, 3)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await asyncio.to_thread(slow.wait_until_idle)

    asyncio.run(cancel())

    assert [request.cancelled for request in slow.requests] == [True] * 3


def test_connections_of_a_loop_end_with_it(server):
    """As many lanes as requests at a time, and nothing is left of them when it has ended."""

    async def ask_all():
        models = [OpenAIModel("m", base_url=server.base_url) for _ in range(3)]
        await asyncio.gather(*(collect(model(CALL)) for model in models))
        lanes = await _openai_pool.lanes_here()
        return list(lanes._open)

    first, second = [asyncio.run(ask_all()) for _ in range(2)]

    assert (3, 3, 0) == (len(first), len(second), len({*first} & {*second}))
    assert all(lane.is_closed for lane in first + second)
    assert not any(loop.is_closed() for loop in _openai_pool._lanes)


def test_lanes_whose_loop_was_closed_badly_is_forgotten(server):
    """A loop that was closed without closing its generators cannot be closed for; it is not kept either."""
    loop = asyncio.new_event_loop()
    loop.run_until_complete(collect(OpenAIModel("m", base_url=server.base_url)(replace(CALL, stream=False))))
    lanes, _ = _openai_pool._lanes[loop]
    loop.run_until_complete(lanes.close())
    loop.close()

    ask(server)

    assert loop not in _openai_pool._lanes


@pytest.mark.parametrize("leaving", ["await stream.aclose()", "pass", "stream = None"])
def test_no_noise_when_a_loop_ends(slow, leaving):
    """Even in development mode with warnings as errors, leaving a stream open included."""
    code = f"""
import asyncio
from skeleton_of_thought.calls import Call, Message
from skeleton_of_thought.models.openai import OpenAIModel

async def main():
    stream = OpenAIModel("m", base_url={slow.base_url!r})(Call("direct", (Message("user", "x"),)))
    await anext(stream)
    {leaving}

for _ in range(2):
    asyncio.run(main())
"""
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", code]

    run = subprocess.run(command, capture_output=True, text=True, check=False)

    noise = [line for line in run.stderr.splitlines() if " took " not in line]  # development mode tells of slow steps
    assert (run.returncode, noise) == (0, [])
    slow.wait_until_idle()


# -- a user's own client -------------------------------------------------------------------------------


def test_an_asynchronous_client_is_used_as_it_is(server):
    """Its loop is the user's affair, and it stays open."""

    async def ask_twice():
        async with openai.AsyncOpenAI(base_url=server.base_url, api_key="none") as client:
            model = OpenAIModel("m", client=client)
            return [await collect(model(CALL)) for _ in range(2)]

    assert [pieces[-1] for pieces in asyncio.run(ask_twice())] == [Finish("stop")] * 2


@pytest.mark.parametrize("stream", [True, False])
def test_a_synchronous_client_works_from_any_loop(server, stream):
    """Each call gets a thread, which ends with it."""
    before = set(threading.enumerate())
    with openai.OpenAI(base_url=server.base_url, api_key="none") as client:
        model = OpenAIModel("m", client=client)
        answers = [asyncio.run(collect(model(replace(CALL, stream=stream)))) for _ in range(2)]

    for pieces in answers:
        assert "".join(piece for piece in pieces if isinstance(piece, str)) == "Go to bed early."
        assert isinstance(pieces[-2], Usage)
        assert pieces[-1] == Finish("stop")
    for thread in set(threading.enumerate()) - before:
        thread.join(5)
        assert not thread.is_alive()


def test_closing_the_stream_of_a_synchronous_client_ends_the_request(slow):
    """The thread sees it with the next piece, and hangs up."""

    async def leave(client):
        stream = OpenAIModel("m", client=client)(CALL)
        assert await anext(stream) == "on"
        await stream.aclose()

    with openai.OpenAI(base_url=slow.base_url, api_key="none") as client:
        asyncio.run(leave(client))
        slow.wait_until_idle()

    assert slow.requests[0].cancelled


def test_a_failure_of_a_synchronous_client_is_raised():
    """Its exceptions cross the thread."""
    with (
        LatencyServer(LatencyModel(capacity=0)) as server,
        openai.OpenAI(base_url=server.base_url, api_key="none", max_retries=0) as client,
        pytest.raises(openai.RateLimitError),
    ):
        asyncio.run(collect(OpenAIModel("m", client=client)(CALL)))


def test_a_missing_extra_names_its_cure():
    """Without the ``openai`` package the import says how to get it."""
    code = "import sys; sys.modules['openai'] = None\nimport skeleton_of_thought.models.openai"

    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert run.stderr.rstrip().endswith('pip install "skeleton-of-thought[openai]"')
