from collections.abc import Mapping
from dataclasses import fields
from itertools import product, takewhile

import pytest

from skeleton_of_thought import Abilities, Call, ConfigurationError, Message, Point, Prompts, Question, Skeleton
from skeleton_of_thought.calls import merge_runs
from skeleton_of_thought.prompts import LENGTHS, Detail, Form

SKELETON = Skeleton((Point(1, "Eat well"), Point(2, "Sleep well"), Point(3, "Eat {number} figs")))
HISTORY = (Message("system", "Be {kind}."), Message("user", "Hello"), Message("assistant", "Hi!"))
PASSAGES = ("Figs are sweet. {passages}", "Sleep is {long}.")
SINCE = (Message("assistant", "Let me look."), Message("user", "It rains."))
FOUND = ((3, "Figs are {title}."), (1, r"Figs are sweet. \1"))
QUESTIONS = {
    "bare": Question("How do I stay healthy?"),
    "history": Question("How do I stay healthy?", history=HISTORY),
    "passages": Question("How do I stay healthy?", passages=PASSAGES),
    "both": Question("How do I stay healthy?", history=HISTORY, passages=PASSAGES),
    "history that ends with a question": Question("Well?", history=(*HISTORY, Message("user", "How do I live?"))),
    "since": Question("How do I stay healthy?", history=HISTORY, passages=PASSAGES, since=SINCE),
    "no text": Question("", origin="an image"),
    "braces": Question("What does {title} mean in {number: {x}} and {}?"),
}
ABILITIES = {
    " and ".join(name for name, has in zip(("prefill", "grammar", "small"), able, strict=True) if has)
    or "plain": Abilities(*able)
    for able in product([False, True], repeat=3)
}

questions = pytest.mark.parametrize("question", QUESTIONS.values(), ids=QUESTIONS)
abilities = pytest.mark.parametrize("able", ABILITIES.values(), ids=ABILITIES)


def form(able: Abilities = Abilities(), *, detail: Detail = "short", **more: int | None) -> Form:  # noqa: B008 -- frozen
    return Form(**{
        "max_points": 10,
        "detail": detail,
        "point_max_tokens": None,
        "abilities": able,
        "stream": True,
        **more,
    })  # type: ignore[arg-type]


def skeleton_call(question: Question, able: Abilities = Abilities(), prompts: Prompts = Prompts()) -> Call:  # noqa: B008
    return prompts.skeleton_call(question, form(able))


def point_calls(question: Question, able: Abilities = Abilities(), prompts: Prompts = Prompts()) -> list[Call]:  # noqa: B008
    return [prompts.point_call(question, form(able), SKELETON, point) for point in SKELETON.points]


def seen(call: Call) -> str:
    """Write a call as a chat template does: neighbours of one role joined, a prefill left open."""
    *closed, last = merge_runs(call.messages)
    end = "" if last.role == "assistant" else "</user>\n<assistant>"
    return "".join(f"<{m.role}>{m.text}</{m.role}>\n" for m in closed) + f"<{last.role}>{last.text}{end}"


def shared_beginning(*calls: Call) -> str:
    """Find the bytes that a cache reads once."""
    columns = zip(*map(seen, calls), strict=False)
    return "".join(signs[0] for signs in takewhile(lambda signs: len(set(signs)) == 1, columns))


def texts(call: Call) -> list[tuple[str, str]]:
    return [(message.role, message.text) for message in call.messages]


# -- one prefix for all calls --------------------------------------------------------------------------


@questions
@abilities
def test_all_calls_begin_with_the_same_bytes(question: Question, able: Abilities) -> None:
    """History, passages and question are read once by whatever caches prefixes."""
    direct = Prompts().direct_call(question, form(able))
    shared = shared_beginning(direct, skeleton_call(question, able), *point_calls(question, able))
    assert seen(direct).startswith(shared)
    assert shared.startswith(seen(direct).removesuffix("</user>\n<assistant>"))


@questions
@abilities
def test_expansions_share_all_but_the_task(question: Question, able: Abilities) -> None:
    """What differs comes last, and is the number and the title."""
    calls = point_calls(question, able)
    shared = shared_beginning(*calls)
    if able.small and able.prefill:
        assert calls[0].messages[:-1] == Prompts().direct_call(question, form(able)).messages
        assert shared == seen(calls[0]).removesuffix("1. Eat well:")
    else:
        assert str(SKELETON) in shared
        assert shared.endswith("<user>Write only point ")


@questions
def test_expansions_go_on_from_the_skeletons_conversation(question: Question) -> None:
    """So the skeleton call warms the cache for them."""
    asked, [point, *_] = skeleton_call(question), point_calls(question)
    assert seen(point).startswith(seen(asked) + str(SKELETON))


@questions
@abilities
def test_a_call_tells_what_all_have_in_common(question: Question, able: Abilities) -> None:
    """It is the whole request for the skeleton, but for what begins the model's own message."""
    asked, points = skeleton_call(question, able), point_calls(question, able)
    assert "user" == asked.messages[asked.shared - 1].role
    assert {"assistant"} >= {message.role for message in asked.messages[asked.shared :]}
    assert [asked.messages[: point.shared] for point in points] == [point.messages[: point.shared] for point in points]
    assert {0 if able.small and able.prefill else asked.shared} == {point.shared for point in points}
    assert 0 == Prompts().direct_call(question, form(able)).shared


def test_history_passages_question_and_task_come_in_this_order() -> None:
    """The parts that stay the same longest come first."""
    call = skeleton_call(QUESTIONS["both"])
    assert ["system", "user", "assistant", "user", "user", "user"] == [message.role for message in call.messages]
    assert HISTORY == call.messages[:3]
    assert PASSAGES[0] in call.messages[3].text
    assert "How do I stay healthy?" == call.messages[4].text


def test_passages_are_numbered() -> None:
    """So that an answer can name them."""
    passages = Prompts().direct_call(QUESTIONS["passages"], form()).messages[0].text
    assert "[1] Figs are sweet. {passages}\n\n[2] Sleep is {long}." in passages


def test_the_frameworks_own_messages_are_handed_through() -> None:
    """An adapter gets back what it put in."""
    earlier, asking = object(), object()
    question = Question("Well?", history=(Message("user", "Hello", earlier),), origin=asking)
    assert [earlier, asking] == [message.origin for message in Prompts().direct_call(question, form()).messages]


def test_what_was_said_since_stands_behind_the_question() -> None:
    """As it was said; the task still comes last."""
    direct, skeleton = Prompts().direct_call(QUESTIONS["since"], form()), skeleton_call(QUESTIONS["since"])
    assert SINCE == direct.messages[-2:] == skeleton.messages[-3:-1]
    assert "How do I stay healthy?" == direct.messages[-3].text


def test_a_question_without_text_is_the_frameworks_own_message() -> None:
    """It may be an image."""
    [asked] = Prompts().direct_call(QUESTIONS["no text"], form()).messages
    assert ("user", "", "an image") == (asked.role, asked.text, asked.origin)


# -- passages that were retrieved ----------------------------------------------------------------------


def found_call(question: Question, able: Abilities = Abilities()) -> Call:  # noqa: B008
    return Prompts().point_call(question, form(able), SKELETON, SKELETON.points[0], FOUND)


@questions
@abilities
def test_passages_of_a_point_stand_before_its_task(question: Question, able: Abilities) -> None:
    """Behind all that is read once; only a small model, which gets no task, gets them elsewhere."""
    [point, *_], found = point_calls(question, able), found_call(question, able)
    assert len(seen(found)) > len(seen(point))
    if able.small and able.prefill:
        assert found.messages[-1] == point.messages[-1]
    else:
        assert shared_beginning(point, found).endswith(f"{SKELETON}</assistant>\n<user>")
        assert found.messages[:-2] == point.messages[:-2]


def test_passages_of_a_point_have_the_numbers_of_the_whole_answer() -> None:
    """The model is told to cite by them, and then what to write."""
    [point, *_], found = point_calls(QUESTIONS["bare"]), found_call(QUESTIONS["bare"])
    listed, told, task = found.messages[-1].text.rsplit("\n\n", 2)
    assert r"Passages for this:[3] Figs are {title}.[1] Figs are sweet. \1" == listed.replace("\n\n", "")
    assert "Put the number of each passage that you use behind the sentence that uses it, like [1]." in told
    assert task == point.messages[-1].text


def test_passages_of_a_direct_answer_stand_behind_the_question() -> None:
    """So that what is asked first is read once by whatever caches prefixes."""
    bare, found = (Prompts().direct_call(QUESTIONS["since"], form(), passages) for passages in ((), FOUND))
    assert bare.messages == found.messages[:-1]
    assert "user" == found.messages[-1].role
    assert "[3] Figs are {title}." in found.messages[-1].text
    assert found.messages[-1].text.endswith("like [1].")


def test_a_small_model_gets_passages_before_the_question() -> None:
    """Together with those of the question, and without an instruction to cite, which would confuse it."""
    given, question, start = found_call(QUESTIONS["passages"], Abilities(prefill=True, small=True)).messages
    numbered = (*enumerate(PASSAGES, 1), *FOUND)
    listed = "\n\n".join(f"[{number}] {text}" for number, text in numbered)
    assert f"Answer from these passages.\n\n{listed}\n\nThe question:" == given.text
    assert ("How do I stay healthy?", "1. Eat well:") == (question.text, start.text)


@abilities
def test_where_nothing_was_found_nothing_is_said_of_it(able: Abilities) -> None:
    """The call is the one without a retriever."""
    question, point = QUESTIONS["both"], SKELETON.points[0]
    assert point_calls(question, able)[0] == Prompts().point_call(question, form(able), SKELETON, point, ())


@abilities
def test_a_point_knows_its_skeleton(able: Abilities) -> None:
    """For adapters that hand it on; the other calls have none."""
    assert {SKELETON} == {call.skeleton for call in point_calls(QUESTIONS["bare"], able)}
    others = skeleton_call(QUESTIONS["bare"], able), Prompts().direct_call(QUESTIONS["bare"], form(able))
    assert [None, None] == [call.skeleton for call in others]


def test_a_point_is_searched_by_its_title_and_the_question() -> None:
    """The whole question by itself."""
    prompts, question = Prompts(), QUESTIONS["braces"]
    asked = "What does {title} mean in {number: {x}} and {}?"
    assert f"Eat {{number}} figs ({asked})" == prompts.query_for(question, SKELETON.points[2])
    assert asked == prompts.query_for(question, None)
    assert "Eat well" == Prompts(query="{title}").query_for(question, SKELETON.points[0])


# -- what a model is told depends on what it can do ----------------------------------------------------


def test_a_plain_model_is_told_to_leave_out_number_and_title() -> None:
    """It cannot be given its beginning."""
    [call, *_] = point_calls(QUESTIONS["bare"])
    role, task = texts(call)[-1]
    assert "user" == role
    assert task.startswith("Write only point 1, Eat well, in 1 to 2 sentences")
    assert task.endswith(Prompts().point_unstarted)


def test_a_model_that_can_be_given_its_beginning_gets_it() -> None:
    """And is told nothing about number and title."""
    able = Abilities(prefill=True)
    [call, *_] = point_calls(QUESTIONS["bare"], able)
    (_, task), start = texts(call)[-2:]
    assert ("assistant", "1. Eat well:") == start
    assert Prompts().point_unstarted not in task
    assert ("assistant", "1.") == texts(skeleton_call(QUESTIONS["bare"], able))[-1]


def test_a_grammar_is_only_sent_to_a_model_that_obeys_it() -> None:
    """Others would refuse the request."""
    for able in ABILITIES.values():
        calls = [skeleton_call(QUESTIONS["bare"], able), *point_calls(QUESTIONS["bare"], able)]
        assert able.grammar or {None} == {call.grammar for call in calls}
        assert able.grammar is (calls[0].grammar is not None)


def test_a_grammar_begins_the_skeleton_itself() -> None:
    """A prefill before it would number the first point twice."""
    call = skeleton_call(QUESTIONS["bare"], Abilities(prefill=True, grammar=True))
    assert "user" == call.messages[-1].role
    assert "" == Prompts().skeleton_prefill(form(Abilities(prefill=True, grammar=True)))


def test_a_small_model_sees_the_question_and_its_beginning() -> None:
    """Instructions confuse it: its form comes from the grammar, its length from the grammar and a stop."""
    able, question = Abilities(prefill=True, grammar=True, small=True), QUESTIONS["both"]
    asked = Prompts().direct_call(question, form(able)).messages
    assert asked == skeleton_call(question, able).messages
    [call, *_] = point_calls(question, able)
    assert (*asked, Message("assistant", "1. Eat well:")) == call.messages
    assert ("\n",) == call.stop
    assert call.grammar is not None


# -- bounds --------------------------------------------------------------------------------------------


@abilities
@pytest.mark.parametrize("detail", LENGTHS)
def test_points_always_have_a_bound(able: Abilities, detail: Detail) -> None:
    """Some providers reserve it, and a model that does not stop would hold up the answer."""
    call = Prompts().point_call(QUESTIONS["bare"], form(able, detail=detail), SKELETON, SKELETON.points[0])
    assert call.max_tokens in range(32, 1025)


@abilities
def test_a_bound_of_yours_goes_before_ours(able: Abilities) -> None:
    """For every kind of model."""
    call = Prompts().point_call(QUESTIONS["bare"], form(able, point_max_tokens=7), SKELETON, SKELETON.points[0])
    assert 7 == call.max_tokens


def test_a_direct_answer_has_no_bound() -> None:
    """It is what the question would have got without us."""
    call = Prompts().direct_call(QUESTIONS["bare"], form())
    assert (None, (), None) == (call.max_tokens, call.stop, call.grammar)


@pytest.mark.parametrize("detail", LENGTHS)
def test_the_length_is_asked_for(detail: Detail) -> None:
    """In words that a model understands."""
    call = Prompts().point_call(QUESTIONS["bare"], form(detail=detail), SKELETON, SKELETON.points[0])
    assert LENGTHS[detail] in call.messages[-1].text


@pytest.mark.parametrize(("max_points", "said"), [(10, "3 to 10 points"), (4, "3 to 4 points"), (2, "2 to 2 points")])
def test_the_number_of_points_is_asked_for(max_points: int, said: str) -> None:
    """The paper's 3 to 10, or fewer."""
    call = Prompts().skeleton_call(QUESTIONS["bare"], form(max_points=max_points))
    assert said in call.messages[-1].text


@pytest.mark.parametrize("stream", [True, False])
def test_whether_anybody_reads_along_is_told_to_the_model(stream: bool) -> None:
    """In all three kinds of call."""
    prompts, shape = Prompts(), form(stream=stream)
    calls = (
        prompts.direct_call(QUESTIONS["bare"], shape),
        prompts.skeleton_call(QUESTIONS["bare"], shape),
        prompts.point_call(QUESTIONS["bare"], shape, SKELETON, SKELETON.points[0]),
    )
    assert [("direct", None, stream), ("skeleton", None, stream), ("point", 1, stream)] == [
        (call.stage, call.point, call.stream) for call in calls
    ]


# -- templates -----------------------------------------------------------------------------------------


@abilities
def test_braces_in_a_question_stay(able: Abilities) -> None:
    """A question is data, never a template."""
    question = QUESTIONS["braces"]
    for call in (skeleton_call(question, able), *point_calls(question, able)):
        assert "What does {title} mean in {number: {x}} and {}?" in seen(call)


def test_braces_in_a_title_stay() -> None:
    """A title is data too, although the model wrote it into our template."""
    call = point_calls(QUESTIONS["bare"])[2]
    assert "Write only point 3, Eat {number} figs, in" in call.messages[-1].text


def test_braces_in_a_template_stay() -> None:
    """JSON, LaTeX and code are no names."""
    prompts = Prompts(
        point='As {"title": "{title}"} in \\frac{1}{2} or {}, {{x}}, {unknown}, { title }',
        skeleton="Use {min_points} of {json: {}}",
    )
    [call, *_] = point_calls(QUESTIONS["bare"], prompts=prompts)
    said = 'As {"title": "Eat well"} in \\frac{1}{2} or {}, {{x}}, {unknown}, { title }'
    assert said in call.messages[-1].text
    assert "Use 3 of {json: {}}" == skeleton_call(QUESTIONS["bare"], prompts=prompts).messages[-1].text


def test_backslashes_in_what_is_filled_in_stay() -> None:
    """Nothing in a title or passage is an escape."""
    title = r"Use \1 and \g<0> and \n"
    call = Prompts().point_call(QUESTIONS["bare"], form(), Skeleton((Point(1, title),)), Point(1, title))
    assert title in call.messages[-1].text


@pytest.mark.parametrize(
    ("name", "template"),
    [
        ("passages", "Answer from these."),
        ("sources", "Answer from these."),
        ("query", "{question}"),
        ("point", "Write point {number}."),
        ("point_start", "{number}."),
    ],
)
def test_a_template_needs_its_names(name: str, template: str) -> None:
    """Without the title every point would get the same text."""
    with pytest.raises(ConfigurationError, match=f"prompts.{name} needs "):
        Prompts(**{name: template})


@pytest.mark.parametrize("name", [field.name for field in fields(Prompts)])
def test_a_template_is_text(name: str) -> None:
    """A framework's prompt object is turned into text by the adapter, not here."""
    with pytest.raises(ConfigurationError, match=f"prompts.{name} is a template as text, not None"):
        Prompts(**{name: None})  # type: ignore[arg-type]  # that is the point


def test_no_beginning_is_sent_where_there_is_none() -> None:
    """An empty assistant message is an error at some providers."""
    call = skeleton_call(QUESTIONS["bare"], Abilities(prefill=True), Prompts(skeleton_start=""))
    assert "user" == call.messages[-1].role


# -- neighbours of one role ----------------------------------------------------------------------------


def test_neighbours_of_one_role_are_joined() -> None:
    """For endpoints whose chat template wants roles to take turns."""
    messages = (Message("user", "a"), Message("user", "b"), Message("assistant", "c"), Message("user", "d"))
    assert [Message("user", "a\n\nb"), Message("assistant", "c"), Message("user", "d")] == merge_runs(messages)
    assert [] == merge_runs(())


@pytest.mark.parametrize("name", [field.name for field in fields(Prompts)])
def test_every_template_is_said_through_one_door(name: str) -> None:
    """An adapter that fills templates in its own way changes all of them, not some."""

    class Loud(Prompts):
        def say(self, name: str, names: Mapping[str, str]) -> str:
            said.add(name)
            return Prompts.say(self, name, names)

    said, loud, question = set[str](), Loud(), Question("Why?", passages=("Figs.",))
    for able in (Abilities(tools=True), Abilities(prefill=True)):
        form = Form(max_points=3, detail="short", point_max_tokens=None, abilities=able, stream=True)
        point = Point(1, "Eat well")
        loud.skeleton_prefill(form)
        loud.skeleton_call(question, form)
        loud.point_call(question, form, Skeleton((point,)), point, ((2, "Beds."),))
        loud.query_for(question, point)
        loud.continued(loud.direct_call(question, form), "Take figs", able)
    assert name in said
