"""What OpenAI tells of its limits with each reply."""

from typing import Literal


def rate_headers(
    *, limit: int, remaining: int, seconds: float = 1.0, of: Literal["requests", "tokens"] = "requests"
) -> dict[str, str]:
    """Say how much is let through, how much of it is left, and in how many seconds all of it is there again.

    >>> rate_headers(limit=500, remaining=499, seconds=0.12)["x-ratelimit-reset-requests"]
    '120ms'
    """
    return {
        f"x-ratelimit-limit-{of}": str(limit),
        f"x-ratelimit-remaining-{of}": str(remaining),
        f"x-ratelimit-reset-{of}": _duration(seconds),
    }


def _duration(seconds: float) -> str:
    """Say it as Go does: ``20ms``, ``1.5s``, ``6m0s``, ``1h0m0s``."""
    if 0 < seconds < 1:
        return f"{round(seconds * 1000, 3):g}ms"
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(int(minutes), 60)
    said = f"{round(rest, 3):g}s"
    if hours:
        return f"{hours}h{minutes}m{said}"
    return f"{minutes}m{said}" if minutes else said
