"""What judges the answers of a query engine, and asks again: more consumers."""

from collections.abc import Sequence
from typing import Any

import pytest

from ..script import QUESTION
from .consumers import Outcome, aoutcome, consumer, outcome
from .ways import run, saying

pytest.importorskip("llama_index.core")

from llama_index.core.evaluation import (
    BaseEvaluator,
    BatchEvalRunner,
    EvaluationResult,
    FaithfulnessEvaluator,
    GuidelineEvaluator,
    RelevancyEvaluator,
)
from llama_index.core.query_engine import RetryGuidelineQueryEngine, RetryQueryEngine, RetrySourceQueryEngine


class Judge(BaseEvaluator):
    """It has an answer pass after so many failures."""

    def __init__(self, failures: int) -> None:
        self.failures = failures

    def _get_prompts(self) -> dict[str, Any]:
        return {}

    def _update_prompts(self, prompts: Any) -> None: ...

    async def aevaluate(
        self, query: Any = None, response: Any = None, contexts: Sequence[str] | None = None, **_: Any
    ) -> EvaluationResult:
        self.failures -= 1
        passing = self.failures < 0
        return EvaluationResult(response=response, passing=passing, feedback="YES" if passing else "NO")


@consumer()
def retry(engine: Any) -> Outcome:
    return outcome(RetryQueryEngine(engine, Judge(0)))


@consumer(streaming=(False,))
def retry_once(engine: Any) -> Outcome:
    """What is asked again has the first answer in it."""
    return outcome(RetryQueryEngine(engine, Judge(1)))


@consumer()
def retry_async(engine: Any) -> Outcome:
    """It calls the engine's synchronous ``_query`` on the running loop, and evaluates there."""
    return aoutcome(RetryQueryEngine(engine, Judge(0)))


@consumer()
def retry_source(engine: Any) -> Outcome:
    return outcome(RetrySourceQueryEngine(engine, Judge(0), llm=saying()))


@consumer()
def retry_guideline(engine: Any) -> Outcome:
    judge = GuidelineEvaluator(llm=saying('{"passing": true, "feedback": "good"}'))
    return outcome(RetryGuidelineQueryEngine(engine, judge))


@consumer(streaming=(False,))  # evaluators read whole responses
def batch_eval(engine: Any) -> Outcome:
    judges: Any = {"faithful": FaithfulnessEvaluator(llm=saying("YES")), "relevant": RelevancyEvaluator(saying("YES"))}
    results = run(BatchEvalRunner(judges, workers=2).aevaluate_queries(engine, queries=[QUESTION]))
    (faithful,), (relevant,) = results["faithful"], results["relevant"]
    assert (True, True, faithful.response) == (faithful.passing, relevant.passing, relevant.response)
    return Outcome(faithful.response or "", None, tuple(faithful.contexts or ()))


@consumer(streaming=(False,))
def evaluator(engine: Any) -> Outcome:
    response = engine.query(QUESTION)
    result = FaithfulnessEvaluator(llm=saying("YES")).evaluate_response(QUESTION, response)
    assert result.passing
    return Outcome(result.response or "", None, tuple(result.contexts or ()))


@consumer()
def typed_response(engine: Any) -> Outcome:
    """What evaluators and routers do with a stream first."""
    response = engine.query(QUESTION)
    whole = response.get_response() if hasattr(response, "get_response") else response
    return Outcome.of(whole)
