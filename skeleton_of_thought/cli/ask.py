"""``sot ask`` and ``sot route``."""

import argparse
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from .._merge import BETWEEN_POINTS
from ..answer import Answer, Heading, Question, heading_of
from ..calls import LLM, Call, Piece, abilities_of
from ..engine import SkeletonOfThought
from ..errors import ConfigurationError, InputError, PointError
from ..events import Finished, Routed, Text
from . import figures
from .output import AsEvents, AsJson, AsText, Output, can_animate
from .settings import settings_of


def run(arguments: argparse.Namespace) -> None:
    """Answer a question."""
    question = _question(arguments.question)
    sot = SkeletonOfThought(llm=_model(arguments), **settings_of(arguments))
    if arguments.compare:
        _warm_up(sot)
    answer = _answer(sot, question, _output(arguments), _resume(arguments.resume))
    watched = sys.stdout.isatty()
    if watched if arguments.figures is None else arguments.figures:
        figures.say(f"\n{figures.line(answer)}" if watched else figures.line(answer))
    if not answer.complete:
        figures.say("The answer is not complete. Save it with --json, and give it back with --resume to go on.")
    if watched and abilities_of(sot.llm).small:
        figures.say("The model is very small: its text is fluent and often wrong.")
    if arguments.compare:
        figures.say(_compared(sot, question, answer))


def route(arguments: argparse.Namespace) -> None:
    """Tell whether a question would get a skeleton, and why."""

    async def silent(_: Call) -> AsyncIterator[Piece]:
        return
        yield

    with closing(SkeletonOfThought(llm=silent).stream(_question(arguments.question))) as events:
        route = next(event.route for event in events if isinstance(event, Routed))
    print(f"{route.kind}, by {route.by}: {route.why}")


def _question(argument: str) -> Question:
    try:
        return Question(sys.stdin.read().strip() if argument == "-" else argument)
    except UnicodeDecodeError as error:
        raise InputError(f"standard input is no {error.encoding} text: give the question as text") from error


def _resume(path: str | None) -> Answer | None:
    if path is None:
        return None
    try:
        return Answer.from_json(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path!r} holds no answer: give a file that `sot ask --json` wrote") from error


def _model(arguments: argparse.Namespace) -> LLM:
    if arguments.base_url is None and arguments.api_key_env is None:
        # Here, because OpenVINO takes a while to load.
        from ..models.local import LocalModel

        return LocalModel(arguments.model) if arguments.model else LocalModel()
    # Here, because the package takes half a second to load.
    from ..models.openai import OpenAIModel

    if arguments.model is None:
        raise ConfigurationError("an endpoint may have many models: name one with --model")
    return OpenAIModel(arguments.model, base_url=arguments.base_url, api_key=_key(arguments.api_key_env))


def _key(variable: str | None) -> str | None:
    if variable is None:
        return None
    if not (key := os.environ.get(variable)):
        named = re.fullmatch("[A-Z_][A-Z0-9_]*", variable)  # anything else may be the key itself
        told = repr(variable) if named else "that --api-key-env names"
        raise ConfigurationError(f"the environment variable {told} is empty: put the key into it")
    return key


def _output(arguments: argparse.Namespace) -> Output:
    if arguments.json:
        return AsJson()
    if arguments.events:
        return AsEvents()
    if not can_animate(sys.stdout):
        return AsText()
    # Here, because only a terminal needs it.
    from .view import LiveView

    return LiveView()


def _answer(sot: SkeletonOfThought, question: Question, output: Output, resume: Answer | None) -> Answer:
    """Show a run, and leave behind what is written of it."""
    answer = None
    try:
        with closing(sot.stream(question, resume=resume)) as events:
            for event in events:
                output.hear(event)
                if isinstance(event, Finished):
                    answer = event.answer
    except PointError as error:
        answer = replace(error.answer, text=_written(error.answer, sot.heading))
        raise
    finally:
        output.leave(answer)
    if answer is None:
        raise AssertionError("a run ends with Finished or with an exception")
    return answer


def _written(answer: Answer, heading: Heading) -> str:
    """Put together all that was written, also what still had to wait for its turn to be shown."""
    last = max((number for number, section in enumerate(answer.sections, 1) if section.text), default=0)
    return BETWEEN_POINTS.join(heading_of(each.point, heading) + each.text for each in answer.sections[:last])


def _warm_up(sot: SkeletonOfThought) -> None:
    """Load the model and open the connection, so that neither of two answers pays for it."""
    with figures.waiting("warming up the model"), closing(replace(sot, router="never").stream("Hello")) as events:
        next((event for event in events if isinstance(event, Text)), None)


def _compared(sot: SkeletonOfThought, question: Question, answer: Answer) -> str:
    if answer.route.kind == "direct":
        return "there is nothing to compare: the answer is a direct one"
    direct_only = replace(sot, router="never")
    with figures.waiting("answering directly, to compare"), closing(direct_only.stream(question)) as events:
        direct = next(event.answer for event in events if isinstance(event, Finished))
    return figures.comparison(answer, direct)
