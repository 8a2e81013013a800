import re
from dataclasses import FrozenInstanceError, fields, replace

import pytest

from skeleton_of_thought import ConfigurationError, Limit, Prompts, Question, Retry, Route
from skeleton_of_thought.settings import Settings


def test_the_defaults_work() -> None:
    """Nothing has to be set."""
    settings = Settings()
    assert ("auto", None, Prompts(), False, 10, 2, "short", None, "numbered", 16) == (
        settings.router,
        settings.retriever,
        settings.prompts,
        settings.pipelined,
        settings.max_points,
        settings.min_points,
        settings.detail,
        settings.point_max_tokens,
        settings.heading,
        settings.max_concurrency,
    )
    assert (None, Retry(), None, None, "raise", None) == (
        settings.rate_limit,
        settings.retry,
        settings.timeout,
        settings.deadline,
        settings.on_point_error,
        settings.hedge,
    )
    assert len(fields(settings)) == 16


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("max_points", 1, "max_points=1 cannot work: use a whole number from 2 up"),
        ("max_points", "10", "max_points='10' cannot work: use a whole number from 2 up"),
        ("max_points", None, "max_points=None cannot work: use a whole number from 2 up"),
        ("min_points", 1, "min_points=1 cannot work: use a whole number from 2 up"),
        ("min_points", 2.5, "min_points=2.5 cannot work: use a whole number from 2 up"),
        ("min_points", 11, "min_points=11 is more than max_points=10"),
        ("point_max_tokens", 0, "point_max_tokens=0 cannot work: use a whole number from 1 up"),
        ("point_max_tokens", "many", "point_max_tokens='many' cannot work: use a whole number from 1 up"),
        ("max_concurrency", 0, "max_concurrency=0 cannot work: use a whole number from 1 up"),
        ("max_concurrency", None, "max_concurrency=None cannot work: use a whole number from 1 up"),
        ("deadline", 0, "deadline=0 cannot work: use seconds, more than 0"),
        ("deadline", "5", "deadline='5' cannot work: use seconds, more than 0"),
        ("deadline", True, "deadline=True cannot work: use seconds, more than 0"),
        ("timeout", -1, "timeout=-1 cannot work: use seconds, more than 0"),
        ("timeout", float("nan"), "timeout=nan cannot work: use seconds, more than 0"),
        ("on_point_error", "ignore", "on_point_error='ignore' cannot work: use one of 'raise', 'mark', 'leave_out'"),
        ("retry", 3, "retry of type int cannot work: use skeleton_of_thought.Retry(...)"),
        ("retry", None, "retry of type NoneType cannot work: use skeleton_of_thought.Retry(...)"),
        ("hedge", True, "hedge of type bool cannot work: use skeleton_of_thought.Hedge(...)"),
        ("rate_limit", 60, "rate_limit of type int cannot work: use skeleton_of_thought.RateLimit(...)"),
        ("detail", "huge", "detail='huge' cannot work: use one of 'short', 'medium', 'long'"),
        ("heading", "html", "heading='html' cannot work: use one of 'numbered', 'bold', 'markdown', 'none'"),
        ("heading", None, "heading=None cannot work: use one of 'numbered', 'bold', 'markdown', 'none'"),
        ("router", "sometimes", "router='sometimes' cannot work: use one of 'auto', 'always', 'never'"),
        ("router", None, "router=None cannot work: use one of 'auto', 'always', 'never'"),
        ("retriever", "a store", "retriever of type str cannot work: use a function"),
        ("prompts", "Write!", "prompts of type str cannot work: use skeleton_of_thought.Prompts(...)"),
    ],
)
def test_a_setting_that_cannot_work_says_what_can(name: str, value: object, message: str) -> None:
    """When it is set, not when a question is asked."""
    with pytest.raises(ConfigurationError, match=f"^{re.escape(message)}$"):
        Settings(**{name: value})  # type: ignore[arg-type]  # that is the point
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        replace(Settings(), **{name: value})  # type: ignore[arg-type]


def test_a_misspelt_setting_is_refused() -> None:
    """It would silently do nothing."""
    with pytest.raises(TypeError, match="max_pionts"):
        Settings(max_pionts=3)  # type: ignore[call-arg]  # that is the point


def test_settings_have_names() -> None:
    """Nobody knows which number comes first."""
    with pytest.raises(TypeError):
        Settings("auto")  # type: ignore[misc]  # that is the point


def test_settings_do_not_change() -> None:
    """An object can be shared between threads."""
    with pytest.raises(FrozenInstanceError):
        Settings().max_points = 3  # type: ignore[misc]  # that is the point


@pytest.mark.parametrize("router", ["auto", "always", "never", lambda question: Route("direct", "mine", "so")])
def test_routers(router: object) -> None:
    """A name, or anything that can be called."""
    assert router is Settings(router=router).router  # type: ignore[arg-type]


def test_a_shared_limit_is_taken_as_it_is() -> None:
    """It bounds several objects together."""
    limit = Limit(3)
    assert limit is Settings(max_concurrency=limit).max_concurrency


def test_as_many_points_as_are_needed() -> None:
    """The bounds may meet."""
    assert 4 == Settings(max_points=4, min_points=4).max_points


def test_a_question_is_not_a_setting() -> None:
    """But it is compared without what the framework hung on it."""
    assert Question("Why?", origin=1) == Question("Why?", origin=2)


def test_settings_that_were_only_passed_on_are_checked_by_name() -> None:
    """A misspelt one is told, with those that there are."""
    assert Settings(max_points=3) == Settings.of({"max_points": 3})
    with pytest.raises(
        ConfigurationError, match=r"^there is no setting max_pionts: use one of router, retriever, prompts, "
    ):
        Settings.of({"max_pionts": 3})
