"""How the calls of one run reach LangChain's models and retrievers.

Each step of a run (the skeleton, each point) is a run of its own in a trace, with the model's run below it.
It is opened by hand: a Runnable in between would cost time for every chunk.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeAlias

from langchain_core.documents import Document
from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import BaseMessage
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.config import (
    get_async_callback_manager_for_config,
    get_callback_manager_for_config,
    patch_config,
)

from skeleton_of_thought import LLM, Abilities, Call, ConfigurationError, Passage, Point
from skeleton_of_thought._threads import in_thread
from skeleton_of_thought.calls import Door, Piece, Said, Same, options_of, tags_of
from skeleton_of_thought.models._allowance import allowance_of
from skeleton_of_thought.retrieval import Retriever

from ._inside import bound_of, chat_models, given_to, only_blocks, says_nothing, searches_in_a_pool, tries_of
from ._messages import messages_of
from ._output import finish_of, usage_of
from ._prefix_cache import Mark, mark_for

Model: TypeAlias = Runnable[LanguageModelInput, BaseMessage]
AnyRetriever: TypeAlias = Runnable[str, list[Document]]

STEPS = {"skeleton": "skeleton", "point": "expand"}
"""What the steps of a run are called in traces, by stage."""

_BOUNDS = ("max_tokens", "max_completion_tokens", "max_output_tokens")
"""What a bound of a call is called. Where the caller gives one, ours is left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """The way from one run to the models: with the caller's config and options, waiting or blocking."""

    config: RunnableConfig
    options: dict[str, Any]
    blocking: bool
    steps: bool
    """Open a run for each step. One that is asked for by itself has its run already."""

    @property
    def configured(self) -> dict[str, Any]:
        """What the caller has configured for this call."""
        return self.config.get("configurable", {})

    def door(self, model: Model, abilities: Abilities, planner: Model | None = None, *, alone: bool = False) -> LLM:
        """Reach *model* by its asynchronous methods; by threads where they block, or where the caller does.

        Args:
            planner: what writes the skeleton in its place.
            alone: it writes skeleton and points, so that one finds in its prefix cache what the other left there.
        """
        blocking = self.blocking or only_blocks(model, self.config)

        def ask(call: Call) -> AsyncIterator[Piece]:
            asked = planner if planner and call.stage == "skeleton" else model
            return in_thread(lambda: self._ask(asked, call, mark)) if blocking else self._aask(asked, call, mark)

        tools = abilities.tools or "tools" in given_to(model) | self.options or getattr(model, "sot_has_tools", False)
        models = chat_models(model, self.config)
        tries = partial(tries_of, model, self.config)
        only = models[0] if len(models) == 1 else None
        keeps = alone and planner is None and not hasattr(model, "sot_chat_model")  # an agent's middleware sees to it
        mark = mark_for(models, given_to(model) | self.options) if keeps else None
        return Door(ask, replace(abilities, tools=bool(tools)), Same(only or model), tries, ends=only is not None)

    def retriever(self, retriever: AnyRetriever) -> Retriever:
        """Reach *retriever* likewise."""
        blocking = self.blocking or searches_in_a_pool(retriever)

        async def find(query: str, point: Point | None) -> Sequence[Passage]:
            told = {"sot_stage": "retrieval"} | ({"sot_point": point.number} if point else {})
            config = self._config("retrieval", told)
            if not blocking:
                return _passages(await retriever.ainvoke(query, config))
            async for found in in_thread(lambda: iter([retriever.invoke(query, config)])):
                return _passages(found)
            raise AssertionError("a thread that neither fails nor yields")

        return find

    async def _aask(self, model: Model, call: Call, mark: Mark | None) -> AsyncGenerator[Piece, None]:
        step = self._step(call, mark)
        await step.abegin()
        try:
            if call.stream:
                stream = model.astream(step.messages, step.config, **self._options(model, call))
                try:
                    async for chunk in stream:
                        for piece in step.pieces(chunk):
                            yield piece
                except ValueError as error:
                    if not says_nothing(error):
                        raise
                finally:
                    if close := getattr(stream, "aclose", None):
                        await close()
            else:
                said = await model.ainvoke(step.messages, step.config, **self._options(model, call))
                for piece in step.pieces(said):
                    yield piece
        except BaseException as error:
            await step.aend(error)
            raise
        await step.aend()

    def _ask(self, model: Model, call: Call, mark: Mark | None) -> Iterator[Piece]:
        step = self._step(call, mark)
        step.begin()
        try:
            if call.stream:
                stream = model.stream(step.messages, step.config, **self._options(model, call))
                try:
                    for chunk in stream:
                        yield from step.pieces(chunk)
                except ValueError as error:
                    if not says_nothing(error):
                        raise
                finally:
                    getattr(stream, "close", lambda: None)()
            else:
                yield from step.pieces(model.invoke(step.messages, step.config, **self._options(model, call)))
        except BaseException as error:
            step.end(error)
            raise
        step.end()

    def _step(self, call: Call, mark: Mark | None) -> "_Step":
        is_run = self.steps and getattr(self.config.get("callbacks"), "handlers", True)  # and somebody listens
        return _Step(call, self._config(call.stage, tags_of(call)), STEPS.get(call.stage) if is_run else None, mark)

    def _config(self, stage: str, told: dict[str, Any]) -> RunnableConfig:
        """Add to the caller's config. An answer to go on with is for this chain, and for none inside."""
        config = self.config.copy()
        config["tags"] = [*config.get("tags", ()), f"sot:{stage}"]
        config["metadata"] = config.get("metadata", {}) | told
        if "sot_resume" in self.configured:
            config["configurable"] = self.configured | {"sot_resume": None}
        return config

    def _options(self, model: Model, call: Call) -> dict[str, Any]:
        """Return what is given with a call. Runnables that are no chat models stumble over options of our own."""
        theirs = {name: value for name, value in self.options.items() if (call.stage, name) != ("skeleton", "stop")}
        models = chat_models(model, self.config)
        if not models:
            return theirs
        bounds, given = {bound_of(each) for each in models}, given_to(model) | self.options
        name = bounds.pop() if len(bounds) == 1 and given.keys().isdisjoint(_BOUNDS) else None
        ours = options_of(call, max_tokens=name)
        if name in ours:
            ours[name] = min(filter(None, (ours[name], *(getattr(each, name, None) for each in models))))
        return ours | theirs


class _Step:
    """One call to a model, in a run of its own where *name* says so."""

    def __init__(self, call: Call, config: RunnableConfig, name: str | None, mark: Mark | None) -> None:
        shared, own = messages_of(call.messages[: call.shared]), messages_of(call.messages[call.shared :])
        self.messages = [*(mark(shared) if mark else shared), *own]
        self.config = config
        self._call = call
        self._name = name
        self._run: Any = None
        self._texts: list[str] = []

    async def abegin(self) -> None:
        if self._name:
            manager = get_async_callback_manager_for_config(self.config)
            self._run = await manager.on_chain_start(None, self._inputs(), name=self._name)
            self.config = patch_config(self.config, callbacks=self._run.get_child())

    async def aend(self, error: BaseException | None = None) -> None:
        if self._run and (error is None or isinstance(error, GeneratorExit)):  # enough was heard
            await self._run.on_chain_end("".join(self._texts))
        elif self._run:
            await self._run.on_chain_error(error)

    def begin(self) -> None:
        if self._name:
            manager = get_callback_manager_for_config(self.config)
            self._run = manager.on_chain_start(None, self._inputs(), name=self._name)
            self.config = patch_config(self.config, callbacks=self._run.get_child())

    def end(self, error: BaseException | None = None) -> None:
        if self._run and (error is None or isinstance(error, GeneratorExit)):  # enough was heard
            self._run.on_chain_end("".join(self._texts))
        elif self._run:
            self._run.on_chain_error(error)

    def _inputs(self) -> dict[str, Any]:
        skeleton, number = self._call.skeleton, self._call.point
        if skeleton is None or number is None:
            return {"messages": self.messages}
        return {"skeleton": str(skeleton), "number": number, "title": skeleton.point(number).title}

    def pieces(self, said: BaseMessage | str) -> list[Piece]:
        if not isinstance(said, BaseMessage | str):
            raise ConfigurationError(f"the model returned {said!r}: use one that returns a message or a text")
        content = said if isinstance(said, str) else said.content
        text = content if isinstance(content, str) else str(said.text)  # type: ignore[union-attr]  # a message, then
        self._texts.append(text)
        if isinstance(said, str):  # a Runnable that ends with a parser
            return [text]
        pieces: list[Piece] = [text if self._call.stage == "point" else Said(text, said)]
        if usage := usage_of(said):
            pieces.append(usage)
        if finish := finish_of(said):
            pieces.append(finish)
        if isinstance(headers := said.response_metadata.get("headers"), dict) and (left := allowance_of(headers)):
            pieces.insert(0, left)
        return pieces


def _passages(found: Any) -> list[Passage]:
    documents: list[Any] = list(found) if isinstance(found, Sequence) and not isinstance(found, str) else [None]
    if not all(isinstance(document, Document | str) for document in documents):
        raise ConfigurationError(f"the retriever returned {found!r}: it has to return a list of Documents")
    return [
        Passage(document.page_content, document.id or "", document)
        if isinstance(document, Document)
        else Passage(document)
        for document in documents
    ]
