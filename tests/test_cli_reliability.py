"""What the command does with a slow or failing endpoint, flag by flag, and how an answer that broke off is finished."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from skeleton_of_thought import Answer
from skeleton_of_thought.cli import failure, main
from skeleton_of_thought.testing import Dropped, LatencyModel, LatencyServer, Rejected, Stalled, faults_by

from .script import POINTS, QUESTION, REPLY, TEXT

NEVER = "--retry", "1"
HOLE = TEXT.replace(POINTS[2], "[…]")


@contextmanager
def serving(faults: Mapping[Any, Sequence[Any]]) -> Iterator[LatencyServer]:
    """Serve the script, with faults for its points."""
    with LatencyServer(LatencyModel(reply=REPLY), faults=faults_by(faults)) as server:
        yield server


def ask(server: LatencyServer, *arguments: str) -> int:
    """Run the command on the endpoint."""
    return main(["ask", QUESTION, "--base-url", server.base_url, "--model", "scripted", *arguments])


def asked(server: LatencyServer) -> list[Any]:
    """Tell what was asked for: stages, and numbers of points."""
    return [request.stage for request in server.requests]


def test_a_request_that_fails_is_made_again(capsys: pytest.CaptureFixture[str]) -> None:
    """By itself, and nobody hears of it."""
    with serving({2: [Rejected(500, {"retry-after": "0"})]}) as server:
        assert 0 == ask(server)
        assert 5 == len(server.requests)
    assert (f"{TEXT}\n", "") == capsys.readouterr()


def test_retry_tells_how_many_requests_a_call_may_make(capsys: pytest.CaptureFixture[str]) -> None:
    """The first one included."""
    with serving({2: [Rejected(500)]}) as server:
        assert failure.FAILED == ask(server, *NEVER)
        assert 4 == len(server.requests)
    assert "sot: point 2 ('Avoid late coffee') could not be written: InternalServerError" in capsys.readouterr().err


def test_retry_has_to_be_at_least_one(capsys: pytest.CaptureFixture[str]) -> None:
    """It is told before anything is asked."""
    with serving({}) as server:
        assert failure.USAGE == ask(server, "--retry", "0")
        assert [] == server.requests
    assert "attempts=0 cannot work" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("policy", "text"),
    [("mark", HOLE), ("leave_out", TEXT.replace(f"2. Avoid late coffee: {POINTS[2]}\n\n", ""))],
)
def test_a_point_that_fails_may_be_marked_or_left_out(
    capsys: pytest.CaptureFixture[str], policy: str, text: str
) -> None:
    """The rest is the answer, and the command says how to go on."""
    with serving({2: [Rejected(500)]}) as server:
        assert 0 == ask(server, *NEVER, "--on-point-error", policy)
    out, err = capsys.readouterr()
    assert f"{text}\n" == out
    assert "--resume" in err


def test_a_model_that_is_silent_for_too_long_has_failed(capsys: pytest.CaptureFixture[str]) -> None:
    """The request is made again."""
    with serving({3: [Stalled(after=2)]}) as server:
        assert 0 == ask(server, "--timeout", "0.3")
        assert 5 == len(server.requests)
    assert (f"{TEXT}\n", "") == capsys.readouterr()


def test_at_the_deadline_what_is_written_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """The point that is not there says so."""
    with serving({2: [Stalled(after=None)]}) as server:
        assert 0 == ask(server, "--deadline", "1")
    out, err = capsys.readouterr()
    assert f"{HOLE}\n" == out
    assert "not complete" in err


@pytest.mark.parametrize("flag", ["--deadline", "--timeout"])
def test_seconds_have_to_be_more_than_none(capsys: pytest.CaptureFixture[str], flag: str) -> None:
    """It is told before anything is asked."""
    with serving({}) as server:
        assert failure.USAGE == ask(server, flag, "0")
        assert [] == server.requests
    assert f"{flag[2:]}=0.0 cannot work" in capsys.readouterr().err


@pytest.mark.parametrize("fault", [Rejected(500), Dropped(after=3)])
def test_an_answer_that_broke_off_is_finished(capsys: pytest.CaptureFixture[str], tmp_path: Path, fault: Any) -> None:
    """Only what is missing is asked for; the answer is what it would have been."""
    kept = tmp_path / "answer.json"
    with serving({2: [fault]}) as server:
        assert 0 == ask(server, *NEVER, "--on-point-error", "mark", "--json")
        kept.write_text(capsys.readouterr().out, encoding="utf-8")
        before = len(server.requests)
        assert 0 == ask(server, "--resume", str(kept), "--json")
        assert [2] == asked(server)[before:]
    answer = Answer.from_json(capsys.readouterr().out)
    assert (TEXT, True) == (answer.text, answer.complete)


@pytest.mark.parametrize("held", [None, "no answer", "{}"])
def test_a_file_that_holds_no_answer_is_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, held: str | None
) -> None:
    """With what to give instead, and nothing is asked."""
    kept = tmp_path / "answer.json"
    if held is not None:
        kept.write_text(held, encoding="utf-8")
    with serving({}) as server:
        assert failure.USAGE == ask(server, "--resume", str(kept))
        assert [] == server.requests
    assert f"{str(kept)!r} holds no answer: give a file that `sot ask --json` wrote" in capsys.readouterr().err
