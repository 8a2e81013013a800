import asyncio
import itertools
import json
import logging
from dataclasses import dataclass

import pytest

from skeleton_of_thought.calls import Message
from skeleton_of_thought.errors import InputError
from skeleton_of_thought.models.generation import Generation
from skeleton_of_thought.testing import (
    Dropped,
    Empty,
    EndedEarly,
    ErrorEvent,
    Garbage,
    LatencyModel,
    LatencyServer,
    LoggedRequest,
    Rejected,
    Stalled,
    faults_by,
    go_on_with_a_word,
    random_faults,
    repeat_words,
    script_reply,
    start_again,
)

from .script import DIRECT, POINTS, QUESTION, REPLY, SKELETON

openai = pytest.importorskip("openai")

ASK = [{"role": "user", "content": QUESTION}]
WRAPPED = int(openai.__version__.partition(".")[0]) >= 3
"""From 3.0 on the package has a class of its own for what breaks a stream; before, it is the class of its HTTP."""


@pytest.fixture(autouse=True)
def _quiet(caplog):
    """Nothing that is done to a reply is worth a line in a log."""
    yield
    assert [] == [each for each in caplog.get_records("call") if each.levelno >= logging.WARNING]


@dataclass
class Outcome:
    """What a client got."""

    text: str = ""
    finish: str | None = None
    error: Exception | None = None

    def add(self, reply, part):
        for choice in reply.choices:
            self.text += getattr(choice, part).content or ""
            self.finish = choice.finish_reason or self.finish

    @property
    def told(self):
        return self.text, self.finish, self.error and type(self.error).__name__


def ask_sync(base_url, stream, seconds=30):
    """Ask as a synchronous program does."""
    outcome = Outcome()
    with openai.OpenAI(base_url=base_url, api_key="none", max_retries=0, timeout=seconds) as client:
        try:
            reply = client.chat.completions.create(model="m", messages=ASK, stream=stream)
            for chunk in reply if stream else [reply]:
                outcome.add(chunk, "delta" if stream else "message")
        except Exception as error:  # noqa: BLE001 -- which it is, is what is tested
            outcome.error = error
    return outcome


async def _ask(base_url, stream, seconds=30):
    outcome = Outcome()
    async with openai.AsyncOpenAI(base_url=base_url, api_key="none", max_retries=0, timeout=seconds) as client:
        try:
            reply = await client.chat.completions.create(model="m", messages=ASK, stream=stream)
            if not stream:
                outcome.add(reply, "message")
                return outcome
            async for chunk in reply:
                outcome.add(chunk, "delta")
        except Exception as error:  # noqa: BLE001 -- as above
            outcome.error = error
    return outcome


def ask_async(base_url, stream, seconds=30):
    """Ask as an asynchronous program does."""
    return asyncio.run(_ask(base_url, stream, seconds))


both = pytest.mark.parametrize("ask", [ask_sync, ask_async])
either = pytest.mark.parametrize("stream", [True, False])


def serve(*faults, **options):
    """Serve a sentence; the first requests fail by *faults*."""
    model = LatencyModel(reply=lambda _: "Go to bed early.", **options)
    return LatencyServer(model, faults=faults_by({"direct": faults}))


@pytest.fixture(scope="module")
def shared():
    """Serve it to all tests that need no server of their own, with the faults of the next requests."""
    next_faults = []
    model = LatencyModel(reply=lambda _: "Go to bed early.")
    with LatencyServer(model, faults=lambda _, __: next_faults.pop(0) if next_faults else None) as server:
        yield server, next_faults


@pytest.fixture
def failing(shared):
    """Let the next requests fail by some faults, and return the server."""
    server, next_faults = shared

    def fail_by(*faults):
        next_faults[:] = faults
        return server

    yield fail_by
    server.wait_until_idle()
    server.wait_until_left()


# -- what a client sees --------------------------------------------------------------------------------

CUT = "APIConnectionError" if WRAPPED else "RemoteProtocolError"
RESET = "APIConnectionError" if WRAPPED else "ReadError"
LATE = "APITimeoutError" if WRAPPED else "ReadTimeout"


@both
@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (Dropped(), ("", None, "APIConnectionError")),
        (Dropped(reset=True), ("", None, "APIConnectionError")),
        (Dropped(0), ("", None, CUT)),
        (Dropped(2), ("Go to", None, CUT)),
        (Dropped(2, reset=True), ("Go to", None, RESET)),
        (Dropped(99), ("Go to bed early.", None, CUT)),
        (Stalled(None, seconds=0.001), ("Go to bed early.", "stop", None)),
        (Stalled(2, seconds=0.001), ("Go to bed early.", "stop", None)),
        (EndedEarly(0), ("", None, None)),
        (EndedEarly(3), ("Go to bed", None, None)),
        (EndedEarly(99), ("Go to bed early.", None, None)),
        (ErrorEvent(), ("", None, "APIError")),
        (ErrorEvent(2, code=503), ("Go to", None, "APIError")),
        (Garbage(), ("", None, "JSONDecodeError")),
        (Garbage(2), ("Go to", None, "JSONDecodeError")),
        (Empty(), ("", "stop", None)),
        (Empty("length", "  \n"), ("  \n", "length", None)),
        (None, ("Go to bed early.", "stop", None)),
    ],
)
def test_a_stream_breaks_as_it_is_told_to(failing, ask, fault, told):
    """What came before the fault is there, and the official client raises this class."""
    server = failing(fault)

    assert told == ask(server.base_url, True).told
    assert fault == server.requests[-1].fault


@both
@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (Dropped(), ("", None, "APIConnectionError")),
        (Dropped(2), ("", None, "APIConnectionError")),
        (Dropped(2, reset=True), ("", None, "APIConnectionError")),
        (Stalled(2, seconds=0.001), ("Go to bed early.", "stop", None)),
        (EndedEarly(3), ("Go to bed", None, None)),
        (ErrorEvent(2), ("", None, "InternalServerError")),
        (Garbage(), ("", None, "JSONDecodeError")),
        (Empty("content_filter"), ("", "content_filter", None)),
        (None, ("Go to bed early.", "stop", None)),
    ],
)
def test_a_whole_reply_breaks_as_it_is_told_to(failing, ask, fault, told):
    """A reply that is not streamed has no middle, so that nothing of it is left where the client raises."""
    server = failing(fault)

    assert told == ask(server.base_url, False).told
    assert fault == server.requests[-1].fault


@both
@either
@pytest.mark.parametrize(
    ("status", "raised", "kind"),
    [
        (400, "BadRequestError", "invalid_request_error"),
        (401, "AuthenticationError", "invalid_request_error"),
        (408, "APIStatusError", "invalid_request_error"),
        (409, "ConflictError", "invalid_request_error"),
        (429, "RateLimitError", "rate_limit_error"),
        (500, "InternalServerError", "server_error"),
        (529, "InternalServerError", "server_error"),
    ],
)
def test_a_rejection_has_its_status(failing, ask, stream, status, raised, kind):
    """With the type of error that belongs to it."""
    outcome = ask(failing(Rejected(status)).base_url, stream)

    assert (("", None, raised), status, kind) == (outcome.told, outcome.error.status_code, outcome.error.type)


@both
@either
def test_a_rejection_carries_what_it_is_given(failing, ask, stream):
    """Headers are the response's, code and type are the error's."""
    server = failing(Rejected(429, {"Retry-After": "7"}, code="insufficient_quota", kind="billing"))

    error = ask(server.base_url, stream).error

    said = {"message": "rejected by a test", "type": "billing", "param": None, "code": "insufficient_quota"}
    assert ("7", "insufficient_quota", said) == (error.response.headers["retry-after"], error.code, error.body)


def test_what_a_rejection_is_given_comes_before_what_the_server_says():
    """A header that both have is there once."""
    with serve(Rejected(429, {"x-ratelimit-remaining-requests": "0"}), capacity=5) as server:
        headers = ask_sync(server.base_url, False).error.response.headers

    assert ("0", "5") == (headers["x-ratelimit-remaining-requests"], headers["x-ratelimit-limit-requests"])


@both
def test_an_error_in_mid_stream_says_what_it_is(failing, ask):
    """There is no status, but a code and a type, as OpenAI and vLLM send them."""
    server = failing(ErrorEvent(1, code="rate_limit_exceeded", kind="tokens"))

    error = ask(server.base_url, True).error

    assert ("rate_limit_exceeded", "tokens", None) == (error.code, error.type, getattr(error, "status_code", None))


@both
@pytest.mark.parametrize(
    ("stream", "fault", "told"),
    [
        (True, Stalled(None), ("", None, "APITimeoutError")),
        (True, Stalled(2), ("Go to", None, LATE)),
        (False, Stalled(2), ("", None, "APITimeoutError")),
    ],
)
def test_a_stall_ends_when_the_client_leaves(failing, ask, stream, fault, told):
    """Its request ends then, although the minute is not over."""
    server = failing(fault)

    assert told == ask(server.base_url, stream, seconds=1.0).told
    server.wait_until_idle()
    assert server.requests[-1].cancelled


@either
def test_a_stall_ends_with_the_server(stream):
    """Nothing is waited for, and the client is told."""

    async def ask_a_server_that_ends():
        with serve(Stalled()) as server:
            asking = asyncio.create_task(_ask(server.base_url, stream))
            await asyncio.to_thread(server.wait_until, 1)
            await asyncio.to_thread(server.__exit__, None, None, None)
            return server, await asking

    server, outcome = asyncio.run(ask_a_server_that_ends())

    assert (0, 0, True) == (server.in_flight, server.connections, outcome.error is not None)


@both
@either
@pytest.mark.parametrize("fault", [Dropped(1), EndedEarly(1), ErrorEvent(1)])
def test_a_broken_reply_is_not_the_clients_doing(failing, ask, stream, fault):
    """The log tells the fault; ``cancelled`` is for clients that leave."""
    server = failing(fault)

    ask(server.base_url, stream)
    server.wait_until_idle()
    assert (fault, False) == (server.requests[-1].fault, server.requests[-1].cancelled)


def test_plain_completions_break_too(failing):
    """Their tokens are counted as those of a chat are."""
    server = failing(EndedEarly(2), EndedEarly(2))

    with openai.OpenAI(base_url=server.base_url, api_key="none", max_retries=0) as client:
        streamed = list(client.completions.create(model="m", prompt="a", stream=True))
        whole = client.completions.create(model="m", prompt="a")

    assert ["Go", " to"] == [chunk.choices[0].text for chunk in streamed]
    assert ("Go to", None) == (whole.choices[0].text, whole.choices[0].finish_reason)


@pytest.mark.parametrize("fault", [Dropped(1), ErrorEvent(1), EndedEarly(0)])
@either
def test_an_error_of_the_endpoint_is_left_alone(fault, stream):
    """There is no reply that could break, when the endpoint refuses."""

    def refuse(_):
        raise InputError("no")

    with LatencyServer(LatencyModel(reply=refuse), faults=faults_by({"direct": [fault]})) as server:
        assert ("", None, "BadRequestError") == ask_sync(server.base_url, stream).told


def test_what_the_endpoint_does_not_understand_has_no_fault():
    """A request that asks for nothing counts for no stage."""
    with serve(Rejected(503)) as server, openai.OpenAI(base_url=server.base_url, api_key="none") as client:
        with pytest.raises(openai.BadRequestError):
            client.chat.completions.create(model="m", messages=[])
        with pytest.raises(openai.NotFoundError):
            client.embeddings.create(model="m", input="a")

    assert [None, None] == [request.fault for request in server.requests]


# -- when it fails -------------------------------------------------------------------------------------


def test_each_stage_and_point_fails_by_its_own_row():
    """The first request for it gets the first fault, and later ones none."""
    table = {"skeleton": [Rejected(503)], 2: [Rejected(429), None, Rejected(500)]}
    prompts = ["2. Avoid late coffee", "skeleton", "1. Keep regular hours", *["2. Avoid late coffee"] * 3]

    with (
        LatencyServer(LatencyModel(reply=REPLY), faults=faults_by(table)) as server,
        openai.OpenAI(base_url=server.base_url, api_key="none", max_retries=0) as client,
    ):
        for prompt in prompts:
            try:
                client.completions.create(model="m", prompt=prompt)
            except openai.APIStatusError as error:
                assert error.status_code in (429, 500, 503)

    assert [(2, 429), ("skeleton", 503), (1, 200), (2, 200), (2, 500), (2, 200)] == [
        (request.stage, request.status) for request in server.requests
    ]


def test_another_function_may_tell_requests_apart():
    """For a model whose reply function is no script."""
    with (
        LatencyServer(stage_of=lambda asked: int(asked.prompt), faults=faults_by({7: [Rejected(503)]})) as server,
        openai.OpenAI(base_url=server.base_url, api_key="none", max_retries=0) as client,
    ):
        client.completions.create(model="m", prompt="6")
        with pytest.raises(openai.InternalServerError):
            client.completions.create(model="m", prompt="7")

    assert [6, 7] == [request.stage for request in server.requests]


def test_a_request_that_is_turned_away_does_not_count():
    """So a table says the same for any capacity."""
    with serve(Garbage(), capacity=0) as server:
        assert ("", None, "RateLimitError") == ask_sync(server.base_url, False).told
        object.__setattr__(server.model, "capacity", 1)  # it has a place again
        assert ("", None, "JSONDecodeError") == ask_sync(server.base_url, False).told

    assert [None, Garbage()] == [request.fault for request in server.requests]


def plan(faults, times=200):
    """Return what *faults* does to the first requests for the skeleton."""
    return [faults(LoggedRequest("", None, 0.0, stage="skeleton"), earlier) for earlier in range(times)]


def test_random_faults_are_the_same_for_the_same_seed():
    """And others for another one."""
    assert plan(random_faults(0.5, seed=3)) == plan(random_faults(0.5, seed=3))
    assert plan(random_faults(0.5, seed=3)) != plan(random_faults(0.5, seed=4))


def test_random_faults_come_at_their_rate():
    """At the ends of the scale that is exact; and in between each kind comes."""
    kinds = {(type(fault), getattr(fault, "status", None)) for fault in plan(random_faults(0.5)) if fault}

    assert [None] * 200 == plan(random_faults(0.0))
    assert None not in plan(random_faults(1.0))
    assert {429, 500, 503, 529, None} == {status for _, status in kinds}
    assert {Rejected, Dropped, EndedEarly, ErrorEvent} == {kind for kind, _ in kinds}


def test_a_client_survives_random_faults():
    """Whoever asks again gets an answer."""
    with LatencyServer(LatencyModel(reply=lambda _: "Well."), faults=random_faults(0.7, seed=2)) as server:
        outcomes = (ask_sync(server.base_url, True) for _ in range(100))
        survived = next(outcome for outcome in outcomes if outcome.finish)

    assert ("Well.", "stop", None) == survived.told
    assert server.requests[0].fault


# -- going on ------------------------------------------------------------------------------------------

INSTRUCTION = "Go on exactly where your last message ends."
PREFIX = [("user", QUESTION), ("user", "Write only the skeleton of the answer.")]
POINT = [*PREFIX, ("assistant", SKELETON), ("user", "Write only point 2, Avoid late coffee, in one sentence.")]


def asking(*messages):
    """Ask with these messages."""
    return Generation(messages=tuple(itertools.starmap(Message, messages)))


@pytest.mark.parametrize(
    ("messages", "stage", "said"),
    [
        ([*POINT, ("assistant", "Caffeine works"), ("user", INSTRUCTION)], 2, POINTS[2][14:]),
        ([*POINT, ("assistant", "Caffeine works ")], 2, POINTS[2][15:]),
        ([*POINT, ("assistant", "2. Avoid late coffee: Caffeine wor")], 2, POINTS[2][12:]),
        ([*POINT, ("assistant", "2. Avoid late coffee:")], 2, POINTS[2]),
        ([*PREFIX[:1], ("assistant", "2. Avoid late coffee: Caffeine wor")], 2, POINTS[2][12:]),
        ([*POINT, ("assistant", POINTS[2]), ("user", INSTRUCTION)], 2, ""),
        ([*POINT, ("assistant", "Caffeine\nworks"), ("user", f"{INSTRUCTION} Avoid late coffee.")], 2, POINTS[2][14:]),
        ([*PREFIX, ("assistant", SKELETON[:30]), ("user", INSTRUCTION)], "skeleton", SKELETON[30:]),
        ([*PREFIX, ("assistant", SKELETON[:30])], "skeleton", SKELETON[30:]),
        ([*PREFIX, ("assistant", "1.")], "skeleton", SKELETON[2:]),
        ([*PREFIX[:1], ("assistant", DIRECT[:20]), ("user", INSTRUCTION)], "direct", DIRECT[20:]),
        ([*PREFIX[:1], ("assistant", DIRECT[:20])], "direct", DIRECT[20:]),
    ],
)
def test_the_rest_of_a_broken_reply_is_said(messages, stage, said):
    """Behind the text so far, and behind an instruction after it; it counts for the same stage or point."""
    asked = asking(*messages)

    assert (stage, said) == (REPLY.stage_of(asked), REPLY(asked))


@pytest.mark.parametrize(
    ("messages", "stage"),
    [
        (POINT, 2),
        ([*PREFIX, ("assistant", SKELETON[:46]), ("user", "Write only point 2, Avoid late coffee.")], 2),
        ([*PREFIX[:1], ("assistant", DIRECT), ("user", "And in summer?")], "direct"),
        ([("user", "Hello"), ("assistant", "Welcome."), *PREFIX], "skeleton"),
        ([*POINT, ("assistant", "Something else."), ("user", INSTRUCTION)], "direct"),
    ],
)
def test_what_is_no_continuation_is_said_whole(messages, stage):
    """An assistant's message that the script did not begin is no text so far, and neither is a finished one."""
    asked = asking(*messages)

    assert stage == REPLY.stage_of(asked)
    assert {"skeleton": SKELETON, "direct": DIRECT, 2: POINTS[2]}[stage] == REPLY(asked)


def test_the_title_that_begins_a_reply_is_its_own():
    """Others may be named in its text."""
    script = script_reply(skeleton="1. Sleep\n2. Walk", points={1: "No sleep.", 2: "A walk helps to Sleep well."})
    asked = asking(("user", "How?"), ("assistant", "2. Walk: A walk helps to Sleep"))

    assert (2, " well.") == (script.stage_of(asked), script(asked))


def test_a_reply_may_break_again():
    """What came of the first continuation is gone on from, whether it is joined to the text or not."""
    first = [*POINT, ("assistant", "Caffeine wor"), ("user", INSTRUCTION)]
    again = asking(*first, ("assistant", "ks for hours,"), ("user", INSTRUCTION))
    joined = asking(*POINT, ("assistant", "Caffeine works for hours,"), ("user", INSTRUCTION))

    assert [" so the last cup should be before noon."] * 2 == [REPLY(again), REPLY(joined)]


@pytest.mark.parametrize(
    ("going_on", "said"),
    [
        (go_on_with_a_word, "works for hours, so the last cup should be before noon."),
        (repeat_words(0), " works for hours, so the last cup should be before noon."),
        (repeat_words(1), "Caffeine works for hours, so the last cup should be before noon."),
        (start_again, POINTS[2]),
    ],
)
def test_models_go_on_in_their_own_ways(going_on, said):
    """Some repeat the last words, or everything; chat models begin without a space."""
    script = script_reply(skeleton=SKELETON, points=POINTS, direct=DIRECT, going_on=going_on)

    assert said == script(asking(*POINT, ("assistant", "Caffeine"), ("user", INSTRUCTION)))


def test_a_continuation_comes_over_the_wire():
    """It gets the second fault of its row, and is cut where the request wants it to be."""
    messages = [{"role": role, "content": text} for role, text in POINT]
    begun = [{"role": "assistant", "content": "Caffeine works"}, {"role": "user", "content": INSTRUCTION}]
    with (
        LatencyServer(LatencyModel(reply=REPLY), faults=faults_by({2: [Dropped(2), Rejected(503)]})) as server,
        openai.OpenAI(base_url=server.base_url, api_key="none", max_retries=0) as client,
    ):
        for asked in (messages, messages + begun):
            with pytest.raises(openai.APIError):
                client.chat.completions.create(model="m", messages=asked)
        reply = client.chat.completions.create(model="m", messages=messages + begun, max_tokens=2)

    assert (" for hours,", "length") == (reply.choices[0].message.content, reply.choices[0].finish_reason)
    assert [2, 2, 2] == [request.stage for request in server.requests]


def test_a_cut_body_is_still_json(failing):
    """A reply that ends early is whole as JSON: it lacks its end, not its braces."""
    with openai.OpenAI(base_url=failing(EndedEarly(1)).base_url, api_key="none") as client:
        body = json.loads(client.chat.completions.with_raw_response.create(model="m", messages=ASK).text)

    assert ("Go", None) == (body["choices"][0]["message"]["content"], body["choices"][0]["finish_reason"])
    assert "usage" not in body
