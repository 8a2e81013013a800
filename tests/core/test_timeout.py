import asyncio
from collections.abc import AsyncGenerator

import pytest

from skeleton_of_thought import Call, ConfigurationError, PointError, Retry, Timeout
from skeleton_of_thought._listen import Heard, listen
from skeleton_of_thought.calls import Allowance, Piece, Said, Usage
from skeleton_of_thought.errors import ModelTimeoutError
from skeleton_of_thought.events import CallRetried
from skeleton_of_thought.testing import Failure
from tests.core.clock import skip_time
from tests.core.running import FOREVER, TEXT, engine, events_of, failing, run, scripted, text_of, whole

SHORT = 0.02
"""Seconds, after which a model that says nothing any more is left."""
NEVER = Retry(attempts=1)
ONCE_MORE = Retry(attempts=2, first_wait=0)


@pytest.fixture(autouse=True)
def _no_time_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    skip_time(monkeypatch)


async def silent(call: Call) -> AsyncGenerator[Piece, None]:
    """Say what the stage asks for, and nothing more for ever."""
    yield "1. Eat well\n2. Sleep well\n" if call.stage == "skeleton" else "Take "
    await asyncio.sleep(FOREVER)


class Slow:
    """A model whose first request for each point stalls after so many pieces."""

    def __init__(self, after: int) -> None:
        self._after = after
        self._asked: set[int] = set()
        self._llm = scripted()
        self.closed = 0

    async def __call__(self, call: Call) -> AsyncGenerator[Piece, None]:
        first = call.point is not None and call.point not in self._asked
        self._asked.add(call.point or 0)
        said = 0
        try:
            async for piece in self._llm(call):
                if first and said == self._after:
                    await asyncio.sleep(FOREVER)
                said += 1
                yield piece
        finally:
            self.closed += 1


def test_a_model_that_says_nothing_is_left() -> None:
    """With an error that tells how long it was silent."""
    _, error = failing(engine(scripted(delay={2: FOREVER}), timeout=SHORT, retry=NEVER))
    assert isinstance(error, PointError)
    assert (2, ModelTimeoutError, SHORT) == (error.number, type(error.__cause__), error.__cause__.seconds)  # type: ignore[union-attr]  # the cause is one


@pytest.mark.parametrize("after", [0, 1])
def test_a_silence_is_as_a_connection_that_broke(after: int) -> None:
    """The call is made again, or goes on from what was shown, and the silent request is closed."""
    llm = Slow(after)
    events = events_of(engine(llm, timeout=SHORT, retry=ONCE_MORE))
    assert TEXT == text_of(events)
    assert [1, 2, 3] == sorted(each.number or 0 for each in events if isinstance(each, CallRetried))
    assert 7 == llm.closed


def test_the_first_token_and_the_others_have_times_of_their_own() -> None:
    """A model that thinks for long may still not fall silent, and the other way round."""
    late = scripted(delay={"point": 3 * SHORT})
    assert TEXT == whole(engine(late, timeout=Timeout(between_tokens=SHORT), retry=NEVER)).text
    halting = scripted(pause={"point": 3 * SHORT})
    assert TEXT == whole(engine(halting, timeout=Timeout(first_token=SHORT), retry=NEVER)).text
    _, error = failing(engine(silent, timeout=Timeout(first_token=FOREVER, between_tokens=SHORT), retry=NEVER))
    assert isinstance(error, ModelTimeoutError)
    assert SHORT == error.seconds


def test_a_skeleton_and_a_direct_answer_have_a_time_too() -> None:
    """The model's own error is raised as it is."""
    for router, stage in (("always", "skeleton"), ("never", "direct")):
        _, error = failing(engine(scripted(delay={stage: FOREVER}), router=router, timeout=SHORT, retry=NEVER))
        assert isinstance(error, ModelTimeoutError)


def test_a_models_own_timeout_is_raised_as_it_is() -> None:
    """It is not taken for ours."""
    own = TimeoutError("read timed out")
    llm = scripted(failures={2: Failure(own)})
    _, error = failing(engine(llm, timeout=FOREVER, retry=NEVER))
    assert own is error.__cause__


def test_a_whole_answer_is_streamed_inside() -> None:
    """Or a long text would be a long silence."""
    llm = scripted()
    whole(engine(llm, timeout=FOREVER))
    assert {True} == {call.stream for call in llm.calls}
    llm = scripted()
    whole(engine(llm))
    assert {False} == {call.stream for call in llm.calls}


def heard_of(pieces: list[Piece], patience: Timeout) -> list[str]:
    """Hear a model that says so and then falls silent."""
    texts = list[str]()

    async def model(_: Call) -> AsyncGenerator[Piece, None]:
        for piece in pieces:
            yield piece
        await asyncio.sleep(FOREVER)

    async def main() -> None:
        with pytest.raises(ModelTimeoutError):
            await listen(model, Call("direct", ()), lambda text, _: texts.append(text), Heard(), patience)

    run(main)
    return texts


@pytest.mark.parametrize("piece", [Usage(), Allowance(requests=1), Said("", "a message"), ""])
def test_what_is_no_text_is_no_first_token(piece: Piece) -> None:
    """A server's sign of life is not an answer."""
    heard_of([piece], Timeout(first_token=SHORT))


def test_a_silence_is_between_tokens_after_the_first() -> None:
    """Without a bound for one of them, there is none."""
    assert ["a", "b"] == heard_of(["a", "b"], Timeout(first_token=FOREVER, between_tokens=SHORT))


def test_what_is_left_is_closed_before_the_error() -> None:
    """Nothing is in flight when it is raised; `failing` sees that no task is left."""
    llm = scripted(delay={"point": FOREVER})
    failing(engine(llm, timeout=SHORT, retry=NEVER))
    assert 0 == llm.in_flight


@pytest.mark.parametrize("value", [0, -1, float("nan"), "1"])
def test_a_time_that_cannot_work_is_refused(value: object) -> None:
    """When it is set."""
    for name in ("first_token", "between_tokens"):
        with pytest.raises(ConfigurationError, match=f"{name}=.* cannot work"):
            Timeout(**{name: value})  # type: ignore[arg-type]  # that is the point
    with pytest.raises(ConfigurationError, match="cannot work"):
        engine(timeout=value)


def test_a_number_is_for_both() -> None:
    """And no number is no time."""
    assert Timeout(first_token=2, between_tokens=2) == Timeout.of(2)
    assert Timeout(first_token=2) == Timeout.of(Timeout(first_token=2))
    assert None is Timeout.of(None)
