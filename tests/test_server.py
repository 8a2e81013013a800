import asyncio
import http.client
import json
import logging
import signal
import socket
import subprocess
import sys
import threading
import time

import openai
import pytest

from skeleton_of_thought.calls import Finish, Message, Usage
from skeleton_of_thought.errors import ContextLengthError, InputError
from skeleton_of_thought.models.generation import Generation
from skeleton_of_thought.server import application, replies, running
from skeleton_of_thought.server.replies import Choice
from skeleton_of_thought.server.requests import read_chat, read_text
from skeleton_of_thought.testing import LatencyModel, LatencyServer

ASK = [{"role": "user", "content": "How do I sleep?"}]


@pytest.fixture(scope="module")
def server():
    """Serve a model that says one sentence."""
    with LatencyServer(LatencyModel(reply=lambda _: "Go to bed early.")) as server:
        yield server


@pytest.fixture(scope="module")
def client(server):
    """Call that server with the real client."""
    with openai.OpenAI(base_url=server.base_url, api_key="none", max_retries=0) as client:
        yield client


class Failing:
    """A generator that says some pieces and fails."""

    name = "failing"

    def __init__(self, error, *pieces):
        self.error, self.pieces = error, pieces

    async def generate(self, generation, /):
        for piece in self.pieces:
            yield piece
        raise self.error


class Endless:
    """A generator that never ends by itself and tells when it was closed."""

    name = "endless"

    def __init__(self, pause=0.001):
        self.pause, self.begun, self.closed = pause, threading.Event(), threading.Event()

    async def generate(self, generation, /):
        self.begun.set()
        try:
            while True:
                await asyncio.sleep(self.pause)
                yield "on "
        finally:
            self.closed.set()


def request(url, method, path, body=None):
    """Send one plain HTTP request; return its status and its JSON."""
    connection = http.client.HTTPConnection(url.removeprefix("http://").removesuffix("/v1"))
    try:
        connection.request(method, path, body)
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


# -- what is asked -------------------------------------------------------------------------------------

SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}


@pytest.mark.parametrize(
    ("asked", "understood"),
    [
        ({}, {}),
        ({"unknown": 1, "user": "me", "tools": [], "max_tokens": None, "stop": None}, {}),
        ({"max_tokens": 5}, {"max_tokens": 5}),
        ({"max_tokens": -1}, {}),
        ({"max_tokens": 5, "max_completion_tokens": 6}, {"max_tokens": 6}),
        ({"stop": "x"}, {"stop": ("x",)}),
        ({"stop": ["x", "", "y"]}, {"stop": ("x", "y")}),
        ({"temperature": 0, "top_p": 0.5, "seed": 7}, {"temperature": 0, "top_p": 0.5, "seed": 7}),
        ({"presence_penalty": 1, "frequency_penalty": -1}, {"presence_penalty": 1, "frequency_penalty": -1}),
        ({"repetition_penalty": 1.1}, {"repetition_penalty": 1.1}),
        ({"repeat_penalty": 1.2}, {"repetition_penalty": 1.2}),
        ({"grammar": 'root ::= "a"', "ignore_eos": True}, {"grammar": 'root ::= "a"', "ignore_eos": True}),
        ({"response_format": {"type": "text"}}, {}),
        ({"response_format": {"type": "json_object"}}, {"json_schema": '{"type": "object"}'}),
        ({"response_format": {"type": "json_object", "schema": SCHEMA}}, {"json_schema": json.dumps(SCHEMA)}),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}},
            {"json_schema": json.dumps(SCHEMA)},
        ),
    ],
)
def test_every_parameter_is_understood(asked, understood):
    """A parameter of the protocol, or one of llama.cpp's or vLLM's, becomes a field of the generation."""
    asked = read_chat(json.dumps({"model": "m", "messages": ASK, **asked}).encode())

    assert (Generation(messages=(Message("user", "How do I sleep?"),), **understood),) == asked.generations


def test_messages_are_understood():
    """Developers are system, parts are joined, and a closing assistant message stays last."""
    messages = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "How do I "}, {"type": "text", "text": "sleep?"}]},
        {"role": "assistant", "content": "1."},
    ]

    asked = read_chat(json.dumps({"messages": messages}).encode())

    expected = (Message("system", "Be brief."), Message("user", "How do I sleep?"), Message("assistant", "1."))
    assert expected == asked.generations[0].messages


def test_copies_have_seeds_of_their_own():
    """With n=2 each prompt is generated twice, from neighbouring seeds, so that the copies differ."""
    asked = read_text(b'{"prompt": ["a", "b"], "n": 2, "seed": 5}')

    assert [(each.prompt, each.seed) for each in asked.generations] == [("a", 5), ("a", 6), ("b", 5), ("b", 6)]
    assert asked.per_prompt == 2


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (b"{", "Invalid JSON"),
        (b"[]", "valid dictionary|object"),
        (b"{}", "`messages`: Field required"),
        (b'{"messages": []}', "`messages`: List should have at least 1 item"),
        (b'{"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}', "'image_url' is not supported"),
        (b'{"messages": [{"role": "tool", "content": "x"}]}', "role 'tool' are not supported"),
        (b'{"messages": [{"role": "user"}]}', "a message has no content"),
        (b'{"messages": [{"role": "user", "content": "x"}], "tools": [{}]}', "`tools` is not supported"),
        (b'{"messages": [{"role": "user", "content": "x"}], "n": 0}', "`n`: Input should be greater"),
        (b'{"messages": [{"role": "user", "content": "x"}], "max_tokens": 0}', "`max_tokens`: must be at least 1"),
        (b'{"messages": [{"role": "user", "content": "x"}], "temperature": "hot"}', "`temperature`: Input should be"),
        (
            b'{"messages": [{"role": "user", "content": "x"}], "response_format": {"type": "json_schema"}}',
            "`json_schema` is missing",
        ),
        (
            b'{"messages": [{"role": "user", "content": "x"}], "grammar": "g",'
            b' "response_format": {"type": "json_object"}}',
            "exclude each other",
        ),
    ],
)
def test_what_cannot_be_done_is_refused(asked, says):
    """A refusal names the parameter and the reason, and does not repeat what was asked."""
    with pytest.raises(InputError, match=says):
        read_chat(asked)


@pytest.mark.parametrize("prompt", [b"[]", b"[1, 2]", b"[[1, 2]]", b"null"])
def test_prompts_are_texts(prompt):
    """Plain completions take texts, not token numbers, and at least one."""
    with pytest.raises(InputError, match="`prompt"):
        read_text(b'{"prompt": ' + prompt + b"}")


def test_a_prompt_that_is_answered_twice_is_read_once():
    """The usage counts the input of each prompt once and the output of each choice."""
    choices = [Choice("", "stop", Usage(10, number, 4)) for number in (1, 2, 3, 4)]

    assert Usage(20, 10, 8) == replies.total(choices, 2)


# -- what is said --------------------------------------------------------------------------------------


def test_a_whole_answer(server, client):
    """A reply has the text, the finish reason, the usage, and the name of the model that is really there."""
    reply = client.chat.completions.create(model="whatever", messages=ASK)

    assert (reply.model, reply.choices[0].message.role) == ("latency-model", "assistant")
    assert (reply.choices[0].message.content, reply.choices[0].finish_reason) == ("Go to bed early.", "stop")
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens, reply.usage.total_tokens) == (4, 4, 8)


def test_a_streamed_answer(client):
    """A stream begins with the role, has the text in pieces, ends with the reason, and counts if it is asked to."""
    stream = client.chat.completions.create(
        model="m", messages=ASK, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)

    assert chunks[0].choices[0].delta.role == "assistant"
    assert [chunk.choices[0].delta.content for chunk in chunks[:-1]] == ["", "Go", " to", " bed", " early.", None]
    assert [chunk.choices[0].finish_reason for chunk in chunks[:-1]] == [None] * 5 + ["stop"]
    assert (chunks[-1].choices, chunks[-1].usage.completion_tokens) == ([], 4)
    assert len({chunk.id for chunk in chunks}) == 1


def test_usage_is_streamed_only_when_asked_for(client):
    """Without ``include_usage`` no chunk has an empty list of choices, which some clients do not expect."""
    chunks = list(client.chat.completions.create(model="m", messages=ASK, stream=True))

    assert all(chunk.choices and chunk.usage is None for chunk in chunks)


def test_cached_tokens_are_reported():
    """What came from a prefix cache is in ``prompt_tokens_details``."""
    with LatencyServer() as server, openai.OpenAI(base_url=server.base_url, api_key="none") as client:
        replies = [client.chat.completions.create(model="m", messages=ASK) for _ in range(2)]

    assert [reply.usage.prompt_tokens_details.cached_tokens for reply in replies] == [0, 4]


@pytest.mark.parametrize("stream", [True, False])
def test_several_choices(client, stream):
    """With n=3 there are three texts, each under its own number, streaming or not."""
    reply = client.chat.completions.create(model="m", messages=ASK, n=3, stream=stream)

    texts = {0: "", 1: "", 2: ""}
    for chunk in reply if stream else [reply]:
        for choice in chunk.choices:
            texts[choice.index] += (choice.delta if stream else choice.message).content or ""
    assert dict.fromkeys(range(3), "Go to bed early.") == texts


def test_plain_completions_are_batched():
    """A list of prompts is generated at the same time, and answered in its order."""
    in_flight = []

    def slowdown(count):
        in_flight.append(count)
        return 1.0

    model = LatencyModel(reply=lambda generation: f"after {generation.prompt}", slowdown=slowdown)
    with LatencyServer(model) as server, openai.OpenAI(base_url=server.base_url, api_key="none") as client:
        reply = client.completions.create(model="m", prompt=["a", "b", "c"])
        streamed = list(client.completions.create(model="m", prompt="d", stream=True))

    assert [choice.text for choice in reply.choices] == ["after a", "after b", "after c"]
    assert [chunk.choices[0].text for chunk in streamed] == ["after", " d", ""]
    assert streamed[-1].choices[0].finish_reason == "stop"
    assert (reply.object, reply.usage.prompt_tokens) == ("text_completion", 3)
    assert max(in_flight) == 3


def test_stop_and_limit_reach_the_model(client):
    """The text ends before a stop text, and at the limit with the reason ``length``."""
    stopped = client.chat.completions.create(model="m", messages=ASK, stop=[" bed"])
    limited = client.chat.completions.create(model="m", messages=ASK, max_tokens=2)

    assert (stopped.choices[0].message.content, stopped.choices[0].finish_reason) == ("Go to", "stop")
    assert (limited.choices[0].message.content, limited.choices[0].finish_reason) == ("Go to", "length")


def test_the_model_and_the_health_are_told(server, client):
    """Clients ask for the models, supervisors for the health."""
    assert [model.id for model in client.models.list()] == ["latency-model"]
    assert request(server.base_url, "GET", "/health") == (200, {"status": "ok"})


# -- what goes wrong -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/v1/nothing", 404), ("GET", "/v1/completions", 405)])
def test_unknown_routes_fail_in_the_form_of_the_protocol(server, method, path, status):
    """Clients show the message of an error of this form."""
    answered, body = request(server.base_url, method, path)

    assert (answered, body["error"]["type"]) == (status, "invalid_request_error")


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("error", "code"), [(InputError("too hot"), None), (ContextLengthError(9, 5), "context_length_exceeded")]
)
def test_what_a_generator_refuses_is_a_bad_request(error, code, stream):
    """A refusal comes with the status 400 and its own words, streaming or not."""
    with (
        running(Failing(error)) as server,
        openai.OpenAI(base_url=server.base_url, api_key="none") as client,
        pytest.raises(openai.BadRequestError) as raised,
    ):
        client.chat.completions.create(model="m", messages=ASK, stream=stream)

    assert (raised.value.body["message"], raised.value.code) == (str(error), code)


@pytest.mark.parametrize("stream", [True, False])
def test_a_failure_tells_nothing_of_the_inside(caplog, stream):
    """The client learns that the model failed, and the log where; neither repeats the exception's words."""
    caplog.set_level(logging.DEBUG)
    with (
        running(Failing(OSError("How do I sleep? /secret/path"))) as server,
        openai.OpenAI(base_url=server.base_url, api_key="none", max_retries=0) as client,
        pytest.raises(openai.InternalServerError) as raised,
    ):
        client.chat.completions.create(model="m", messages=ASK, stream=stream)

    logged = "\n".join(each.getMessage() for each in caplog.records if not each.name.startswith(("openai", "http")))
    assert raised.value.body["message"] == "the model failed: the server's log says where"
    assert "failed with OSError" in logged
    assert "secret" not in logged
    assert "How do I sleep" not in logged


def test_a_failure_in_mid_stream_ends_the_stream():
    """After the first text the status is sent, so the failure is the last event."""
    with (
        running(Failing(OSError("no"), "Go ", "to ")) as server,
        openai.OpenAI(base_url=server.base_url, api_key="none") as client,
    ):
        stream = client.chat.completions.create(model="m", messages=ASK, stream=True)
        texts = []
        with pytest.raises(openai.APIError, match="the model failed"):
            texts.extend(chunk.choices[0].delta.content for chunk in stream)

    assert texts == ["", "Go ", "to "]


def test_the_first_failure_cancels_the_other_choices():
    """A request that fails leaves no generation behind."""

    class OneFails(Endless):
        async def generate(self, generation, /):
            if generation.prompt == "fail":
                raise InputError("no")
            async for piece in super().generate(generation):
                yield piece

    generator = OneFails()
    with running(generator) as server, openai.OpenAI(base_url=server.base_url, api_key="none") as client:
        with pytest.raises(openai.BadRequestError):
            client.completions.create(model="m", prompt=["go on", "fail"])
        assert generator.closed.wait(5)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("pause", [0.001, 60])
def test_a_client_that_leaves_ends_the_generation(stream, pause):
    """The generation is closed although the server itself goes on, also while it is silent."""
    generator = Endless(pause)

    async def leave(base_url):
        async with openai.AsyncOpenAI(base_url=base_url, api_key="none") as client:
            asking = asyncio.create_task(client.chat.completions.create(model="m", messages=ASK, stream=stream))
            await asyncio.to_thread(generator.begun.wait)
            if stream and pause < 1:
                await (await asking).close()
            asking.cancel()
            await asyncio.wait([asking])

    with running(generator) as server:
        asyncio.run(leave(server.base_url))
        assert generator.closed.wait(5)


# -- the server ----------------------------------------------------------------------------------------


def test_nothing_stays_behind(caplog):
    """After the context the thread is gone, the port is closed, and requests were cut off without complaint."""
    before = set(threading.enumerate())
    generator = Endless()
    with running(generator) as server:
        connection = http.client.HTTPConnection(server.url.removeprefix("http://"))
        connection.request("POST", "/v1/chat/completions", json.dumps({"messages": ASK}))
        assert generator.begun.wait(5)

    with pytest.raises((http.client.HTTPException, ConnectionError)):
        connection.getresponse()
    connection.close()
    assert generator.closed.is_set()
    assert before == set(threading.enumerate())
    assert [each for each in caplog.records if each.levelno >= logging.WARNING] == []
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2])))


def test_an_application_can_be_run_too():
    """Whoever has built the application, or another one, can run it the same way."""
    with running(application(LatencyModel(name="mine"))) as server:
        status, body = request(server.base_url, "GET", "/v1/models")

    assert (status, body["data"][0]["id"]) == (200, "mine")


def test_serving_ends_cleanly_on_interrupt():
    """Ctrl-C is how a served model is told to stop: no traceback, and the process ends well."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    code = (
        "from skeleton_of_thought.server import serve\n"
        "from skeleton_of_thought.testing import LatencyModel\n"
        f"serve(LatencyModel(), port={port})\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
    try:
        for _ in range(500):
            try:
                assert request(f"http://127.0.0.1:{port}", "GET", "/health")[0] == 200
                break
            except ConnectionRefusedError:
                time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
    finally:
        process.kill()
        process.wait()

    assert (process.returncode, errors) == (0, "")


def test_a_missing_extra_names_its_cure():
    """Without Starlette the import says what needs it and how to get it."""
    code = "import sys; sys.modules['starlette.applications'] = None\n"
    code += "import skeleton_of_thought.testing\nimport skeleton_of_thought.server"

    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert run.stderr.rstrip().endswith('pip install "skeleton-of-thought[server]"')
    assert "line 3, in <module>" in run.stderr


# -- clients of the frameworks -------------------------------------------------------------------------


def test_chat_openai_gets_an_answer(server):
    """LangChain's client invokes and streams, with usage."""
    langchain_openai = pytest.importorskip("langchain_openai")
    model = langchain_openai.ChatOpenAI(
        model="m", base_url=server.base_url, api_key="none", stream_usage=True, max_retries=0
    )

    async def ask():
        whole = await model.ainvoke("How do I sleep?")
        chunks = [chunk async for chunk in model.astream("How do I sleep?")]
        await model.root_async_client.close()
        return whole, chunks

    whole, chunks = asyncio.run(ask())
    merged = chunks[0]
    for chunk in chunks[1:]:
        merged += chunk
    assert (whole.text, merged.text) == ("Go to bed early.", "Go to bed early.")
    assert (whole.usage_metadata["output_tokens"], merged.usage_metadata["output_tokens"]) == (4, 4)


def test_open_ai_like_gets_an_answer(server):
    """LlamaIndex's client chats, streams and completes."""
    openai_like = pytest.importorskip("llama_index.llms.openai_like")
    types = pytest.importorskip("llama_index.core.llms")
    settings = {"model": "m", "api_base": server.base_url, "api_key": "none", "max_retries": 0}
    chat = openai_like.OpenAILike(is_chat_model=True, **settings)
    plain = openai_like.OpenAILike(is_chat_model=False, **settings)
    messages = [types.ChatMessage(role="user", content="How do I sleep?")]

    assert chat.chat(messages).message.content == "Go to bed early."
    assert "".join(part.delta or "" for part in chat.stream_chat(messages)) == "Go to bed early."
    assert plain.complete("How do I sleep?").text == "Go to bed early."
    for llm in (chat, plain):
        llm._get_client().close()


def test_a_finish_reason_of_the_model_is_passed_on():
    """What the generator says last is what the client reads, even without a text."""

    class Silent:
        name = "silent"

        async def generate(self, generation, /):
            yield Usage(3, 0)
            yield Finish("content_filter")

    with running(Silent()) as server, openai.OpenAI(base_url=server.base_url, api_key="none") as client:
        chunks = list(client.chat.completions.create(model="m", messages=ASK, stream=True))

    assert [(chunk.choices[0].delta.content, chunk.choices[0].finish_reason) for chunk in chunks] == [
        ("", None),
        (None, "content_filter"),
    ]
