"""Train the router on the prompts beside this file, measure it on topics it has not seen, and write both down.

    pip install "skeleton-of-thought[router]" scikit-learn
    OPENBLAS_NUM_THREADS=1 python training/router/train.py   # 20 s; writes the weights and report.md

Seven of the 35 topics are held out, and only measured. Everything is chosen on the other 28, in five
folds, of which each leaves out whole topics: the threshold, and what the two models and the rules count for.
The weights that ship are then trained on all topics.
"""

import argparse
import base64
import json
import sys
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.sparse as sparse
from report import written
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold
from sklearn.preprocessing import normalize

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT))

from skeleton_of_thought import Question
from skeleton_of_thought.routers import _encoder, _ngrams, rules, trained

SEED = 2026
HELD_OUT = 7
FOLDS = 5
PRECISION = 0.9


@dataclass
class Prompts:
    """Prompts as the models see them: row i of each matrix is ``rows[i]``."""

    rows: list[dict]
    words: sparse.csr_matrix
    letters: sparse.csr_matrix
    embedded: np.ndarray
    asks: np.ndarray
    refused: np.ndarray

    @property
    def suits(self) -> np.ndarray:
        """Whether each is labelled `list`: 0 or 1."""
        return np.array([row["label"] == "list" for row in self.rows], dtype=int)

    @property
    def topics(self) -> np.ndarray:
        """The topic of each."""
        return np.array([row["topic"] for row in self.rows])


def read(folder: Path) -> list[dict]:
    """Read every file of prompts; ``file`` tells where a prompt is from."""
    files = sorted(folder.glob("*.jsonl"))
    return [json.loads(line) | {"file": file.stem} for file in files for line in file.read_text("utf-8").splitlines()]


def seen(rows: list[dict]) -> Prompts:
    """Turn prompts into what the models see of them, by the code that does so at run time."""
    texts = [row["text"] for row in rows]
    counts = [_ngrams.counted(text) for text in texts]
    return Prompts(
        rows,
        _matrix([words for words, _ in counts]),
        _matrix([letters for _, letters in counts]),
        np.array([_encoder.embedded(text) for text in texts]),
        np.array([rules.asks(text) for text in texts], dtype=float),
        np.array([rules.refusal(Question(text)) is not None for text in texts]),
    )


def _matrix(counts: list) -> sparse.csr_matrix:
    buckets = [bucket for count in counts for bucket in count]
    values = [1 + np.log(times) for count in counts for times in count.values()]
    starts = np.cumsum([0, *map(len, counts)])
    return normalize(sparse.csr_matrix((values, buckets, starts), shape=(len(counts), _ngrams.BUCKETS)))


class Models:
    """The two models, trained on some rows."""

    def __init__(self, prompts: Prompts, chosen: np.ndarray) -> None:
        suits = prompts.suits[chosen]
        self.rarity = np.concatenate([_rarity(prompts.words[chosen]), _rarity(prompts.letters[chosen])])
        self.ngrams = LogisticRegression(C=3, solver="liblinear", dual=True, max_iter=1000, random_state=SEED)
        self.ngrams.fit(self._counted(prompts, chosen), suits)
        self.encoder = LogisticRegression(C=3, max_iter=5000).fit(prompts.embedded[chosen], suits)

    def say(self, prompts: Prompts, chosen: np.ndarray) -> np.ndarray:
        """Return what each says of the chosen rows: logits of the two models, whether the rules ask."""
        return np.column_stack([
            self.ngrams.decision_function(self._counted(prompts, chosen)),
            self.encoder.decision_function(prompts.embedded[chosen]),
            prompts.asks[chosen],
        ])

    def _counted(self, prompts: Prompts, chosen: np.ndarray) -> sparse.csr_matrix:
        return (sparse.hstack([prompts.words[chosen], prompts.letters[chosen]]) @ sparse.diags(self.rarity)).tocsr()


def _rarity(block: sparse.csr_matrix) -> np.ndarray:
    found = np.asarray((block > 0).sum(axis=0)).ravel()
    return np.where(found >= 2, np.log((1 + block.shape[0]) / (1 + found)) + 1, 0)


COLUMNS = {"alone": [0, 2], "both": [0, 1, 2]}


def out_of_topic(prompts: Prompts, chosen: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Say of every chosen row what models trained without its topic say, and the probabilities that follow."""
    said = np.zeros((len(chosen), 3))
    folds = list(GroupKFold(FOLDS, shuffle=True, random_state=SEED).split(chosen, groups=prompts.topics[chosen]))
    for rest, left_out in folds:
        said[left_out] = Models(prompts, chosen[rest]).say(prompts, chosen[left_out])
    suits, probabilities = prompts.suits[chosen], {}
    for name, columns in COLUMNS.items():
        probabilities[name] = np.zeros(len(chosen))
        for rest, left_out in folds:
            asked = rest[~prompts.refused[chosen[rest]]]
            decision = decide(said[asked][:, columns], suits[asked])
            probabilities[name][left_out] = decision.predict_proba(said[left_out][:, columns])[:, 1]
    return said, probabilities


def decide(said: np.ndarray, suits: np.ndarray) -> LogisticRegression:
    """Learn how what was said becomes a probability (Platt's scaling, with the rules as a witness)."""
    return LogisticRegression(C=100).fit(said, suits)


def threshold(probabilities: np.ndarray, suits: np.ndarray) -> float:
    """Return the lowest probability from which on skeletons are right as often as wanted, in hundredths."""
    for hundredth in range(99, 0, -1):
        enough = probabilities >= hundredth / 100
        if enough.sum() >= 50 and suits[enough].mean() < PRECISION:
            return (hundredth + 1) / 100
    return 0.01


def packed(numbers: np.ndarray) -> str:
    """Pack numbers as the router reads them."""
    return base64.b64encode(zlib.compress(np.asarray(numbers).astype("<f2").tobytes(), 9)).decode()


def main() -> None:
    """Train, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prompts", type=Path, default=HERE / "prompts", help="a folder of *.jsonl files")
    parser.add_argument("--weights", type=Path, default=trained.DATA, help="where the weights go")
    parser.add_argument("--report", type=Path, default=HERE / "report.md", help="where the measurements go")
    parser.add_argument("--sample", type=Path, help="where 24 texts go, with what scikit-learn says of them")
    arguments = parser.parse_args()

    rows = read(arguments.prompts)
    prompts = seen(rows)
    topics = sorted(set(prompts.topics))
    held_out = set(np.random.default_rng(SEED).choice(topics, min(HELD_OUT, len(topics) // 4), replace=False))
    is_held = np.isin(prompts.topics, sorted(held_out))
    chosen, held = np.flatnonzero(~is_held), np.flatnonzero(is_held)

    said, probabilities = out_of_topic(prompts, chosen)
    asked, suits = ~prompts.refused[chosen], prompts.suits[chosen]
    decisions = {name: decide(said[asked][:, columns], suits[asked]) for name, columns in COLUMNS.items()}
    enough = {name: threshold(probabilities[name][asked], suits[asked]) for name in COLUMNS}
    on_held = Models(prompts, chosen).say(prompts, held)
    unseen = {name: decisions[name].predict_proba(on_held[:, columns])[:, 1] for name, columns in COLUMNS.items()}

    everything = np.arange(len(rows))
    final = Models(prompts, everything)
    write_weights(arguments.weights, final, decisions, enough)
    if arguments.sample:
        write_sample(arguments.sample, final, decisions, prompts)
    arguments.report.write_text(
        written(
            [rows[i] for i in chosen],
            probabilities,
            [rows[i] for i in held],
            unseen,
            enough,
            arguments.weights,
            held_out,
        ),
        encoding="utf-8",
    )


def write_weights(
    path: Path, final: Models, decisions: dict[str, LogisticRegression], enough: dict[str, float]
) -> None:
    """Write what the router reads."""
    weights = final.ngrams.coef_[0] * final.rarity
    data = {
        "words": packed(weights[: _ngrams.BUCKETS]),
        "letters": packed(weights[_ngrams.BUCKETS :]),
        "ngrams_bias": float(final.ngrams.intercept_[0]),
        "embedding": packed(final.encoder.coef_[0]),
        "encoder_bias": float(final.encoder.intercept_[0]),
    }
    for name, columns in COLUMNS.items():
        shares = dict(zip(columns, map(float, decisions[name].coef_[0]), strict=True))
        data[name] = {
            "ngrams": shares[0],
            "encoder": shares.get(1, 0.0),
            "asks": shares[2],
            "bias": float(decisions[name].intercept_[0]),
            "threshold": enough[name],
        }
    path.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")


def write_sample(path: Path, final: Models, decisions: dict[str, LogisticRegression], prompts: Prompts) -> None:
    """Write a few texts and the probabilities that scikit-learn gives them, for the tests of the router."""
    few = np.random.default_rng(SEED).choice(len(prompts.rows), 24, replace=False)
    said = final.say(prompts, few)
    columns = {name: decisions[name].predict_proba(said[:, COLUMNS[name]])[:, 1] for name in COLUMNS}
    sample = [
        {"text": prompts.rows[row]["text"]} | {name: round(float(columns[name][i]), 4) for name in COLUMNS}
        for i, row in enumerate(few)
    ]
    path.write_text(json.dumps(sample, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
