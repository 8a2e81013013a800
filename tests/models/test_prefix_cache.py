"""Which models take a breakpoint, and that all requests of a run begin with the same bytes."""

import json

import pytest

from skeleton_of_thought import Message, Question, SkeletonOfThought
from skeleton_of_thought.models._prefix_cache import breakpoint_of
from skeleton_of_thought.models.openai import OpenAIModel
from skeleton_of_thought.testing import LatencyModel, LatencyServer

from ..script import QUESTION, REPLY, TEXT

CONVERSE = "amazon_bedrock_converse_chat"
HISTORY = (Message("system", "Be kind."), Message("user", "Hello"), Message("assistant", "Hi!"))


@pytest.mark.parametrize(
    ("client", "model", "takes"),
    [
        ("anthropic-chat", "claude-sonnet-4-5", True),
        ("anthropic-chat", "of-tomorrow", True),
        ("openai-chat", "gpt-5.6", False),
        ("fake", "anthropic.claude-opus-5", False),
        (CONVERSE, "anthropic.claude-opus-4-20250514-v1:0", True),
        (CONVERSE, "global.anthropic.claude-haiku-4-5-20251001-v1:0", True),
        (CONVERSE, "us.anthropic.claude-3-7-sonnet-20250219-v1:0", True),
        (CONVERSE, "eu.anthropic.claude-fable-5", True),
        (CONVERSE, "us.amazon.nova-pro-v1:0", True),
        (CONVERSE, "anthropic.claude-3-5-sonnet-20240620-v1:0", False),
        (CONVERSE, "anthropic.claude-3-haiku-20240307-v1:0", False),
        (CONVERSE, "anthropic.claude-instant-v1", False),
        (CONVERSE, "us.deepseek.r1-v1:0", False),
        (CONVERSE, "nvidia.nemotron-super-3-120b", False),
        (CONVERSE, "arn:aws:bedrock:eu-west-1:1:application-inference-profile/x", False),
    ],
)
def test_a_breakpoint_is_for_models_that_are_known_to_take_one(client: str, model: str, takes: bool) -> None:
    """On Bedrock others refuse the whole request."""
    assert takes == (breakpoint_of(client, model) is not None)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("pipelined", [True, False])
@pytest.mark.parametrize("history", [(), HISTORY])
def test_all_requests_begin_with_the_same_bytes(history: tuple[Message, ...], pipelined: bool, stream: bool) -> None:
    """Points go on from the whole request for the skeleton, and tell what came from the cache."""
    question = Question(QUESTION, history=history, passages=("Sleep comes with the dark.",))
    with LatencyServer(LatencyModel(reply=REPLY)) as server:
        sot = SkeletonOfThought(llm=OpenAIModel("m", base_url=server.base_url), pipelined=pipelined)
        answer = (
            [event.answer for event in sot.stream(question) if hasattr(event, "answer")][-1]
            if stream
            else sot.ask(question)
        )
        skeleton, *points = [json.dumps(request.body["messages"]) for request in server.requests]
    assert TEXT == answer.text
    assert [True] * 3 == [point.startswith(skeleton[:-1] + ", ") for point in points]
    used = answer.usage
    assert 3 * used["skeleton"].input_tokens <= used["point"].cached_tokens < used["point"].input_tokens
