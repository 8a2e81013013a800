import pickle

import pytest

from skeleton_of_thought import Abilities, Call, Finish, InputError, Message, PointError, Usage
from skeleton_of_thought.calls import TOOL_CALLS, Door, abilities_of, options_of, tags_of
from skeleton_of_thought.errors import ContextLengthError
from skeleton_of_thought.testing import ScriptedLLM

CALL = Call("point", (Message("user", "Why?"),), 2, max_tokens=7, stop=("\n",), grammar="root ::= [a]")


def test_a_door_makes_a_model_of_a_function() -> None:
    """With what the model behind it can do."""
    llm = ScriptedLLM()
    door = Door(llm, Abilities(prefill=True))
    assert Abilities(prefill=True) == abilities_of(door)
    assert type(llm(CALL)) is type(door(CALL))


def test_a_model_that_does_not_say_is_a_plain_chat_model() -> None:
    """That is always safe."""
    assert Abilities() == abilities_of(lambda call: ScriptedLLM()(call))


@pytest.mark.parametrize(
    ("call", "options"),
    [
        (CALL, {"max_tokens": 7, "stop": ["\n"], "extra_body": {"grammar": "root ::= [a]"}}),
        (Call("direct", ()), {}),
    ],
)
def test_options_are_those_that_a_call_asks_for(call: Call, options: dict[str, object]) -> None:
    """What it does not ask for is left to the model's own settings."""
    assert options == options_of(call)


def test_tags_tell_calls_apart() -> None:
    """In a trace of one answer."""
    assert {"sot_stage": "point", "sot_point": 2} == tags_of(CALL)
    assert {"sot_stage": "direct"} == tags_of(Call("direct", ()))


def test_usage_adds_up() -> None:
    """Kind by kind."""
    assert Usage(11, 22, 33) == Usage(1, 2, 3) + Usage(10, 20, 30)


def test_errors_hold_their_facts() -> None:
    """What a program wants to know stands beside the message."""
    point, context = PointError(2, "Sleep well"), ContextLengthError(9000, 8192)
    assert (2, "Sleep well") == (point.number, point.title)
    assert (9000, 8192) == (context.tokens, context.limit)
    assert "the call needs 9000 tokens and the model takes 8192: shorten the question or its context" == str(context)
    assert isinstance(context, InputError)


@pytest.mark.parametrize("error", [PointError(2, "Sleep well"), ContextLengthError(9000, 8192)])
def test_errors_travel_between_processes(error: Exception) -> None:
    """A task queue pickles them."""
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 -- our own
    assert (str(error), vars(error)) == (str(copy), vars(copy))


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("MAX_TOKENS", "length"),
        ("end_turn", "stop"),
        ("SAFETY", "content_filter"),
        ("stop", "stop"),
        ("tool_use", TOOL_CALLS),
        ("tool_calls", TOOL_CALLS),
    ],
)
def test_reasons_of_other_protocols_are_said_in_one_language(reason: str, said: str) -> None:
    """So that a text that was cut is known as one, whoever cut it."""
    assert Finish(said) == Finish.of(reason)
