"""Halves of signs, signs that are not seen, and what a filter leaves."""

import pytest

from skeleton_of_thought import Answer, InputError, Message, Passage, Question
from skeleton_of_thought._signs import WholeSigns
from skeleton_of_thought.errors import EmptyTextError
from skeleton_of_thought.testing import ScriptedLLM

from .running import QUESTION, engine, scripted


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (["Take \ud83d figs."], "Take \ufffd figs."),
        (["Take \ud83c", "\udf47 figs."], "Take 🍇 figs."),
        (["Take \ud83c", " figs."], "Take \ufffd figs."),
        (["Figs\udc00"], "Figs\ufffd"),
        (["Leaves\ud83c"], "Leaves\ufffd"),
    ],
)
def test_halves_of_signs_in_a_text(text: list[str], shown: str) -> None:
    """Two halves are one sign, also where they come in two pieces; one that is alone is shown as missing."""
    answer = engine(scripted(points={1: text, 2: "Go to bed.", 3: "Walk."})).ask(QUESTION)
    assert shown == answer.sections[0].text
    assert answer == Answer.from_json(answer.to_json())


def test_halves_of_signs_in_a_direct_answer() -> None:
    """As in points."""
    answer = engine(ScriptedLLM(direct="Take \ud83d figs."), router="never").ask(QUESTION)
    assert "Take \ufffd figs." == Answer.from_json(answer.to_json()).text


def test_whole_signs_pass_at_once() -> None:
    """Nothing is held back of a text that is in order."""
    signs = WholeSigns()
    assert ["figs ", "无花果", "🍇", ""] == [*map(signs.feed, ("figs ", "无花果", "🍇")), signs.flush()]


@pytest.mark.parametrize(
    ("around", "which"),
    [
        ({"history": (Message("system", "Be \ud83d kind."),)}, "message 1 of history"),
        ({"since": (Message("user", "Yes."), Message("assistant", "\udc00"))}, "message 2 of since"),
        ({"passages": ("Figs are \ud83d sweet.",)}, "passage 1"),
        ({"passages": ("Figs.", Passage("Figs are \ud83d sweet."))}, "passage 2"),
    ],
)
def test_halves_of_signs_around_a_question(around: dict[str, tuple[object, ...]], which: str) -> None:
    """They cannot be sent, and the error says where they are before any model is called."""
    with pytest.raises(InputError, match=f"{which} has half a sign at .*: decode it as UTF-8"):
        Question("Why?", **around)  # type: ignore[arg-type]  # one of them each time


@pytest.mark.parametrize("finish", ["length", "content_filter", "refusal"])
def test_a_skeleton_that_was_cut_has_no_half_point(finish: str) -> None:
    """Whoever cut it."""
    llm = scripted(skeleton="1. Eat well\n2. Sleep well\n3. Mov", finish={"skeleton": finish})
    assert ["Eat well", "Sleep well"] == [each.point.title for each in engine(llm).ask(QUESTION).sections]


@pytest.mark.parametrize(
    ("finish", "cure"),
    [("length", "raise point_max_tokens"), ("content_filter", "reword the question"), ("tool_calls", "give point_llm")],
)
@pytest.mark.parametrize("text", ["", " \n "])
def test_a_direct_answer_of_nothing_is_an_error(text: str, finish: str, cure: str) -> None:
    """It names the cure."""
    with pytest.raises(EmptyTextError, match=cure):
        engine(ScriptedLLM(direct=text, finish={"direct": finish}), router="never").ask(QUESTION)


@pytest.mark.parametrize("text", ["\0", "\u200b", "\ufeff \u202e"])
def test_a_question_of_signs_that_are_not_seen_is_empty(text: str) -> None:
    """There is nothing to be asked in it."""
    with pytest.raises(InputError, match="the question is empty"):
        Question(text)
