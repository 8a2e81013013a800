"""Every way to ask a Runnable, and what its runs tell."""

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Iterable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, TypeVar
from uuid import UUID

import pytest
from langchain_core.callbacks import BaseCallbackHandler

from .fakes import PATIENCE

T = TypeVar("T")

FOUR = pytest.mark.parametrize("way", ["invoke", "stream", "ainvoke", "astream"])
WHOLE = pytest.mark.parametrize("way", ["invoke", "ainvoke"])
EVERY = pytest.mark.parametrize(
    "way",
    [
        "invoke",
        "stream",
        "transform",
        "batch",
        "batch_as_completed",
        "ainvoke",
        "astream",
        "atransform",
        "abatch",
        "abatch_as_completed",
        "astream_events",
    ],
)


def total(chunks: Iterable[Any]) -> Any:
    """Add up what was streamed."""
    first, *rest = chunks
    for chunk in rest:
        first += chunk
    return first


def ask(way: str, runnable: Any, value: Any, config: Any = None, **options: Any) -> Any:
    """Return the one output of *runnable*, asked in one of its ways."""
    ask = getattr(runnable, way)
    match way:
        case "invoke":
            return ask(value, config, **options)
        case "stream":
            return total(ask(value, config, **options))
        case "transform":
            return total(ask(iter([value]), config, **options))
        case "batch":
            return ask([value], config, **options)[0]
        case "batch_as_completed":
            return next(iter(ask([value], config, **options)))[1]
        case _:
            return run(_aask(way, runnable, value, config, **options))


async def _aask(way: str, runnable: Any, value: Any, config: Any, **options: Any) -> Any:
    ask = getattr(runnable, way)
    match way:
        case "ainvoke":
            return await ask(value, config, **options)
        case "astream":
            return total([chunk async for chunk in ask(value, config, **options)])
        case "atransform":
            return total([chunk async for chunk in ask(_one(value), config, **options)])
        case "abatch":
            return (await ask([value], config, **options))[0]
        case "abatch_as_completed":
            ((_, output),) = [each async for each in ask([value], config, **options)]
            return output
        case _:
            events = [event async for event in ask(value, config, version="v2", **options)]
            return next(event["data"]["output"] for event in reversed(events) if not event["parent_ids"])


async def _one(value: Any) -> Any:
    yield value


def run(work: Coroutine[Any, Any, T]) -> T:
    """Wait for *work*; afterwards no task is left, and nobody has complained."""
    complaints: list[Any] = []

    async def main() -> T:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context["message"]))
        try:
            return await work
        finally:
            await until(lambda: len(asyncio.all_tasks()) == 1)

    try:
        return asyncio.run(main())
    finally:
        assert [] == complaints


async def until(condition: Callable[[], Any]) -> None:
    """Wait for something that has to come."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 -- threads bring it about as well
            await asyncio.sleep(0.001)


def wait_until(condition: Callable[[], Any]) -> None:
    """Do the same in a thread."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.001)


async def read_until(stream: Any, after: Any, error: Any = None) -> None:
    """Read until the text *after* has come, and close."""
    read = ""
    async with aclosing(stream):
        while after is not None and after not in read:
            chunk = await anext(stream)
            read += chunk if isinstance(chunk, str) else chunk.text
        if error:
            raise error


def model_threads() -> list[str]:
    """Give threads of models the time to end, and name those that did not."""
    threads = [thread for thread in threading.enumerate() if thread.name == "sot-model"]
    for thread in threads:
        thread.join(PATIENCE)
    return [thread.name for thread in threads if thread.is_alive()]


@dataclass
class Run:
    """One run, as callbacks tell of it."""

    id: UUID
    parent: UUID | None
    kind: str
    name: str
    tags: list[str]
    metadata: dict[str, Any]
    inputs: Any
    ends: list[Any] = field(default_factory=list)
    """``end`` or the error, once each time it was told."""


class Recorder(BaseCallbackHandler):
    """What runs begin and how they end, and all custom events."""

    run_inline = True

    def __init__(self) -> None:
        self.runs: dict[UUID, Run] = {}
        self.custom: list[tuple[str, Any]] = []
        self.sent_by: set[UUID] = set()
        self.context: list[tuple[Any, Any]] = []

    def named(self, *names: str) -> list[Run]:
        """Return the runs of some names."""
        return [run for run in self.runs.values() if run.name in names]

    @property
    def roots(self) -> list[Run]:
        """Return the runs that stand in no other."""
        return [run for run in self.runs.values() if run.parent is None]

    @property
    def models(self) -> list[Run]:
        """Return the runs of models."""
        return [run for run in self.runs.values() if run.kind == "model"]

    def parent(self, run: Run) -> Run | None:
        """Return the run that *run* stands in; one that nobody has told of is an error."""
        return None if run.parent is None else self.runs[run.parent]

    def _start(self, kind: str, told: dict[str, Any], inputs: Any) -> None:
        run_id = told["run_id"]
        assert run_id not in self.runs
        self.runs[run_id] = Run(
            run_id,
            told["parent_run_id"],
            kind,
            told.get("name") or "",
            list(told.get("tags") or []),
            dict(told.get("metadata") or {}),
            inputs,
        )

    def on_chain_start(self, serialized: Any, inputs: Any, **told: Any) -> None:
        self._start("chain", told, inputs)

    def on_chat_model_start(self, serialized: Any, messages: Any, **told: Any) -> None:
        self._start("model", told, messages)

    def on_tool_start(self, serialized: Any, input_str: Any, **told: Any) -> None:
        self._start("tool", told | {"name": told.get("name") or serialized["name"]}, input_str)

    def on_chain_end(self, outputs: Any, *, run_id: Any, **told: Any) -> None:
        self.runs[run_id].ends.append("end")

    def on_llm_end(self, response: Any, *, run_id: Any, **told: Any) -> None:
        self.runs[run_id].ends.append("end")

    def on_tool_end(self, output: Any, *, run_id: Any, **told: Any) -> None:
        self.runs[run_id].ends.append("end")

    def on_chain_error(self, error: Any, *, run_id: Any, **told: Any) -> None:
        self.runs[run_id].ends.append(error)

    def on_llm_error(self, error: Any, *, run_id: Any, **told: Any) -> None:
        self.runs[run_id].ends.append(error)

    def on_tool_error(self, error: Any, *, run_id: Any, **told: Any) -> None:
        self.runs[run_id].ends.append(error)

    def on_custom_event(
        self, name: Any, data: Any, *, run_id: Any, tags: Any = None, metadata: Any = None, **_: Any
    ) -> None:
        self.custom.append((name, data))
        self.sent_by.add(run_id)
        self.context.append((tags, metadata))
