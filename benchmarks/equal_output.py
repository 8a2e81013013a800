"""Skeleton-of-Thought against one ordinary answer of the same length, on the embedded engine.

For each question: a skeleton, then each of its points with exactly as many tokens as every other; and, on the same
engine, one answer with as many tokens as all points together. Both are written to their last token whatever the
model would like, so that neither wins by saying less. SoT goes first, as it tells how long the other must be, after
one uncounted question; so the ordinary answer has the question in the prefix cache. The questions are our own.

    python -m benchmarks.equal_output [--model NAME] [--tokens 64]
"""

import argparse
import asyncio
import statistics
from collections.abc import AsyncIterator
from time import perf_counter

from skeleton_of_thought import Answer, Call, Message, SkeletonOfThought
from skeleton_of_thought.calls import Door, Piece, abilities_of
from skeleton_of_thought.models._openvino import Engine, engine_for
from skeleton_of_thought.models._store import DEFAULT_MODEL, find
from skeleton_of_thought.models.generation import Generation
from skeleton_of_thought.models.local import LocalModel

WARM_UP = "What are the advantages of public libraries?"
QUESTIONS = (
    "How can I sleep better at night?",
    "What should I consider when buying a used car?",
    "How do I prepare for a job interview?",
    "What are good habits for saving money?",
    "How can a small town attract more visitors?",
    "What are the benefits of learning a second language?",
    "How do I keep houseplants healthy?",
    "What are the pros and cons of working from home?",
    "How can parents limit screen time for children?",
    "What makes a good team leader?",
)


def of_equal_points(model: LocalModel, engine: Engine, tokens: int) -> SkeletonOfThought:
    """Write every point to exactly *tokens* tokens; leave the skeleton to the model."""

    def ask(call: Call) -> AsyncIterator[Piece]:
        if call.stage == "skeleton":
            return model(call)
        return engine.generate(Generation(messages=call.messages, max_tokens=tokens, ignore_eos=True))

    return SkeletonOfThought(llm=Door(ask, abilities_of(model)), router="always")


async def sequential(engine: Engine, question: str, tokens: int) -> float:
    """Write one answer of *tokens* tokens and return the seconds that it took."""
    asked = Generation(messages=(Message("user", question),), max_tokens=tokens, ignore_eos=True)
    began = perf_counter()
    async for _ in engine.generate(asked):
        pass  # to its end, so there is nothing to close
    return perf_counter() - began


def _row(answer: Answer, one: float) -> str:
    timings = answer.timings
    return (
        f"{len(answer.sections):>6} {timings.skeleton or 0:>9.2f} {timings.total:>8.2f} {one:>11.2f}"
        f" {one / timings.total:>8.2f}x  {answer.question}"
    )


def main() -> None:
    """Print a row for each question, and the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--tokens", type=int, default=64, help="of each point (default: %(default)s)")
    arguments = parser.parse_args()
    model, engine = LocalModel(arguments.model), engine_for(find(arguments.model))
    sot = of_equal_points(model, engine, arguments.tokens)
    sot.ask(WARM_UP)
    print("points  skeleton      SoT  sequential  speed-up")
    results: list[tuple[float, float]] = []
    for question in QUESTIONS:
        answer = sot.ask(question)
        if answer.route.kind == "direct":
            print(f"no skeleton: {question}")
            continue
        tokens = arguments.tokens * len(answer.sections)
        one = asyncio.run(sequential(engine, question, tokens))
        results.append((answer.timings.total, one))
        print(_row(answer, one), flush=True)
    total, one = (statistics.median(column) for column in zip(*results, strict=True))
    ratio = statistics.median(one / total for total, one in results)
    print(
        f"median: SoT {total:.2f} s, sequential {one:.2f} s, speed-up {ratio:.2f}x, {arguments.tokens} tokens a point"
    )


if __name__ == "__main__":
    main()
