"""The settings of reliability in a `SoTChain`: saved, copied, configured; what it tells of retries, and who retries."""

import asyncio
import json
from typing import Any

import pytest
from pydantic import ValidationError

from skeleton_of_thought import ConfigurationError, DeadlineError, Hedge, PointError, Retry, Timeout
from skeleton_of_thought.testing import Dropped, Rejected

from ..faulty import Faulty, requests, settings
from ..script import ALONE, POINTS, QUESTION, TEXT

ChatOpenAI = pytest.importorskip("langchain_openai").ChatOpenAI

from langchain_core.load import dumpd, load  # noqa: E402 -- only where the framework is
from langchain_core.messages import AIMessage, AIMessageChunk  # noqa: E402
from langchain_core.runnables import ConfigurableField, RunnableLambda  # noqa: E402

from langchain_sot import SoTChain  # noqa: E402

from .endpoints import chain_of  # noqa: E402
from .fakes import Native, Script  # noqa: E402
from .ways import EVERY, FOUR, WHOLE, Recorder, ask  # noqa: E402

CAPITAL = "What is the capital of France?"
KEY = "sk-very-secret"


def model(base_url: str, **options: Any) -> Any:
    """Make a model whose client asks as often as it does by itself, unless it is told otherwise."""
    told = {"model": "scripted", "api_key": KEY, "stream_usage": True, "default_headers": ALONE}
    return ChatOpenAI(base_url=base_url, **told | options)


# -- saved, copied, configured ---------------------------------------------------------------------------

SETTINGS: list[dict[str, Any]] = [
    {"retry": Retry(attempts=2, seconds=3, first_wait=0.1, longest_wait=0.2)},
    {"timeout": 2.5},
    {"timeout": Timeout(first_token=2.0)},
    {"timeout": Timeout(first_token=2.0, between_tokens=1.0)},
    {"deadline": 30.0},
    {"hedge": Hedge(percentile=0.9, budget=0.2)},
    {"on_point_error": "mark"},
    {"on_point_error": "leave_out"},
]
EACH = pytest.mark.parametrize("setting", SETTINGS, ids=str)


def _loaded(saved: Any) -> Any:
    allowed: list[Any] = [SoTChain, ChatOpenAI]
    keys = {"OPENAI_API_KEY": KEY}
    text = json.loads(json.dumps(saved))
    return load(text, allowed_objects=allowed, valid_namespaces=["langchain_sot"], secrets_map=keys)


@EACH
def test_a_setting_is_saved(setting: dict[str, Any]) -> None:
    """It comes back as it was, and saved again it is the same."""
    ((name, value),) = setting.items()
    saved = dumpd(SoTChain(llm=model("http://127.0.0.1:9/v1"), **setting))

    loaded = _loaded(saved)

    assert value == getattr(loaded, name)
    assert saved == dumpd(loaded)


def test_a_saved_chain_does_as_it_was_told(endpoint: Faulty) -> None:
    """Retries, limits of time and gaps included."""
    endpoint.faults = {1: [Rejected(503)], 2: [Rejected(503)] * 9}
    retry = Retry(attempts=2, first_wait=0.01)
    chain = SoTChain(llm=model(endpoint.base_url, max_retries=0), retry=retry, deadline=30, on_point_error="mark")

    text = _loaded(dumpd(chain)).invoke(QUESTION).text

    assert TEXT.replace(POINTS[2], "[…]") == text
    assert {"skeleton": 1, 1: 2, 2: 2, 3: 1} == endpoint.counts


@EACH
@FOUR
def test_a_copy_has_the_setting_alone(setting: dict[str, Any], way: str) -> None:
    """It shares the bound with the chain that it was copied from, which is as before."""
    ((name, value),) = setting.items()
    chain = SoTChain(llm=Native(script=Script()))
    before = getattr(chain, name)

    copied = chain.model_copy(update=setting)

    assert (value, before) == (getattr(copied, name), getattr(chain, name))
    assert copied.max_concurrency is chain.max_concurrency
    assert TEXT == ask(way, copied, QUESTION).text


@FOUR
def test_a_copy_that_cannot_work_asks_no_model(way: str) -> None:
    """Pydantic does not look at what a copy is given; we do, when it is asked."""
    script = Script()
    copied = SoTChain(llm=Native(script=script)).model_copy(update={"deadline": -1})

    with pytest.raises(ConfigurationError, match="deadline=-1 cannot work"):
        ask(way, copied, QUESTION)

    assert [] == script.stages


@EVERY
def test_a_setting_can_be_a_configurable_field(way: str) -> None:
    """As all others; what is said for one call alone stands above it."""
    script = Script(hangs=["skeleton"])
    chain = SoTChain(llm=Native(script=script), router="always")
    chosen = chain.configurable_fields(
        deadline=ConfigurableField(id="deadline"), on_point_error=ConfigurableField(id="gaps")
    )

    with pytest.raises(DeadlineError):
        ask(way, chosen, QUESTION, {"configurable": {"deadline": 0.05}})
    with pytest.raises(DeadlineError):
        ask(way, chosen, QUESTION, {"configurable": {"deadline": 1000, "sot_deadline": 0.05}})

    script.released.set()
    script.hangs, script.fails = (), {2: 1}
    text = ask(way, chosen, QUESTION, {"configurable": {"gaps": "mark"}}).text
    assert "[…]" in text
    assert {"deadline", "gaps"} <= {spec.id for spec in chosen.config_specs}


@FOUR
def test_a_configured_value_that_cannot_work_is_refused(way: str) -> None:
    """LangChain makes the chain anew then, and pydantic tells why it cannot."""
    script = Script()
    chosen = SoTChain(llm=Native(script=script)).configurable_fields(deadline=ConfigurableField(id="deadline"))

    with pytest.raises(ValidationError, match="cannot work: use seconds, more than 0"):
        ask(way, chosen, QUESTION, {"configurable": {"deadline": -1}})

    assert [] == script.stages


# -- what is told ----------------------------------------------------------------------------------------


@EVERY
@pytest.mark.parametrize("stage", ["skeleton", 2, "direct"])
def test_a_retry_is_a_custom_event(endpoint: Faulty, stage: Any, way: str) -> None:
    """It tells what is asked again, why, and when; both requests are runs of the model, below steps of their own."""
    endpoint.faults = {stage: [Rejected(503)]}
    record = Recorder()

    ask(way, chain_of(endpoint, **settings(stage)), QUESTION, {"callbacks": [record]})

    (told,) = [data for name, data in record.custom if name == "sot_retry"]
    number = stage if isinstance(stage, int) else None
    assert ("point" if number else stage, number) == (told["stage"], told["number"])
    assert "503" in told["error"]
    assert 0 <= told["seconds"] < 60
    runs = [run for run in record.models if run.metadata.get("sot_point", run.metadata["sot_stage"]) == stage]
    assert [True, False] == [isinstance(run.ends[0], Exception) for run in runs]
    assert [1, 1] == [len(run.ends) for run in runs]
    assert 2 == len({run.parent for run in runs}) or stage == "direct"
    assert requests(stage) == endpoint.counts


def test_events_tell_of_both_requests(endpoint: Faulty) -> None:
    """What the first one has said before it broke off is in the stream too."""
    endpoint.faults = {2: [Dropped(4)]}
    chain = chain_of(endpoint, **settings(2))

    async def collect() -> list[Any]:
        return [event async for event in chain.astream_events(QUESTION, version="v2")]

    events = asyncio.run(collect())

    told = [event for event in events if event["metadata"].get("sot_point") == 2]
    starts = [event["run_id"] for event in told if event["event"] == "on_chat_model_start"]
    assert 2 == len(set(starts))
    texts = dict.fromkeys(starts, "")
    for event in told:
        if event["event"] == "on_chat_model_stream":
            texts[event["run_id"]] += event["data"]["chunk"].text
    first, second = texts.values()
    assert POINTS[2] == f"{first.strip()} {second.strip()}"
    assert ["sot_retry"] == [event["name"] for event in events if event["name"] == "sot_retry"]


# -- who retries -----------------------------------------------------------------------------------------

CLIENTS: dict[str, tuple[dict[str, Any], int]] = {
    "its own": ({}, 3),
    "none": ({"max_retries": 0}, 4),
    "one": ({"max_retries": 1}, 4),
    "two": ({"max_retries": 2}, 3),
    "five": ({"max_retries": 5}, 6),
}
"""How often a client asks again, and how many requests a call that goes on failing takes then."""


def _wrapped(wrap: str, llm: Any) -> Any:
    match wrap:
        case "bound":
            return llm.bind(temperature=0.5)
        case "configured":
            return llm.with_config(tags=["mine"])
        case "a field":
            return llm.configurable_fields(temperature=ConfigurableField(id="temperature"))
        case "an alternative":
            return llm.configurable_alternatives(ConfigurableField(id="llm"), other=Native(script=Script()))
        case _:
            return llm


@FOUR
@pytest.mark.parametrize("wrap", ["bare", "bound", "configured", "a field", "an alternative"])
@pytest.mark.parametrize("client", CLIENTS)
def test_attempts_do_not_multiply(endpoint: Faulty, client: str, wrap: str, way: str) -> None:
    """Requests that the client repeats are attempts too, however the model is wrapped."""
    options, count = CLIENTS[client]
    endpoint.faults = {2: [Rejected(503, {"retry-after": "0.01"})] * 50}
    chain = SoTChain(llm=_wrapped(wrap, model(endpoint.base_url, **options)), retry=Retry(first_wait=0.01))

    with pytest.raises(PointError):
        ask(way, chain, QUESTION)

    assert count == endpoint.counts[2]


class WithoutEnd(Native):
    """It does not tell why it ends."""

    async def _astream(self, *given: Any, **options: Any) -> Any:
        async for chunk in super()._astream(*given, **options):
            yield _without_end(chunk)

    def _stream(self, *given: Any, **options: Any) -> Any:
        for chunk in super()._stream(*given, **options):
            yield _without_end(chunk)


def _without_end(chunk: Any) -> Any:
    chunk.message.response_metadata = {}
    return chunk


@FOUR
def test_a_fallback_that_tells_no_reason_was_not_cut(endpoint: Faulty, way: str) -> None:
    """The first model does, which says nothing of the second; nobody is asked twice."""
    endpoint.faults = {2: [Rejected(400)], 3: [Rejected(400)]}
    other = WithoutEnd(script=Script())
    llm = model(endpoint.base_url, max_retries=0).with_fallbacks([other])

    assert TEXT == ask(way, SoTChain(llm=llm), QUESTION).text
    assert {"skeleton": 1, 1: 1, 2: 1, 3: 1} == endpoint.counts
    assert [2, 3] == other.script.stages


@FOUR
def test_a_model_behind_a_function_may_tell_no_reason(way: str) -> None:
    """Nobody knows what stands there, so nothing that it says is taken for cut."""
    script = Script()
    without = WithoutEnd(script=script) | RunnableLambda(lambda said: said)

    assert TEXT == ask(way, SoTChain(llm=without), QUESTION).text
    assert ["skeleton", 1, 2, 3] == script.stages


# -- a direct answer in limited time ---------------------------------------------------------------------

CALL = {"name": "look_up", "args": {"what": "Paris"}, "id": "c1"}
SAID: dict[str, AIMessage] = {
    "text": AIMessage("It is Paris.", id="m1"),
    "further arguments": AIMessage("It is Paris.", id="m1", additional_kwargs={"refusal": None, "seen": 1}),
    "further metadata": AIMessage("It is Paris.", id="m1", response_metadata={"model_provider": "fake", "made": None}),
    "a call of a tool": AIMessage("", id="m1", tool_calls=[CALL]),
    "a text and two calls": AIMessage("Let me see.", id="m1", tool_calls=[CALL, CALL | {"id": "c2"}]),
    "blocks": AIMessage(
        [
            {"type": "reasoning", "reasoning": "A city."},
            {"type": "text", "text": "It is Paris."},
            {"type": "image", "url": "http://127.0.0.1/paris.png"},
        ],
        id="m1",
    ),
}
TIMES = pytest.mark.parametrize("limit", [{}, {"deadline": 30}, {"timeout": 30}], ids=str)


def _without_ours(message: AIMessage) -> AIMessage:
    told = {name: value for name, value in message.response_metadata.items() if name != "sot"}
    return message.model_copy(update={"response_metadata": told})


@WHOLE
@TIMES
@pytest.mark.parametrize("said", SAID)
def test_a_direct_message_is_the_models_own(said: str, limit: dict[str, Any], way: str) -> None:
    """In limited time it is streamed inside, and nobody sees that."""
    llm = Native(script=Script(replies={"direct": SAID[said]}))

    message = ask(way, SoTChain(llm=llm, **limit), CAPITAL)

    assert AIMessage is type(message)
    assert llm.invoke(CAPITAL) == _without_ours(message)


@WHOLE
def test_a_client_says_as_much_as_in_its_stream(endpoint: Faulty, way: str) -> None:
    """``ChatOpenAI`` tells less there than of a whole message: what it tells is handed on."""
    chain = chain_of(endpoint, **settings("direct"))
    first, *more = chain.llm.stream(QUESTION)
    streamed = sum(more, first)

    message = _without_ours(ask(way, chain, QUESTION, {"configurable": {"sot_deadline": 30}}))

    for name in ("content", "additional_kwargs", "response_metadata", "tool_calls", "usage_metadata"):
        assert getattr(streamed, name) == getattr(message, name)
    assert message.id.startswith("lc_run--")


def adds_in_place() -> bool:
    """Tell whether adding chunks changes the first of them, as in langchain-core 1.6.0, so that a text counts twice."""
    first = AIMessageChunk([{"type": "text", "text": "one"}])
    return first + AIMessageChunk("two") == first


@pytest.mark.parametrize(
    "way",
    ["ainvoke", pytest.param("astream", marks=pytest.mark.skipif(adds_in_place(), reason="langchain-core's own"))],
)
def test_what_is_no_text_stays_in_a_message_that_was_cut(way: str) -> None:
    """The mark is put behind its text, and nothing else is changed."""
    llm = Native(script=Script(replies={"direct": SAID["blocks"]}, hangs=["direct"]))

    message = ask(way, SoTChain(llm=llm), CAPITAL, {"configurable": {"sot_deadline": 1.0}})

    assert "It is Paris. […]" == message.text
    assert {"reasoning", "text", "image"} == {block["type"] for block in message.content_blocks}
    assert "deadline" == message.response_metadata["sot"]["finish"]
