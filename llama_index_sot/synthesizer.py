"""`SoTSynthesizer`: a response synthesizer with the engine in between."""

from collections.abc import AsyncGenerator, Generator, Sequence
from dataclasses import fields, replace
from typing import Any

from skeleton_of_thought import Abilities, ConfigurationError, Limit, Question, Settings, SkeletonOfThought
from skeleton_of_thought.events import Event

try:
    from llama_index.core.callbacks import CallbackManager
except ImportError as error:
    raise ImportError(
        'llama_index_sot needs llama-index-core: pip install "skeleton-of-thought[llama-index]"'
    ) from error

from llama_index.core.indices.prompt_helper import PromptHelper
from llama_index.core.llms import LLM
from llama_index.core.prompts.mixin import PromptDictType
from llama_index.core.response_synthesizers import BaseSynthesizer
from llama_index.core.types import RESPONSE_TEXT_TYPE

from ._convert import DoorTo, async_door, shown, sync_door


class SoTSynthesizer(BaseSynthesizer):
    """Write a response from nodes with Skeleton-of-Thought, in the place of any response synthesizer.

    The nodes' texts stand before the question in every call. Synchronous methods use the LLM's synchronous
    methods; asynchronous ones the asynchronous, and threads where an LLM only pretends to have them. Streams
    start nothing before they are read.

    Args:
        llm: the model; ``Settings.llm`` of LlamaIndex without it.
        point_llm: another, usually smaller, model for the points.
        abilities: what the models can do beyond plain chat. A grammar is sent as ``extra_body``.
        streaming: return a stream. Read at each call, as some engines switch it.
        settings: those of `skeleton_of_thought.Settings`.

    Raises:
        ConfigurationError: a setting cannot work.
        PointError: a point could not be written; what was written is in its ``answer``.

    >>> from llama_index.core.llms import MockLLM
    >>> from llama_index.core.schema import NodeWithScore, TextNode
    >>> synthesizer = SoTSynthesizer(llm=MockLLM(), router="never")
    >>> nodes = [NodeWithScore(node=TextNode(text="Paris is the capital of France."))]
    >>> "Paris is the capital" in str(synthesizer.synthesize("What is the capital of France?", nodes))
    True
    """

    def __init__(
        self,
        llm: LLM | None = None,
        *,
        point_llm: LLM | None = None,
        abilities: Abilities | None = None,
        callback_manager: CallbackManager | None = None,
        prompt_helper: PromptHelper | None = None,
        streaming: bool = False,
        **settings: Any,
    ) -> None:
        checked = Settings.of(settings)
        super().__init__(
            llm=llm,
            callback_manager=callback_manager,
            prompt_helper=prompt_helper,
            streaming=streaming,
        )
        if isinstance(checked.max_concurrency, int):  # one bound per object, over all its runs
            checked = replace(checked, max_concurrency=Limit(checked.max_concurrency))
        self._settings = {field.name: getattr(checked, field.name) for field in fields(checked)}
        self._point_llm = point_llm
        self._abilities = abilities or Abilities()

    def get_response(self, query_str: str, text_chunks: Sequence[str], **response_kwargs: Any) -> RESPONSE_TEXT_TYPE:
        """Answer from *text_chunks*. Further keyword arguments go to the LLM."""
        engine, question = self._engine(sync_door, response_kwargs), Question(query_str, passages=tuple(text_chunks))
        return _texts(engine.stream(question, terse=True)) if self._streaming else engine.ask(question).text

    async def aget_response(
        self, query_str: str, text_chunks: Sequence[str], **response_kwargs: Any
    ) -> RESPONSE_TEXT_TYPE:
        """Answer from *text_chunks*. Further keyword arguments go to the LLM."""
        engine, question = self._engine(async_door, response_kwargs), Question(query_str, passages=tuple(text_chunks))
        return _atexts(engine.astream(question, terse=True)) if self._streaming else (await engine.aask(question)).text

    def _engine(self, door: DoorTo, options: dict[str, Any]) -> SkeletonOfThought:
        """Make the engine of one call: nothing of a call is kept on ``self``."""
        llm = door(self._llm, self._abilities, options)
        point_llm = door(self._point_llm, self._abilities, options) if self._point_llm else None
        return SkeletonOfThought(llm=llm, point_llm=point_llm, **self._settings)

    def _get_prompts(self) -> PromptDictType:
        return {}

    def _update_prompts(self, prompts: PromptDictType) -> None:
        if prompts:
            raise ConfigurationError(
                f"no prompt is named {', '.join(prompts)}: use SoTSynthesizer(prompts=Prompts(...))"
            )


def _texts(events: Generator[Event, None, None]) -> Generator[str, None, None]:
    try:
        for event in events:
            if text := shown(event):
                yield text
    finally:
        events.close()


async def _atexts(events: AsyncGenerator[Event, None]) -> AsyncGenerator[str, None]:
    try:
        async for event in events:
            if text := shown(event):
                yield text
    finally:
        await events.aclose()
