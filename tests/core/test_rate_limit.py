import asyncio
import copy
import math
import os
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import given
from hypothesis import strategies as st

from skeleton_of_thought import Call, ConfigurationError, Message
from skeleton_of_thought._buckets import Counts
from skeleton_of_thought.rate_limit import RateLimit, tokens_of

from .running import FOREVER, run

Made = Callable[..., RateLimit]


@pytest.fixture(params=["memory", "file"])
def limit(request: pytest.FixtureRequest, tmp_path: Path) -> Made:
    """Make limits of each kind, whose minute does not end while a test runs."""
    kept = {"path": tmp_path / "rates"} if request.param == "file" else {}
    return lambda **numbers: RateLimit(**{"seconds": FOREVER, **kept, **numbers})


async def settle() -> None:
    """Let everything happen that can happen now."""
    for _ in range(10):
        await asyncio.sleep(0)


async def through(tasks: list[asyncio.Task[None]]) -> list[int]:
    """Tell which have got through."""
    await settle()
    return [number for number, task in enumerate(tasks) if task.done() and not task.cancelled()]


async def end(tasks: list[asyncio.Task[None]]) -> None:
    """Cancel what still waits."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def ask(limit: RateLimit, *tokens: int) -> list[asyncio.Task[None]]:
    """Make requests at the same time."""
    return [asyncio.create_task(limit.wait(number)) for number in tokens]


async def at_once(limit: RateLimit, *tokens: int) -> list[int]:
    """Tell which of several requests get through now."""
    tasks = ask(limit, *tokens)
    found = await through(tasks)
    await end(tasks)
    return found


@dataclass
class Log:
    """Notes from any thread when requests asked, and when they got through."""

    clock: Callable[[], float]
    asked: list[float] = field(default_factory=list)
    passed: list[float] = field(default_factory=list)

    async def wait(self, limit: RateLimit) -> None:
        self.asked.append(self.clock())
        await limit.wait(0)
        self.passed.append(self.clock())

    def too_many(self, most: int, seconds: float) -> list[int]:
        """Tell after which minutes more had got through than so many minutes allow. A slow machine only has fewer."""
        first, end = min(self.asked), max(self.passed)
        minutes = range(1, math.ceil((end - first) / seconds))
        return [n for n in minutes if sum(passed < first + n * seconds for passed in self.passed) > most * n]


def fresh(code: str, *arguments: object) -> str:
    """Run *code* in an interpreter of its own, and return what it prints."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


# -- what is refused -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["requests_per_minute", "tokens_per_minute"])
@pytest.mark.parametrize("number", [0, -1, 1.5, "60", True, math.inf])
def test_a_number_that_lets_nothing_through_is_refused(name: str, number: object) -> None:
    """A limit of nothing would wait forever."""
    with pytest.raises(ConfigurationError, match=f"{name}={number!r} cannot work: use a whole number from 1 up"):
        RateLimit(**{name: number})  # type: ignore[arg-type]  # that is the point


@pytest.mark.parametrize("seconds", [0, -1, 0.0001, math.inf, math.nan, "60", True, None])
def test_a_minute_has_an_end(seconds: object) -> None:
    """Whatever is taken for a minute has to last, and to pass."""
    with pytest.raises(ConfigurationError, match=r"cannot work: use seconds, from 0\.001 up"):
        RateLimit(requests_per_minute=1, seconds=seconds)  # type: ignore[arg-type]  # that is the point


def test_a_limit_of_nothing_is_refused() -> None:
    """One of the numbers has to be given."""
    with pytest.raises(ConfigurationError, match="give requests_per_minute or tokens_per_minute"):
        RateLimit()


def test_a_file_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    """When the object is made, not when the first request waits."""
    letter = tmp_path / "letter"
    letter.write_text("Dear Sir or Madam, " * 100)
    for path in (letter, letter / "rates", tmp_path):
        with pytest.raises(ConfigurationError, match="cannot keep the counts"):
            RateLimit(requests_per_minute=1, path=path)


def test_a_request_that_can_never_pass_is_refused(limit: Made) -> None:
    """It has more tokens than a minute has, and takes nothing."""

    async def main() -> None:
        little = limit(requests_per_minute=1, tokens_per_minute=100)
        with pytest.raises(ConfigurationError, match="101 tokens can never pass tokens_per_minute=100: raise it"):
            await little.wait(101)
        assert [0] == await at_once(little, 100)

    run(main)


def test_a_missing_extra_names_its_cure() -> None:
    """Without pyrate-limiter a limit cannot be made, and says how to get it."""
    code = """
import sys
sys.modules["pyrate_limiter"] = None
from skeleton_of_thought.rate_limit import RateLimit
try:
    RateLimit(requests_per_minute=1)
except ImportError as error:
    print(error)
"""
    assert 'RateLimit needs pyrate-limiter: pip install "skeleton-of-thought[limits]"\n' == fresh(code)


def test_who_limits_nothing_imports_no_limiter() -> None:
    """Nor SQLite, which comes with it."""
    code = "import skeleton_of_thought.rate_limit, sys; print(*{'filelock', 'pyrate_limiter'} & set(sys.modules))"
    assert "\n" == fresh(code)


# -- how much is let through ---------------------------------------------------------------------------


def test_as_many_requests_as_the_number_and_no_more(limit: Made) -> None:
    """However many tokens they have, where those are not limited."""

    async def main() -> None:
        assert [0, 1, 2] == await at_once(limit(requests_per_minute=3), 10**9, 0, 5, 5, 5)

    run(main)


def test_as_many_tokens_as_the_number_and_no_more(limit: Made) -> None:
    """To the last one, and however many requests they are in."""

    async def main() -> None:
        little = limit(tokens_per_minute=100)
        assert [0, 1, 2] == await at_once(little, 60, 30, 9, 2, 1)
        assert [0] == await at_once(little, 1, 1)

    run(main)


def test_no_request_is_taken_while_its_tokens_are_waited_for(limit: Made) -> None:
    """Both shares or none: who gives up waiting for tokens leaves the request to somebody else."""

    async def main() -> None:
        both = limit(requests_per_minute=2, tokens_per_minute=100)
        assert [0] == await at_once(both, 60, 60)
        assert [0] == await at_once(both, 40)

    run(main)


def test_no_tokens_are_taken_while_a_request_is_waited_for(tmp_path: Path) -> None:
    """The other way round: tokens are there for all when the next request may be made."""
    path = tmp_path / "rates"

    async def main() -> None:
        both = RateLimit(requests_per_minute=1, tokens_per_minute=100, path=path, seconds=FOREVER)
        assert [0] == await at_once(both, 40, 60)
        tokens = RateLimit(tokens_per_minute=100, path=path, seconds=FOREVER)
        assert [0] == await at_once(tokens, 60)

    run(main)


@given(most=st.integers(1, 10**7), first=st.floats(0, 1), small=st.lists(st.floats(0, 1), max_size=100))
def test_no_more_than_the_limit_and_little_less(most: int, first: float, small: list[float]) -> None:
    """A large limit is counted in steps: nothing gets through above it, and of it, less than two steps are lost."""
    counts, step, taken = Counts({"tokens": most}, 3_600_000, None), math.ceil(most / 1000), 0
    for amount in (math.ceil(first * most), *(math.ceil(part * min(most, 3 * step)) for part in small)):
        if not counts.take({"tokens": amount}):
            taken += amount
        else:
            assert taken + amount > most - (2 * step if step > 1 else 0)
    assert taken <= most


def test_what_is_left_of_a_step_does_not_raise_the_limit() -> None:
    """A request of one token pays for two here; the other one is left for the next minute, which has no more for it."""
    counts = Counts({"tokens": 2000}, 3_600_000, None)
    assert 0 == counts.take({"tokens": 1})
    counts._shares["tokens"].bucket.flush()  # as if the minute were over
    assert 0 == counts.take({"tokens": 2000})
    assert 0 < counts.take({"tokens": 1})


def test_a_minute_lets_through_what_it_may(limit: Made) -> None:
    """Minute after minute, for requests from several threads with a loop each; and all get through."""
    four = limit(requests_per_minute=4, seconds=0.1)
    log = Log(time.time if four.path else time.monotonic)

    async def main() -> None:
        await asyncio.gather(*(log.wait(four) for _ in range(7)))

    threads = [threading.Thread(target=asyncio.run, args=(main(),)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert 21 == len(log.passed)
    assert [] == log.too_many(4, 0.1)


# -- who is let through --------------------------------------------------------------------------------


def test_first_come_first_served(limit: Made) -> None:
    """Whatever their sizes: who asked first gets through first."""

    async def main() -> list[int]:
        order: list[int] = []
        small = limit(tokens_per_minute=10, seconds=0.02)

        async def wait(number: int, tokens: int) -> None:
            await small.wait(tokens)
            order.append(number)

        await asyncio.gather(*(wait(number, tokens) for number, tokens in enumerate([10, 1, 9, 2, 10, 1])))
        return order

    assert [0, 1, 2, 3, 4, 5] == asyncio.run(main())


def test_a_large_request_is_not_overtaken_by_small_ones(limit: Made) -> None:
    """They would fit; but one after the other they would keep it waiting. When it gives up, they go on."""

    async def main() -> None:
        tasks = ask(limit(tokens_per_minute=100), 60, 50, 10, 10)
        assert [0] == await through(tasks)
        tasks[1].cancel()
        assert [0, 2, 3] == await through(tasks)
        await end(tasks)

    run(main)


@pytest.mark.parametrize("turns", range(5))
def test_who_is_cancelled_has_taken_nothing(limit: Made, turns: int) -> None:
    """Also in the very turn of the loop in which it may go on."""

    async def main() -> None:
        small = limit(tokens_per_minute=100)
        tasks = ask(small, 60, 50, 10)
        assert [0] == await through(tasks)
        tasks[1].cancel()  # the last may go on now
        for _ in range(turns):
            await asyncio.sleep(0)
        await end(tasks)
        left = 40 if tasks[2].cancelled() else 30
        assert [0] == await at_once(small, left, 1)

    run(main)


def test_one_loop_hands_on_to_another(limit: Made) -> None:
    """Who waits on another loop, in another thread, goes on as soon as the one before it has given up."""
    small, passed, joined = limit(tokens_per_minute=100), threading.Event(), threading.Event()

    async def follow() -> None:
        task = asyncio.create_task(small.wait(10))
        await settle()
        joined.set()
        await task
        passed.set()

    async def main() -> None:
        tasks = ask(small, 60, 50)
        assert [0] == await through(tasks)
        thread.start()
        await asyncio.to_thread(joined.wait, 30)
        assert not passed.is_set()
        await end(tasks)
        assert await asyncio.to_thread(passed.wait, 30)

    thread = threading.Thread(target=lambda: asyncio.run(follow()))
    run(main)
    thread.join(timeout=30)


def test_a_loop_that_stands_still_keeps_nobody_waiting(limit: Made) -> None:
    """Its request is first and cannot go; others go on, and it does too when its loop goes on."""
    one = limit(requests_per_minute=1, seconds=0.02)
    still = asyncio.new_event_loop()

    async def begin() -> asyncio.Task[None]:
        tasks = ask(one, 0, 0)
        assert [0] == await through(tasks)
        return tasks[1]

    task = still.run_until_complete(begin())
    asyncio.run(one.wait(0))
    assert not task.done()
    still.run_until_complete(task)
    still.close()


# -- what is the same limit ----------------------------------------------------------------------------


def test_a_copy_is_the_same_limit(limit: Made) -> None:
    """A chain that is copied with its settings is bounded together with the first."""
    one = limit(requests_per_minute=1)
    assert (one, one) == (copy.copy(one), copy.deepcopy(one))


def test_with_a_file_it_goes_to_other_processes(tmp_path: Path) -> None:
    """What was pickled counts together with what it was pickled from."""
    limit = RateLimit(requests_per_minute=2, path=str(tmp_path / "rates"), seconds=FOREVER)
    other = pickle.loads(pickle.dumps(limit))  # noqa: S301 -- our own

    async def main() -> None:
        assert [[0], [0], []] == [await at_once(limit, 0), await at_once(other, 0), await at_once(limit, 0)]

    run(main)
    assert repr(limit) == repr(other)


def test_in_memory_it_stays() -> None:
    """Two limits of which each thinks it is the only one would let twice as much through."""
    with pytest.raises(ConfigurationError, match="cannot leave its process: give it a path"):
        pickle.dumps(RateLimit(requests_per_minute=1))


def test_it_shows_its_numbers(tmp_path: Path) -> None:
    """As they would be written, and no more of them."""
    path = tmp_path / "rates"
    assert "RateLimit(requests_per_minute=3)" == repr(RateLimit(requests_per_minute=3))
    assert f"RateLimit(tokens_per_minute=9, path={str(path)!r}, seconds=1)" == repr(
        RateLimit(tokens_per_minute=9, path=path, seconds=1)
    )


WORKER = """
import asyncio, sys, time
from skeleton_of_thought.rate_limit import RateLimit

async def main(limit):
    print("ready", flush=True)
    sys.stdin.readline()
    for _ in range(5):
        asked = time.time()
        await limit.wait(10)
        print(asked, time.time(), flush=True)

asyncio.run(main(RateLimit(requests_per_minute=20, tokens_per_minute=40, path=sys.argv[1], seconds=0.25)))
"""


def test_processes_share_a_file(tmp_path: Path) -> None:
    """Together they never exceed the limit, and each gets all it asked for."""
    command = [sys.executable, "-c", WORKER, str(tmp_path / "rates")]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    workers = [subprocess.Popen(command, **pipes) for _ in range(3)]  # type: ignore[call-overload]  # of a dictionary
    assert ["ready\n"] * 3 == [worker.stdout.readline() for worker in workers]
    for worker in workers:
        worker.stdin.write("go\n")
        worker.stdin.flush()
    log = Log(time.time)
    for worker in workers:
        said, _ = worker.communicate(timeout=30)
        log.asked += [float(line.split()[0]) for line in said.splitlines()]
        log.passed += [float(line.split()[1]) for line in said.splitlines()]
    assert 15 == len(log.passed)
    assert [] == log.too_many(4, 0.25)


FORK = """
import asyncio, os, sys
from skeleton_of_thought.rate_limit import RateLimit

async def main():
    task = asyncio.create_task(limit.wait(0))
    for _ in range(10):
        await asyncio.sleep(0)
    passed = task.done()
    task.cancel()
    print("through" if passed else "waits", flush=True)

limit = RateLimit(requests_per_minute=3, path=sys.argv[1], seconds=3600)
asyncio.run(main())
child = os.fork()
if child:
    os.waitpid(child, 0)
asyncio.run(main())
if child:
    asyncio.run(main())
"""


def test_a_forked_process_uses_the_file_for_itself(tmp_path: Path) -> None:
    """Server workers that were forked from one that has made the chain are bounded together."""
    if not hasattr(os, "fork"):
        pytest.skip("needs fork")
    assert ["through", "through", "through", "waits"] == fresh(FORK, tmp_path / "rates").split()


def test_a_file_that_is_held_does_not_hold_the_loop(tmp_path: Path) -> None:
    """Another process may stop while it has it: whoever waits here can be cancelled, and goes on when it is free."""
    path = tmp_path / "rates"
    limit = RateLimit(requests_per_minute=1, path=path, seconds=FOREVER)

    async def main() -> None:
        with FileLock(f"{path}.lock"):
            assert [] == await at_once(limit, 0)
            [task] = ask(limit, 0)
            assert [] == await through([task])
        await task

    run(main)


# -- tokens --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("texts", "most", "tokens"),
    [
        ([], None, 0),
        ([""], 7, 7),
        (["a"], None, 1),
        (["abcd"], None, 1),
        (["abcde"], None, 2),
        (["ab", "cd"], None, 1),
        (["Wie schlafe ich gut?"], 100, 105),
        (["如何早睡？"], None, 5),
        (["早く寝る方法"], None, 6),
        (["일찍 자기"], None, 5),
        (["睡 well"], None, 3),
        (["𠀀𠀁"], None, 2),
    ],
)
def test_tokens_are_estimated(texts: list[str], most: int | None, tokens: int) -> None:
    """Four characters of most scripts, one of Chinese, Japanese and Korean, and all that may be written."""
    call = Call("direct", tuple(Message("user", text) for text in texts), max_tokens=most)
    assert tokens == tokens_of(call)


@given(st.lists(st.text()))
def test_no_text_is_free_and_none_has_more_tokens_than_characters(texts: list[str]) -> None:
    """Whatever its script."""
    characters = sum(map(len, texts))
    tokens = tokens_of(Call("direct", tuple(Message("user", text) for text in texts)))
    assert characters / 4 <= tokens <= characters
