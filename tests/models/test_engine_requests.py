"""What `OpenAIModel` sends, against what servers say that they take.

Each file in ``schemas`` tells of one server, in our words, what its ``/v1/chat/completions`` reads of what concerns
us, and where that is written. No server runs here: this shows that requests are valid, not that answers are good.
"""

import itertools
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from openai.types.chat import ChatCompletionMessageParam, completion_create_params
from pydantic import TypeAdapter

from skeleton_of_thought import Abilities, Retry, SkeletonOfThought
from skeleton_of_thought.models.openai import OpenAIModel
from skeleton_of_thought.server.requests import read_chat
from skeleton_of_thought.testing import EndedEarly, LatencyModel, LatencyServer, faults_by

from ..script import POINTS, QUESTION, REPLY, SKELETON

SCHEMAS = sorted(Path(__file__).with_name("schemas").glob("*.json"))
SERVERS = {path.stem: json.loads(path.read_text()) for path in SCHEMAS}
ABILITIES = {
    "none": Abilities(),
    "prefill": Abilities(prefill=True),
    "prefill and grammar": Abilities(prefill=True, grammar=True),
    "grammar": Abilities(grammar=True),
    "all": Abilities(prefill=True, grammar=True, small=True),
}
LIMITS = ("max_tokens", "max_completion_tokens")

Body = dict[str, Any]
Server = Mapping[str, Any]


# -- what is sent ----------------------------------------------------------------------------------------


def reply(generation):
    """Say what the script says; a small model is asked for a skeleton by its grammar alone."""
    by_grammar = generation.grammar and generation.messages[-1].role == "user"
    return SKELETON if by_grammar else REPLY(generation)


def last_of(events):
    """Hear all events and return the answer, which is in the last."""
    *_, finished = events
    return finished.answer


def asked(abilities, limit, *, streamed):
    """Return the bodies of two runs, one of points and one direct, in which streamed replies break off."""
    breaking = (*POINTS,) if abilities.small else (*POINTS, "skeleton", "direct")
    faults = faults_by({key: [EndedEarly(3)] for key in (breaking if streamed else ())})
    with LatencyServer(LatencyModel(reply=reply), faults=faults, stage_of=REPLY.stage_of) as server:
        llm = OpenAIModel("m", base_url=server.base_url, abilities=abilities, token_limit=limit, temperature=0.0)
        for router, kind in (("always", "skeleton"), ("never", "direct")):
            sot = SkeletonOfThought(llm=llm, router=router, retry=Retry(first_wait=0.001))
            answer = last_of(sot.stream(QUESTION)) if streamed else sot.ask(QUESTION)
            assert kind == answer.route.kind
        return [request.body for request in server.requests]


@pytest.fixture(scope="module")
def sent():
    """Ask in every way, once, and return the bodies by abilities."""
    ways = list(itertools.product(LIMITS, (True, False)))
    return {
        name: [body for limit, streamed in ways for body in asked(abilities, limit, streamed=streamed)]
        for name, abilities in ABILITIES.items()
    }


# -- what a server has against it --------------------------------------------------------------------------


def complaints(server: Server, body: Body) -> list[str]:
    """Tell all that a server has against a request, or would do other than asked."""
    return [*_fields(server, body), *_settings(server, body), *_messages(body)]


def _fields(server: Server, body: Body) -> Iterator[str]:
    for name, value in body.items():
        if name in server["fields"]:
            if not any(_is(kind, value) for kind in server["fields"][name]):
                yield f"{name} is of a wrong type"
        elif name not in server["read_past"]:
            yield f"{name} is unknown"


def _is(kind: str, value: object) -> bool:
    if kind == "strings":
        return isinstance(value, list) and all(isinstance(each, str) for each in value)
    if isinstance(value, bool):
        return kind == "boolean"
    kinds = {"string": str, "integer": int, "number": (int, float), "array": list, "object": dict, "null": type(None)}
    return kind in kinds and isinstance(value, kinds[kind])


def _settings(server: Server, body: Body) -> Iterator[str]:
    if "stream_options" in body and not body.get("stream"):
        yield "stream_options without stream"  # vLLM and OpenAI refuse that
    if len(body.get("stop", [])) > (server["most_stops"] or 16):
        yield "too many stops"
    if len(body.keys() & set(LIMITS)) > 1:
        yield "two limits"
    if any(body.get(name, 1) < 1 for name in LIMITS):
        yield "a limit below 1"
    continues = body.get("continue_final_message", False)
    if continues and body.get("add_generation_prompt", True):
        yield "both a new message and the last one"  # the default is a new one, so it has to be denied
    if continues != (body["messages"][-1]["role"] == "assistant"):
        yield "a closing assistant message is gone on from, and nothing else is"


def _messages(body: Body) -> Iterator[str]:
    roles = [message["role"] for message in body["messages"]]
    turns = roles[1:] if roles[0] == "system" else roles
    if turns != [("user", "assistant")[number % 2] for number in range(len(turns))]:
        yield "roles do not take turns"  # the templates of Mistral, Gemma and Llama 2 raise an error
    for message in body["messages"]:
        if message.keys() != {"role", "content"} or not isinstance(message["content"], str) or not message["content"]:
            yield "a message is more than a role and its text"


VALID: Body = {"model": "m", "messages": [{"role": "user", "content": "x"}]}
BEGUN: Body = {"model": "m", "messages": [*VALID["messages"], {"role": "assistant", "content": "1."}]}


@pytest.mark.parametrize(
    ("server", "body", "complaint"),
    [
        ("vllm", VALID | {"temperature": "0"}, "temperature is of a wrong type"),
        ("vllm", VALID | {"temperature": True}, "temperature is of a wrong type"),
        ("vllm", VALID | {"max_tokens": 0}, "a limit below 1"),
        ("vllm", VALID | {"max_tokens": 1, "max_completion_tokens": 1}, "two limits"),
        ("vllm", VALID | {"stream_options": {}}, "stream_options without stream"),
        ("vllm", VALID | {"grammar": "root"}, "grammar is unknown"),
        ("vllm", BEGUN | {"continue_final_message": True}, "both a new message and the last one"),
        ("sglang", BEGUN, "a closing assistant message is gone on from, and nothing else is"),
        ("tgi", VALID | {"stop": "."}, "stop is of a wrong type"),
        ("tgi", VALID | {"stop": ["."] * 5}, "too many stops"),
        ("openai", VALID | {"add_generation_prompt": False}, "add_generation_prompt is unknown"),
        ("llama_cpp", VALID | {"messages": VALID["messages"] * 2}, "roles do not take turns"),
        (
            "llama_cpp",
            VALID | {"messages": [{"role": "user", "content": []}]},
            "a message is more than a role and its text",
        ),
    ],
)
def test_what_a_server_refuses_is_found(server, body, complaint):
    """What finds nothing wrong with a wrong request would prove nothing."""
    assert [complaint] == complaints(SERVERS[server], body)


# -- is it valid? --------------------------------------------------------------------------------------------


ABLE = [
    (server, name)
    for server, name in itertools.product(SERVERS, ABILITIES)
    if {each for each in ("prefill", "grammar") if getattr(ABILITIES[name], each)} <= {*SERVERS[server]["abilities"]}
]
"""What docs/engines.md says that servers can do."""


@pytest.mark.parametrize(("server", "abilities"), ABLE)
def test_requests_are_valid_with_the_abilities_of_the_server(server, abilities, sent):
    """Whatever the documentation says that a server can do, it takes all requests made for it."""
    assert [] == [(body, found) for body in sent[abilities] if (found := complaints(SERVERS[server], body))]


@pytest.mark.parametrize(
    ("server", "ability", "field"),
    [
        ("openai", "prefill", "continue_final_message"),
        ("openai", "grammar", "grammar"),
        ("vllm", "grammar", "grammar"),
        ("sglang", "grammar", "grammar"),
        ("tgi", "grammar", "grammar"),
    ],
)
def test_an_ability_that_a_server_lacks_is_a_field_that_it_does_not_know(server, ability, field, sent):
    """OpenAI refuses it, the others read past it, and the answer has not the form that was asked for."""
    found = {complaint for body in sent[ability] for complaint in complaints(SERVERS[server], body)}

    assert f"{field} is unknown" in found


@pytest.mark.parametrize("abilities", ABILITIES)
def test_this_packages_own_server_reads_all_of_them(abilities, sent):
    """Here no table is needed: its own reader takes each request."""
    read = [read_chat(json.dumps(body).encode()) for body in sent[abilities]]

    assert [body.get("stream", False) for body in sent[abilities]] == [each.stream for each in read]


def test_the_openai_packages_own_types_take_plain_requests(sent):
    """Its types name every field and every message, also those that our table leaves out."""
    request = TypeAdapter(completion_create_params.CompletionCreateParams)
    names = completion_create_params.CompletionCreateParamsBase.__annotations__.keys() | {"stream"}
    message = TypeAdapter(ChatCompletionMessageParam)
    for body in sent["none"]:
        request.validate_python(body)
        for each in body["messages"]:
            message.validate_python(each)

    assert set() == {name for body in sent["none"] for name in body} - names


# -- is it everything? -----------------------------------------------------------------------------------------


def test_every_kind_of_request_was_made(sent):
    """Streamed and whole, with each limit, of each stage, and for the rest of what broke off."""
    fields = {name for bodies in sent.values() for body in bodies for name in body}
    ends = {name: {body["messages"][-1]["role"] for body in bodies} for name, bodies in sent.items()}
    streams = {body.get("stream", False) for bodies in sent.values() for body in bodies}

    assert {"stop", "grammar", "temperature", "continue_final_message", "stream_options", *LIMITS} <= fields
    assert {"user"} == ends["none"]
    assert {"user", "assistant"} == ends["prefill"]
    assert {True, False} == streams


@pytest.mark.parametrize("abilities", ["none", "prefill"])
def test_a_reply_that_broke_off_goes_on_as_the_server_can(abilities, sent):
    """With prefill the text so far is the model's own message, without it an instruction follows."""
    said = POINTS[1].split()[0]
    ends = [body["messages"][-2:] for body in sent[abilities] if body.get("stream")]
    going_on = [end for end in ends if any(m["role"] == "assistant" and said in m["content"] for m in end)]

    assert going_on
    assert {"assistant" if abilities == "prefill" else "user"} == {end[-1]["role"] for end in going_on}


@pytest.mark.parametrize("abilities", ["none", "prefill"])
def test_points_begin_with_what_the_skeleton_call_read(abilities, sent):
    """That is what a prefix cache needs: the same messages to the letter, and only then what differs."""
    conversations = [body["messages"] for body in sent[abilities] if not body.get("stream")]
    points = [each for each in conversations if len(each) >= 3]
    skeletons = {each[0]["content"] for each in conversations if "skeleton" in each[0]["content"]}

    assert len(LIMITS) * len(POINTS) == len(points)
    assert skeletons == {point[0]["content"] for point in points}
    assert 1 == len(skeletons)
