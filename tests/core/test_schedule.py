import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skeleton_of_thought import Point, Skeleton
from skeleton_of_thought._schedule import Work, write_points


@st.composite
def skeletons(draw: st.DrawFn) -> Skeleton:
    """Points in any reading order, of which none waits for itself."""
    numbers = draw(st.lists(st.integers(1, 99), min_size=1, max_size=10, unique=True))
    points = [
        Point(number, f"Title {number}", after=tuple(draw(st.sets(st.sampled_from(numbers[:place])))) if place else ())
        for place, number in enumerate(numbers)
    ]
    return Skeleton(tuple(draw(st.permutations(points))))


def three(*after: tuple[int, ...]) -> Skeleton:
    return Skeleton(tuple(Point(number, "ABC"[number - 1], after=earlier) for number, earlier in enumerate(after, 1)))


def outcome(skeleton: Skeleton, write: Work, prepare: Work | None = None) -> None:
    async def main() -> None:
        left: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: left.append(context))
        try:
            await write_points(skeleton, write, prepare)
        finally:
            assert {asyncio.current_task()} == asyncio.all_tasks()
            assert [] == left

    asyncio.run(main())


@given(skeletons(), st.randoms(use_true_random=False))
def test_each_point_once_and_never_too_early(skeleton: Skeleton, dice: object) -> None:
    """Whatever waits for whatever, and however long each takes."""
    begun: list[int] = []
    done: list[int] = []

    async def write(point: Point) -> None:
        begun.append(point.number)
        assert set(point.after) <= set(done)
        for _ in range(dice.randrange(4)):  # type: ignore[attr-defined]  # a random.Random
            await asyncio.sleep(0)
        done.append(point.number)

    outcome(skeleton, write)
    assert sorted(point.number for point in skeleton.points) == sorted(begun) == sorted(done)


@given(skeletons())
def test_a_point_begins_as_soon_as_it_may(skeleton: Skeleton) -> None:
    """Nobody waits for a point that he does not need: the runs take as many rounds as the longest chain."""
    begun: dict[int, int] = {}
    after = {point.number: point.after for point in skeleton.points}

    def depth(number: int) -> int:
        return 1 + max(map(depth, after[number]), default=0)

    async def write(point: Point) -> None:
        begun[point.number] = 1 + max((begun[earlier] for earlier in point.after), default=0)
        await asyncio.sleep(0)

    outcome(skeleton, write)
    assert {number: depth(number) for number in after} == begun


def test_all_points_that_need_none_are_written_at_the_same_time() -> None:
    """Each waits here until all three are being written."""

    async def main() -> None:
        barrier = asyncio.Barrier(3)

        async def write(_: Point) -> None:
            await barrier.wait()

        async with asyncio.timeout(30):
            await write_points(three((), (), ()), write)

    asyncio.run(main())


def test_points_begin_in_the_order_of_their_numbers() -> None:
    """Where there are fewer places than points, the ones that are read first go first."""
    begun: list[int] = []

    async def write(point: Point) -> None:
        begun.append(point.number)

    outcome(Skeleton((Point(3, "C"), Point(1, "A"), Point(2, "B"))), write)
    assert [1, 2, 3] == begun


def test_a_failure_is_raised_as_itself() -> None:
    """Not as a group, and with its own cause."""
    error, cause = LookupError("no route"), OSError("down")
    error.__cause__ = cause

    async def write(_: Point) -> None:
        raise error

    with pytest.raises(LookupError) as caught:
        outcome(three((), (), ()), write)
    assert error is caught.value
    assert cause is caught.value.__cause__


def test_a_failure_without_a_cause_gets_none() -> None:
    """The group that carried it is not shown to the reader of a traceback."""

    async def write(_: Point) -> None:
        raise LookupError

    with pytest.raises(LookupError) as caught:
        outcome(three((), (), ()), write)
    assert caught.value.__cause__ is None


def test_a_failure_cancels_the_others_and_starts_no_more() -> None:
    """They are waited for, so that their requests are closed when the error is seen."""
    ends: list[tuple[int, str]] = []

    async def write(point: Point) -> None:
        try:
            if point.number == 1:
                await asyncio.sleep(0)
                raise LookupError
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0)
            ends.append((point.number, "closed"))
            raise

    with pytest.raises(LookupError):
        outcome(three((), (), (1,)), write)
    assert [(2, "closed")] == ends


def test_the_first_of_several_failures_is_raised() -> None:
    """Also when another fails while it is being cancelled."""

    async def write(point: Point) -> None:
        if point.number == 1:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                raise KeyError("second") from None
        await asyncio.sleep(0)
        raise LookupError("first")

    with pytest.raises(LookupError, match="first"):
        outcome(three((), ()), write)


def test_cancellation_from_outside_reaches_every_point() -> None:
    """And is a cancellation to the caller, not an error."""
    ends: list[int] = []

    async def write(point: Point) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ends.append(point.number)

    async def main() -> None:
        task = asyncio.create_task(write_points(three((), (), (1,)), write))
        for _ in range(5):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()

    asyncio.run(main())
    assert [1, 2] == sorted(ends)


def test_a_call_that_somebody_else_cancelled_is_a_failure() -> None:
    """Were it none, the answer would lack a point and nobody would know."""

    async def write(point: Point) -> None:
        if point.number == 2:
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        outcome(three((), (), (2,)), write)


# -- what is prepared ----------------------------------------------------------------------------------


@given(skeletons())
def test_all_points_are_prepared_at_once(skeleton: Skeleton) -> None:
    """Each once, in reading order, before anything is written, and whatever they come after."""
    prepared: list[Point] = []

    async def write(_: Point) -> None:
        assert [*skeleton.points] == prepared

    async def prepare(point: Point) -> None:
        prepared.append(point)

    outcome(skeleton, write, prepare)
    assert [*skeleton.points] == prepared


@given(skeletons(), st.randoms(use_true_random=False))
def test_who_waits_for_what_is_prepared_for_others_waits_not_for_ever(skeleton: Skeleton, dice: object) -> None:
    """Also where a point comes after one that is read later."""
    everything, written, left = asyncio.Event(), list[int](), len(skeleton.points)

    async def write(point: Point) -> None:
        await everything.wait()
        written.append(point.number)

    async def prepare(_: Point) -> None:
        nonlocal left
        for _ in range(dice.randrange(4)):  # type: ignore[attr-defined]  # a random.Random
            await asyncio.sleep(0)
        left -= 1
        if not left:
            everything.set()

    outcome(skeleton, write, prepare)
    assert sorted(point.number for point in skeleton.points) == sorted(written)


def test_what_cannot_be_prepared_fails_the_whole() -> None:
    """It is raised as itself, and nobody waits for it any more."""
    error, ends = LookupError("no route"), list[str]()

    async def forever(kind: str) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ends.append(kind)

    async def write(_: Point) -> None:
        await forever("write")

    async def prepare(point: Point) -> None:
        if point.number == 2:
            await asyncio.sleep(0)
            raise error
        await forever("prepare")

    with pytest.raises(LookupError) as caught:
        outcome(three((), (), (1,)), write, prepare)
    assert error is caught.value
    assert ["prepare", "prepare", "write", "write"] == sorted(ends)


def test_a_failure_to_write_ends_what_is_still_prepared() -> None:
    """The first failure counts, whichever it was."""
    ends: list[int] = []

    async def write(point: Point) -> None:
        raise LookupError("first")

    async def prepare(point: Point) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ends.append(point.number)
            raise KeyError("second") from None

    with pytest.raises(LookupError, match="first"):
        outcome(three((), ()), write, prepare)
    assert [1, 2] == sorted(ends)
