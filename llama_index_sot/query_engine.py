"""`SoTQueryEngine`: a retriever query engine whose synthesizer is ours."""

from typing import Any, Self

try:
    from llama_index.core.base.base_retriever import BaseRetriever
except ImportError as error:
    raise ImportError(
        'llama_index_sot needs llama-index-core: pip install "skeleton-of-thought[llama-index]"'
    ) from error

from llama_index.core.base.response.schema import AsyncStreamingResponse
from llama_index.core.callbacks import CallbackManager
from llama_index.core.llms import LLM
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.response_synthesizers import BaseSynthesizer, get_response_synthesizer
from llama_index.core.schema import NodeWithScore, QueryBundle
from llama_index.core.settings import Settings

from skeleton_of_thought import ConfigurationError, Question

from .synthesizer import SoTSynthesizer

_DEFAULTS = (
    "response_mode",
    "text_qa_template",
    "refine_template",
    "summary_template",
    "simple_template",
    "chat_content_qa_template",
    "chat_content_refine_template",
    "output_cls",
    "use_async",
    "verbose",
    "multimodal",
)
"""What the default synthesizer is made of."""


class SoTQueryEngine(RetrieverQueryEngine):
    """Answer queries with Skeleton-of-Thought, in the place of a default query engine.

    Same as ``RetrieverQueryEngine``, but the response is written by a `SoTSynthesizer`.

    Args:
        point_retrieval: let each point retrieve by its own words as well, with the same retriever and node
            postprocessors, and cite what it found.

    Raises:
        ConfigurationError: points cannot retrieve, as the synthesizer knows none.
    """

    def __init__(
        self,
        retriever: BaseRetriever,
        response_synthesizer: BaseSynthesizer | None = None,
        node_postprocessors: list[BaseNodePostprocessor] | None = None,
        callback_manager: CallbackManager | None = None,
        *,
        point_retrieval: bool = False,
    ) -> None:
        synthesizer = response_synthesizer or SoTSynthesizer(callback_manager=callback_manager)
        if point_retrieval:
            if not isinstance(synthesizer, SoTSynthesizer):
                raise ConfigurationError("point_retrieval=True needs a SoTSynthesizer")
            synthesizer = synthesizer.retrieving(self)
        self._point_retrieval = point_retrieval
        super().__init__(retriever, synthesizer, node_postprocessors, callback_manager)

    @classmethod
    def from_args(  # type: ignore[override]  # what LlamaIndex lists one by one goes through together
        cls,
        retriever: BaseRetriever,
        llm: LLM | None = None,
        response_synthesizer: BaseSynthesizer | None = None,
        node_postprocessors: list[BaseNodePostprocessor] | None = None,
        callback_manager: CallbackManager | None = None,
        *,
        point_retrieval: bool = False,
        **synthesis: Any,
    ) -> Self:
        """Make an engine.

        Further keyword arguments are those of `SoTSynthesizer`, and those that LlamaIndex takes here: its
        templates, ``response_mode``, ``output_cls``, ``use_async``, ``verbose`` and ``multimodal`` are for the
        default synthesizer, which answers directly.

        Raises:
            ConfigurationError: a synthesizer is given together with what one would be made of.
        """
        if response_synthesizer and (llm or synthesis):
            given = ", ".join(["llm"] * bool(llm) + list(synthesis))
            raise ConfigurationError(
                f"response_synthesizer comes with its own {given}: give either the one or the others"
            )
        if response_synthesizer is None:
            told = {name: synthesis.pop(name) for name in _DEFAULTS if name in synthesis}
            if told:
                synthesis["default"] = get_response_synthesizer(llm, synthesis.get("prompt_helper"), **told)
            response_synthesizer = SoTSynthesizer(llm, **synthesis)
        return cls(
            retriever,
            response_synthesizer,
            node_postprocessors,
            callback_manager or Settings.callback_manager,
            point_retrieval=point_retrieval,
        )

    @classmethod
    def without_retrieval(cls, llm: LLM | None = None, **settings: Any) -> Self:
        """Make an engine that answers from what the model knows. The settings are those of `SoTSynthesizer`."""
        return cls(_Nothing(), SoTSynthesizer(llm, without_nodes=True, **settings))

    def retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        """Find nodes for a question. Here it is looked at: what overrides ``_query`` has a span of its own."""
        _check(query_bundle)
        return super().retrieve(query_bundle)

    async def aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        """Find nodes for a question."""
        _check(query_bundle)
        return await super().aretrieve(query_bundle)

    def as_langchain_tool(self, name: str = "query_engine", description: str | None = None) -> Any:
        """Return a LangChain tool that takes a ``question``; needs langchain-core. LlamaIndex's own is broken.

        Raises:
            ImportError: langchain-core is not here; the message says how to install it.
        """
        try:
            from langchain_core.tools import StructuredTool  # another framework: only for who asks
        except ImportError as error:
            raise ImportError('as_langchain_tool needs: pip install "skeleton-of-thought[langchain]"') from error

        def answer(question: str) -> str:
            return str(self.query(question))

        async def aanswer(question: str) -> str:
            response = await self.aquery(question)
            if isinstance(response, AsyncStreamingResponse):
                return "".join([text async for text in response.async_response_gen()])
            return str(response)

        told = description or "Answer a question from the documents, point by point."
        return StructuredTool.from_function(answer, aanswer, name=name, description=told)

    def with_retriever(self, retriever: BaseRetriever) -> Self:
        """Return the same engine over another retriever."""
        return type(self)(
            retriever,
            self._response_synthesizer,
            self._node_postprocessors,
            self.callback_manager,
            point_retrieval=self._point_retrieval,
        )


def _check(query: QueryBundle) -> None:
    """Refuse what is no question before anything is retrieved for it."""
    if not (query.image_path or query.embedding):
        Question(query.query_str)


class _Nothing(BaseRetriever):
    """Find nothing."""

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:  # noqa: ARG002 -- whatever is asked
        return []
