"""`SoTSynthesizer`: a response synthesizer with the engine in between."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from typing import Any, cast

from skeleton_of_thought import Abilities, ConfigurationError, Limit, Question, Settings, SkeletonOfThought
from skeleton_of_thought._threads import iterate
from skeleton_of_thought.events import Event

try:
    from llama_index.core.callbacks import CallbackManager
except ImportError as error:
    raise ImportError(
        'llama_index_sot needs llama-index-core: pip install "skeleton-of-thought[llama-index]"'
    ) from error

from llama_index.core.base.response.schema import RESPONSE_TYPE, AsyncStreamingResponse, StreamingResponse
from llama_index.core.callbacks.schema import CBEventType, EventPayload
from llama_index.core.indices.prompt_helper import PromptHelper
from llama_index.core.instrumentation.events.synthesis import SynthesizeEndEvent, SynthesizeStartEvent
from llama_index.core.llms import LLM
from llama_index.core.llms.structured_llm import StructuredLLM
from llama_index.core.prompts.mixin import PromptDictType
from llama_index.core.response_synthesizers import BaseSynthesizer, ResponseMode, get_response_synthesizer
from llama_index.core.schema import NodeWithScore, QueryBundle, QueryType, TextNode
from llama_index.core.types import RESPONSE_TEXT_TYPE
from llama_index_instrumentation import get_dispatcher

from . import _output
from ._models import Direct, Finds, door, passages_of, retriever
from ._output import Sources
from .prompts import TemplatePrompts, fitting, updated

_dispatcher = get_dispatcher(__name__)


class SoTSynthesizer(BaseSynthesizer):
    """Write a response from nodes with Skeleton-of-Thought, in the place of any response synthesizer.

    The nodes' texts stand before the question in every call, as far as the context window takes them.
    Synchronous methods use the LLM's synchronous methods; asynchronous ones the asynchronous, and threads
    where an LLM only pretends to have them. Streams start nothing before they are read.

    A question that the router sends to a direct answer, and every one where the answer has a form (an
    output class, a structured LLM, multimodal content), is answered by *default*. ``metadata["sot"]`` of
    the response tells how the answer was made.

    Args:
        llm: the model; ``Settings.llm`` of LlamaIndex without it.
        point_llm: another, usually smaller, model for the points.
        default: answers directly; LlamaIndex's own (``compact``) without it.
        retriever: finds further nodes for each point, by the point's own words.
        without_nodes: answer also where there are no nodes, from what the model knows.
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
        default: BaseSynthesizer | None = None,
        retriever: Finds | None = None,
        without_nodes: bool = False,
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
        if retriever is not None and not hasattr(retriever, "retrieve"):
            raise ConfigurationError(f"retriever={retriever!r} cannot work: use index.as_retriever()")
        if isinstance(checked.max_concurrency, int):  # one bound per object, over all its runs
            checked = replace(checked, max_concurrency=Limit(checked.max_concurrency))
        self._settings = {field.name: getattr(checked, field.name) for field in fields(checked)}
        self._prompts = _templates(checked)
        self._point_llm = point_llm
        self._point_retriever = retriever
        self._without_nodes = without_nodes
        self._abilities = abilities or Abilities()
        self._default = default or get_response_synthesizer(
            self._llm,
            prompt_helper=prompt_helper,
            callback_manager=callback_manager,
            response_mode=ResponseMode.GENERATION if without_nodes else ResponseMode.COMPACT,
        )

    def retrieving(self, finds: Finds) -> "SoTSynthesizer":
        """Return the same synthesizer, with *finds* finding nodes for each point."""
        copied = copy.copy(self)
        copied._point_retriever = finds
        return copied

    def synthesize(
        self,
        query: QueryType,
        nodes: list[NodeWithScore],
        additional_source_nodes: Sequence[NodeWithScore] | None = None,
        **response_kwargs: Any,
    ) -> RESPONSE_TYPE:
        """Answer from *nodes*. Further keyword arguments are filled into prompts."""
        if self._leaves(nodes):
            return self._left(streaming=self._streaming).synthesize(
                query, nodes, additional_source_nodes, **response_kwargs
            )
        asked = QueryBundle(query) if isinstance(query, str) else query
        _dispatcher.event(SynthesizeStartEvent(query=query))
        with self._callback_manager.event(
            CBEventType.SYNTHESIZE, payload={EventPayload.QUERY_STR: asked.query_str}
        ) as event:
            sources = Sources(nodes, additional_source_nodes or ())
            question = self._question(asked.query_str, nodes)
            engine = self._engine(question, response_kwargs, blocking=True)
            events = iterate(engine.astream(question, whole=not self._streaming, terse=True))
            response = (_output.stream if self._streaming else _output.whole)(events, sources)
            event.on_end(payload={EventPayload.RESPONSE: response})
        _dispatcher.event(SynthesizeEndEvent(query=query, response=response))
        return response

    async def asynthesize(
        self,
        query: QueryType,
        nodes: list[NodeWithScore],
        additional_source_nodes: Sequence[NodeWithScore] | None = None,
        **response_kwargs: Any,
    ) -> RESPONSE_TYPE:
        """Answer from *nodes*. Further keyword arguments are filled into prompts."""
        if self._leaves(nodes):
            return await self._left(streaming=self._streaming).asynthesize(
                query, nodes, additional_source_nodes, **response_kwargs
            )
        asked = QueryBundle(query) if isinstance(query, str) else query
        _dispatcher.event(SynthesizeStartEvent(query=query))
        with self._callback_manager.event(
            CBEventType.SYNTHESIZE, payload={EventPayload.QUERY_STR: asked.query_str}
        ) as event:
            sources = Sources(nodes, additional_source_nodes or ())
            question = self._question(asked.query_str, nodes)
            engine = self._engine(question, response_kwargs, blocking=False)
            events = engine.astream(question, whole=not self._streaming, terse=True)
            response: RESPONSE_TYPE
            if self._streaming:
                response = _output.astream(events, sources)
            else:
                response = await _output.awhole(events, sources)
            event.on_end(payload={EventPayload.RESPONSE: response})
        _dispatcher.event(SynthesizeEndEvent(query=query, response=response))
        return response

    async def aheard(self, query: str, nodes: list[NodeWithScore], hear: Callable[[Event], None]) -> RESPONSE_TYPE:
        """Answer from *nodes*, and let *hear* have every event of the run as it happens."""
        if self._leaves(nodes):
            return await self._left(streaming=False).asynthesize(query, nodes)
        question = self._question(query, nodes)
        events = self._engine(question, {}, blocking=False).astream(question)
        return await _output.awhole(events, Sources(nodes, ()), hear)

    def get_response(self, query_str: str, text_chunks: Sequence[str], **response_kwargs: Any) -> RESPONSE_TEXT_TYPE:
        """Answer from *text_chunks*. Further keyword arguments are filled into prompts."""
        response = self.synthesize(query_str, _nodes(text_chunks), **response_kwargs)
        return _text_of(response)

    async def aget_response(
        self, query_str: str, text_chunks: Sequence[str], **response_kwargs: Any
    ) -> RESPONSE_TEXT_TYPE:
        """Answer from *text_chunks*. Further keyword arguments are filled into prompts."""
        response = await self.asynthesize(query_str, _nodes(text_chunks), **response_kwargs)
        return _text_of(response)

    def _leaves(self, nodes: Sequence[NodeWithScore]) -> bool:
        """Tell whether the default synthesizer answers, whatever is asked: a form is no answer in points."""
        default = self._default
        formed = default._output_cls is not None or default._multimodal or isinstance(self._llm, StructuredLLM)
        return formed or not (nodes or self._without_nodes or self._point_retriever)

    def _left(self, *, streaming: bool) -> BaseSynthesizer:
        default = copy.copy(self._default)
        default._streaming = streaming
        return default

    def _question(self, query: str, nodes: Sequence[NodeWithScore]) -> Question:
        passages = passages_of(nodes)
        texts = fitting([passage.text for passage in passages], query, self._prompt_helper, self._llm)
        fit = tuple(replace(passage, text=text) for passage, text in zip(passages, texts, strict=False))
        return Question(query, passages=fit)

    def _engine(self, question: Question, names: dict[str, Any], *, blocking: bool) -> SkeletonOfThought:
        """Make the engine of one call: nothing of a call is kept on ``self``."""
        chunks = [passage.text for passage in question.given]
        direct = Direct(synthesizer=self._default, query=question.text, chunks=chunks, names=names)
        llm = door(self._llm, self._abilities, direct, blocking=blocking)
        point_llm = door(self._point_llm, self._abilities, direct, blocking=blocking) if self._point_llm else None
        finds = retriever(self._point_retriever, blocking=blocking) if self._point_retriever else None
        told = {"prompts": replace(self._prompts, llm=self._llm, filled=names), "retriever": finds}
        return SkeletonOfThought(**self._settings | {"llm": llm, "point_llm": point_llm} | told)

    def _get_prompts(self) -> PromptDictType:
        return {**self._default.get_prompts(), **self._prompts.as_templates()}

    def _update_prompts(self, prompts: PromptDictType) -> None:
        ours, others = self._prompts.as_templates(), self._default.get_prompts()
        if unknown := sorted(set(prompts) - set(ours) - set(others)):
            raise ConfigurationError(f"no prompt is named {', '.join(unknown)}: use one of {', '.join(ours | others)}")
        self._default.update_prompts({key: prompts[key] for key in prompts if key in others})
        new = {key: prompts[key] for key in prompts if key in ours}
        self._prompts = replace(self._prompts, templates=updated(self._prompts, new))


def _templates(settings: Settings) -> TemplatePrompts:
    prompts = settings.prompts
    if isinstance(prompts, TemplatePrompts):
        return prompts
    return TemplatePrompts(**{field.name: getattr(prompts, field.name) for field in fields(prompts)})


def _nodes(chunks: Sequence[str]) -> list[NodeWithScore]:
    return [NodeWithScore(node=TextNode(text=chunk)) for chunk in chunks]


def _text_of(response: RESPONSE_TYPE) -> RESPONSE_TEXT_TYPE:
    if isinstance(response, StreamingResponse | AsyncStreamingResponse):
        return cast(RESPONSE_TEXT_TYPE, response.response_gen)
    return cast(RESPONSE_TEXT_TYPE, response.response)
