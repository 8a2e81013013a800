import pytest
from hypothesis import given
from hypothesis import strategies as st

from skeleton_of_thought import Point
from skeleton_of_thought._replies import DirectReply, PointReply, Reply, SkeletonReply
from skeleton_of_thought.errors import EmptyTextError
from skeleton_of_thought.skeleton import SkeletonParser
from tests.core.cutting import cuttings

SLEEP = Point(2, "Sleep well")
WORDS = "Go to bed at ten, and leave your telephone where you cannot reach it."
LIST = "1. Eat well\n2. Sleep well\n3. Move every day\n4. See friends"
TITLES = ["Eat well", "Sleep well", "Move every day", "See friends"]


class Heard:
    """What came out of a reply."""

    def __init__(self) -> None:
        self.shown: list[str] = []
        self.origins: list[object] = []
        self.points: list[Point] = []
        self.skeleton: list[str] = []

    @property
    def text(self) -> str:
        return "".join(self.shown)

    def show(self, text: str, origin: object = None) -> None:
        self.shown.append(text)
        self.origins += [] if origin is None else [origin]

    def find(self, _: SkeletonParser, points: list[Point]) -> None:
        self.points += points

    def point(self) -> PointReply:
        return PointReply(SLEEP, [], self.show)

    def list(self, max_points: int | None = None) -> SkeletonReply:
        return SkeletonReply(lambda: SkeletonParser(max_points), self.skeleton.append, self.find)

    def direct(self, said: str = "") -> DirectReply:
        return DirectReply(self.show, said)


def say(reply: Reply, *pieces: str, exact: bool = False) -> None:
    """Let *reply* hear a request that breaks off."""
    reply.begin(exact=exact)
    for piece in pieces:
        reply.hear(piece, None)


def end(reply: Reply, *pieces: str, exact: bool = False, finish: str = "stop") -> None:
    """Let *reply* hear a request to its end."""
    say(reply, *pieces, exact=exact)
    reply.end(finish)


@st.composite
def broken(draw: st.DrawFn, text: str) -> list[list[str]]:
    """Break a text off several times, and cut what comes until then into pieces."""
    places = sorted(draw(st.lists(st.integers(0, len(text)), max_size=3)))
    return [draw(cuttings(text[start:end])) for start, end in zip([0, *places], [*places, len(text)], strict=True)]


# -- points --------------------------------------------------------------------------------------------


@given(st.data(), st.sampled_from(["", "2. Sleep well: ", "**Sleep well:** ", "<think>Hm.</think>\n\n"]))
def test_a_point_of_a_model_that_goes_on_exactly(data: st.DataObject, before: str) -> None:
    """However often it breaks off: each request goes on from what was shown, and blanks at the edges are not lost."""
    heard, attempt = Heard(), 0
    reply = heard.point()
    while reply.said != WORDS and attempt < 4:
        attempt += 1
        rest = (before if not reply.said else "") + WORDS[len(reply.said) :]
        first, *_ = data.draw(broken(rest))
        say(reply, *first, exact=True)
        assert WORDS.startswith(reply.said)
        assert reply.said == heard.text
    end(reply, (before if not reply.said else "") + WORDS[len(reply.said) :], exact=True)
    assert WORDS == heard.text == reply.said


@given(st.data(), st.sampled_from(["", "2. Sleep well: ", "**Sleep well:** ", "<think>Hm.</think>\n\n", "Point 2: "]))
def test_a_point_of_a_model_that_begins_anew(data: st.DataObject, before: str) -> None:
    """With title and thoughts, as it did the first time: the reader sees each word once."""
    heard = Heard()
    reply = heard.point()
    for _ in range(data.draw(st.integers(0, 3))):
        first, *_ = data.draw(broken(before + WORDS))
        say(reply, *first)
        assert WORDS.startswith(heard.text)
    end(reply, *data.draw(cuttings(before + WORDS)))
    assert WORDS == heard.text == reply.said


def test_what_was_not_shown_of_a_point_is_forgotten() -> None:
    """A title in the making, thoughts and blanks are no text: the next request begins anew."""
    heard = Heard()
    reply = heard.point()
    for pieces in (["2. Slee"], ["<think>Ten or"], ["  \n"], ["2. Sleep well: "]):
        say(reply, *pieces)
        assert "" == reply.said
    end(reply, "Go to bed.")
    assert "Go to bed." == heard.text


@pytest.mark.parametrize("finish", ["stop", "length", None])
@pytest.mark.parametrize("pieces", [[], [""], [" \n"], ["<think>Hm"], ["2. Sleep well:"]])
def test_a_point_without_a_text_is_none(pieces: list[str], finish: str | None) -> None:
    """The error tells why the model ended."""
    reply = Heard().point()
    say(reply, *pieces)
    with pytest.raises(EmptyTextError) as caught:
        reply.end(finish)
    assert finish == caught.value.finish


@pytest.mark.parametrize("exact", [True, False])
def test_a_point_that_has_all_of_its_text_may_be_given_no_more(exact: bool) -> None:
    """A break after the last word is no empty text."""
    heard = Heard()
    reply = heard.point()
    say(reply, "Go to bed.")
    end(reply, exact=exact)
    assert "Go to bed." == heard.text


# -- skeletons -----------------------------------------------------------------------------------------


@given(st.data())
def test_a_skeleton_of_a_model_that_goes_on_exactly(data: st.DataObject) -> None:
    """Its points are those of the whole text, each found once."""
    heard = Heard()
    reply = heard.list()
    for _ in range(3):
        first, *_ = data.draw(broken(LIST[len(reply.said) :]))
        say(reply, *first, exact=True)
    end(reply, LIST[len(reply.said) :], exact=True)
    assert TITLES == [point.title for point in heard.points] == [point.title for point in reply.parser.points]


@given(st.data())
def test_a_skeleton_of_a_model_that_begins_anew(data: st.DataObject) -> None:
    """Each point is found once, wherever it broke off before."""
    heard = Heard()
    reply = heard.list()
    for _ in range(3):
        first, *_ = data.draw(broken(LIST))
        say(reply, *first)
    end(reply, *data.draw(cuttings(LIST)))
    assert TITLES == [point.title for point in heard.points] == [point.title for point in reply.parser.points]


@pytest.mark.parametrize(
    ("said", "again"),
    [
        ("1. Eat well\n2. Sl", "2. Sleep well\n3. Move every day\n4. See friends"),
        ("1. Eat well\n2. Sleep well", "3. Move every day\n4. See friends"),
        ("1. Eat well\n2. Sleep well\n", "3. Move every day\n4. See friends"),
        ("1. Eat well\n2. Sleep well\n3.", "3. Move every day\n4. See friends"),
        ("1. Eat well\n2. Sleep well\n3. Move", "Move every day\n4. See friends"),
    ],
)
def test_a_skeleton_goes_on_at_a_line(said: str, again: str) -> None:
    """Models begin a list at the line that broke off, or at the next."""
    heard = Heard()
    reply = heard.list()
    say(reply, said)
    end(reply, again)
    assert TITLES == [point.title for point in heard.points]


def test_a_skeleton_without_a_point_yet_begins_anew() -> None:
    """A preamble and half a line are nothing to go on with."""
    heard = Heard()
    reply = heard.list()
    say(reply, "Sure! Here is the", " skeleton:\n1. Eat")
    assert "" == reply.said
    end(reply, LIST)
    assert (TITLES, [(LIST, None)]) == ([point.title for point in heard.points], reply.heard)


def test_a_line_that_a_token_limit_cut_is_no_point() -> None:
    """In the last request as in the first."""
    heard = Heard()
    reply = heard.list()
    say(reply, "1. Eat well\n")
    end(reply, "2. Sleep well\n3. Mo", finish="length")
    assert TITLES[:2] == [point.title for point in heard.points]


def test_a_list_that_is_over_is_heard_for_a_while() -> None:
    """Most models end by themselves, and tell what they cost; others are cut off."""
    reply = Heard().list(max_points=2)
    reply.begin(exact=False)
    assert [False, False, False, True] == [reply.hear(text, None) for text in ("1. A\n2. B\n", "x" * 90, "", "x" * 200)]


# -- direct answers ------------------------------------------------------------------------------------


@given(st.data(), st.booleans())
def test_a_direct_answer_is_gone_on_with(data: st.DataObject, exact: bool) -> None:
    """Each word is shown once, by models of either kind, and from whatever an earlier run has shown."""
    said = WORDS[: data.draw(st.integers(0, 20))]
    heard = Heard()
    reply = heard.direct(said)
    for _ in range(2):
        first, *_ = data.draw(broken(WORDS[len(reply.said) :] if exact else WORDS))
        say(reply, *first, exact=exact)
    rest = WORDS[len(reply.said) :] if exact else WORDS
    end(reply, *data.draw(cuttings(rest)), exact=exact)
    shown = said + heard.text
    assert WORDS == (shown if exact else shown.lstrip())


def test_messages_of_a_direct_answer_are_handed_on() -> None:
    """But not one whose text was shown before: it would say it again."""
    heard = Heard()
    reply = heard.direct()
    reply.begin(exact=False)
    reply.hear("Take figs, ", "first")
    reply.begin(exact=False)
    for text, origin in [("Take ", "second"), ("figs, and ", "third"), ("dates.", "fourth"), ("", "last")]:
        reply.hear(text, origin)
    reply.end("stop")
    assert "Take figs, and dates." == heard.text
    assert ["first", "fourth", "last"] == heard.origins


@pytest.mark.parametrize("exact", [True, False])
def test_white_space_is_nothing_to_go_on_with(exact: bool) -> None:
    """Many models begin with it, and no provider takes a message that has nothing else."""
    heard = Heard()
    reply = heard.direct()
    say(reply, "\n\n", exact=exact)
    assert "" == reply.said
    end(reply, "Take figs.", exact=exact)
    assert "Take figs." == heard.text == reply.said


def test_a_direct_answer_without_a_text_is_none() -> None:
    """Unless it came in messages, which may hold something else, or goes on from an earlier one."""
    with pytest.raises(EmptyTextError):
        end(Heard().direct())
    end(Heard().direct("Take figs."))
    reply = Heard().direct()
    reply.begin(exact=False)
    reply.hear("", "calls a tool")
    reply.end("tool_calls")
    assert "" == reply.said
