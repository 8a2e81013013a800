"""`SoTChain` keeps the contract of a Runnable, in every way to ask one."""

import random
from typing import Any

import pytest

from ..script import DIRECT, POINTS, QUESTION, SKELETON, TEXT

pytest.importorskip("langchain_core")

from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage

from langchain_sot import SoTChain
from skeleton_of_thought import InputError, PointError

from .fakes import TITLES, Blocking, FakeModelError, Native, Script, usage, words
from .ways import EVERY, FOUR, ask, run, total

CAPITAL = "What is the capital of France?"
MODELS = pytest.mark.parametrize("kind", [Native, Blocking])
TOKENS = [len(words(text)) for text in (SKELETON, *POINTS.values())]
COST = {
    "input_tokens": 40,
    "output_tokens": sum(TOKENS),
    "total_tokens": 40 + sum(TOKENS),
    "input_token_details": {"cache_read": 16},
}


@MODELS
@EVERY
def test_every_way_says_the_same(kind: Any, way: str) -> None:
    """One text, one cost, four calls of the model."""
    script = Script()
    said = ask(way, SoTChain(llm=kind(script=script)), QUESTION)
    assert (TEXT, COST) == (said.text, said.usage_metadata)
    assert ["skeleton", 1, 2, 3] == script.stages


@MODELS
@EVERY
def test_every_way_says_the_same_directly(kind: Any, way: str) -> None:
    """The same holds where a question does not suit."""
    script = Script()
    said = ask(way, SoTChain(llm=kind(script=script)), CAPITAL)
    assert (DIRECT, usage(len(words(DIRECT)))) == (said.text, said.usage_metadata)
    assert ["direct"] == script.stages


@FOUR
def test_whole_answers_are_not_streamed(way: str) -> None:
    """Streaming costs time, so models are only streamed where somebody reads along."""
    script = Script()
    ask(way, SoTChain(llm=Native(script=script)), QUESTION)
    assert {"stream" in way} == {call.streamed for call in script.calls}


@pytest.mark.parametrize("question", [QUESTION, CAPITAL])
@pytest.mark.parametrize("way", ["stream", "transform", "astream", "atransform"])
def test_a_stream_is_of_one_message(way: str, question: str) -> None:
    """Chunks of one id, of which only the last says so, and tells how the answer came about."""
    chain = SoTChain(llm=Native(script=Script()))
    if way == "stream":
        chunks = list(chain.stream(question))
    elif way == "transform":
        chunks = list(chain.transform(iter([question])))
    else:

        async def collect() -> list[AIMessageChunk]:
            async def inputs() -> Any:
                yield question

            stream = chain.astream(question) if way == "astream" else chain.atransform(inputs())
            return [chunk async for chunk in stream]

        chunks = run(collect())
    assert {AIMessageChunk} == {type(chunk) for chunk in chunks}
    assert 1 == len({chunk.id for chunk in chunks})
    assert [None] * (len(chunks) - 1) + ["last"] == [chunk.chunk_position for chunk in chunks]
    assert [False] * (len(chunks) - 1) + [True] == ["sot" in chunk.response_metadata for chunk in chunks]
    whole = chain.invoke(question)
    assert (whole.text, whole.usage_metadata) == (total(chunks).text, total(chunks).usage_metadata)
    assert set(whole.response_metadata) == set(total(chunks).response_metadata)


def test_pieces_of_an_input_are_added_up() -> None:
    """What stands before the chain may stream, and text adds up to a question."""
    chain = SoTChain(llm=Native(script=Script()))
    assert TEXT == total(chain.transform(iter(words(QUESTION)))).text

    async def inputs() -> Any:
        for word in words(QUESTION):
            yield word

    async def collect() -> list[Any]:
        return [chunk async for chunk in chain.atransform(inputs())]

    assert TEXT == total(run(collect())).text


@pytest.mark.parametrize("way", ["batch", "abatch", "batch_as_completed", "abatch_as_completed"])
def test_a_batch_keeps_its_order(way: str) -> None:
    """Each answer belongs to its question."""
    asked = [random.Random(7).choice([QUESTION, CAPITAL]) for _ in range(2)] + [QUESTION, CAPITAL, QUESTION]  # noqa: S311
    expected = [TEXT if question == QUESTION else DIRECT for question in asked]
    chain = SoTChain(llm=Native(script=Script()))
    assert expected == [said.text for said in _batch(way, chain, asked)]


@pytest.mark.parametrize("way", ["batch", "abatch", "batch_as_completed", "abatch_as_completed"])
def test_a_batch_may_return_its_exceptions(way: str) -> None:
    """A question that cannot be asked and a point that fails leave the others alone."""
    chain = SoTChain(llm=Native(script=Script(fails={2: 1})))
    said = _batch(way, chain, [QUESTION, "", CAPITAL], return_exceptions=True)
    assert [PointError, InputError, AIMessage] == [type(each) for each in said]
    with pytest.raises(InputError):
        _batch(way, chain, [QUESTION, ""])


def _batch(way: str, chain: Any, asked: list[str], **options: Any) -> list[Any]:
    if way == "batch":
        return chain.batch(asked, **options)
    if way == "abatch":
        return run(chain.abatch(asked, **options))
    if way == "batch_as_completed":
        return [said for _, said in sorted(chain.batch_as_completed(asked, **options), key=lambda each: each[0])]

    async def collect() -> list[Any]:
        return [each async for each in chain.abatch_as_completed(asked, **options)]

    return [said for _, said in sorted(run(collect()), key=lambda each: each[0])]


@EVERY
def test_a_failing_point_is_raised_in_every_way(way: str) -> None:
    """With the model's own error as its cause, and what was written."""
    chain = SoTChain(llm=Native(script=Script(fails={1: 1})))
    with pytest.raises(PointError) as caught:
        ask(way, chain, QUESTION)
    assert (1, TITLES[1], FakeModelError) == (caught.value.number, caught.value.title, type(caught.value.__cause__))
    assert caught.value.answer.skeleton is not None


@EVERY
@pytest.mark.parametrize("stage", ["skeleton", "direct"])
def test_a_failing_model_is_raised_in_every_way(way: str, stage: str) -> None:
    """Its own error, as it is."""
    chain = SoTChain(llm=Native(script=Script(fails={stage: 1})))
    with pytest.raises(FakeModelError, match=f"{stage} fails"):
        ask(way, chain, QUESTION if stage == "skeleton" else CAPITAL)


def test_events_hold_the_stream() -> None:
    """What `astream_events` tells of the chain is what `astream` yields."""
    chain = SoTChain(llm=Native(script=Script()))

    async def collect() -> list[Any]:
        return [event async for event in chain.astream_events(QUESTION, version="v2")]

    events = run(collect())
    own = [event for event in events if not event["parent_ids"] and event["name"] == "SoTChain"]
    assert ["on_chain_start", "on_chain_end"] == [own[0]["event"], own[-1]["event"]]
    chunks = [event["data"]["chunk"] for event in own if event["event"] == "on_chain_stream"]
    assert TEXT == total(chunks).text
    models = [event for event in events if event["event"] == "on_chat_model_end"]
    assert 4 == len(models)
    assert {True} == {isinstance(event["data"]["output"], BaseMessage) for event in models}


def test_schemas_are_those_of_a_chat_model() -> None:
    """Tools that read them see what goes in and what comes out."""
    chain = SoTChain(llm=Native(script=Script()))
    assert (AIMessage, "SoTChain") == (chain.OutputType, chain.get_name())
    assert "anyOf" in chain.get_input_jsonschema()
    assert chain.get_output_jsonschema()
    with pytest.raises(ValueError, match="frozen"):
        chain.max_points = 3
