import re
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skeleton_of_thought._grammars import list_grammar, sentences_grammar
from skeleton_of_thought.skeleton import parse

QUESTIONS = {
    "English": "How do I stay healthy?",
    "French": "Comment rester en bonne santé ?",
    "German": "Wie bleibe ich gesund?",
    "Chinese": "怎样保持健康？",
    "Russian": "Как оставаться здоровым?",
    "Korean": "건강을 유지하는 방법은 무엇인가요?",
    "Hindi": "स्वस्थ कैसे रहें?",
    "Greek": "Πώς μένω υγιής;",
    "Thai": "ทำอย่างไรจึงจะมีสุขภาพดี",
    "numbers": "1 2 3",
}
WORDS = {
    "English": ["Early", "Don't", "Self-care", "Rest"],
    "French": ["Éviter", "Dormir", "Être"],
    "German": ["Über", "Früh", "Öfter"],
    "Chinese": ["早睡", "多吃", "蔬菜"],
    "Russian": ["Спать", "Ёлка", "Есть"],
    "Korean": ["수면", "운동"],
    "Hindi": ["नींद", "अच्छी"],
    "Greek": ["Ξεκούραση", "Νερό", "Κίνηση"],
    "Thai": ["นอน", "กิน"],
}
EAT_SLEEP = "1. **Eat well**\n2. **Sleep enough**"

_TOKEN = re.compile(
    r'"(?P<text>[^"]*)"|(?P<name>[a-z]\w*)|(?P<same>\[(?:\\.|[^]\\])*\]|\{\d+,\d*\}|[()|?*+])|\s+|(?P<wrong>.)'
)


@cache
def pattern_of(grammar: str) -> re.Pattern[str]:
    """Turn a GBNF without recursion into a regular expression; a name that is no rule is a `KeyError`."""
    rules = dict(line.split(" ::= ", 1) for line in grammar.splitlines())

    def expand(token: re.Match[str]) -> str:
        assert token["wrong"] is None, token
        if token["name"]:
            return f"(?:{_TOKEN.sub(expand, rules[token['name']])})"
        return re.escape(token["text"].replace("\\n", "\n")) if token["text"] else token["same"] or ""

    return re.compile(_TOKEN.sub(expand, rules["root"]))


@pytest.mark.parametrize(
    ("text", "max_points", "allowed"),
    [
        (f"{EAT_SLEEP}\n3. **Move daily**", 10, True),
        (f"{EAT_SLEEP}\n3. **Move daily**", 2, True),
        (EAT_SLEEP, 10, False),
        (f"{EAT_SLEEP}\n3. **Move daily**\n4. **Rest often**", 3, False),
        (f"{EAT_SLEEP}\n3. **Move daily**\n4. **Rest often**", 4, True),
        (f"{EAT_SLEEP}\n4. **Move daily**", 10, False),
        (f"1. {EAT_SLEEP}\n3. **Move daily**", 10, False),
        (f"{EAT_SLEEP}\n3. **Move: daily**", 10, False),
        (f"{EAT_SLEEP}\n3. **Move**", 10, True),
        (f"{EAT_SLEEP}\n3. ****", 10, False),
        (f"{EAT_SLEEP}\n3. Move daily", 10, False),
        (f"{EAT_SLEEP}\n3. **{'Move ' * 8}daily**", 10, False),
        (f"{EAT_SLEEP}\n3. **Moveeverysinglemorning daily**", 10, False),
        (f"Sure! {EAT_SLEEP}\n3. **Move daily**", 10, False),
        ("", 10, False),
    ],
)
def test_only_a_list_can_be_written(text: str, max_points: int, allowed: bool) -> None:
    """A model that obeys the grammar has no other way to answer."""
    assert allowed is bool(pattern_of(list_grammar(max_points, QUESTIONS["English"])).fullmatch(text))


@pytest.mark.parametrize("language", WORDS)
@settings(max_examples=20)
@given(st.data())
def test_what_is_allowed_is_a_skeleton(language: str, data: st.DataObject) -> None:
    """In the script of the question every line is a point, and every point is a line."""
    title = st.lists(st.sampled_from(WORDS[language]), min_size=1, max_size=8).map(" ".join)
    lines = data.draw(st.lists(title, min_size=3, max_size=10, unique_by=str.casefold))
    text = "\n".join(f"{number}. **{line}**" for number, line in enumerate(lines, 1))
    assert pattern_of(list_grammar(10, QUESTIONS[language])).fullmatch(text)
    assert lines == [point.title for point in parse(text)]


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        (" Sleep is good for you.", True),
        (" Sleep is good for you! Is it not good for all?", True),
        (" Sleep (8 hours, or 9) isn't time lost; it's time won.", True),
        (" Sleep is good for you. So is food, of course. And water helps too.", False),
        ("Sleep is good for you.", False),
        (" sleep is good for you.", False),
        (" Sleep is good for you", False),
        (" Sleep is good.\n Really good for you.", False),
        (" 1. Sleep is good for you.", False),
        (" Sleep does two things: 1. rest 2. repair.", False),
        (" Sleep.", False),
        ("", False),
    ],
)
def test_only_sentences_can_be_written(text: str, allowed: bool) -> None:
    """One or two of them, whole, on one line, and no list inside."""
    assert allowed is bool(pattern_of(sentences_grammar(1, 2, QUESTIONS["English"])).fullmatch(text))


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("French", " Le sommeil est bon pour la santé et l'esprit."),
        ("German", " Über Nacht erholt sich der Körper."),
        ("Chinese", " 睡眠对身体和心灵都有好处，人人都需要它。"),
        ("Russian", " Сон полезен для тела и души."),
        ("Korean", " 수면은 몸과 마음에 좋습니다."),
        ("Hindi", " नींद शरीर और मन के लिए अच्छी है."),
        ("Greek", " Ο ύπνος κάνει καλό στο σώμα."),
        ("numbers", " Sleep is good for you."),
    ],
)
def test_sentences_are_in_the_script_of_the_question(language: str, text: str) -> None:
    """What people write in it can be written."""
    assert pattern_of(sentences_grammar(1, 2, QUESTIONS[language])).fullmatch(text)


@pytest.mark.parametrize("language", ["Chinese", "Russian", "Korean", "Hindi"])
def test_no_other_script_begins_a_sentence(language: str) -> None:
    """A small model would fall back into English."""
    assert not pattern_of(sentences_grammar(1, 2, QUESTIONS[language])).fullmatch(" Sleep is good for you.")
