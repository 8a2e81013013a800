"""The ways to one answer on the embedded engine, at equal length and at natural length."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from time import perf_counter

from skeleton_of_thought import Answer, Call, Message, SkeletonOfThought
from skeleton_of_thought.calls import Door, Piece, Usage, abilities_of
from skeleton_of_thought.models._openvino import Engine
from skeleton_of_thought.models.generation import Generation
from skeleton_of_thought.models.local import LocalModel

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


@dataclass(frozen=True, slots=True)
class Run:
    """One answer: its text's tokens and how long they took."""

    tokens: int
    seconds: float
    skeleton: float | None = None
    points: int = 0
    cached: float | None = None
    """Share of the points' prompt tokens that the prefix cache served."""

    @property
    def speed(self) -> float:
        """Tokens of the answer's text in a second; those of the skeleton are no text."""
        return self.tokens / self.seconds


class Ways:
    """All ways to answer on one engine."""

    def __init__(self, model: LocalModel, engine: Engine, tokens: int) -> None:
        self._model, self._engine, self.tokens = model, engine, tokens

    def points_of(self, question: str) -> int:
        """Write the skeleton alone: so the question is in the prefix cache, and the number of points is known."""
        *_, ready = self._sot(pipelined=False).stream_skeleton(question, whole=True)
        return len(ready.skeleton.points)  # type: ignore[union-attr]  # a skeleton's stream ends with SkeletonReady

    def sot(self, question: str, *, pipelined: bool) -> Run:
        """Write every point to its last token, whatever the model would like."""
        return run_of(self._sot(pipelined=pipelined).ask(question), self.tokens)

    def sequential(self, question: str, tokens: int) -> Run:
        """Write one answer of *tokens* tokens."""
        asked = Generation(messages=(Message("user", question),), max_tokens=tokens, ignore_eos=True, whole=True)
        began = perf_counter()
        asyncio.run(_generate(self._engine, [asked]))
        return Run(tokens, perf_counter() - began)

    def natural(self, question: str, *, pipelined: bool) -> Run:
        """Write as much as the model likes."""
        return run_of(SkeletonOfThought(llm=self._model, router="always", pipelined=pipelined).ask(question))

    def natural_direct(self, question: str) -> Run:
        """Write one answer of as much as the model likes."""
        return run_of(SkeletonOfThought(llm=self._model, router="never").ask(question))

    def batch(self, width: int, question: str) -> Run:
        """Write *width* texts in one batch."""
        texts = [
            Generation(
                messages=(Message("user", question), Message("assistant", f"{number}.")),
                max_tokens=self.tokens,
                ignore_eos=True,
                whole=True,
            )
            for number in range(1, width + 1)
        ]
        began = perf_counter()
        asyncio.run(_generate(self._engine, texts))
        return Run(width * self.tokens, perf_counter() - began)

    def _sot(self, *, pipelined: bool) -> SkeletonOfThought:
        def ask(call: Call) -> AsyncIterator[Piece]:
            if call.stage == "skeleton":
                return self._model(call)
            asked = Generation(messages=call.messages, max_tokens=self.tokens, ignore_eos=True, whole=not call.stream)
            return self._engine.generate(asked)

        door = Door(ask, abilities_of(self._model))
        return SkeletonOfThought(llm=door, router="always", pipelined=pipelined)


def run_of(answer: Answer, each: int | None = None) -> Run:
    """Take from an answer what is measured; *each* point has so many tokens, where they are told to."""
    used = answer.usage.get("point" if answer.sections else "direct", Usage())
    tokens = used.output_tokens if each is None else each * len(answer.sections)
    assert used.output_tokens == tokens, f"{used.output_tokens} tokens were written, not {tokens}"
    cached = used.cached_tokens / used.input_tokens
    return Run(tokens, answer.timings.total, answer.timings.skeleton, len(answer.sections), cached)


async def _generate(engine: Engine, texts: list[Generation]) -> None:
    async def one(text: Generation) -> None:
        async for _ in engine.generate(text):
            pass  # to its end, so there is nothing to close

    await asyncio.gather(*map(one, texts))
