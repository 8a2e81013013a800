import asyncio
import subprocess
import sys

import pytest

from skeleton_of_thought.calls import Abilities, Call, Finish, Message, Usage, abilities_of
from skeleton_of_thought.models.generation import Generation
from skeleton_of_thought.testing import Failure, LatencyModel, ScriptedLLM, collect, script_reply
from skeleton_of_thought.testing.server import _factor

SKELETON = Call("skeleton", (Message("user", "How do I sleep?"),))
DIRECT = Call("direct", SKELETON.messages)


def point(number, **settings):
    """Call for a point."""
    return Call("point", SKELETON.messages, point=number, **settings)


def texts(llm, call):
    """Return the text pieces that *llm* says to *call*."""
    return [piece for piece in asyncio.run(collect(llm(call))) if isinstance(piece, str)]


# -- the scripted model --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (Call("route", ()), ["A"]),
        (SKELETON, ["1.", " A", "\n2.", " B"]),
        (point(1), ["Go", " to", " bed.", " "]),
        (point(2), ["ab", "c"]),
        (point(2, stream=False), ["abc"]),
        (DIRECT, []),
    ],
)
def test_a_script_is_said_by_stage_and_point(call, expected):
    """A text comes word by word, a list piece by piece, and all at once to whoever does not stream."""
    llm = ScriptedLLM(route="A", skeleton="1. A\n2. B", points={1: "Go to bed. ", 2: ["ab", "c"]})

    assert texts(llm, call) == expected


def test_every_call_ends_with_its_cost_and_its_reason():
    """Words count as tokens, unless the script says otherwise."""
    llm = ScriptedLLM(
        direct="Go to bed.", points={1: "x", 2: "y"}, usage={2: Usage(7, 8, 9)}, finish={"point": "length"}
    )

    assert asyncio.run(collect(llm(DIRECT))) == ["Go", " to", " bed.", Usage(4, 3), Finish("stop")]
    assert asyncio.run(collect(llm(point(1))))[1:] == [Usage(4, 1), Finish("length")]
    assert asyncio.run(collect(llm(point(2))))[1:] == [Usage(7, 8, 9), Finish("length")]


def test_a_point_without_a_text_is_an_error_of_the_test():
    """A run that asks for more points than the script has is not answered with silence."""
    with pytest.raises(LookupError, match="no text for point 3"):
        texts(ScriptedLLM(points={1: "x"}), point(3))


@pytest.mark.parametrize(
    ("failure", "stream", "said"),
    [
        (OSError("no"), True, []),
        (Failure(OSError("no")), True, []),
        (Failure(OSError("no"), after=2), True, ["a", " b"]),
        (Failure(OSError("no"), after=2), False, ["a b"]),
        (Failure(OSError("no"), after=9), True, ["a", " b", " c"]),
    ],
)
def test_a_failure_comes_where_the_script_wants_it(failure, stream, said):
    """Before the first piece, or after some; a number is looked up before a stage."""
    llm = ScriptedLLM(points={1: "a b c", 2: "a b c"}, failures={1: failure})
    heard = []

    async def listen():
        async for piece in llm(point(1, stream=stream)):
            heard.append(piece)

    with pytest.raises(OSError, match="no"):
        asyncio.run(listen())
    assert heard == said
    assert texts(llm, point(2)) == ["a", " b", " c"]


def test_a_failure_may_pass():
    """The first calls of a point fail and the next goes well, for tests of what is tried again."""
    llm = ScriptedLLM(points={1: "a", 2: "b"}, failures={"point": Failure(OSError("busy"), times=1)})

    for number in (1, 2):
        with pytest.raises(OSError, match="busy"):
            texts(llm, point(number))
    assert [texts(llm, point(number)) for number in (1, 2)] == [["a"], ["b"]]


def test_calls_are_recorded():
    """In the order in which they began, with the most that were in flight."""
    llm = ScriptedLLM(skeleton="1. A", points={1: "a", 2: "b"}, delay={"point": 0.01})

    async def run():
        await collect(llm(SKELETON))
        await asyncio.gather(*(collect(llm(point(number))) for number in (1, 2)))

    asyncio.run(run())
    assert (llm.calls, llm.peak, llm.in_flight) == ([SKELETON, point(1), point(2)], 2, 0)


def test_a_closed_call_is_not_in_flight():
    """Whoever forgets to close a stream is found out by ``in_flight``."""
    llm = ScriptedLLM(direct=["a", "b"], pause={"direct": 60})

    async def leave():
        stream = llm(DIRECT)
        await anext(stream)
        counted = [llm.in_flight]
        await stream.aclose()
        return [*counted, llm.in_flight]

    assert asyncio.run(leave()) == [1, 0]


def test_a_scripted_model_can_do_what_it_is_told_to():
    """Abilities change what a run sends, so they can be set."""
    assert abilities_of(ScriptedLLM()) == Abilities()
    assert abilities_of(ScriptedLLM(abilities=Abilities(prefill=True))) == Abilities(prefill=True)


# -- collecting ----------------------------------------------------------------------------------------


def test_streams_of_both_kinds_are_collected_and_closed():
    """Collecting closes, also when it fails in the middle."""
    closed = []

    def letters():
        try:
            yield from "ab"
        finally:
            closed.append("sync")

    async def failing():
        try:
            yield "a"
            raise OSError("no")
        finally:
            closed.append("async")

    assert collect(letters()) == ["a", "b"]
    with pytest.raises(OSError, match="no"):
        asyncio.run(collect(failing()))
    assert closed == ["sync", "async"]


# -- the latency model ---------------------------------------------------------------------------------


def generate(model, **asked):
    """Return all pieces."""
    return asyncio.run(collect(model.generate(Generation(**asked))))


def test_the_default_reply_has_the_length_that_is_asked_for():
    """Measurements need texts of one length, and the same text each time."""
    first, again = (generate(LatencyModel(), prompt="a b", max_tokens=5) for _ in range(2))

    assert first == again
    assert len(first) == 7
    assert first[5:] == [Usage(2, 5), Finish("stop")]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, ["one", " two", " three", "\n"]),
        ({"max_tokens": 2}, ["one", " two"]),
        ({"stop": (" three", "x")}, ["one", " two"]),
        ({"stop": ("o", "two")}, []),
    ],
)
def test_a_reply_is_cut_where_it_is_asked_to_be(asked, expected):
    """At a stop text, or after so many words."""
    model = LatencyModel(reply=lambda _: "one two three\n")

    assert generate(model, prompt="a", **asked)[:-2] == expected


def test_what_began_an_earlier_request_is_cached():
    """The longest common beginning counts, as in a prefix cache."""
    model = LatencyModel()

    cached = [generate(model, prompt=prompt)[-2].cached_tokens for prompt in ("a b c", "a b d e", "x", "a b d f")]

    assert cached == [0, 2, 0, 3]


@pytest.mark.parametrize(
    ("curve", "in_flight", "factor"),
    [
        ((), 5, 1.0),
        (((1, 1.0), (5, 2.0)), 3, 1.5),
        (((5, 2.0), (1, 1.0)), 1, 1.0),
        (((2, 1.5), (5, 2.0)), 1, 1.5),
        (((1, 1.0), (5, 2.0)), 50, 2.0),
        (lambda in_flight: in_flight * 2.0, 3, 6.0),
    ],
)
def test_load_slows_down_along_a_curve(curve, in_flight, factor):
    """Between two points of the curve the factor is between theirs; outside it is that of the nearest."""
    assert _factor(curve, in_flight) == factor


def test_times_are_deterministic(monkeypatch):
    """Jitter comes from the seed and the text, not from the order in which requests come."""
    pauses, now = [], 0.0

    async def sleep(seconds):
        nonlocal now
        now += seconds
        pauses.append(round(seconds, 9))

    monkeypatch.setattr("skeleton_of_thought.testing.server.asyncio.sleep", sleep)
    monkeypatch.setattr("skeleton_of_thought.testing.server.time.monotonic", lambda: now)
    model = LatencyModel(first_token=1.0, per_token=0.1, jitter=0.5, seed=3)
    for prompt in ("a", "b", "b", "a"):
        generate(model, prompt=prompt, max_tokens=3)

    runs = {tuple(pauses[start : start + 3]) for start in range(0, 12, 3)}
    assert len(runs) == 2
    assert all(0.5 <= first <= 1.5 and 0.05 <= second <= 0.15 for first, second, _ in runs)


REPLY = script_reply(
    skeleton="1. Sleep early\n2) Walk\n3. Eat well:", points={1: "one", 2: "two", 3: "three"}, direct="direct"
)


@pytest.mark.parametrize(
    ("messages", "said"),
    [
        ([("user", "How do I feel better?")], "direct"),
        ([("user", "How?"), ("user", "Write the Skeleton of the answer.")], "1. Sleep early\n2) Walk\n3. Eat well:"),
        ([("assistant", "1. Sleep early\n2) Walk"), ("user", "Now write point 2, Walk.")], "two"),
        ([("user", "The skeleton is 1. Sleep early 2. Walk 3. Eat well. Write: Sleep early")], "one"),
        ([("user", "How?"), ("assistant", "3. Eat well:")], "three"),
        ([("user", "Write about Walk"), ("assistant", "Done."), ("user", "Thanks")], "direct"),
    ],
)
def test_a_script_tells_requests_apart(messages, said):
    """By the title that comes last in the task, by the word skeleton, or else it is a direct question."""
    assert REPLY(Generation(messages=tuple(Message(role, text) for role, text in messages))) == said


def test_a_script_answers_plain_prompts_too():
    """A prompt is all task."""
    assert REPLY(Generation(prompt="Point 1: Sleep early")) == "one"


def test_the_package_needs_no_extra():
    """Whoever tests without a server needs neither Starlette nor uvicorn."""
    code = "import sys, skeleton_of_thought.testing; print({'starlette', 'uvicorn', 'openai'} & set(sys.modules))"

    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert run.stdout.strip() == "set()"
