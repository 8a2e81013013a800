"""`SoTQueryEngine`: a retriever query engine whose synthesizer is ours."""

from typing import Any, Self

try:
    from llama_index.core.base.base_retriever import BaseRetriever
except ImportError as error:
    raise ImportError(
        'llama_index_sot needs llama-index-core: pip install "skeleton-of-thought[llama-index]"'
    ) from error

from llama_index.core.callbacks import CallbackManager
from llama_index.core.llms import LLM
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.response_synthesizers import BaseSynthesizer
from llama_index.core.settings import Settings

from skeleton_of_thought import ConfigurationError

from .synthesizer import SoTSynthesizer


class SoTQueryEngine(RetrieverQueryEngine):
    """Answer queries with Skeleton-of-Thought, in the place of a default query engine.

    Same as ``RetrieverQueryEngine``, but the response is written by a `SoTSynthesizer`.
    """

    def __init__(
        self,
        retriever: BaseRetriever,
        response_synthesizer: BaseSynthesizer | None = None,
        node_postprocessors: list[BaseNodePostprocessor] | None = None,
        callback_manager: CallbackManager | None = None,
    ) -> None:
        synthesizer = response_synthesizer or SoTSynthesizer(callback_manager=callback_manager)
        super().__init__(retriever, synthesizer, node_postprocessors, callback_manager)

    @classmethod
    def from_args(  # type: ignore[override]  # what a default synthesizer is made of has no meaning here
        cls,
        retriever: BaseRetriever,
        llm: LLM | None = None,
        response_synthesizer: BaseSynthesizer | None = None,
        node_postprocessors: list[BaseNodePostprocessor] | None = None,
        callback_manager: CallbackManager | None = None,
        **synthesis: Any,
    ) -> Self:
        """Make an engine. Further keyword arguments are those of `SoTSynthesizer`.

        Raises:
            ConfigurationError: a synthesizer is given together with what one would be made of.
        """
        if response_synthesizer and (llm or synthesis):
            given = ", ".join(["llm"] * bool(llm) + list(synthesis))
            raise ConfigurationError(
                f"response_synthesizer comes with its own {given}: give either the one or the others"
            )
        return cls(
            retriever,
            response_synthesizer or SoTSynthesizer(llm, **synthesis),
            node_postprocessors,
            callback_manager or Settings.callback_manager,
        )

    def with_retriever(self, retriever: BaseRetriever) -> Self:
        """Return the same engine over another retriever."""
        return type(self)(retriever, self._response_synthesizer, self._node_postprocessors, self.callback_manager)
