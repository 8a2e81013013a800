"""What the training found, as tables: on the topics it chose by (out of topic), and on those held out."""

import re
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score

from skeleton_of_thought import Question
from skeleton_of_thought.routers import rules
from skeleton_of_thought.routers.trained import TrainedRouter

MODELS = {"alone": "no extra", "both": "with `[router]`"}
CUES = re.compile(
    r"(?i)\b(?:one|two|three|a single|in a|max\.?|at most|under)? ?\d* ?(?:lines?|sentences?|words?)\b"
    r"|\b(?:in short|briefly|short|only|just|names?|titles?|no more|nothing else|quick(?:ly)?"
    r"|write|each|every|one by one|paragraphs?)\b"
)


def written(
    rows: list[dict],
    probabilities: dict[str, np.ndarray],
    held_rows: list[dict],
    unseen: dict[str, np.ndarray],
    enough: dict[str, float],
    weights: Path,
    held_out: set[str],
) -> str:
    """Return the report. *rows* are those that were trained on, with their out-of-topic probabilities."""
    suits, held_suits = _suits(rows), _suits(held_rows)
    refused, held_refused = _refused(rows), _refused(held_rows)
    ways = _ways(rows, suits, probabilities, enough)
    calibrations = {
        name: _calibration(
            suits[~refused], probabilities[name][~refused], held_suits[~held_refused], unseen[name][~held_refused]
        )
        for name in MODELS
    }
    probabilities = {name: np.where(refused, 0, said) for name, said in probabilities.items()}
    unseen = {name: np.where(held_refused, 0, said) for name, said in unseen.items()}
    parts = [
        "# What the training of the router found",
        "Written by `train.py`; it is not to be edited.",
        f"{len(rows)} prompts of {len({row['topic'] for row in rows})} topics, {suits.mean():.0%} of them `list`: "
        "every figure is of models that have not seen the topic (five folds). Held out: "
        f"{len(held_rows)} prompts of {', '.join(sorted(held_out))}.",
        "## Thresholds\n\n"
        + "\n".join(
            f"* {MODELS[name]}: {value:.2f}, from which on nine of ten skeletons are right out of topic"
            for name, value in enough.items()
        ),
        "## Ways to combine rules and models\n\n" + ways,
    ]
    for name, title in MODELS.items():
        parts += [
            f"## Held-out topics, {title}\n\n" + _by(held_rows, held_suits, unseen[name], enough[name]),
            f"## Out of topic, {title}\n\n" + _by(rows, suits, probabilities[name], enough[name]),
            "### By kind\n\n"
            + _by_kind(rows + held_rows, suits, held_suits, probabilities[name], unseen[name], enough[name]),
            "### Calibration\n\nOf what the rules do not refuse.\n\n" + calibrations[name],
            f"### Where it is most wrong\n\n{_confused(held_rows, held_suits, unseen[name], enough[name])}",
        ]
    parts.append("## Without cues of length\n\n" + _without_cues(held_rows, held_suits, unseen, enough))
    parts.append("## Cost\n\n" + _cost([row["text"] for row in held_rows], weights))
    return "\n\n".join(parts) + "\n"


def _suits(rows: list[dict]) -> np.ndarray:
    return np.array([row["label"] == "list" for row in rows], dtype=int)


def _refused(rows: list[dict]) -> np.ndarray:
    return np.array([rules.refusal(Question(row["text"])) is not None for row in rows])


def _table(head: Iterable[str], lines: Iterable[Iterable[object]]) -> str:
    head = list(head)
    rows = [head, ["---", *["---:"] * (len(head) - 1)], *[[str(cell) for cell in line] for line in lines]]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


FIGURES = ("prompts", "list", "accuracy", "precision", "recall", "F1", "AUC")


def _figures(suits: np.ndarray, probabilities: np.ndarray, enough: float) -> list[str]:
    given = probabilities >= enough
    right = int((given & (suits == 1)).sum())
    precision, recall = right / max(given.sum(), 1), right / max(suits.sum(), 1)
    f1 = 2 * precision * recall / max(precision + recall, 1e-9)
    auc = f"{roc_auc_score(suits, probabilities):.3f}" if 0 < suits.sum() < len(suits) else "–"
    shares = [f"{value:.2f}" for value in (precision if given.any() else float("nan"), recall, f1)]
    return [str(len(suits)), str(int(suits.sum())), f"{(given == suits).mean():.3f}", *shares, auc]


def _by(rows: list[dict], suits: np.ndarray, probabilities: np.ndarray, enough: float) -> str:
    groups: dict[str, Callable[[dict], bool]] = {"all": lambda _row: True}
    for key in ("file", "language"):
        for value in sorted({row[key] for row in rows}):
            groups[f"{key} {value}"] = lambda row, key=key, value=value: row[key] == value
    lines = []
    for name, belongs in groups.items():
        chosen = np.array([belongs(row) for row in rows])
        lines.append([name, *_figures(suits[chosen], probabilities[chosen], enough)])
    return _table(["", *FIGURES], lines)


def _by_kind(
    rows: list[dict],
    suits: np.ndarray,
    held_suits: np.ndarray,
    probabilities: np.ndarray,
    unseen: np.ndarray,
    enough: float,
) -> str:
    suits, given = np.concatenate([suits, held_suits]), np.concatenate([probabilities, unseen]) >= enough
    kinds = np.array([row["kind"] for row in rows])
    often = sorted({kind for kind in kinds if (kinds == kind).sum() >= 15}, key=lambda kind: -(kinds == kind).sum())
    lines = []
    for kind in often:
        chosen = kinds == kind
        wrong, missed = int((given & (suits == 0))[chosen].sum()), int((~given & (suits == 1))[chosen].sum())
        lines.append([kind, chosen.sum(), suits[chosen].sum(), f"{(given == suits)[chosen].mean():.2f}", wrong, missed])
    return _table(["kind", "prompts", "list", "accuracy", "wrong skeletons", "missed"], lines)


def _calibration(suits: np.ndarray, probabilities: np.ndarray, held_suits: np.ndarray, unseen: np.ndarray) -> str:
    lines = []
    for low in np.arange(0, 1, 0.1):
        cells: list[object] = [f"{low:.1f} to {low + 0.1:.1f}"]
        for truth, said in ((suits, probabilities), (held_suits, unseen)):
            chosen = (said >= low) & (said < low + 0.1)
            cells += (
                [chosen.sum(), f"{said[chosen].mean():.2f}", f"{truth[chosen].mean():.2f}"]
                if chosen.any()
                else [0, "–", "–"]
            )
        lines.append(cells)
    return _table(["probability", "out of topic", "said", "true", "held out", "said", "true"], lines)


def _confused(rows: list[dict], suits: np.ndarray, probabilities: np.ndarray, enough: float) -> str:
    lines = []
    for wanted, title in ((0, "skeleton where none belongs"), (1, "missed")):
        wrong = np.flatnonzero((suits == wanted) & ((probabilities >= enough) != wanted))
        for row in sorted(wrong, key=lambda row: -abs(probabilities[row] - wanted))[:10]:
            text = " ".join(rows[row]["text"].split()).replace("|", "\\|")
            text = text if len(text) <= 110 else text[:110] + " …"
            lines.append([title, f"{probabilities[row]:.2f}", rows[row]["label"], text])
    return _table(["", "probability", "label", "prompt"], lines)


def _ways(rows: list[dict], suits: np.ndarray, probabilities: dict[str, np.ndarray], enough: dict[str, float]) -> str:
    asks, refuses = np.array([rules.asks(row["text"]) for row in rows]), _refused(rows)
    lines = [["rules only", *_figures(suits, (asks & ~refuses).astype(float), 0.5)]]
    for name, title in MODELS.items():
        said, least = probabilities[name], enough[name]
        lines += [
            [f"the models decide all, {title}", *_figures(suits, said, least)],
            [
                f"rules refuse first, then the models (shipped), {title}",
                *_figures(suits, np.where(refuses, 0, said), least),
            ],
            [
                f"rules first, both ways, {title}",
                *_figures(suits, np.where(refuses, 0, np.where(asks, 1, said)), least),
            ],
        ]
    return _table(["", *FIGURES], lines)


def _without_cues(rows: list[dict], suits: np.ndarray, unseen: dict[str, np.ndarray], enough: dict[str, float]) -> str:
    plain = np.array([not CUES.search(row["text"]) for row in rows])
    lines = []
    for name, title in MODELS.items():
        lines += [
            [f"prompts with a cue, {title}", *_figures(suits[~plain], unseen[name][~plain], enough[name])],
            [f"prompts with none, {title}", *_figures(suits[plain], unseen[name][plain], enough[name])],
        ]
    return (
        "Words such as *short*, *only*, *in one line*, *names*, *write* and *each* could tell the label by the "
        "surface. English cues; held-out topics.\n\n" + _table(["", *FIGURES], lines)
    )


def _cost(texts: list[str], weights: Path) -> str:
    lines = []
    for name, title in MODELS.items():
        router = TrainedRouter(encoder=name == "both", data=weights)
        router.load()
        times = []
        for text in texts:
            start = time.process_time()
            router(Question(text))
            times.append(time.process_time() - start)
        lines.append([title, f"{1000 * np.mean(times):.2f}", f"{1000 * np.percentile(times, 95):.2f}"])
    size = f"{weights.stat().st_size / 1000:.0f} kB of weights in the package."
    return size + "\n\n" + _table(["", "ms of CPU a question, mean", "95 of 100 below"], lines)
