"""The settings of a run as flags: names, choices and defaults are those of ``Settings``."""

import argparse
from collections.abc import Mapping
from dataclasses import fields
from types import MappingProxyType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from .._retry import Retry
from ..settings import Settings

HELP: Mapping[str, str] = MappingProxyType({
    "router": "whether the question gets a skeleton",
    "pipelined": "write a point as soon as its line of the skeleton is complete",
    "max_points": "more points are cut",
    "min_points": "fewer points mean a direct answer",
    "detail": "how much is written for each point",
    "point_max_tokens": "most tokens for each point",
    "heading": "how the title of a point shows in the text",
    "max_concurrency": "most model calls in flight",
    "timeout": "seconds that the model may be silent",
    "deadline": "seconds for the whole answer: what is written by then is shown",
    "retry": "requests for one model call, the first included",
    "on_point_error": "what to do with a point that cannot be written",
})
"""The settings that are flags. What takes an object, such as prompts, belongs into a program."""
_SECONDS = ("timeout", "deadline")
_DEFAULTS = {"retry": Retry().attempts, "point_max_tokens": "as fits --detail", "timeout": "none", "deadline": "none"}


def add_settings(parser: argparse._ArgumentGroup) -> None:
    """Add a flag for each setting. One that is not given is not in the result, and keeps its default."""
    hints, defaults = get_type_hints(Settings), Settings()
    for name, text in HELP.items():
        choices, default = _choices(hints[name]), getattr(defaults, name)
        if hints[name] is bool:
            parser.add_argument(
                f"--{name.replace('_', '-')}", action="store_true", default=argparse.SUPPRESS, help=text
            )
            continue
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            type=str if choices else float if name in _SECONDS else int,
            choices=choices or None,
            metavar=None if choices else "SECONDS" if name in _SECONDS else "NUMBER",
            default=argparse.SUPPRESS,
            help=f"{text} (default: {_DEFAULTS.get(name, default)})",
        )


def settings_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the settings that were given."""
    names = [field.name for field in fields(Settings)]
    given = {name: value for name, value in vars(arguments).items() if name in names}
    return given | ({"retry": Retry(attempts=given["retry"])} if "retry" in given else {})


def _choices(hint: Any) -> tuple[str, ...]:
    literals = [each for each in (hint, *get_args(hint)) if get_origin(each) is Literal]
    return get_args(literals[0]) if literals else ()
