"""Whatever takes a query engine takes ours: the same code with the default engine and with ours, the same outcome."""

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

from skeleton_of_thought.testing import LatencyServer

from ..script import DIRECT, QUESTION, TEXT

pytest.importorskip("llama_index.llms.openai_like")

from llama_index.core import PromptTemplate
from llama_index.core.memory import ChatMemoryBuffer

from llama_index_sot import SoTSynthesizer

from . import chats, compositions, judges  # noqa: F401 -- they add themselves to the consumers
from .consumers import CONSUMERS, Outcome
from .ways import engine_of, model, run

pytestmark = pytest.mark.usefixtures("no_key")
CASES = [
    pytest.param(name, swap, streaming, id=f"{name}-{swap}-{'streaming' if streaming else 'whole'}")
    for name, consumer in CONSUMERS.items()
    for streaming in consumer.streaming
    for swap in ("engine", "synthesizer")
]


@pytest.fixture(scope="module")
def llm(served: LatencyServer) -> Any:
    return model(served)


@pytest.fixture(scope="module")
def usual(llm: Any, index: Any) -> Callable[[str, bool], Outcome]:
    """Tell what a consumer gets of the default engine."""

    @cache
    def outcome(name: str, streaming: bool) -> Outcome:
        return CONSUMERS[name].use(engine_of("default", index, llm, streaming=streaming))

    return outcome


@pytest.mark.filterwarnings(  # LlamaIndex looks at all attributes of an agent, also at those that pydantic warns of
    "ignore::pydantic.warnings.PydanticDeprecatedSince20",
    "ignore::pydantic.warnings.PydanticDeprecatedSince211",
    "ignore:asyncio_module",  # and evaluates in batches by a function of its own that it warns of
)
@pytest.mark.parametrize(("name", "swap", "streaming"), CASES)
def test_a_consumer_finds_no_difference(
    llm: Any, index: Any, usual: Any, name: str, swap: str, streaming: bool
) -> None:
    """Types and sources are those it gets of the default engine, and where that has its answer stands ours."""
    expected = usual(name, streaming)
    assert DIRECT in expected.text
    assert expected.with_answer(TEXT) == CONSUMERS[name].use(engine_of(swap, index, llm, streaming=streaming))


@pytest.mark.parametrize("way", ["chat", "stream_chat", "achat", "astream_chat"])
def test_an_index_chats_with_our_synthesizer(index: Any, llm: Any, way: str) -> None:
    """``as_chat_engine`` hands it on to the engine that it makes."""
    memory = ChatMemoryBuffer(token_limit=10_000)
    chat: Any = index.as_chat_engine(
        "condense_question", llm=llm, response_synthesizer=SoTSynthesizer(llm=llm), memory=memory
    )

    async def achat() -> str:
        if way == "achat":
            return str(await chat.achat(QUESTION))
        response = await chat.astream_chat(QUESTION)
        return "".join([delta async for delta in response.async_response_gen()])

    if way.startswith("a"):
        said = run(achat())
    else:
        said = chat.chat(QUESTION).response if way == "chat" else "".join(chat.stream_chat(QUESTION).response_gen)
    assert TEXT == said


@pytest.mark.parametrize("swap", ["engine", "synthesizer"])
def test_prompts_are_found_and_changed_through_the_engine(index: Any, llm: Any, swap: str) -> None:
    """One level down, as LlamaIndex can change no deeper ones; those of the default synthesizer are among them."""
    engine = engine_of(swap, index, llm)
    prompts = engine.get_prompts()
    assert set(engine_of("default", index, llm).get_prompts()) < set(prompts)
    assert {1} == {key.count(":") for key in prompts}
    key = "response_synthesizer:point_template"
    engine.update_prompts({key: PromptTemplate("Write only point {number}, {title}, for a child.")})
    assert "Write only point {number}, {title}, for a child." == engine.get_prompts()[key].get_template()
    assert TEXT == str(engine.query(QUESTION))
