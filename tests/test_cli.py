import asyncio
import fcntl
import json
import os
import pty
import re
import signal
import socket
import struct
import subprocess
import sys
import termios
import threading
from dataclasses import fields
from itertools import pairwise

import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skeleton_of_thought import Abilities, Answer, Route, Usage
from skeleton_of_thought.answer import Section, Timings
from skeleton_of_thought.cli import ask, failure, figures, main
from skeleton_of_thought.cli.settings import HELP
from skeleton_of_thought.cli.view import LiveView
from skeleton_of_thought.cli.wrap import WordWrap, harmless
from skeleton_of_thought.errors import ModelMissingError
from skeleton_of_thought.events import PointDone, PointFound, PointText, SkeletonReady
from skeleton_of_thought.models._store import DEFAULT_MODEL, find
from skeleton_of_thought.server import running
from skeleton_of_thought.settings import Settings
from skeleton_of_thought.skeleton import Point, Skeleton
from skeleton_of_thought.testing import Failure, LatencyModel, LatencyServer, ScriptedLLM

from .script import DIRECT, POINTS, QUESTION, REPLY, SKELETON, TEXT

SOT = [sys.executable, "-W", "error", "-m", "skeleton_of_thought"]
DAMAGED = "damaged.gguf"


def sot(*arguments, stdin="", **environment):
    """Run the command in a process of its own."""
    return subprocess.run(
        [*SOT, *arguments], input=stdin, capture_output=True, text=True, timeout=50, env={**os.environ, **environment}
    )


def at(server):
    """Tell the command where the model is."""
    return "--base-url", server.base_url, "--model", "scripted"


class Gate:
    """A reply that keeps every point waiting until the gate is opened."""

    def __init__(self):
        self.opened = threading.Event()

    def __call__(self, generation):
        reply = REPLY(generation)
        if reply in POINTS.values():
            assert self.opened.wait(timeout=40)
        return reply


@pytest.fixture(scope="module")
def server():
    """Serve the script."""
    with LatencyServer(LatencyModel(reply=REPLY)) as server:
        yield server


@pytest.fixture
def gated():
    """Serve the script, and keep its points waiting until ``gate.opened`` is set."""
    gate = Gate()
    with LatencyServer(LatencyModel(reply=gate)) as server:
        server.gate = gate.opened
        yield server
        gate.opened.set()


@pytest.fixture
def scripted(monkeypatch):
    """Put a model of a test in the place of the one that the command would make."""

    def use(llm):
        monkeypatch.setattr(ask, "_model", lambda _: llm)

    return use


# -- what comes out ------------------------------------------------------------------------------------


def test_piped_output_is_the_answer_and_nothing_else(server):
    """Figures, notes and errors have no place in it."""
    done = sot("ask", QUESTION, *at(server))
    assert (0, f"{TEXT}\n", "") == (done.returncode, done.stdout, done.stderr)


def test_piped_output_comes_as_soon_as_it_can_be_read(gated):
    """The first heading is there while no point is written."""
    with subprocess.Popen([*SOT, "ask", QUESTION, *at(gated)], stdout=subprocess.PIPE, text=True) as process:
        heading = TEXT[: TEXT.index("Go")]
        assert heading == process.stdout.read(len(heading))
        gated.gate.set()
        assert f"{TEXT}\n" == heading + process.stdout.read()


def test_a_direct_answer_is_plain_text_too(server, capsys):
    """Also where no skeleton is wanted."""
    assert 0 == main(["ask", QUESTION, *at(server), "--router", "never"])
    assert (f"{DIRECT}\n", "") == capsys.readouterr()


def test_json_is_the_answer_object(server):
    """Its output reads back."""
    done = sot("ask", QUESTION, *at(server), "--json")
    answer = Answer.from_json(done.stdout)
    assert (TEXT, "skeleton", 3, "") == (answer.text, answer.route.kind, len(answer.sections), done.stderr)


def test_events_are_one_object_a_line_in_order(server):
    """From the route to the answer, each with its name."""
    events = [json.loads(line) for line in sot("ask", QUESTION, *at(server), "--events").stdout.splitlines()]
    names = [event["event"] for event in events]
    once = ["Routed", "SkeletonText", "PointFound", "SkeletonReady", "Text", "PointStarted", "PointText", "PointDone"]
    assert [*once, "Finished"] == sorted(set(names), key=names.index)
    assert TEXT == "".join(event["text"] for event in events if event["event"] == "Text")
    assert TEXT == Answer.from_json(json.dumps(events[-1]["answer"])).text


def test_a_failure_is_an_event_with_words(scripted, capsys):
    """An exception has no JSON, so its line stands for it."""
    scripted(ScriptedLLM(skeleton=SKELETON, points=POINTS, failures={2: OSError("the line is dead")}))
    assert failure.FAILED == main(["ask", QUESTION, "--events"])
    failed = [event for line in capsys.readouterr().out.splitlines() if (event := json.loads(line)).get("error")]
    assert [("PointFailed", 2, "OSError: the line is dead")] == [
        (event["event"], event["point"]["number"], event["error"]) for event in failed
    ]


def test_a_dash_reads_the_question_from_standard_input(server):
    """As other commands do."""
    done = sot("ask", "-", *at(server), "--json", stdin=f"{QUESTION}\n")
    assert QUESTION == Answer.from_json(done.stdout).question


def test_standard_input_that_is_no_text_is_refused():
    """It says so on one line."""
    environment = {**os.environ, "PYTHONUTF8": "1", "PYTHONIOENCODING": "utf-8:strict"}
    done = subprocess.run([*SOT, "ask", "-"], input=b"\xff\xfe", capture_output=True, timeout=50, env=environment)
    assert (failure.USAGE, b"sot: standard input is no utf-8 text: give the question as text\n") == (
        done.returncode,
        done.stderr,
    )


def test_figures_go_to_standard_error(server, capsys):
    """Where they are wanted, the answer is still alone on its output."""
    assert 0 == main(["ask", QUESTION, *at(server), "--figures"])
    out, err = capsys.readouterr()
    assert f"{TEXT}\n" == out
    assert re.fullmatch(r"\d+\.\d\d s · first text .* · \d+\+\d+ tokens · skeleton\n", err)


def test_compare_tells_both(server):
    """The answer stays alone on its output, the table is beside it."""
    before = len(server.requests)
    done = sot("ask", QUESTION, *at(server), "--compare")
    assert f"{TEXT}\n" == done.stdout
    assert ["SoT", "direct"] == re.findall(r"^(SoT|direct)\b", done.stderr, re.MULTILINE)
    assert "But the lengths differ, 32 and 8 tokens" in done.stderr
    warm_up, *points, direct = server.requests[before:]
    assert ("Hello", QUESTION) == (warm_up.body["messages"][-1]["content"], direct.body["messages"][-1]["content"])
    assert 4 == len(points)


def test_a_direct_answer_has_nothing_to_compare(server, capsys):
    """It would be compared with itself."""
    assert 0 == main(["ask", QUESTION, *at(server), "--compare", "--router", "never"])
    assert "there is nothing to compare" in capsys.readouterr().err


def answered(kind, text, seconds, **usage):
    return Answer(
        question=QUESTION,
        route=Route(kind, "rules", "so it is"),
        text=text,
        usage=usage,
        timings=Timings(total=seconds, first_text=seconds / 4, skeleton=1.0, skeleton_first=0.5),
    )


def test_the_line_of_figures():
    """Times, an estimate that is called one, tokens, and the route."""
    answer = answered("skeleton", "", 2.0, skeleton=Usage(10, 11), point=Usage(90, 100, 60))
    line = figures.line(answer)
    assert "2.00 s · first text 0.50 s · about 2.8x (estimate) · 100+111 tokens · skeleton" == line
    assert len(line) <= 80


def test_the_line_of_figures_leaves_out_what_is_not_known():
    """A model may tell no usage."""
    assert "2.00 s · first text 0.50 s · direct: so it is" == figures.line(answered("direct", "", 2.0))


def test_a_comparison_is_also_made_token_for_token():
    """A shorter answer is no faster model, and the skeleton is a cost and no length."""
    answer = answered("skeleton", "", 2.0, skeleton=Usage(10, 20), point=Usage(90, 100))
    direct = answered("direct", "", 8.0, direct=Usage(10, 200))
    assert (
        "              time  first text   tokens in  tokens out\n"
        "SoT         2.00 s      0.50 s         100         120\n"
        "direct      8.00 s      2.00 s          10         200\n"
        "4.00x as fast. But the lengths differ, 100 and 200 tokens: token for token 2.00x."
    ) == figures.comparison(answer, direct)


@pytest.mark.parametrize(
    ("texts", "verdict"),
    [
        (("abcd", "efgh"), "Both have 4 characters."),
        (("ab", "efgh"), "But the lengths differ, 2 and 4 characters: character for character 2.00x."),
        (("", "efgh"), "One of the two is empty."),
    ],
)
def test_without_usage_characters_are_counted(texts, verdict):
    """Some length is always known."""
    answer, direct = answered("skeleton", texts[0], 2.0), answered("direct", texts[1], 8.0)
    assert f"4.00x as fast. {verdict}" == figures.comparison(answer, direct).splitlines()[-1]


# -- settings ------------------------------------------------------------------------------------------


def test_every_setting_is_a_flag():
    """Under its own name; prompts and retrievers belong into a program."""
    assert {field.name for field in fields(Settings)} - {"prompts", "retriever", "rate_limit", "hedge"} == set(HELP)


def test_flags_are_settings(server, capsys):
    """They arrive where the settings of a program arrive."""
    before = len(server.requests)
    flags = ["--max-points", "2", "--heading", "bold", "--point-max-tokens", "4", "--detail", "long"]
    assert 0 == main(["ask", QUESTION, *at(server), *flags])
    assert "**Keep regular hours:** Go to bed and\n\n**Avoid late coffee:** Caffeine works for hours,\n" == (
        capsys.readouterr().out
    )
    points = [request.body for request in server.requests[before + 1 :]]
    assert [4, 4] == [body["max_tokens"] for body in points]
    assert all("2 to 3 paragraphs" in body["messages"][-1]["content"] for body in points)


def test_help_tells_flags_and_exit_codes(capsys):
    """Both are an interface."""
    for command in ([], ["ask"]):
        with pytest.raises(SystemExit) as left:
            main([*command, "--help"])
        assert 0 == left.value.code
    out = capsys.readouterr().out
    assert all(f"{code:>3}  {meaning}" in out for code, meaning in failure.EXIT_CODES.items())
    assert all(f"--{name.replace('_', '-')}" in out for name in HELP)


def test_version_and_route(capsys):
    """Small commands with small answers."""
    with pytest.raises(SystemExit):
        main(["--version"])
    assert 0 == main(["route", QUESTION])
    version, route = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"sot \d+\.\d+\.\d+\S*", version)
    assert "skeleton, by rules: it asks how something open can be done" == route


# -- what goes wrong -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["ask", " "], "the question is empty"),
        (["ask", QUESTION, "--max-points", "1"], "max_points=1 cannot work"),
        (["ask", QUESTION, "--max-points", "many"], "invalid int value: 'many'"),
        (["ask", QUESTION, "--min-points", "12"], "min_points=12 is more than max_points=10"),
        (["ask", QUESTION, "--router", "maybe"], "choose from"),
        (["ask", QUESTION, "--json", "--events"], "not allowed with argument --json"),
        (["ask", QUESTION, "--base-url", "http://127.0.0.1:9/v1"], "name one with --model"),
        (["ask", QUESTION, "--model", "m", "--api-key-env", "SOT_NO_KEY"], "'SOT_NO_KEY' is empty"),
        (["ask"], "question"),
        ([], "COMMAND"),
    ],
)
def test_wrong_usage(arguments, said, capsys):
    """It is told on one line, and the code is 2."""
    try:
        code = main(arguments)
    except SystemExit as left:  # argparse's way to end
        code = left.code
    out, err = capsys.readouterr()
    assert (failure.USAGE, "", 1) == (code, out, err.count("\n"))
    assert err.startswith("sot: ")
    assert said in err


def test_an_endpoint_that_is_not_there():
    """One line with the cure, and the code is 1."""
    done = sot("ask", QUESTION, "--base-url", "http://127.0.0.1:9/v1", "--model", "m")
    line = "sot: APIConnectionError: Connection error: see whether --base-url is right and the endpoint is running\n"
    assert (failure.FAILED, "", line) == (done.returncode, done.stdout, done.stderr)


def test_a_model_that_was_not_pulled(tmp_path):
    """The line names the command that brings it."""
    done = sot("ask", QUESTION, XDG_CACHE_HOME=str(tmp_path))
    assert (failure.MISSING, "", 1) == (done.returncode, done.stdout, done.stderr.count("\n"))
    assert f"sot model pull {DEFAULT_MODEL}" in done.stderr


@pytest.mark.parametrize(("name", "said"), [("none.gguf", "there is no file"), (DAMAGED, "not a GGUF file")])
def test_a_model_file_that_is_missing_or_damaged(tmp_path, capsys, name, said):
    """Both are code 3."""
    (tmp_path / DAMAGED).write_bytes(b"not a model")
    assert failure.MISSING == main(["ask", QUESTION, "--model", str(tmp_path / name)])
    out, err = capsys.readouterr()
    assert ("", 1) == (out, err.count("\n"))
    assert said in err


@pytest.mark.parametrize(
    ("package", "extra", "arguments"),
    [
        ("openai", "openai", ["ask", QUESTION, "--base-url", "http://127.0.0.1:9/v1", "--model", "m"]),
        ("openvino_genai", "local", ["ask", QUESTION]),
        ("openvino_genai", "local", ["serve"]),
        ("platformdirs", "local", ["model", "list"]),
    ],
)
def test_a_package_that_is_not_installed(package, extra, arguments):
    """The line says how to install it."""
    code = f"import sys; sys.modules[{package!r}] = None; from skeleton_of_thought.cli import main; sys.exit(main())"
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=50)
    assert (failure.MISSING, 1) == (done.returncode, done.stderr.count("\n"))
    assert f'pip install "skeleton-of-thought[{extra}]"' in done.stderr


class Late:
    """A model that fails at point 2 when all others are written."""

    def __init__(self):
        self.rest = ScriptedLLM(skeleton=SKELETON, points=POINTS)
        self.others = asyncio.Barrier(3)

    async def __call__(self, call):
        if call.point == 2:
            await self.others.wait()
            raise OSError("the line is dead")
        async for piece in self.rest(call):
            yield piece
        if call.point:
            await self.others.wait()


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_a_point_that_fails_leaves_what_was_written(scripted, capsys, form):
    """Also what had to wait for it; then the cause, and code 1."""
    scripted(Late())
    assert failure.FAILED == main(["ask", QUESTION, *form])
    out, err = capsys.readouterr()
    text = Answer.from_json(out).text if form else out.removesuffix("\n")
    assert TEXT.replace(POINTS[2], "") == text
    assert "sot: point 2 ('Avoid late coffee') could not be written: OSError: the line is dead\n" == err


def test_a_direct_answer_that_fails_leaves_its_line(scripted, capsys):
    """The error does not follow in the middle of a sentence."""
    scripted(ScriptedLLM(direct=DIRECT, failures={"direct": Failure(OSError("the line is dead"), after=2)}))
    assert failure.FAILED == main(["ask", QUESTION, "--router", "never"])
    assert ("Keep regular\n", "sot: OSError: the line is dead\n") == capsys.readouterr()


def test_an_error_is_one_line_whatever_it_says():
    """Also when it says much."""
    line = failure.line(OSError("one\ntwo " + "many " * 200))
    assert line.startswith("OSError: one two many")
    assert line.endswith("…")
    assert len(line) < 500


@pytest.mark.parametrize(
    ("status", "cure"), [(401, "--api-key-env"), (404, "--model"), (429, "--max-concurrency"), (418, "I am a teapot")]
)
def test_a_refusal_names_the_flag_to_look_at(status, cure, capsys):
    """As far as the status tells."""

    async def refuse(scope, receive, send):
        if scope["type"] == "http":
            headers = [(b"x-should-retry", b"false")]
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": b"I am a teapot"})

    with running(refuse) as server:
        assert failure.FAILED == main(["ask", QUESTION, *at(server)])
    out, err = capsys.readouterr()
    assert ("", 1) == (out, err.count("\n"))
    assert cure in err


# -- leaving early -------------------------------------------------------------------------------------


def test_an_interrupt_ends_the_calls_too(gated):
    """Code 130, nothing said, and no request goes on."""
    slow = LatencyModel(reply=REPLY, per_token=0.001, slowdown=lambda in_flight: 1 if in_flight == 1 else 1e6)
    with LatencyServer(slow) as server:
        with subprocess.Popen([*SOT, "ask", QUESTION, *at(server)], stdout=-1, stderr=-1) as process:
            while server.in_flight < 3:
                assert process.poll() is None
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=30)
        server.wait_until_idle()
        assert (failure.INTERRUPTED, b"") == (process.returncode, err)
        assert [False, True, True, True] == [request.cancelled for request in server.requests]


def test_a_reader_that_leaves_is_no_error(gated):
    """As with ``| head``: it ends quietly, with the code of a broken pipe."""
    with subprocess.Popen([*SOT, "ask", QUESTION, *at(gated)], stdout=-1, stderr=-1) as process:
        assert b"1. K" == process.stdout.read(4)
        process.stdout.close()
        gated.gate.set()
        err = process.stderr.read()
    assert (failure.READER_LEFT, b"") == (process.returncode, err)


# -- on a terminal -------------------------------------------------------------------------------------


class Terminal:
    """A pseudo-terminal of 80 x 24 with the command on it."""

    def __init__(self, *arguments):
        self._end, other = pty.openpty()
        fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        environment = {**os.environ, "TERM": "xterm-256color"}
        self.process = subprocess.Popen(
            [*SOT, *arguments], stdin=other, stdout=other, stderr=other, env=environment, start_new_session=True
        )
        os.close(other)
        self.seen = ""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        os.close(self._end)

    def read(self):
        """Read some, and tell whether there was any."""
        try:
            piece = os.read(self._end, 65536)
        except OSError:  # how Linux tells the end of a terminal
            return False
        self.seen += re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]|\r", "", piece.decode(errors="ignore"))
        return bool(piece)


def words(text):
    """A text without its line ends."""
    return " ".join(text.split())


def test_a_terminal_sees_the_skeleton_first_and_keeps_the_answer(gated):
    """The titles are there while no point is written; at the end the whole text is, and the figures."""
    titles = [line.partition(". ")[2] for line in SKELETON.splitlines()]
    with Terminal("ask", QUESTION, *at(gated)) as terminal:
        while "writing 3 points" not in terminal.seen:
            assert terminal.read()
        assert all(title in terminal.seen for title in titles)
        assert "Go to bed" not in terminal.seen
        gated.gate.set()
        while terminal.read():
            pass
        assert 0 == terminal.process.wait(timeout=30)
        text, figures = words(terminal.seen).rsplit(words(TEXT), 1)
    assert "first text" not in text
    assert "first text" in figures


def test_an_interrupt_on_a_terminal_leaves_the_board(gated):
    """What was read stays readable, and nothing else is said."""
    with Terminal("ask", QUESTION, *at(gated)) as terminal:
        while "writing 3 points" not in terminal.seen:
            assert terminal.read()
        terminal.process.send_signal(signal.SIGINT)
        while terminal.read():
            pass
        assert failure.INTERRUPTED == terminal.process.wait(timeout=30)
    assert terminal.seen.rstrip().endswith("Darken the bedroom")


@pytest.fixture
def screen(monkeypatch, capsys):
    """Pretend a terminal; calling the fixture tells what was left on it, and what went to standard error."""
    for name, value in {"TTY_COMPATIBLE": "1", "TERM": "xterm", "COLUMNS": "60", "LINES": "12"}.items():
        monkeypatch.setenv(name, value)

    def look():
        out, err = (re.sub(r"\x1b\[[0-9;?]*[mhl]|\r", "", text) for text in capsys.readouterr())
        return re.split(r"(?:\x1b\[1A\x1b\[2K)+", out)[-1].strip("\n"), err

    return look


@pytest.fixture
def watched(screen, scripted, monkeypatch):
    """Ask with a given model while somebody reads along on the pretended terminal."""

    def answer(llm, *flags):
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
        scripted(llm)
        assert 0 == main(["ask", QUESTION, *flags])
        return screen()

    return answer


def test_the_board_keeps_to_the_screen(screen):
    """However many points there are, and however long their texts."""
    view = LiveView()
    points = tuple(Point(number, f"Title {number}") for number in range(1, 31))
    for event in (*map(PointFound, points), SkeletonReady(Skeleton(points)), PointText(1, "word " * 300)):
        view.hear(event)
    view.leave(None)
    frame = screen()[0].splitlines()
    assert 9 == len(frame)
    assert " 1. Title 1" in frame[0]


def test_the_board_shows_the_last_lines_of_each_point(screen):
    """As many as fit, broken between words, and a sign where a point is done."""
    view = LiveView()
    points = (Point(1, "Eat"), Point(2, "Sleep"))
    numbered = " ".join(map(str, range(100, 160)))
    events = [*map(PointFound, points), SkeletonReady(Skeleton(points)), PointText(2, numbered)]
    events += [PointText(1, "Well."), PointDone(Section(points[0], "Well."))]
    for event in events:
        view.hear(event)
    view.leave(None)
    assert [
        "✓  1. Eat",
        "      Well.",
        "   2. Sleep",
        "      " + " ".join(map(str, range(126, 139))),
        "      " + " ".join(map(str, range(139, 152))),
        "      " + " ".join(map(str, range(152, 159))),
    ] == [line.rstrip() for line in screen()[0].splitlines()]


def test_a_failing_point_leaves_its_text_on_a_terminal(screen):
    """The board gives way to what was written."""
    view = LiveView()
    view.hear(PointFound(Point(1, "Eat")))
    view.leave(answered("skeleton", "1. Eat: Well, and", 1.0))
    assert "1. Eat: Well, and" == screen()[0]


def test_a_direct_answer_is_printed_as_it_comes(watched):
    """It needs no board; its lines end between words, and its figures follow."""
    left, figures = watched(ScriptedLLM(direct=f"{DIRECT} {DIRECT}"), "--router", "never")
    assert "Keep regular hours, and sleep in the dark. Keep regular\nhours, and sleep in the dark." == left
    assert "direct: no question gets one" in " ".join(figures.split())


def test_a_skeleton_that_is_none_gives_way_to_a_direct_answer(watched):
    """Nothing of it stays on the screen."""
    left, _ = watched(ScriptedLLM(skeleton="1. One only", direct=DIRECT), "--no-figures")
    assert DIRECT == left


@pytest.mark.parametrize("small", [True, False])
def test_a_very_small_model_is_not_to_be_believed(watched, small):
    """Whoever reads along is told so, and nobody else is."""
    llm = ScriptedLLM(skeleton=SKELETON, points=POINTS, abilities=Abilities(small=small))
    assert small == ("fluent and often wrong" in watched(llm)[1])


def test_control_characters_do_not_reach_a_terminal():
    """A model could move the cursor otherwise."""
    assert "[31mred\nand\ttab" == harmless("\x1b[31mred\x07\nand\ttab\r\x9b")


@given(st.text(alphabet="ab \n眠\té"), st.lists(st.integers(0, 30)), st.integers(4, 12))
def test_word_wrap_does_not_depend_on_the_pieces(text, cuts, width):
    """However a text is cut, its lines are the same, and no word is lost."""
    whole = WordWrap(width)
    expected = whole.feed(text) + whole.flush()
    page, at = WordWrap(width), [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    assert expected == "".join(page.feed(text[a:b]) for a, b in pairwise(at)) + page.flush()
    assert "".join(text.split()) == "".join(expected.split())


def test_word_wrap_ends_lines_between_words():
    """A word that is longer than a line is left to the terminal; signs that need no spaces end a line anywhere."""
    page = WordWrap(10)
    text = "one two three abcdefghijklmnop four\n\n  睡眠睡眠睡眠"
    assert "one two\nthree\nabcdefghijklmnop\nfour\n\n  睡眠睡眠\n睡眠" == page.feed(text) + page.flush()


# -- the embedded model --------------------------------------------------------------------------------


@pytest.fixture
def embedded():
    """Skip where the model was not pulled: a test does not download."""
    try:
        return find(DEFAULT_MODEL)
    except ModelMissingError as error:
        pytest.skip(str(error))


def test_models_have_names(embedded, capsys):
    """They are listed, and found."""
    assert 0 == main(["model", "list"])
    assert 0 == main(["model", "path", DEFAULT_MODEL])
    *rows, path = capsys.readouterr().out.splitlines()
    assert str(embedded) == path
    assert any(re.fullmatch(rf"{DEFAULT_MODEL} +\d+ MB +Apache-2.0 .* here", row) for row in rows)
    assert 0 == main(["model", "pull"])
    assert f"{embedded}\n" == capsys.readouterr().out


def test_the_embedded_model_answers(embedded):
    """With nothing to configure."""
    flags = ["--router", "always", "--max-points", "3", "--point-max-tokens", "16", "--json"]
    done = sot("ask", QUESTION, *flags)
    answer = Answer.from_json(done.stdout)
    assert (0, "skeleton") == (done.returncode, answer.route.kind)
    assert all(section.text.strip() for section in answer.sections)


def test_the_embedded_model_is_served(embedded):
    """The address comes when it is ready; an interrupt ends it well."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with subprocess.Popen([*SOT, "serve", "--port", str(port)], stdout=-1, stderr=-1, text=True) as process:
        url = process.stdout.readline().strip()
        with openai.OpenAI(base_url=url, api_key="none", max_retries=10) as client:
            said = client.completions.create(model="any", prompt="Hello", max_tokens=4)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert (f"http://127.0.0.1:{port}/v1", DEFAULT_MODEL, 4) == (url, said.model, said.usage.completion_tokens)
    assert (0, f"serving {DEFAULT_MODEL} until Ctrl-C\n") == (process.returncode, err)


def test_a_port_that_is_taken_is_told_of(embedded):
    """It is a setting that cannot work, and the line names the flag."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = sot("serve", "--port", str(port))
    line = f"sot: cannot listen at 127.0.0.1:{port}: Address already in use: see --host and --port"
    assert (failure.USAGE, line) == (done.returncode, done.stderr.splitlines()[-1])
