"""What no scheduler can beat: the skeleton, and then the longest chain of points."""

from collections.abc import Mapping
from types import MappingProxyType

from .skeleton import Skeleton


def critical_path(
    skeleton: Skeleton,
    skeleton_seconds: float,
    seconds: Mapping[int, float],
    retrieval: Mapping[int, float] = MappingProxyType({}),
    begun: Mapping[int, float] = MappingProxyType({}),
) -> float:
    """Add the time of the skeleton to that of the longest chain of points.

    Args:
        retrieval: what each point retrieved for; it begins when the point is known.
        begun: when each point was known; when the skeleton was complete, where it is not told.

    >>> from skeleton_of_thought import Point
    >>> skeleton = Skeleton((Point(1, "A"), Point(2, "B"), Point(3, "C", after=(1,))))
    >>> critical_path(skeleton, 1.0, {1: 2.0, 2: 4.0, 3: 3.0})
    6.0
    """
    done: dict[int, float] = {}
    after = {point.number: point.after for point in skeleton.points}
    for number in skeleton.order().static_order():
        if number in seconds:
            found = begun.get(number, skeleton_seconds) + retrieval.get(number, 0.0)
            done[number] = seconds[number] + max(found, *(done.get(earlier, 0.0) for earlier in after[number]), 0.0)
    return max(done.values(), default=skeleton_seconds)
