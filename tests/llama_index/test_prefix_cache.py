"""All calls of a run begin with the same bytes; a breakpoint stands at their end where an LLM needs one."""

import json
import re
from types import SimpleNamespace
from typing import Any

import pytest

from skeleton_of_thought import Usage
from skeleton_of_thought.testing import LatencyServer

from ..script import DIRECT, POINTS, QUESTION, SKELETON, TEXT

pytest.importorskip("llama_index.llms.openai_like")

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, CompletionResponse, LLMMetadata
from llama_index.core.llms import CachePoint, TextBlock

from llama_index_sot._prefix_cache import usage_of

from .ways import CAPITAL, FOUR, Saying, ask, engine_of, index_of, model


class Claude(Saying):
    """One that says that it is reached as Anthropic's models are, and keeps what it was asked."""

    client: str = "Anthropic_LLM"
    model: str = "claude-sonnet-4-5"
    cache_idx: int | None = None
    additional_kwargs: Any = None

    def class_name(self) -> str:  # type: ignore[override]  # the base class asks the class
        return self.client

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(context_window=100_000, is_chat_model=True)

    def chat(self, messages: Any, **options: Any) -> ChatResponse:
        self.lines.append(messages)
        return ChatResponse(message=ChatMessage(role="assistant", content=_said(messages[-1].content)))

    def stream_chat(self, messages: Any, **options: Any) -> Any:
        whole = self.chat(messages)
        whole.delta = whole.message.content
        yield whole


def _said(task: str) -> str:
    if point := re.search(r"Write only point (\d+)", task):
        return POINTS[int(point[1])]
    return SKELETON if "Write only the skeleton" in task else DIRECT


class Asked(list[Any]):
    """What copies of an LLM share."""

    def __deepcopy__(self, _: Any) -> "Asked":
        return self


def points_in(messages: list[ChatMessage]) -> list[tuple[int, int, str]]:
    """Tell which blocks of which messages are cache points, and of what kind."""
    return [
        (place, number, block.cache_control.type)
        for place, message in enumerate(messages)
        for number, block in enumerate(message.blocks)
        if isinstance(block, CachePoint)
    ]


@FOUR
@pytest.mark.parametrize("system", [None, "Be kind."])
def test_all_requests_begin_with_the_same_bytes(server: LatencyServer, way: str, system: str | None) -> None:
    """As a real client sends them; what came from the cache is told."""
    counted = {"stream_options": {"include_usage": True}} if way.endswith("stream") else {}
    llm = model(server, system_prompt=system, additional_kwargs=counted)
    index = index_of(f"Sleep comes with the dark, {way} {system}.")  # which no other test has asked about
    response, text = ask(engine_of("engine", index, llm), way)
    assert TEXT == text
    skeleton, *points = [json.dumps(request.body["messages"]) for request in server.requests]
    assert [True] * 3 == [point.startswith(skeleton[:-1] + ", ") for point in points]
    used = response.metadata["sot"]["usage"]
    assert used["skeleton"]["input_tokens"] * 3 <= used["point"]["cached_tokens"] < used["point"]["input_tokens"]


@FOUR
@pytest.mark.parametrize(
    ("client", "name", "kind"),
    [
        ("Anthropic_LLM", "claude-sonnet-4-5", "ephemeral"),
        ("Bedrock_Converse_LLM", "us.anthropic.claude-haiku-4-5-20251001-v1:0", "default"),
    ],
)
def test_the_breakpoint_is_the_last_thing_that_all_share(
    index: Any, client: str, name: str, kind: str, way: str
) -> None:
    """It is behind the task of the skeleton, and nowhere else."""
    asked = Asked()
    llm = Claude(lines=asked, client=client, model=name, system_prompt="Be kind.")
    assert TEXT == ask(engine_of("synthesizer", index, llm), way)[1]
    skeleton, *points = asked
    last = len(skeleton) - 1
    assert [[(last, 1, kind)]] * 4 == [points_in(messages) for messages in asked]
    assert [TextBlock, CachePoint] == [type(block) for block in skeleton[last].blocks]
    assert [skeleton] * 3 == [point[: last + 1] for point in points]


@pytest.mark.parametrize(
    ("options", "settings", "question"),
    [
        ({"client": "openai_llm"}, {}, QUESTION),
        ({"client": "Bedrock_Converse_LLM", "model": "us.deepseek.r1-v1:0"}, {}, QUESTION),
        ({"cache_idx": -1}, {}, QUESTION),
        ({"additional_kwargs": {"cache_control": {"type": "ephemeral"}}}, {}, QUESTION),
        ({}, {"point_llm": Claude}, QUESTION),
        ({}, {}, CAPITAL),
    ],
    ids=["another provider", "a model that refuses it", "by index", "by the provider", "point_llm", "direct"],
)
def test_where_it_could_not_help_or_would_be_refused_there_is_none(
    index: Any, options: dict[str, Any], settings: dict[str, Any], question: str
) -> None:
    """The messages are what they are everywhere else."""
    asked = Asked()
    settings = {name: kind(lines=asked) for name, kind in settings.items()}
    ask(engine_of("synthesizer", index, Claude(lines=asked, **options), **settings), "query", question)
    assert [] == [found for messages in asked for found in points_in(messages)]
    assert asked


@pytest.mark.parametrize(
    ("raw", "counts", "expected"),
    [
        (None, {}, None),
        ({"usage": None}, {}, None),
        (None, {"prompt_tokens": 10, "completion_tokens": 4}, Usage(10, 4)),
        (None, {"prompt_tokens": 0, "completion_tokens": 0}, Usage(0, 0)),
        ({"usage": {"prompt_tokens": 10, "completion_tokens": 4}}, {}, Usage(10, 4)),
        (
            {"usage": {"prompt_tokens_details": {"cached_tokens": 8}}},
            {"prompt_tokens": 10, "completion_tokens": 4},
            Usage(10, 4, 8),
        ),
        (
            SimpleNamespace(usage=SimpleNamespace(prompt_tokens_details=SimpleNamespace(cached_tokens=None))),
            {"prompt_tokens": 10, "completion_tokens": 4},
            Usage(10, 4),
        ),
        (
            {"usage": {"prompt_tokens_details": {"cached_tokens": 8}, "cache_read_input_tokens": 8}},
            {"prompt_tokens": 10, "completion_tokens": 4},
            Usage(10, 4, 8),
        ),
        (
            {"usage": SimpleNamespace(input_tokens=2, output_tokens=4, cache_read_input_tokens=8)},
            {},
            Usage(10, 4, 8),
        ),
        (
            {"usage": {"input_tokens": 2, "output_tokens": 4, "cache_creation_input_tokens": 8}},
            {},
            Usage(10, 4),
        ),
        (
            {"usage": {"inputTokens": 2}},
            {
                "prompt_tokens": 2,
                "completion_tokens": 4,
                "cache_read_input_tokens": 5,
                "cache_creation_input_tokens": 3,
            },
            Usage(10, 4, 5),
        ),
        (
            {"usage": {"input_tokens": 10, "output_tokens": 4, "input_tokens_details": {"cached_tokens": 8}}},
            {},
            Usage(10, 4, 8),
        ),
    ],
    ids=[
        "nothing",
        "no usage",
        "counts",
        "counts of nothing",
        "counts of the provider",
        "OpenAI",
        "OpenAI without a cache",
        "a gateway that tells it twice",
        "Anthropic reads",
        "Anthropic writes",
        "Bedrock",
        "OpenAI's Responses",
    ],
)
def test_providers_count_in_words_of_their_own(raw: Any, counts: dict[str, int], expected: Usage | None) -> None:
    """What is read from a cache is among the tokens of the prompt, or beside them."""
    assert expected == usage_of(CompletionResponse(text="", raw=raw, additional_kwargs=counts))
