"""Ways to cut a text into pieces, as models and networks do."""

from itertools import pairwise

from hypothesis import strategies as st

_MARKERS = ["1. ", "2. ", "3) ", "(4) ", "10. ", "1 - ", "- ", "* ", "• ", "一、", "二、", "第三点：", "①", "② ", "1️⃣"]
_MARKS = ["**", "__", "*", "_", "### ", "#", ": ", "：", ". ", "。", ", ", "—", " - ", "\n", "\n\n", "\r\n", "   "]
_TAGS = ["<think>", "</think>", "<thi", "nk>", "</", "<", ">"]
_WORDS = ["Eat", "Sleep well", "plan ahead", "早睡", "é", "x", "1.5 ", "2024 "]
SCRAPS = st.lists(st.sampled_from(_MARKERS + _MARKS + _TAGS + _WORDS) | st.text(max_size=3), max_size=40).map("".join)
"""Texts that look like lists to someone who does not look closely."""

_LINES = ["1. Eat", "2. Sleep", "3. Move", "1. Rest", "- Eat", "- Walk", "<think>", "</think>", "Hm", "", "Well, " * 40]
LISTS = st.lists(st.sampled_from(_LINES), max_size=12).map("\n".join)
"""Texts that are lists, thoughts and prose, in any order."""


def cuttings(text: str) -> st.SearchStrategy[list[str]]:
    """Cut *text* anywhere, empty pieces included."""
    places = st.lists(st.integers(0, len(text)), max_size=12).map(sorted)
    return places.map(lambda places: [text[start:end] for start, end in pairwise([0, *places, len(text)])])
