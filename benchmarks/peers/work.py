"""The work that all ways have in common: one question, one skeleton, the same words for each point, at a known pace.

A `Work` is what the endpoint says, so the script decides and not the way that asks: it knows what is asked for by what
each way's prompts say. A word is a token. The text of a point repeats one word, which no other point has, so that an
answer can be compared with what had to come out, whatever headings a way puts around the points.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate

from skeleton_of_thought.models.generation import Generation
from skeleton_of_thought.testing import LatencyModel

QUESTION = "What should I consider when buying a used car?"
WARM_UP = "Is anybody there?"
"""A question with short answers, to open connections with."""

WORDS = [
    *("price", "mileage", "engine", "brakes", "tyres", "rust", "history", "insurance", "warranty", "seats"),
    *("lights", "battery", "doors", "steering", "colour", "dealer", "papers", "noise", "service", "space"),
]
"""What the points are about."""

TITLE, BRIEF = "Look at the ", "See-"
"""How the titles of points begin, and those of the short answers."""

# Those of LangChain's template `skeleton-of-thought`, which are the paper's (appendix B).
SKELETON_PROMPT = (
    "[User:] You're an organizer responsible for only giving the skeleton (not the full content) for answering the "
    "question. Provide the skeleton in a list of points (numbered 1., 2., 3., etc.) to answer the question. Instead of "
    "writing a full sentence, each skeleton point should be very short with only 3~5 words. Generally, the skeleton "
    "should have 3~10 points. Now, please provide the skeleton for the following question.\n{question}\nSkeleton:\n"
    "[Assistant:] 1."
)
POINT_PROMPT = (
    "[User:] You're responsible for continuing the writing of one and only one point in the overall answer to the "
    "following question.\n{question}\nThe skeleton of the answer is\n{skeleton}\nContinue and only continue the "
    "writing of point {number}. Write it **very shortly** in 1~2 sentence and do not continue with other points!\n"
    "[Assistant:] {number}. {title}"
)

Busy = Callable[[int], float]
"""How many times as long a token takes, by the texts that are being written."""


def idle(_: int) -> float:
    """Tell that the endpoint has room for any number."""
    return 1.0


@dataclass(frozen=True, kw_only=True)
class Work:
    """So many points of known lengths. None is the longest but one, and that is not the first."""

    points: int
    shortest: int = 20
    longest: int = 40
    first: float = 0.04
    """Seconds until the first token."""
    per_token: float = 0.005
    busy: Busy = idle

    @property
    def lengths(self) -> list[int]:
        """How many words each point has."""
        step = (self.longest - self.shortest) / (self.points - 1)
        rising = [self.shortest + round(step * number) for number in range(self.points)]
        begin = self.points // 2 - 1
        return rising[begin:] + rising[:begin]

    @property
    def lines(self) -> list[str]:
        """The skeleton, line by line: five words each."""
        return [f"{number}. {TITLE}{word}" for number, word in enumerate(WORDS[: self.points], 1)]

    @property
    def texts(self) -> list[str]:
        """The text of each point."""
        return [" ".join([word] * length) for word, length in zip(WORDS, self.lengths, strict=False)]

    def model(self) -> LatencyModel:
        """Make the model that says it."""
        brief = [f"{number}. {BRIEF}{word}" for number, word in enumerate(WORDS[: self.points], 1)]
        said = {False: _said(self.lines, self.texts), True: _said(brief, ["ok ok"] * self.points)}

        def reply(asked: Generation) -> str:
            task = asked.messages[-1].text
            warming = BRIEF in task or any(WARM_UP in message.text for message in asked.messages)
            return said[warming][_asked_for(task)]

        return LatencyModel(reply=reply, first_token=self.first, per_token=self.per_token, slowdown=self.busy)

    def is_said_by(self, answer: str) -> bool:
        """Tell whether *answer* has all words of all points in their order, and no more."""
        text = re.sub(rf"{TITLE}\w+", "", answer)
        return [word for word in re.findall(r"[a-z]+", text) if word in WORDS] == " ".join(self.texts).split()

    # -- what it takes at least ------------------------------------------------------------------------

    def seconds(self, tokens: int) -> float:
        """Tell how long one reply of so many tokens takes, where it is the only one."""
        return self.busy(1) * (self.first + (tokens - 1) * self.per_token)

    @property
    def one_call(self) -> float:
        """How long all words take as one reply."""
        return self.seconds(sum(self.lengths))

    @property
    def skeleton(self) -> float:
        """How long the skeleton takes."""
        return self.seconds(5 * self.points)

    @property
    def slowest(self) -> float:
        """How long all points take that begin at the same time: as long as the slowest, each slowed by the others."""
        passed, written = 0.0, 1 - self.first / self.per_token  # the first token takes as long as so many
        for done, length in enumerate(sorted(self.lengths)):
            passed += (length - written) * self.per_token * self.busy(self.points - done)
            written = length
        return passed

    @property
    def path(self) -> float:
        """The critical path: the skeleton, then the slowest point."""
        return self.skeleton + self.slowest

    @property
    def pipelined_path(self) -> float:
        """The same where a point begins with the end of its line: when the next begins, or the skeleton ends."""
        known = [self.seconds(words + 1) for words in accumulate([5] * (self.points - 1))] + [self.skeleton]
        return max(begin + self.seconds(length) for begin, length in zip(known, self.lengths, strict=True))

    @property
    def one_after_another(self) -> float:
        """The skeleton, then each point after the one before it."""
        return self.skeleton + sum(map(self.seconds, self.lengths))

    @property
    def rewritten(self) -> float:
        """The critical path, and then all words again as one reply."""
        return self.path + self.one_call

    @property
    def summarised(self) -> float:
        """The slowest point, and then all words as one reply."""
        return self.slowest + self.one_call


def _said(lines: list[str], texts: list[str]) -> dict[str, str]:
    asked = [json.dumps({"sub_question": line, "tool_name": "cars"}, separators=(",", ":")) for line in lines]
    said = {"skeleton": "\n".join(lines), "sub-questions": "[" + ",\n".join(asked) + "]"}
    said["rest of skeleton"] = said["skeleton"].removeprefix("1. ")
    return said | {"direct": " ".join(texts)} | dict(zip(WORDS, texts, strict=False))


def _asked_for(task: str) -> str:
    """Tell what is asked for: a point by its word, or one of the other replies."""
    if "relevant sub-questions" in task:
        return "sub-questions"
    if f"{WORDS[0]} {WORDS[0]}" in task or "ok ok" in task:  # what was written is given, to make one text of it
        return "direct"
    if titles := re.findall(rf"(?:{TITLE}|{BRIEF})(\w+)", task):
        return str(titles[-1])
    if "[Assistant:] 1." in task:
        return "rest of skeleton"
    return "skeleton" if "skeleton" in task else "direct"
