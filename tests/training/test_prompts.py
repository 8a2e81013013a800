"""The prompts that the router is trained on keep to their own rule."""

import json
import re
from collections import Counter, defaultdict
from pathlib import Path

import pytest

TRAINING = Path(__file__).parents[2] / "training" / "router"
FILES = sorted((TRAINING / "prompts").glob("*.jsonl"))
LABELS = {"list", "chain", "other"}


def rows(path: Path) -> list[dict[str, str]]:
    """Read a file of prompts."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def topics() -> set[str]:
    """Read the topics that the rule names."""
    named = (TRAINING / "RULE.md").read_text(encoding="utf-8").partition("Topics:")[2].partition(".")[0]
    return {topic.strip() for topic in named.split(",")}


def test_there_are_prompts() -> None:
    """As many as the goal asks for at least."""
    assert sum(len(rows(path)) for path in FILES) >= 1500


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_prompt_is_whole(path: Path) -> None:
    """Each has a text and four marks, of the words that the rule allows."""
    allowed = topics()
    for row in rows(path):
        assert ["kind", "label", "language", "text", "topic"] == sorted(row)
        assert all(isinstance(value, str) and value.strip() for value in row.values()), row
        assert row["label"] in LABELS, row
        assert row["topic"] in allowed, row
        assert re.fullmatch(r"[a-z]{2}|mixed", row["language"]), row


def test_every_prompt_is_there_once() -> None:
    """Case, spaces and signs do not make another prompt: it could be trained on and held out."""
    texts = Counter(re.sub(r"[\W_]+", "", row["text"]).casefold() for path in FILES for row in rows(path))
    assert [] == [text for text, times in texts.items() if times > 1]


def test_every_topic_has_every_label() -> None:
    """What is held out by topic can be measured for each label, and no topic tells the label."""
    labels = defaultdict(Counter[str])
    for path in FILES:
        for row in rows(path):
            labels[row["topic"]][row["label"]] += 1
    assert topics() == set(labels)
    for topic, times in labels.items():
        assert set(times) == LABELS, topic
        assert max(times.values()) <= 0.75 * times.total(), topic
