import re
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skeleton_of_thought._grammars import list_grammar, sentences_grammar
from skeleton_of_thought.skeleton import parse

_TOKEN = re.compile(
    r'"(?P<text>[^"]*)"|(?P<name>[a-z]\w*)|(?P<same>\[(?:\\.|[^]\\])*\]|\{\d+,\d+\}|[()|?*+])|\s+|(?P<wrong>.)'
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
        ("1. Eat well\n2. Sleep enough\n3. Move daily", 10, True),
        ("1. Bien dormir\n2. Éviter l'alcool\n3. Prendre l'air", 10, True),
        ("1. Früh aufstehen\n2. Über Sorgen reden\n3. Wenig Self-Care", 10, True),
        ("1. 早睡 早起\n2. 多吃 蔬菜\n3. 少喝 咖啡", 10, True),
        ("1. Eat well\n2. Sleep enough\n3. Move daily", 2, True),
        ("1. Eat well\n2. Sleep enough", 10, False),
        ("1. Eat well\n2. Sleep enough\n3. Move daily\n4. Rest often", 3, False),
        ("1. Eat well\n2. Sleep enough\n3. Move daily\n4. Rest often", 4, True),
        ("1. Eat well\n3. Sleep enough\n4. Move daily", 10, False),
        ("1. 1. Eat well\n2. Sleep enough\n3. Move daily", 10, False),
        ("1. Eat: well\n2. Sleep enough\n3. Move daily", 10, False),
        ("1. Eat\n2. Sleep enough\n3. Move daily", 10, False),
        ("1. " + "Eat well " * 4 + "now\n2. Sleep enough\n3. Move daily", 10, False),
        ("Sure! 1. Eat well\n2. Sleep enough\n3. Move daily", 10, False),
        ("", 10, False),
    ],
)
def test_only_a_list_can_be_written(text: str, max_points: int, allowed: bool) -> None:
    """A model that obeys the grammar has no other way to answer."""
    assert allowed is bool(pattern_of(list_grammar(max_points)).fullmatch(text))


WORDS = st.sampled_from(["Early", "Über", "早睡", "Don't", "Self-care", "Спать", "수면", "ตื่น", "नींद"])
TITLES = st.lists(WORDS, min_size=2, max_size=8).map(" ".join)


@given(st.data(), st.integers(3, 10))
def test_what_is_allowed_is_a_skeleton(data: st.DataObject, most: int) -> None:
    """In any script every line is a point, and every point is a line."""
    lines = data.draw(st.lists(TITLES, min_size=3, max_size=most, unique_by=str.casefold))
    text = "\n".join(f"{number}. {line}" for number, line in enumerate(lines, 1))
    assert pattern_of(list_grammar(most)).fullmatch(text)
    assert lines == [point.title for point in parse(text)]


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        (" Sleep is good for you.", True),
        (" Sleep is good for you! Is it not good for all?", True),
        (" 睡眠对身体和心灵都有好处，人人都需要它。", True),
        (" Sleep is good for you. So is food, of course. And water too.", False),
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
    assert allowed is bool(pattern_of(sentences_grammar(1, 2)).fullmatch(text))
