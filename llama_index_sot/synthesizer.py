"""`SoTSynthesizer`: a response synthesizer with the engine in between."""

import copy
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from functools import partial
from typing import Any, cast

from skeleton_of_thought import Abilities, ConfigurationError, Limit, Question, Route, SkeletonOfThought
from skeleton_of_thought._threads import iterate
from skeleton_of_thought.events import Event
from skeleton_of_thought.prompts import Form
from skeleton_of_thought.settings import Settings

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
from llama_index.core.response_synthesizers.context_only import ContextOnly
from llama_index.core.response_synthesizers.no_text import NoText
from llama_index.core.schema import NodeWithScore, QueryType, TextNode
from llama_index.core.types import RESPONSE_TEXT_TYPE
from llama_index_instrumentation import get_dispatcher

from . import _output
from ._models import Direct, Finds, door, passages_of, retriever, streaming
from ._output import Sources
from ._window import Window
from .prompts import TemplatePrompts, updated
from .query import resumed, settings_of

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
        settings: those of `skeleton_of_thought.settings.Settings`.

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
        if callback_manager and point_llm:  # as the base class does with the other
            point_llm.callback_manager = callback_manager
        if retriever is not None and not hasattr(retriever, "retrieve"):
            raise ConfigurationError.of_kind("retriever", retriever, "use index.as_retriever()")
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
            default = streaming(self._default, self._streaming)
            return default.synthesize(query, nodes, additional_source_nodes, **response_kwargs)
        with self._synthesis(query) as end:
            sources = Sources(nodes, additional_source_nodes or ())
            events = iterate(self._events(query, nodes, response_kwargs, blocking=True))
            return end((_output.stream if self._streaming else _output.whole)(events, sources))

    async def asynthesize(
        self,
        query: QueryType,
        nodes: list[NodeWithScore],
        additional_source_nodes: Sequence[NodeWithScore] | None = None,
        **response_kwargs: Any,
    ) -> RESPONSE_TYPE:
        """Answer from *nodes*. Further keyword arguments are filled into prompts."""
        if self._leaves(nodes):
            default = streaming(self._default, self._streaming)
            return await default.asynthesize(query, nodes, additional_source_nodes, **response_kwargs)
        with self._synthesis(query) as end:
            sources = Sources(nodes, additional_source_nodes or ())
            events = self._events(query, nodes, response_kwargs, blocking=False)
            return end(_output.astream(events, sources) if self._streaming else await _output.awhole(events, sources))

    async def aheard(
        self, query: QueryType, nodes: list[NodeWithScore], hear: Callable[[Event], None]
    ) -> RESPONSE_TYPE:
        """Answer from *nodes*, and let *hear* have every event of the run as it happens."""
        if self._leaves(nodes):
            return await streaming(self._default, False).asynthesize(query, nodes)
        with self._synthesis(query) as end:
            engine, question = self._engine(query, nodes, {}, blocking=False)
            events = engine.astream(question, resume=resumed(query))
            return end(await _output.awhole(events, Sources(nodes, ()), hear))

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
        default, llm = self._default, self._llm
        return (
            default._output_cls is not None
            or getattr(default, "_multimodal", False)  # not before 0.14.22
            or isinstance(default, NoText | ContextOnly)
            or isinstance(llm, StructuredLLM)
            or llm.output_parser is not None
            or not (nodes or self._without_nodes or self._point_retriever)
        )

    @contextmanager
    def _synthesis(self, query: QueryType) -> Iterator[Callable[[RESPONSE_TYPE], RESPONSE_TYPE]]:
        """Tell of it as LlamaIndex's own synthesizers do; yield what takes the response."""
        asked = query if isinstance(query, str) else query.query_str
        responses: list[RESPONSE_TYPE] = []

        def end(response: RESPONSE_TYPE) -> RESPONSE_TYPE:
            responses.append(response)
            return response

        _dispatcher.event(SynthesizeStartEvent(query=query))
        with self._callback_manager.event(CBEventType.SYNTHESIZE, payload={EventPayload.QUERY_STR: asked}) as event:
            yield end
            event.on_end(payload={EventPayload.RESPONSE: responses[-1]})
        _dispatcher.event(SynthesizeEndEvent(query=query, response=responses[-1]))

    def _events(
        self, query: QueryType, nodes: Sequence[NodeWithScore], names: dict[str, Any], *, blocking: bool
    ) -> AsyncGenerator[Event, None]:
        resume = resumed(query)
        engine, question = self._engine(query, nodes, names, blocking=blocking)
        return engine.astream(question, whole=not self._streaming, terse=True, resume=resume)

    def _engine(
        self, asked: QueryType, nodes: Sequence[NodeWithScore], names: dict[str, Any], *, blocking: bool
    ) -> tuple[SkeletonOfThought, Question]:
        """Make the engine of one call, and its question: nothing of a call is kept on ``self``."""
        query = asked if isinstance(asked, str) else asked.query_str
        passages, told = passages_of(nodes), self._settings | settings_of(asked)
        direct = Direct(
            synthesizer=self._default,
            query=query,
            chunks=[passage.text for passage in passages],
            names=names,
            without_chunks=self._without_nodes,
        )
        told["llm"] = door(self._llm, self._abilities, direct, blocking=blocking, alone=not self._point_llm)
        if self._point_llm:
            told["point_llm"] = door(self._point_llm, self._abilities, direct, blocking=blocking)
        told["prompts"] = prompts = replace(self._prompts, llm=self._llm, filled=names)
        window, whole = self._window(prompts), Question(query, passages=tuple(passages))
        question = window.fit(whole)
        if question is None:
            question, told["router"] = replace(whole, passages=()), _no_room
        elif finds := self._point_retriever:
            told["retriever"] = retriever(finds, partial(window.fit_own, question), blocking=blocking)
        return SkeletonOfThought(**told), question

    def _window(self, prompts: TemplatePrompts) -> Window:
        settings = self._settings
        named = {name: settings[name] for name in ("max_points", "detail", "point_max_tokens")}
        llm = (self._prompt_helper, self._llm)
        other = self._point_llm
        return Window(
            prompts=prompts,
            form=Form(**named, abilities=self._abilities, stream=False),
            llm=llm,
            point_llm=(PromptHelper.from_llm_metadata(other.metadata), other) if other else llm,
            points_retrieve=self._point_retriever is not None,
        )

    def _get_prompts(self) -> PromptDictType:
        return {**self._default.get_prompts(), **self._prompts.as_templates()}

    def _update_prompts(self, prompts: PromptDictType) -> None:
        ours, others = self._prompts.as_templates(), self._default.get_prompts()
        if unknown := sorted(set(prompts) - set(ours) - set(others)):
            raise ConfigurationError(f"no prompt is named {', '.join(unknown)}: use one of {', '.join(ours | others)}")
        new = updated(self._prompts, {key: prompts[key] for key in prompts if key in ours})
        self._default.update_prompts({key: prompts[key] for key in prompts if key in others})
        self._prompts = replace(self._prompts, templates=new)


def _templates(settings: Settings) -> TemplatePrompts:
    prompts = settings.prompts
    if isinstance(prompts, TemplatePrompts):
        return prompts
    return TemplatePrompts(**{field.name: getattr(prompts, field.name) for field in fields(prompts)})


def _no_room(_: Question) -> Route:
    return Route("direct", "window", "a skeleton has no room in the context window")


def _nodes(chunks: Sequence[str]) -> list[NodeWithScore]:
    return [NodeWithScore(node=TextNode(text=chunk)) for chunk in chunks]


def _text_of(response: RESPONSE_TYPE) -> RESPONSE_TEXT_TYPE:
    if isinstance(response, StreamingResponse | AsyncStreamingResponse):
        return cast(RESPONSE_TEXT_TYPE, response.response_gen)
    return cast(RESPONSE_TEXT_TYPE, response.response)
