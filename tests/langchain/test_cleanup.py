"""Whatever ends a run of `SoTChain`, no task, no call of a model, no thread and no complaint is left of it."""

import asyncio
import gc
from collections.abc import Iterator
from contextlib import aclosing, closing
from typing import Any

import pytest

from ..script import QUESTION, TEXT

pytest.importorskip("langchain_core")

from langchain_sot import SoTChain
from skeleton_of_thought import PointError

from .fakes import Blocking, FakeModelError, Native, Script
from .ways import FOUR, Recorder, ask, model_threads, read_until, run, total, until, wait_until

MODELS = pytest.mark.parametrize("kind", [Native, Blocking])
LEAVINGS = pytest.mark.parametrize("leave", ["aclose", "break", "exception", "cancel"])
AFTER = pytest.mark.parametrize("after", [None, "1. ", "2. "], ids=["unread", "early", "late"])
"""What has to be read before a stream is left; the third point never ends."""


@pytest.fixture(autouse=True, scope="module")
def known() -> Iterator[None]:
    """Look through what a test made, not through all modules each time."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """Collect what is not needed any more, so that it complains while the test can hear it."""
    yield
    gc.collect()
    assert [] == model_threads()


def _idle(script: Script) -> None:
    script.released.set()  # a thread cannot be interrupted: it ends at its next piece
    wait_until(lambda: script.in_flight == 0)


@MODELS
@FOUR
def test_after_an_answer_nothing_is_left(kind: Any, way: str) -> None:
    """All calls have ended when the answer is there."""
    script = Script()
    assert TEXT == ask(way, SoTChain(llm=kind(script=script)), QUESTION).text
    assert 0 == script.in_flight


@MODELS
@FOUR
@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_failing_point_ends_the_others(kind: Any, way: str, number: int) -> None:
    """They would never end by themselves; the caller does not wait for them."""
    script = Script(fails={number: 1}, hangs={1, 2, 3} - {number})
    with pytest.raises(PointError) as caught:
        ask(way, SoTChain(llm=kind(script=script)), QUESTION)
    assert number == caught.value.number
    if kind is Native and way.startswith("a"):
        assert 0 == script.in_flight
    _idle(script)


@MODELS
@FOUR
def test_after_a_failing_skeleton_nothing_is_left(kind: Any, way: str) -> None:
    """No point has been begun."""
    script = Script(fails={"skeleton": 1})
    with pytest.raises(FakeModelError):
        ask(way, SoTChain(llm=kind(script=script)), QUESTION)
    assert ["skeleton"] == script.stages
    _idle(script)


@MODELS
@pytest.mark.parametrize("hangs", ["skeleton", 1, 2])
@pytest.mark.parametrize("way", ["ainvoke", "astream", "abatch", "astream_events"])
def test_cancelling_the_caller_ends_all_calls(kind: Any, way: str, hangs: Any) -> None:
    """The caller is told at once, and every run that began has ended."""
    script, record = Script(hangs=[hangs]), Recorder()
    chain = SoTChain(llm=kind(script=script))

    async def collect() -> list[Any]:
        version = {"version": "v2"} if way == "astream_events" else {}
        async with aclosing(getattr(chain, way)(QUESTION, {"callbacks": [record]}, **version)) as stream:
            return [each async for each in stream]

    async def ask_and_cancel() -> None:
        whole = {"ainvoke": chain.ainvoke, "abatch": lambda asked, config: chain.abatch([asked], config)}
        asked = whole[way](QUESTION, {"callbacks": [record]}) if way in whole else collect()
        task = asyncio.create_task(asked)
        await until(lambda: hangs in script.stages and script.in_flight == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        if kind is Native:
            await until(lambda: script.in_flight == 0)
        script.released.set()

    run(ask_and_cancel())
    _idle(script)
    runs = [run for run in record.runs.values() if run.kind == "chain"]  # LangChain leaves that of a model open
    wait_until(lambda: all(run.ends for run in runs))
    assert [1] * len(runs) == [len(run.ends) for run in runs]


@MODELS
@AFTER
@LEAVINGS
def test_leaving_an_asynchronous_stream_ends_all_calls(kind: Any, leave: str, after: Any) -> None:
    """However it is left, and however much was read of it."""
    script = Script(hangs=[3])
    chain = SoTChain(llm=kind(script=script))

    async def leave_early() -> None:
        if leave == "aclose":
            await read_until(chain.astream(QUESTION), after)
        elif leave == "break":
            read = ""
            async for chunk in chain.astream(QUESTION):
                read += chunk.text
                if after is None or after in read:
                    break
        elif leave == "exception":
            with pytest.raises(LookupError):
                await read_until(chain.astream(QUESTION), after, LookupError)
        else:
            task = asyncio.create_task(read_until(chain.astream(QUESTION), "never"))
            await until(lambda: script.in_flight and script.pieces > {None: 0, "1. ": 8, "2. ": 15}[after])
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        if kind is Native:
            await until(lambda: script.in_flight == 0)
        script.released.set()

    run(leave_early())
    _idle(script)


@MODELS
@AFTER
def test_a_stream_may_be_read_in_a_new_task_each_time(kind: Any, after: Any) -> None:
    """As LangChain itself reads; closing it may happen in yet another."""
    script = Script(hangs=[3])
    chain = SoTChain(llm=kind(script=script))

    async def read() -> None:
        stream = chain.astream(QUESTION)

        async def step() -> Any:
            return await anext(stream)

        read = ""
        while after is not None and after not in read:
            read += (await asyncio.create_task(step())).text
        await asyncio.create_task(stream.aclose())
        if kind is Native:
            assert 0 == script.in_flight
        script.released.set()

    run(read())
    _idle(script)


@pytest.mark.parametrize("fails", [{}, {2: 1}, {"skeleton": 1}])
def test_a_stream_that_is_read_in_new_tasks_ends(fails: Any) -> None:
    """With its whole text, or with the error; it never waits for ever."""
    script = Script(fails=fails, hangs=[1, 3] if 2 in fails else [])
    chain = SoTChain(llm=Native(script=script))

    async def read() -> list[Any]:
        stream, chunks = chain.astream(QUESTION), []

        async def step() -> Any:
            return await anext(stream, None)

        while (chunk := await asyncio.create_task(step())) is not None:
            chunks.append(chunk)
        return chunks

    if fails:
        with pytest.raises((PointError, FakeModelError)):
            run(read())
    else:
        assert TEXT == total(run(read())).text
    assert 0 == script.in_flight


@MODELS
@AFTER
@pytest.mark.parametrize("leave", ["close", "break", "exception"])
def test_leaving_a_synchronous_stream_ends_all_calls(kind: Any, leave: str, after: Any) -> None:
    """The caller does not wait for a model that never answers."""
    script = Script(hangs=[3])
    chain = SoTChain(llm=kind(script=script))

    def read(stream: Any) -> str:
        text = ""
        for chunk in stream:
            text += chunk.text
            if after is None or after in text:
                break
        return text

    if leave == "break":
        assert (after or "") in read(chain.stream(QUESTION))
    elif leave == "close":
        stream = chain.stream(QUESTION)
        assert after is None or after in read(stream)
        stream.close()
        assert [] == list(stream)
    else:
        with pytest.raises(LookupError), closing(chain.stream(QUESTION)) as stream:
            raise LookupError(after is None or read(stream))
    _idle(script)


@FOUR
def test_a_blocking_model_is_left_at_its_next_piece(way: str) -> None:
    """It is not read to its end: of each point at most one more piece is taken."""
    script = Script(fails={1: 1}, hangs=[2, 3])
    with pytest.raises(PointError):
        ask(way, SoTChain(llm=Blocking(script=script)), QUESTION)
    before = script.pieces
    _idle(script)
    assert script.pieces <= before + 2
