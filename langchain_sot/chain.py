"""`SoTChain`: a chat model's input and output, with the engine in between."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import fields
from typing import Any

from skeleton_of_thought import Abilities, ConfigurationError, Limit, Prompts, Router, Settings, SkeletonOfThought
from skeleton_of_thought.answer import Heading
from skeleton_of_thought.prompts import Detail
from skeleton_of_thought.settings import RouterChoice

try:
    from langchain_core.callbacks import AsyncCallbackManagerForChainRun, CallbackManagerForChainRun
except ImportError as error:
    raise ImportError('langchain_sot needs langchain-core: pip install "skeleton-of-thought[langchain]"') from error

from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.runnables import Runnable, RunnableConfig, RunnableSerializable
from pydantic import ConfigDict, Field, SkipValidation

from ._convert import DoorTo, agather, async_door, chunk, gather, message, question_of, sync_door


class SoTChain(RunnableSerializable[LanguageModelInput, AIMessage]):
    """Answer with Skeleton-of-Thought, in the place of a chat model.

    Takes what a chat model takes and returns an ``AIMessage``; streams ``AIMessageChunk`` in reading order.
    System messages and earlier turns come first in every call, unchanged. Config and callbacks reach every
    model call, whose run has ``sot_stage`` and ``sot_point`` in its metadata.

    The message's ``usage_metadata`` is the sum over all calls; ``response_metadata["sot"]`` holds route,
    skeleton, sections, usage by stage and timings in seconds. The settings are those of
    `skeleton_of_thought.Settings`. Further keyword arguments of a call go to the model.

    Raises:
        InputError: the last message is not a question by the user, or it is empty.
        PointError: a point could not be written; what was written is in its ``answer``.

    >>> from langchain_core.language_models import FakeListChatModel
    >>> chain = SoTChain(llm=FakeListChatModel(responses=["Paris."]))
    >>> chain.invoke("What is the capital of France?").text
    'Paris.'
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid", frozen=True)

    llm: SkipValidation[Runnable[LanguageModelInput, BaseMessage]]
    """Any chat model, or Runnable with a chat model's input and output."""
    point_llm: SkipValidation[Runnable[LanguageModelInput, BaseMessage]] | None = None
    """Another, usually smaller, model for the points."""
    abilities: Abilities = Abilities()
    """What the models can do beyond plain chat. A grammar is sent as ``extra_body``, as OpenAI clients do."""
    router: RouterChoice | SkipValidation[Router] = "auto"
    prompts: SkipValidation[Prompts] = Prompts()
    max_points: int = 10
    min_points: int = 2
    detail: Detail = "short"
    point_max_tokens: int | None = None
    heading: Heading = "numbered"
    max_concurrency: int | SkipValidation[Limit] = Field(default=16)

    def model_post_init(self, context: Any, /) -> None:  # noqa: D102 -- pydantic's hook
        super().model_post_init(context)
        Settings(**self._settings())
        for name, model in {"llm": self.llm, "point_llm": self.point_llm}.items():
            if not isinstance(model, Runnable) and not (name == "point_llm" and model is None):
                raise ConfigurationError(f"{name}={model!r} cannot work: use a chat model, such as ChatOpenAI(...)")
        if isinstance(self.max_concurrency, int):  # one bound per chain object, over all its runs and copies
            self.__dict__["max_concurrency"] = Limit(self.max_concurrency)

    def _settings(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in fields(Settings)}

    def invoke(self, input: LanguageModelInput, config: RunnableConfig | None = None, **kwargs: Any) -> AIMessage:
        """Answer; the models' synchronous methods are used."""
        return self._call_with_config(self._invoke, input, config, **kwargs)

    async def ainvoke(
        self, input: LanguageModelInput, config: RunnableConfig | None = None, **kwargs: Any
    ) -> AIMessage:
        """Answer."""
        return await self._acall_with_config(self._ainvoke, input, config, **kwargs)

    def stream(
        self, input: LanguageModelInput, config: RunnableConfig | None = None, **kwargs: Any
    ) -> Iterator[AIMessageChunk]:
        """Answer in pieces; the models' synchronous methods are used."""
        return self.transform(iter([input]), config, **kwargs)

    def astream(
        self, input: LanguageModelInput, config: RunnableConfig | None = None, **kwargs: Any
    ) -> AsyncIterator[AIMessageChunk]:
        """Answer in pieces."""

        async def inputs() -> AsyncIterator[LanguageModelInput]:
            yield input

        return self.atransform(inputs(), config, **kwargs)

    def transform(
        self, input: Iterator[LanguageModelInput], config: RunnableConfig | None = None, **kwargs: Any
    ) -> Iterator[AIMessageChunk]:
        """Answer the sum of the inputs in pieces."""
        return self._transform_stream_with_config(input, self._transform, config, **kwargs)  # type: ignore[return-value]  # chunks are AIMessages

    def atransform(
        self, input: AsyncIterator[LanguageModelInput], config: RunnableConfig | None = None, **kwargs: Any
    ) -> AsyncIterator[AIMessageChunk]:
        """Answer the sum of the inputs in pieces."""
        return self._atransform_stream_with_config(input, self._atransform, config, **kwargs)  # type: ignore[return-value]  # chunks are AIMessages

    def _invoke(
        self, value: LanguageModelInput, run_manager: CallbackManagerForChainRun, config: RunnableConfig, **kwargs: Any
    ) -> AIMessage:
        return message(self._engine(sync_door, config, kwargs).ask(question_of(value)), run_manager.run_id)

    async def _ainvoke(
        self,
        value: LanguageModelInput,
        run_manager: AsyncCallbackManagerForChainRun,
        config: RunnableConfig,
        **kwargs: Any,
    ) -> AIMessage:
        answer = await self._engine(async_door, config, kwargs).aask(question_of(value))
        return message(answer, run_manager.run_id)

    def _transform(
        self,
        values: Iterator[LanguageModelInput],
        run_manager: CallbackManagerForChainRun,
        config: RunnableConfig,
        **kwargs: Any,
    ) -> Iterator[AIMessageChunk]:
        events = self._engine(sync_door, config, kwargs).stream(question_of(gather(values)))
        try:
            for event in events:
                if piece := chunk(event, run_manager.run_id):
                    yield piece
        finally:
            events.close()

    async def _atransform(
        self,
        values: AsyncIterator[LanguageModelInput],
        run_manager: AsyncCallbackManagerForChainRun,
        config: RunnableConfig,
        **kwargs: Any,
    ) -> AsyncIterator[AIMessageChunk]:
        events = self._engine(async_door, config, kwargs).astream(question_of(await agather(values)))
        try:
            async for event in events:
                if piece := chunk(event, run_manager.run_id):
                    yield piece
        finally:
            await events.aclose()

    def _engine(self, door: DoorTo, config: RunnableConfig, options: dict[str, Any]) -> SkeletonOfThought:
        """Make the engine of one call: nothing of a call is kept on ``self``."""
        llm = door(self.llm, self.abilities, config, options)
        point_llm = door(self.point_llm, self.abilities, config, options) if self.point_llm else None
        return SkeletonOfThought(llm=llm, point_llm=point_llm, **self._settings())
