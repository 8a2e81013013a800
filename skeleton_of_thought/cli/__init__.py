"""The command ``sot``.

An answer, and nothing else, goes to standard output; figures, notes and errors go to standard error.
``sot --help`` has to be there at once: what is slow to load is imported by the command that needs it.
"""

import argparse
import contextlib
import io
import os
import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any, NoReturn

from . import ask, failure
from .settings import add_settings

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code; ``sot --help`` lists the codes."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # half an emoji is no reason to lose the rest of an answer
    arguments = _parser().parse_args(argv)
    try:
        arguments.command(arguments)
        sys.stdout.flush()
    except KeyboardInterrupt:
        with contextlib.suppress(OSError):  # whoever read it was interrupted too
            sys.stdout.flush()
        # The calls are ended. An orderly end would wait until an embedded engine that is being loaded is loaded.
        os._exit(failure.INTERRUPTED)
    except BrokenPipeError:
        # What is still in the buffer is flushed at the end of the interpreter, and would fail again there.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return failure.READER_LEFT
    except Exception as error:  # noqa: BLE001 -- a model raises what it likes, and a person gets one line
        print(f"sot: {failure.line(error)}", file=sys.stderr)
        return failure.exit_code(error)
    return 0


class _Parser(argparse.ArgumentParser):
    """Same as argparse's, but an error is one line, a description keeps its lines, and flags are not abbreviated."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **{"allow_abbrev": False} | named)

    def parse_args(self, *arguments: Any, **named: Any) -> Any:
        """Parse; of what is not known show the flags alone, since the rest may be a key."""
        known, unknown = self.parse_known_args(*arguments, **named)
        if unknown:
            flags = [word.partition("=")[0] for word in unknown if word.startswith("-")]
            self.error(f"unrecognized arguments: {' '.join(flags) or len(unknown)}")
        return known

    def error(self, message: str) -> NoReturn:
        self.exit(failure.USAGE, f"sot: {message}: see `{self.prog} --help`\n")


def _parser() -> argparse.ArgumentParser:
    codes = "\n".join(f"  {code:>3}  {meaning}" for code, meaning in failure.EXIT_CODES.items())
    parser = _Parser(
        prog="sot",
        description="Long answers sooner: a short skeleton first, then all its points at the same time.",
        epilog=f"exit codes:\n{codes}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"sot {version('skeleton-of-thought')}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_ask(commands.add_parser("ask", help="answer a question", description="Answer a question."))
    _add_route(commands.add_parser("route", help="tell whether a question would get a skeleton, and why"))
    _add_serve(commands.add_parser("serve", help="serve the embedded model as an OpenAI-compatible endpoint"))
    _add_model(commands.add_parser("model", help="fetch and find the embedded models"))
    return parser


def _add_ask(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(command=ask.run)
    _add_question(parser)
    models = parser.add_argument_group(
        "model", "The embedded one, unless --base-url or --api-key-env tells of an endpoint."
    )
    models.add_argument("--model", help="name or path of an embedded model, or the name of an endpoint's model")
    models.add_argument("--base-url", metavar="URL", help="an OpenAI-compatible endpoint: http://localhost:8000/v1")
    models.add_argument("--api-key-env", metavar="VARIABLE", help="the environment variable that holds the key")
    answer = parser.add_argument_group("answer")
    add_settings(answer)
    answer.add_argument("--resume", metavar="FILE", help="what --json wrote of an answer that is not complete: go on")
    output = parser.add_argument_group("output")
    form = output.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="the whole answer as one JSON object, at the end")
    form.add_argument("--events", action="store_true", help="all that happens, at once: one JSON object a line")
    form.add_argument(
        "--compare",
        action="store_true",
        help="also answer directly, and tell how long both took; the direct answer comes second and is not shown,"
        " and one uncounted word from the model warms it up for both",
    )
    output.add_argument(
        "--figures",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="a line with times and tokens, on standard error (default: if the answer goes to a terminal)",
    )


def _add_question(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("question", help="the question, or - to read it from standard input")


def _add_route(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(command=ask.route)
    _add_question(parser)


def _add_serve(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(command=_serve)
    parser.description = "Serve the embedded model until Ctrl-C, which is exit code 0 here."
    parser.add_argument("--model", help="name or path of the model")
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen at (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8094, help="the port to listen at (default: %(default)s)")


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(command=_model)
    actions = parser.add_subparsers(required=True, metavar="ACTION", dest="action")
    pull = actions.add_parser("pull", help="fetch a model and tell where its file is")
    pull.add_argument("name", nargs="?", help="name of the model (default: the one that `sot ask` uses)")
    actions.add_parser("list", help="list the models that have a name")
    path = actions.add_parser("path", help="tell where the file of a model is")
    path.add_argument("name", help="name of the model")


def _serve(arguments: argparse.Namespace) -> None:
    # Here, because OpenVINO takes a while to load.
    from . import serve

    serve.run(arguments)


def _model(arguments: argparse.Namespace) -> None:
    # Here, because it needs an extra.
    from . import model

    model.run(arguments)
