"""What a person sees of an error: one line that says what to do, and an exit code."""

import sys
from collections.abc import Mapping
from types import MappingProxyType

from ..errors import ConfigurationError, InputError, ModelFileError, ModelMissingError, PointError, SoTError

FAILED, USAGE, MISSING, INTERRUPTED, READER_LEFT = 1, 2, 3, 130, 141

EXIT_CODES: Mapping[int, str] = MappingProxyType({
    0: "all went well",
    FAILED: "the model or the endpoint failed",
    USAGE: "wrong usage, settings or input",
    MISSING: "a model's file is missing or damaged, or a package is not installed",
    INTERRUPTED: "interrupted by Ctrl-C",
    READER_LEFT: "whoever read the output went away, as `head` does",
})

_CURES: Mapping[int | None, str] = MappingProxyType({
    401: "see that --api-key-env names the variable with the right key",
    403: "see that --api-key-env names the variable with the right key",
    404: "see whether --base-url and --model are right",
    429: "wait, or try a lower --max-concurrency",
})
_LONGEST = 400


def exit_code(error: Exception) -> int:
    """Tell the exit code that stands for *error*."""
    match error:
        case ConfigurationError() | InputError():
            return USAGE
        case ModelMissingError() | ModelFileError() | ImportError():
            return MISSING
        case _:
            return FAILED


def line(error: Exception) -> str:
    """Say on one line what went wrong and what to do about it."""
    if isinstance(error, PointError):
        return f"{error}: {line(error.__cause__)}" if isinstance(error.__cause__, Exception) else str(error)
    said = " ".join(str(error).split())
    said = f"{said[:_LONGEST]}…" if len(said) > _LONGEST else said
    if isinstance(error, SoTError | ImportError):
        return said
    named = f"{type(error).__name__}: {said}".removesuffix(": ")
    cure = _cure(error)
    return f"{named.rstrip('.')}: {cure}" if cure else named


def _cure(error: Exception) -> str | None:
    if "openai" not in sys.modules:
        return None
    # Here, because only an endpoint has these errors, and the package takes half a second to load.
    from openai import APIConnectionError, APIStatusError

    match error:
        case APIConnectionError():
            return "see whether --base-url is right and the endpoint is running"
        case APIStatusError():
            return _CURES.get(error.status_code)
        case _:
            return None
