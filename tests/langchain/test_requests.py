"""Whatever ends a run of `SoTChain`, no request of a real client is left open, as the server sees it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from skeleton_of_thought.testing import LatencyModel, LatencyServer

from ..script import ALONE, QUESTION, REPLY

ChatOpenAI = pytest.importorskip("langchain_openai").ChatOpenAI

from langchain_core.output_parsers import StrOutputParser  # noqa: E402 -- only where the framework is
from langchain_core.prompts import ChatPromptTemplate  # noqa: E402
from langchain_core.runnables import RunnableLambda  # noqa: E402

from langchain_sot import SoTChain  # noqa: E402

from .ways import read_until, run, until  # noqa: E402

LEAVINGS = pytest.mark.parametrize("leave", ["aclose", "break", "exception", "cancel"])


def _in_front(chain: Any) -> Any:
    return ChatPromptTemplate.from_template("{question}") | chain | StrOutputParser()


def _in_a_generator(chain: Any) -> Any:
    async def call(asked: Any) -> AsyncIterator[str]:
        async for chunk in chain.astream(asked["question"]):
            yield chunk.text

    return RunnableLambda(call)


@LEAVINGS
@pytest.mark.parametrize("place", [_in_front, _in_a_generator])
def test_leaving_a_pipeline_ends_all_requests(place: Any, leave: str) -> None:
    """Of a real client as well, whose connections a server sees."""

    async def leave_early(slow: LatencyServer, pipeline: Any) -> None:
        if leave == "cancel":
            task = asyncio.create_task(read_until(pipeline.astream({"question": QUESTION}), "never"))
            await until(lambda: slow.in_flight)
            task.cancel()
            await asyncio.wait([task])
        elif leave == "break":
            async for _ in pipeline.astream({"question": QUESTION}):
                break
        elif leave == "exception":
            with pytest.raises(LookupError):
                await read_until(pipeline.astream({"question": QUESTION}), "1. ", LookupError)
        else:
            await read_until(pipeline.astream({"question": QUESTION}), "1. ")

    with LatencyServer(LatencyModel(reply=REPLY, per_token=0.02)) as slow:
        llm = ChatOpenAI(base_url=slow.base_url, model="scripted", api_key="none", max_retries=0, default_headers=ALONE)
        asyncio.run(leave_early(slow, place(SoTChain(llm=llm))))
        slow.wait_until_idle()


@pytest.mark.parametrize("leave", ["aclose", "break"])
def test_leaving_a_stream_of_a_real_client_ends_its_requests(leave: str) -> None:
    """While the loop goes on: not only when it ends."""

    async def leave_early(slow: LatencyServer, chain: SoTChain) -> None:
        if leave == "aclose":
            await read_until(chain.astream(QUESTION), "1. ")
        else:
            async for _ in chain.astream(QUESTION):
                break
        await asyncio.to_thread(slow.wait_until_idle)

    with LatencyServer(LatencyModel(reply=REPLY, per_token=0.02)) as slow:
        llm = ChatOpenAI(base_url=slow.base_url, model="scripted", api_key="none", max_retries=0, default_headers=ALONE)
        run(leave_early(slow, SoTChain(llm=llm)))
