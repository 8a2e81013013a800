"""`SoTMiddleware`: long final answers of an agent, sooner."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from skeleton_of_thought import ConfigurationError, InputError, PointError

try:
    from langchain.agents.middleware import AgentMiddleware, ModelRequest, ModelResponse
except ImportError as error:
    raise ImportError('SoTMiddleware needs langchain: pip install "skeleton-of-thought[agents]"') from error

from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.config import ensure_config, set_config_context
from langchain_core.runnables.utils import coro_with_context
from langgraph.errors import GraphBubbleUp

from ._messages import question_of
from .chain import SoTChain


class SoTMiddleware(AgentMiddleware[Any, Any, Any]):
    """Write an agent's long answers with Skeleton-of-Thought; leave its other turns as they are.

    Every model call of `SoTChain` is a call of the agent: with its tools bound, through all middleware that
    comes after this one. A turn that the router sends to a direct answer, one in which the model calls
    tools, one with a response format and one without a question are the agent's own, unchanged.

    Args:
        settings: those of `SoTChain`, without ``llm``: that is the agent's. A ``point_llm`` writes its points
            without the agent's tools and middleware. ``max_concurrency`` bounds all turns together.

    Raises:
        ValueError: a setting cannot work.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__()
        if "llm" in settings:
            raise ConfigurationError("llm= belongs to the agent: give it to create_agent(model=...)")
        if settings.get("structured_skeleton"):
            raise ConfigurationError("structured_skeleton=True cannot work in an agent: leave it out")
        self._settings = SoTChain(llm=_AgentModel(_nothing, _nothing), **settings)

    def wrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], ModelResponse[Any]]
    ) -> ModelResponse[Any]:
        """Answer one turn."""
        if not _asks(request):
            return handler(request)
        model = _AgentModel(request, handler)
        with _interruptible():
            return model.response(self._chain(model).invoke(_messages(request)))

    async def awrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]]
    ) -> ModelResponse[Any]:
        """Answer one turn."""
        if not _asks(request):
            return await handler(request)
        model = _AgentModel(request, handler)
        with _interruptible():
            return model.response(await self._chain(model).ainvoke(_messages(request)))

    def _chain(self, model: "_AgentModel") -> SoTChain:
        return self._settings.model_copy(update={"llm": model})


class _AgentModel(Runnable[LanguageModelInput, BaseMessage]):
    """The agent's own way to its model, in the place of a chat model."""

    def __init__(self, request: Any, handler: Callable[[Any], Any]) -> None:
        self._request = request
        self._handler = handler
        self._responses: dict[str, ModelResponse[Any]] = {}

    @property
    def sot_chat_model(self) -> BaseChatModel:
        """What is asked in the end; its options can be given with a call."""
        return self._request.model  # type: ignore[no-any-return]  # a request has one

    @property
    def sot_has_tools(self) -> bool:
        """Whether it may call tools."""
        return bool(self._request.tools)

    def invoke(self, input: LanguageModelInput, config: RunnableConfig | None = None, **kwargs: Any) -> BaseMessage:
        config = ensure_config(config)
        with set_config_context(config) as context:
            return self._heard(config, context.run(self._handler, self._asked(input, kwargs)))

    async def ainvoke(
        self, input: LanguageModelInput, config: RunnableConfig | None = None, **kwargs: Any
    ) -> BaseMessage:
        config = ensure_config(config)
        with set_config_context(config) as context:
            response = await coro_with_context(self._handler(self._asked(input, kwargs)), context, create_task=True)
            return self._heard(config, response)

    def response(self, answer: AIMessage) -> ModelResponse[Any]:
        """Return the answer of a turn: the agent's own response, where that is the answer."""
        direct = answer.response_metadata["sot"]["route"]["kind"] == "direct"
        own = self._responses.get("direct") or self._responses.get("skeleton")
        if direct and own and own.result[-1].text == answer.text:
            return own
        heard = next(iter(self._responses.values()), None)  # none where an answer that is complete is gone on with
        agent = heard.result[-1].name if heard else None
        return ModelResponse(result=[answer.model_copy(update={"name": agent})])

    def _asked(self, messages: Any, options: dict[str, Any]) -> Any:
        system, settings = self._request.system_message, options | self._request.model_settings
        if system is not None and messages[0] is system:
            return self._request.override(messages=messages[1:], model_settings=settings)
        return self._request.override(messages=messages, system_message=None, model_settings=settings)

    def _heard(self, config: RunnableConfig, response: Any) -> BaseMessage:
        self._responses[config["metadata"]["sot_stage"]] = response
        said: BaseMessage = response.result[-1]
        return said


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let LangGraph have its own signals, such as that of ``interrupt()``, also where a point's call raised them."""
    try:
        yield
    except PointError as error:
        if isinstance(error.__cause__, GraphBubbleUp):
            raise error.__cause__ from None
        raise


def _messages(request: ModelRequest[Any]) -> list[BaseMessage]:
    system = request.system_message
    return [*request.messages] if system is None else [system, *request.messages]


def _asks(request: ModelRequest[Any]) -> bool:
    """Tell whether there is a question, and its answer has no form yet and need not be a call of a tool."""
    if request.response_format is not None or request.tool_choice not in (None, "auto"):
        return False
    try:
        question_of(_messages(request))
    except InputError:
        return False
    return True


def _nothing(_: Any) -> Any:
    raise AssertionError("it is never called: only the settings are checked")
