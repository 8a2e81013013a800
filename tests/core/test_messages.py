from collections.abc import AsyncGenerator

import pytest

from skeleton_of_thought import LLM, Abilities, Call, Finish, Message, Question, Route, Usage
from skeleton_of_thought.calls import TOOL_CALLS, Piece, Said
from skeleton_of_thought.events import Event, Finished, PointFound, Routed, SkeletonText, Text
from skeleton_of_thought.testing import ScriptedLLM

from .running import ALWAYS, NEVER, QUESTION, TEXT, USAGE, engine, events_of, scripted, untimed, whole

CALLED = Route("direct", "skeleton", "the model calls tools")


def in_messages(llm: ScriptedLLM, *more: Piece) -> LLM:
    """Say what *llm* says as a framework does: each text in a message of its own, and *more* at the end."""

    async def door(call: Call) -> AsyncGenerator[Piece, None]:
        pieces = llm(call)
        try:
            async for piece in pieces:
                yield Said(piece, f"{call.stage}: {piece}") if isinstance(piece, str) else piece
            for piece in more:
                yield piece
        finally:
            await pieces.aclose()

    return door


def origins_of(events: list[Event]) -> list[object]:
    return [event.origin for event in events if isinstance(event, Text)]


# -- the framework's own messages ----------------------------------------------------------------------


def test_a_direct_answer_comes_in_the_messages_that_it_was_said_in() -> None:
    """Piece by piece, and all of them in the answer."""
    events = events_of(engine(in_messages(scripted()), router="never"))
    answer = events[-1].answer if isinstance(events[-1], Finished) else None
    assert answer is not None
    assert ("Take figs, and rest.", ("direct: Take figs,", "direct:  and rest.")) == (answer.text, answer.origins)
    assert [*answer.origins] == origins_of(events)
    assert untimed(events) == untimed(events_of(engine(router="never")))  # they are not compared


def test_a_message_without_text_is_handed_on() -> None:
    """It may hold a call of a tool, or an image, and is no text of the answer."""
    image = object()
    events = events_of(engine(in_messages(scripted(direct=""), Said("", image)), router="never"))
    assert [Routed(NEVER), Text(""), Finished] == [*events[:2], type(events[2])]
    assert [image] == origins_of(events)
    answer = whole(engine(in_messages(scripted(direct=""), Said("", image)), router="never"))
    assert ("", (image,), None) == (answer.text, answer.origins, answer.timings.first_text)


def test_a_message_may_be_false() -> None:
    """What a framework's object is worth as a truth is not asked."""
    events = events_of(engine(in_messages(scripted(direct=""), Said("", ())), router="never"))
    assert [()] == origins_of(events)
    assert isinstance(events[-1], Finished)
    assert ((),) == events[-1].answer.origins


def test_nothing_is_said_of_an_empty_piece() -> None:
    """Where it came in no message."""
    llm = scripted(direct=["Take", "", " figs."])
    assert [Text("Take"), Text(" figs.")] == events_of(engine(llm, router="never"))[1:-1]


def test_points_and_skeletons_come_in_no_message() -> None:
    """Their texts are put together of many, and of parts."""
    events = events_of(engine(in_messages(scripted())))
    assert {None} == set(origins_of(events))
    assert isinstance(events[-1], Finished)
    assert (TEXT, ()) == (events[-1].answer.text, events[-1].answer.origins)


def test_what_a_skeleton_that_is_none_was_said_in_is_not_handed_on() -> None:
    """The direct answer was said after it."""
    answer = whole(engine(in_messages(scripted(skeleton="No list."))))
    assert ("direct: Take figs, and rest.",) == answer.origins


# -- tools ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("skeleton", ["", "Let me look.", "1. Eat well\n2. Sleep well\n3. Move every day"])
@pytest.mark.parametrize("after", [[], [Finish("stop")], [Usage(), Finish("stop")]], ids=["last", "stop", "usage"])
def test_a_skeleton_that_calls_tools_is_the_answer(skeleton: str, after: list[Piece]) -> None:
    """Whatever text it has besides, and although some say ``stop`` after it; nothing is asked a second time."""
    llm, called = scripted(skeleton=[skeleton] if skeleton else [], finish={"skeleton": TOOL_CALLS}), object()
    events = events_of(engine(in_messages(llm, Said("", called), *after)))
    texts = [Text(skeleton)] if skeleton else []
    told = [event for event in events if not isinstance(event, SkeletonText | PointFound)]
    assert [Routed(ALWAYS), Routed(CALLED), *texts, Text("")] == told[:-1]
    assert isinstance(events[-1], Finished)
    answer = events[-1].answer
    assert (skeleton, CALLED, TOOL_CALLS, None, ()) == (
        answer.text,
        answer.route,
        answer.finish,
        answer.skeleton,
        answer.sections,
    )
    assert (*(f"skeleton: {skeleton}" for _ in texts), called) == answer.origins
    assert [*answer.origins] == origins_of(events)
    assert ["skeleton"] == [call.stage for call in llm.calls]
    assert USAGE["skeleton"] == answer.usage["skeleton"]
    assert (answer.timings.skeleton_first is None) is (skeleton == "")


def test_a_message_without_text_is_no_piece_of_a_skeleton() -> None:
    """Nobody sees it until it is known that it is the answer."""
    events = events_of(engine(in_messages(scripted(finish={"skeleton": TOOL_CALLS}), Said("", object()))))
    assert SkeletonText("") not in events


def test_a_direct_answer_that_calls_tools_says_so() -> None:
    """Although it says ``stop`` after it."""
    llm = in_messages(scripted(finish={"direct": TOOL_CALLS}), Finish("stop"))
    assert TOOL_CALLS == whole(engine(llm, router="never")).finish


def test_tools_that_were_called_are_heard_of() -> None:
    """What has been said since stands in every call."""
    since = (Message("assistant", "", "a call"), Message("user", "", "its result"))
    llm = scripted()
    whole(engine(llm), Question(QUESTION, since=since))
    for call in llm.calls:
        assert (QUESTION, *since) == (call.messages[0].text, *call.messages[1:3])
        assert ["a call", "its result"] == [message.origin for message in call.messages[1:3]]


@pytest.mark.parametrize("router", ["auto", "always", "never"])
@pytest.mark.parametrize("able", [Abilities(), Abilities(prefill=True, grammar=True, small=True)], ids=["any", "small"])
def test_a_question_without_words_is_answered(router: str, able: Abilities) -> None:
    """It may be an image, which every call gets."""
    llm, image = scripted(abilities=able), object()
    answer = whole(engine(llm, router=router), Question("", origin=image))
    assert ("", True) == (answer.question, bool(answer.text))
    assert {image} == {call.messages[0].origin for call in llm.calls}
