from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from skeleton_of_thought.models._tokens import Prefixes, Text

BYTES = [bytes([each]) for each in range(256)]


def show(data, stop=(), cuts=()):
    """Feed bytes, one token each, in pieces that end at the cuts."""
    text = Text(BYTES, stop)
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [text.feed(list(data[start:end])) for start, end in pairwise(edges)] + [text.flush()]


@given(
    st.text("abcé🎉"),
    st.lists(st.text("abcé", min_size=1, max_size=3), max_size=3),
    st.lists(st.integers(0, 200), max_size=6),
)
def test_every_way_of_cutting_gives_one_text(text, stop, cuts):
    """Where the tokens are cut says nothing about what is shown of them."""
    assert "".join(show(text.encode(), tuple(stop))) == "".join(show(text.encode(), tuple(stop), cuts))


@given(st.binary(), st.lists(st.integers(0, 200), max_size=6))
def test_no_piece_has_a_broken_character(data, cuts):
    """Whatever bytes a model writes, what is shown is what can be read of them."""
    assert data.decode(errors="ignore") == "".join(show(data, (), cuts))


def test_characters_are_whole():
    """A character is shown when its last byte has come."""
    assert ["", "", "", "🎉", ""] == show("🎉".encode(), cuts=(1, 2, 3))


def test_half_a_character_is_not_shown():
    """What never becomes a character is left out, at the end and in the middle."""
    assert "ab" == "".join(show(b"\xf0\x9fa\x80b\xe3"))


def test_nothing_is_shown_from_a_stop_string_on():
    """A stop string is hidden although it came in three pieces, and so is what follows it."""
    assert ["on", "", "", "", ""] == show(b"on<end>off", ("<end>",), cuts=(4, 6, 9))


def test_a_stop_string_that_did_not_come_is_shown():
    """What looked like the beginning of a stop string is text after all."""
    assert ["a", "", "<end!", ""] == show(b"a<end!", ("<end>",), cuts=(2, 5))
    assert ["a", "<end"] == show(b"a<end", ("<end>",))


def test_the_first_of_several_stop_strings_counts():
    """Of several stop strings the one counts that is complete first."""
    assert ["a", "a"] == ["".join(show(text, stop)) for text, stop in ((b"a;b.c", (".", ";")), (b"abc", ("abc", "b")))]


def test_an_empty_stop_string_stops_nothing():
    """Some clients send an empty stop string and mean none."""
    assert "ab" == "".join(show(b"ab", ("",)))


def test_control_tokens_show_nothing():
    """A token without bytes leaves no trace, not even inside a character."""
    text = Text([*BYTES, b""], ())
    assert "é" == text.feed([0xC3, 256, 0xA9])


def test_a_known_beginning_counts_in_whole_blocks():
    """Of a hundred known tokens three blocks count."""
    prefixes = Prefixes()
    prefixes.remember(range(100))
    assert [96, 64, 0] == [prefixes.count(ids) for ids in ([*range(200)], [*range(64), 0, *range(80)], [1, *range(99)])]


def test_the_last_token_is_always_computed():
    """A prompt that is known to its end still costs one token."""
    prefixes = Prefixes()
    prefixes.remember(range(64))
    assert 63 == prefixes.count(range(64))


def test_the_least_lately_used_is_forgotten_first():
    """What is asked again and again stays; what was asked once goes."""
    prefixes = Prefixes()
    shared, once = range(32), range(1_000_000, 1_000_032)
    prefixes.remember(once)
    for number in range(600):
        prefixes.remember(shared)
        prefixes.remember(range(1000 * number, 1000 * number + 32))
    assert (31, 0) == (prefixes.count(shared), prefixes.count(once))
