"""A Runnable whose output is made of an engine's events: everything that `SoTChain` and its steps share."""

from abc import abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterable, Iterator
from contextlib import aclosing, closing
from typing import Any, Generic, TypeVar, cast
from uuid import UUID

from langchain_core.callbacks import (
    AsyncCallbackManagerForChainRun,
    CallbackManagerForChainRun,
    adispatch_custom_event,
    dispatch_custom_event,
)
from langchain_core.runnables import RunnableConfig, RunnableSerializable

from skeleton_of_thought._threads import iterate
from skeleton_of_thought.events import Event

from ._models import Way
from ._output import custom_event

Input = TypeVar("Input")
Output = TypeVar("Output")
Chunk = TypeVar("Chunk")


class EventRunnable(RunnableSerializable[Input, Output], Generic[Input, Output, Chunk]):
    """Open one run, begin the engine's, and translate its events until it ends."""

    @abstractmethod
    def _events(self, value: Input, way: Way, *, whole: bool) -> AsyncGenerator[Event, None]:
        """Begin a run of the engine."""

    @abstractmethod
    def _chunk(self, event: Event, run_id: UUID) -> Chunk | None:
        """Say an event as a chunk of the output."""

    @abstractmethod
    def _output(self, last: Event, run_id: UUID, value: Input) -> Output:
        """Make the output of the event that ends a run."""

    @property
    def InputType(self) -> Any:  # noqa: N802 -- Runnable names it so
        """What it takes, for schemas. LangChain looks for two type arguments, and these are three."""
        return self._types()[0]

    @property
    def OutputType(self) -> Any:  # noqa: N802 -- Runnable names it so
        """What it returns, for schemas."""
        return self._types()[1]

    @classmethod
    def _types(cls) -> tuple[Any, ...]:
        found = (base.__pydantic_generic_metadata__["args"] for base in cls.mro() if issubclass(base, EventRunnable))
        return next(types for types in found if types)

    def _first(self, value: Input) -> Iterable[Chunk]:  # noqa: ARG002 -- most have none
        """Say what comes before the first event."""
        return ()

    @property
    def _has_steps(self) -> bool:
        """Whether the steps of the engine's run are runs of their own."""
        return False

    def invoke(self, input: Input, config: RunnableConfig | None = None, **kwargs: Any) -> Output:
        """Answer whole; the models' synchronous methods are used. Keyword arguments are the models'."""
        return self._call_with_config(self._invoke, input, config, **kwargs)

    async def ainvoke(self, input: Input, config: RunnableConfig | None = None, **kwargs: Any) -> Output:
        """Answer whole. Keyword arguments are the models'."""
        return await self._acall_with_config(self._ainvoke, input, config, **kwargs)

    def stream(self, input: Input, config: RunnableConfig | None = None, **kwargs: Any) -> Generator[Chunk, None, None]:  # type: ignore[override]  # chunks add up to outputs
        """Answer in pieces; the models' synchronous methods are used. Keyword arguments are the models'."""
        return self.transform(iter([input]), config, **kwargs)

    def astream(  # type: ignore[override]  # chunks add up to outputs
        self, input: Input, config: RunnableConfig | None = None, **kwargs: Any
    ) -> AsyncGenerator[Chunk, None]:
        """Answer in pieces. Keyword arguments are the models'."""

        async def inputs() -> AsyncIterator[Input]:
            yield input

        return self.atransform(inputs(), config, **kwargs)

    def transform(  # type: ignore[override]  # chunks add up to outputs
        self, input: Iterator[Input], config: RunnableConfig | None = None, **kwargs: Any
    ) -> Generator[Chunk, None, None]:
        """Answer the sum of the inputs in pieces."""
        chunks: Any = self._transform_stream_with_config(input, self._transform, config, **kwargs)  # type: ignore[arg-type]  # chunks add up to outputs
        return cast(Generator[Chunk, None, None], chunks)

    def atransform(  # type: ignore[override]  # chunks add up to outputs
        self, input: AsyncIterator[Input], config: RunnableConfig | None = None, **kwargs: Any
    ) -> AsyncGenerator[Chunk, None]:
        """Answer the sum of the inputs in pieces."""
        chunks: Any = self._atransform_stream_with_config(input, self._atransform, config, **kwargs)  # type: ignore[arg-type]  # chunks add up to outputs
        return cast(AsyncGenerator[Chunk, None], chunks)

    def _invoke(
        self, value: Input, run_manager: CallbackManagerForChainRun, config: RunnableConfig, **kwargs: Any
    ) -> Output:
        way = Way(config=config, options=kwargs, blocking=True, steps=self._has_steps)
        last = None
        with closing(iterate(self._events(value, way, whole=True))) as events:
            for last in events:
                _report(last, run_manager, config)
        assert last is not None  # a run ends with an event or an exception
        return self._output(last, run_manager.run_id, value)

    async def _ainvoke(
        self, value: Input, run_manager: AsyncCallbackManagerForChainRun, config: RunnableConfig, **kwargs: Any
    ) -> Output:
        way = Way(config=config, options=kwargs, blocking=False, steps=self._has_steps)
        last = None
        async with aclosing(self._events(value, way, whole=True)) as events:
            async for last in events:
                await _areport(last, run_manager, config)
        assert last is not None  # a run ends with an event or an exception
        return self._output(last, run_manager.run_id, value)

    def _transform(
        self, values: Iterator[Input], run_manager: CallbackManagerForChainRun, config: RunnableConfig, **kwargs: Any
    ) -> Iterator[Chunk]:
        way = Way(config=config, options=kwargs, blocking=True, steps=self._has_steps)
        value = _gather(values)
        events = iterate(self._events(value, way, whole=False))
        try:
            yield from self._first(value)
            for event in events:
                _report(event, run_manager, config)
                if (chunk := self._chunk(event, run_manager.run_id)) is not None:
                    yield chunk
        finally:
            events.close()

    async def _atransform(
        self,
        values: AsyncIterator[Input],
        run_manager: AsyncCallbackManagerForChainRun,
        config: RunnableConfig,
        **kwargs: Any,
    ) -> AsyncIterator[Chunk]:
        way = Way(config=config, options=kwargs, blocking=False, steps=self._has_steps)
        value = await _agather(values)
        events = self._events(value, way, whole=False)
        try:
            for first in self._first(value):
                yield first
            async for event in events:
                await _areport(event, run_manager, config)
                if (chunk := self._chunk(event, run_manager.run_id)) is not None:
                    yield chunk
        finally:
            await events.aclose()


def _report(event: Event, run_manager: CallbackManagerForChainRun, config: RunnableConfig) -> None:
    if run_manager.handlers and (told := custom_event(event)):
        dispatch_custom_event(*told, config=config)


async def _areport(event: Event, run_manager: AsyncCallbackManagerForChainRun, config: RunnableConfig) -> None:
    if run_manager.handlers and (told := custom_event(event)):
        await adispatch_custom_event(*told, config=config)


def _gather(values: Iterator[Any]) -> Any:
    """Add up a stream of inputs; where they can't be added the last one counts, as everywhere in LangChain."""
    total = next(values, None)
    for value in values:
        total = _sum(total, value)
    return total


async def _agather(values: AsyncIterator[Any]) -> Any:
    """Do as `_gather` does."""
    total = await anext(values, None)
    async for value in values:
        total = _sum(total, value)
    return total


def _sum(total: Any, value: Any) -> Any:
    try:
        return total + value
    except TypeError:
        return value
