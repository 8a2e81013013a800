"""`SoTChain` in the place of a chat model, against a real endpoint."""

import asyncio
import copy
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from skeleton_of_thought import InputError, PointError
from skeleton_of_thought.testing import LatencyModel, LatencyServer

from ..script import ALONE, DIRECT, POINTS, QUESTION, REPLY, SKELETON, TEXT

ChatOpenAI = pytest.importorskip("langchain_openai").ChatOpenAI

from langchain_core.callbacks import BaseCallbackHandler  # noqa: E402 -- only where the framework is
from langchain_core.language_models import SimpleChatModel  # noqa: E402
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, SystemMessage  # noqa: E402
from langchain_core.output_parsers import StrOutputParser  # noqa: E402
from langchain_core.prompts import ChatPromptTemplate  # noqa: E402

from langchain_sot import SoTChain  # noqa: E402


@pytest.fixture
def server() -> Iterator[LatencyServer]:
    with LatencyServer(LatencyModel(reply=REPLY)) as server:
        yield server


@pytest.fixture
def llm(server: LatencyServer) -> Any:
    return ChatOpenAI(
        base_url=server.base_url,
        model="scripted",
        api_key="none",
        stream_usage=True,
        max_retries=0,
        default_headers=ALONE,
    )


class Record(BaseCallbackHandler):
    """What runs begin, and what they are told to carry."""

    def __init__(self) -> None:
        self.chains: list[tuple[Any, Any, Any]] = []
        self.models: list[tuple[Any, Any, dict[str, Any]]] = []
        self.errors: list[BaseException] = []

    def on_chain_start(
        self, serialized: Any, inputs: Any, *, run_id: Any, parent_run_id: Any, name: Any, **kwargs: Any
    ) -> None:
        self.chains.append((run_id, parent_run_id, name))

    def on_chain_error(self, error: BaseException, *, parent_run_id: Any, **kwargs: Any) -> None:
        if parent_run_id is None:
            self.errors.append(error)

    def on_chat_model_start(
        self,
        serialized: Any,
        messages: Any,
        *,
        parent_run_id: Any,
        metadata: Any = None,
        tags: Any = None,
        **kwargs: Any,
    ) -> None:
        self.models.append((parent_run_id, tags, metadata))


def test_a_message_comes_out(llm: Any) -> None:
    """The message is the answer; what led to it rides along."""
    message = SoTChain(llm=llm).invoke(QUESTION)
    assert type(message) is AIMessage
    assert message.text == TEXT
    about = message.response_metadata["sot"]
    assert about["route"]["kind"] == "skeleton"
    assert "\n".join(f"{point['number']}. {point['title']}" for point in about["skeleton"]["points"]) == SKELETON
    assert [point["finish"] for point in about["points"]] == ["stop"] * 3
    assert [POINTS[point["number"]] for point in about["points"]] == [
        message.text[slice(*point["span"])] for point in about["points"]
    ]
    assert message.usage_metadata["total_tokens"] == (
        message.usage_metadata["input_tokens"] + message.usage_metadata["output_tokens"]
    )
    assert len(about["timings"]["points"]) == 3


def test_chunks_add_up_to_the_message(llm: Any) -> None:
    """A consumer may add what is streamed."""
    total: Any = None
    for chunk in SoTChain(llm=llm).stream(QUESTION):
        assert isinstance(chunk, AIMessageChunk)
        total = chunk if total is None else total + chunk
    assert total.text == TEXT
    assert total.response_metadata["sot"]["route"]["kind"] == "skeleton"
    assert total.usage_metadata["output_tokens"] > 0
    assert total.chunk_position == "last"


def test_it_stands_in_a_pipeline(llm: Any) -> None:
    """prompt | chain | parser, whole, streamed and in batches, both ways."""
    pipeline = ChatPromptTemplate.from_messages([("system", "Be kind."), ("human", "{question}")]) | SoTChain(llm=llm)
    pipeline = pipeline | StrOutputParser()
    asked = {"question": QUESTION}
    assert pipeline.invoke(asked) == TEXT
    assert "".join(pipeline.stream(asked)) == TEXT
    assert pipeline.batch([asked, asked]) == [TEXT, TEXT]

    async def ask() -> list[str]:
        streamed = "".join([text async for text in pipeline.astream(asked)])
        return [await pipeline.ainvoke(asked), streamed, *await pipeline.abatch([asked, asked])]

    assert asyncio.run(ask()) == [TEXT] * 4


def test_history_is_one_unchanged_prefix(llm: Any, server: LatencyServer) -> None:
    """System message, earlier turns and question stand first in every request, byte for byte."""
    history = [
        SystemMessage("Be kind."),
        HumanMessage("Hello"),
        AIMessage("Hi there"),
        HumanMessage([{"type": "text", "text": QUESTION}]),
    ]
    SoTChain(llm=llm).invoke(history)
    earlier = {str(request.body["messages"][:3]) for request in server.requests}
    questions = {str(request.body["messages"][3]["content"][0]) for request in server.requests}
    assert (len(earlier), len(questions)) == (1, 1)
    assert QUESTION in questions.pop()


def test_a_question_that_does_not_suit_is_answered_directly(llm: Any, server: LatencyServer) -> None:
    """One request, with nothing added to it."""
    message = SoTChain(llm=llm).invoke("What is the capital of France?")
    assert (message.text, message.response_metadata["sot"]["route"]["kind"]) == (DIRECT, "direct")
    assert [request.body["messages"] for request in server.requests] == [
        [{"role": "user", "content": "What is the capital of France?"}]
    ]


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("sync", [True, False], ids=["sync", "async"])
def test_config_reaches_every_model_call(llm: Any, sync: bool, stream: bool) -> None:
    """One run of its own, the models' runs below it, each with its stage, point and the caller's metadata."""
    chain, record = SoTChain(llm=llm), Record()
    config: Any = {"callbacks": [record], "metadata": {"who": "me"}, "tags": ["mine"]}
    if sync:
        _ = list(chain.stream(QUESTION, config)) if stream else chain.invoke(QUESTION, config)
    else:

        async def ask() -> None:
            if stream:
                _ = [chunk async for chunk in chain.astream(QUESTION, config)]
            else:
                await chain.ainvoke(QUESTION, config)

        asyncio.run(ask())
    (own, _, _), *steps = record.chains
    assert [("expand", own)] * 3 + [("skeleton", own)] == sorted((name, parent) for _, parent, name in steps)
    assert {run for run, _, _ in steps} == {parent for parent, _, _ in record.models}
    said = [(metadata["who"], metadata["sot_stage"], metadata.get("sot_point")) for _, _, metadata in record.models]
    assert sorted(said, key=str) == [
        ("me", "point", 1),
        ("me", "point", 2),
        ("me", "point", 3),
        ("me", "skeleton", None),
    ]
    assert all("mine" in tags for _, tags, _ in record.models)


def test_options_of_a_call_reach_the_model(llm: Any, server: LatencyServer) -> None:
    """Keyword arguments are the model's; a bound for each point is always sent."""
    SoTChain(llm=llm).bind(temperature=0.25).invoke(QUESTION)
    assert {0.25} == {request.body["temperature"] for request in server.requests}
    assert all(
        request.body.get("max_completion_tokens") or request.body.get("max_tokens") for request in server.requests
    )


def test_a_failing_point_is_one_error(llm: Any, server: LatencyServer) -> None:
    """Not a group; the run knows it; what was written is kept."""

    def reply(generation: Any) -> str:
        if "Avoid late coffee" in generation.messages[-1].text:
            raise RuntimeError("no")
        return REPLY(generation)

    record = Record()
    with LatencyServer(LatencyModel(reply=reply)) as failing:
        broken = ChatOpenAI(
            base_url=failing.base_url, model="scripted", api_key="none", max_retries=0, default_headers=ALONE
        )
        with pytest.raises(PointError) as caught:
            SoTChain(llm=broken).invoke(QUESTION, {"callbacks": [record]})
    assert (caught.value.number, caught.value.title) == (2, "Avoid late coffee")
    assert caught.value.answer.text.startswith("1. Keep regular hours: ")
    assert [caught.value] == record.errors


def test_leaving_a_stream_leaves_nothing_behind(server: LatencyServer) -> None:
    """No request and no thread of a model."""
    with LatencyServer(LatencyModel(reply=REPLY, per_token=0.02)) as slow:
        llm = ChatOpenAI(base_url=slow.base_url, model="scripted", api_key="none", max_retries=0, default_headers=ALONE)
        stream = SoTChain(llm=llm).stream(QUESTION)
        next(stream)
        stream.close()
        slow.wait_until_idle()
    for thread in threading.enumerate():
        if thread.name == "sot-model":
            thread.join(timeout=10)
    assert "sot-model" not in {thread.name for thread in threading.enumerate()}


def test_bad_settings_are_refused(llm: Any) -> None:
    """A misspelt name and a value that cannot work, before any model is called."""
    with pytest.raises(ValueError, match="max_pionts"):
        SoTChain(llm=llm, max_pionts=3)
    with pytest.raises(ValueError, match="max_points=0 cannot work: use a whole number from 2 up"):
        SoTChain(llm=llm, max_points=0)


@pytest.mark.parametrize(
    "asked", ["", "  \n", [SystemMessage("Be kind.")], [HumanMessage("Hi"), AIMessage("Hello")], []]
)
def test_what_is_no_question_is_refused(llm: Any, server: LatencyServer, asked: Any) -> None:
    """Before any request."""
    with pytest.raises(InputError):
        SoTChain(llm=llm).invoke(asked)
    assert server.requests == []


class Strict(SimpleChatModel):
    """A chat model that takes no option that it does not know, as Ollama's and Google's."""

    def _call(self, messages: Any, stop: Any = None, run_manager: Any = None) -> str:
        asked = messages[-1].text
        return SKELETON if "skeleton" in asked else "Said." if "Write only point" in asked else DIRECT

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None) -> Any:
        return super()._generate(messages, stop, run_manager)

    @property
    def _llm_type(self) -> str:
        return "strict"


@pytest.mark.parametrize(
    "wrapped", [lambda llm: llm, lambda llm: llm.with_retry(), lambda llm: llm | StrOutputParser()]
)
def test_a_model_that_knows_no_bound_gets_none(wrapped: Any) -> None:
    """Any chat model will do, and any Runnable that answers like one."""
    chain = SoTChain(llm=wrapped(Strict()))
    assert "1. Keep regular hours: Said." == chain.invoke(QUESTION).text.split("\n\n")[0]
    assert "1. Keep regular hours: Said." == asyncio.run(chain.ainvoke(QUESTION)).text.split("\n\n")[0]


def test_usage_that_no_model_told_is_not_known() -> None:
    """Zero would be believed."""
    assert SoTChain(llm=Strict()).invoke(QUESTION).usage_metadata is None


def test_a_copy_shares_the_bound() -> None:
    """One for all: configured copies are made for each call."""
    chain = SoTChain(llm=Strict(), max_concurrency=3)
    copied = copy.deepcopy(chain).model_copy(update={"max_points": 4})
    assert (chain.max_concurrency, 4) == (copied.max_concurrency, copied.max_points)


def test_leaving_a_pipeline_early_is_quiet() -> None:
    """When the loop ends, all generators are closed at once; those of ours do not stand in each other's way.

    LangChain's own do, now and then, with this chain or another.
    """
    told: list[str] = []

    async def leave(pipeline: Any) -> None:
        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: told.append(context["asyncgen"].ag_code.co_filename)
        )
        async for _ in pipeline.astream({"question": QUESTION}):
            break

    with LatencyServer(LatencyModel(reply=REPLY, per_token=0.01)) as slow:
        llm = ChatOpenAI(base_url=slow.base_url, model="scripted", api_key="none", max_retries=0, default_headers=ALONE)
        prompt = ChatPromptTemplate.from_template("{question}")
        asyncio.run(leave(prompt | SoTChain(llm=llm) | StrOutputParser()))
        slow.wait_until_idle()
    assert [] == [path for path in told if "_sot" in path or "skeleton_of_thought" in path]
