"""`SoTChain`: a chat model's input and output, with the engine in between."""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import asdict, fields, replace
from typing import Any
from uuid import UUID

from skeleton_of_thought import Abilities, ConfigurationError, Hedge, Limit, Prompts, Retry, SkeletonOfThought, Timeout
from skeleton_of_thought.answer import Heading
from skeleton_of_thought.events import Event, Finished
from skeleton_of_thought.prompts import Detail
from skeleton_of_thought.rate_limit import Waits
from skeleton_of_thought.routers import Router
from skeleton_of_thought.settings import PER_CALL, PointErrorChoice, RouterChoice, Settings

try:
    from langchain_core.language_models import LanguageModelInput
except ImportError as error:
    raise ImportError('langchain_sot needs langchain-core: pip install "skeleton-of-thought[langchain]"') from error

from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.graph import Graph
from langchain_core.runnables.utils import ConfigurableFieldSpec, get_unique_config_specs
from langchain_core.tools import BaseTool, StructuredTool
from pydantic import BaseModel, ConfigDict, Field, SkipValidation, field_validator

from ._graph import graph_of
from ._inside import given_to
from ._messages import question_of
from ._models import AnyRetriever, Way
from ._output import chunk, message
from ._per_call import SPECS, resumed
from ._runnable import EventRunnable
from ._structured import structured
from .prompts import ChatPrompts
from .steps import ExpansionChain, SkeletonChain


class SoTChain(EventRunnable[LanguageModelInput, AIMessage, AIMessageChunk]):
    """Answer with Skeleton-of-Thought, in the place of a chat model.

    Takes what a chat model takes and returns an ``AIMessage``; streams ``AIMessageChunk`` in reading order.
    System messages, earlier turns and results of tools come first in every call, unchanged. A direct answer
    is the model's own message, with tool calls and all else that it holds. Config and callbacks reach every
    model call, whose run has ``sot_stage`` and ``sot_point`` in its metadata.

    The message's ``usage_metadata`` is the sum over all calls; ``response_metadata["sot"]`` holds route,
    skeleton, points, sources, usage by stage and timings in seconds. The settings are those of
    `skeleton_of_thought.settings.Settings`. Further keyword arguments of a call go to the model.
    ``config["max_concurrency"]`` bounds the model calls of all runs that are given the same number. In
    ``config["configurable"]``, ``sot_timeout`` and ``sot_deadline`` are those of one call, and ``sot_resume`` is an
    answer that was not complete, or its message: only what is missing is written.

    Raises:
        InputError: there is no question by the user in the input, or it is empty.
        PointError: a point could not be written; what was written is in its ``answer``.

    >>> from langchain_core.language_models import FakeListChatModel
    >>> chain = SoTChain(llm=FakeListChatModel(responses=["Paris."]))
    >>> chain.invoke("What is the capital of France?").text
    'Paris.'
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid", frozen=True, hide_input_in_errors=True)

    llm: SkipValidation[Runnable[LanguageModelInput, BaseMessage]]
    """Any chat model, or Runnable with a chat model's input and output."""
    point_llm: SkipValidation[Runnable[LanguageModelInput, BaseMessage]] | None = None
    """Another, usually smaller, model for the points."""
    abilities: Abilities = Abilities()
    """What the models can do beyond plain chat. A grammar is sent as ``extra_body``, as OpenAI clients do."""
    structured_skeleton: bool = False
    """Ask for the skeleton by ``llm.with_structured_output``. Its points are found at once, not line by line."""
    router: RouterChoice | SkipValidation[Router] = "auto"
    retriever: SkipValidation[AnyRetriever] | None = None
    """Finds Documents for each point by the point's own words: a retriever, or a Runnable from text to Documents."""
    prompts: SkipValidation[Prompts] = Prompts()
    """The wording: `Prompts`, or `ChatPrompts` for whole ``ChatPromptTemplate``."""
    pipelined: bool = False
    max_points: int = 10
    min_points: int = 2
    detail: Detail = "short"
    point_max_tokens: int | None = None
    heading: Heading = "numbered"
    max_concurrency: int | SkipValidation[Limit] = Field(default=16)
    rate_limit: SkipValidation[Waits] | None = None
    retry: Retry = Retry()
    """Retries belong to one layer: give the models ``max_retries=0``, so that a refusal lets all points wait together.
    Those of a model's own client count as attempts."""
    timeout: float | Timeout | None = None
    deadline: float | None = None
    on_point_error: PointErrorChoice | Callable[..., Any] = "raise"
    hedge: Hedge | None = None

    @field_validator("prompts", mode="before")
    @classmethod
    def _loaded(cls, value: Any) -> Any:
        return ChatPrompts(**value) if isinstance(value, Mapping) else value

    def model_post_init(self, context: Any, /) -> None:  # noqa: D102 -- pydantic's hook
        super().model_post_init(context)
        Settings(**self._settings())
        for name, model in {"llm": self.llm, "point_llm": self.point_llm}.items():
            if not isinstance(model, Runnable) and not (name == "point_llm" and model is None):
                raise ConfigurationError.of_kind(name, model, "use a chat model, such as ChatOpenAI(...)")
        if self.retriever is not None and not isinstance(self.retriever, Runnable):
            raise ConfigurationError.of_kind("retriever", self.retriever, "use store.as_retriever(), or a Runnable")
        if self.structured_skeleton:
            structured(self.llm)
            if self.abilities != Abilities():
                raise ConfigurationError("structured_skeleton=True is for plain chat models: leave abilities out")
        if isinstance(self.max_concurrency, int):  # one bound per chain object, over all its runs and copies
            self.__dict__["max_concurrency"] = Limit(self.max_concurrency)

    def _settings(self) -> dict[str, Any]:
        named = {field.name: getattr(self, field.name) for field in fields(Settings)}
        return named | {"retriever": None}  # which is LangChain's here

    @property
    def skeleton_chain(self) -> SkeletonChain:
        """The first step by itself: question in, `Skeleton` out."""
        return SkeletonChain(chain=self)

    @property
    def expansion_chain(self) -> ExpansionChain:
        """The second step by itself: question, skeleton and a point's number in, message out."""
        return ExpansionChain(chain=self)

    def engine(self, way: Way) -> SkeletonOfThought:
        """Make the engine of one call: nothing of a call is kept on ``self``."""
        limit = self.max_concurrency if isinstance(self.max_concurrency, Limit) else Limit(self.max_concurrency)
        if width := way.config.get("max_concurrency"):
            limit = limit.within(width)
        planner = structured(self.llm) if self.structured_skeleton else None
        own = {name: way.configured[f"sot_{name}"] for name in PER_CALL if f"sot_{name}" in way.configured}
        models = {
            "llm": way.door(self.llm, self.abilities, planner, alone=self.point_llm is None),
            "point_llm": way.door(self.point_llm, self.abilities) if self.point_llm else None,
            "retriever": way.retriever(self.retriever) if self.retriever else None,
        }
        return SkeletonOfThought(**self._settings() | models | own | {"max_concurrency": limit})

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> "SoTChain":
        """Return a chain whose ``llm`` knows *tools*. A message that calls one is handed through unchanged.

        Raises:
            ConfigurationError: a model knows no tools.
        """
        if self.structured_skeleton:
            raise ConfigurationError("structured_skeleton=True leaves a model no call of a tool: leave it out")

        try:
            llm = getattr(self.llm, "bind_tools")(tools, **kwargs)  # noqa: B009 -- not every Runnable has it
        except (AttributeError, NotImplementedError) as error:
            raise ConfigurationError(
                f"{type(self.llm).__name__} knows no tools: use a model with bind_tools"
            ) from error
        return self.model_copy(update={"llm": llm})

    def with_structured_output(self, schema: Any, **kwargs: Any) -> Runnable[LanguageModelInput, Any]:
        """Return the model's own Runnable for structured output, which is never an answer in points."""
        return getattr(self.llm, "with_structured_output")(schema, **kwargs)  # type: ignore[no-any-return]  # noqa: B009 -- not every Runnable has it

    def as_tool(
        self,
        args_schema: type[BaseModel] | None = None,
        *,
        name: str | None = None,
        description: str | None = None,
        arg_types: dict[str, type] | None = None,
    ) -> BaseTool:
        """Return a tool that takes a ``question`` and returns the text of the answer.

        Raises:
            ConfigurationError: other arguments are asked for.
        """
        if args_schema or arg_types:
            raise ConfigurationError(
                "this tool takes a question: for other arguments use (prompt | chain).as_tool(...)"
            )

        def answer(question: str) -> str:  # the tool's own run is in the context; a config given here would lack it
            return str(self.invoke(question).text)

        async def aanswer(question: str) -> str:
            return str((await self.ainvoke(question)).text)

        return StructuredTool.from_function(
            answer,
            aanswer,
            name=name or "answer_in_points",
            description=description or "Answer a question at length, point by point.",
        )

    @property
    def config_specs(self) -> list[ConfigurableFieldSpec]:
        """What ``config["configurable"]`` can set: for one call, and in the models and the retriever."""
        inner = (self.llm, self.point_llm, self.retriever)
        return get_unique_config_specs([*SPECS, *(spec for each in inner if each for spec in each.config_specs)])

    def get_graph(self, config: RunnableConfig | None = None) -> Graph:  # noqa: ARG002 -- it is the same for all
        """Return the steps: route, skeleton, expand, join."""
        return graph_of(self)

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """Tell that it can be saved with ``dumpd``; routers of yours cannot."""
        return True

    @property
    def lc_attributes(self) -> dict[str, Any]:
        """What LangChain cannot save as it is, as it is given to the constructor."""
        limit = self.max_concurrency
        changed = {field.name: getattr(self.prompts, field.name) for field in fields(self.prompts)}
        changed = {name: value for name, value in changed.items() if value != getattr(type(self.prompts)(), name)}
        return {
            "max_concurrency": limit.width if isinstance(limit, Limit) else limit,
            "abilities": asdict(self.abilities),
            "retry": asdict(self.retry),
            "timeout": asdict(self.timeout) if isinstance(self.timeout, Timeout) else self.timeout,
            "hedge": asdict(self.hedge) if self.hedge else None,
            "prompts": changed,
        }

    @property
    def _has_steps(self) -> bool:
        return True

    def _events(self, value: LanguageModelInput, way: Way, *, whole: bool) -> AsyncGenerator[Event, None]:
        question = question_of(value)
        if "response_format" in given_to(self.llm) | way.options:
            question = replace(question, has_form=True)
        return self.engine(way).astream(question, whole=whole, terse=True, resume=resumed(way))

    def _chunk(self, event: Event, run_id: UUID) -> AIMessageChunk | None:
        return chunk(event, run_id)

    def _output(self, last: Event, run_id: UUID, value: LanguageModelInput) -> AIMessage:  # noqa: ARG002
        assert isinstance(last, Finished)
        return message(last.answer, run_id)
