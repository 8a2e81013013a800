"""What of the passages fits into the context window, beside all else that a call says and may write."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from llama_index.core.indices.prompt_helper import PromptHelper
from llama_index.core.llms import LLM
from llama_index.core.node_parser import TokenTextSplitter
from llama_index.core.prompts import PromptTemplate

from skeleton_of_thought import Passage, Point, Question, Skeleton
from skeleton_of_thought.calls import Call
from skeleton_of_thought.prompts import Form

from ._models import bound_of
from .prompts import TemplatePrompts

_TITLE = "and " * 16
"""Stands for a title while there is none: they have 3 to 5 words."""
_AROUND = 100
"""Tokens that chat templates put around messages."""
_BETWEEN = "\n\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The context windows of the two models.

    Of what is free, the passages of the question get all; half where points retrieve as well, and the passages of
    each point get what is left then.
    """

    prompts: TemplatePrompts
    form: Form
    llm: tuple[PromptHelper, LLM]
    """What writes the skeleton."""
    point_llm: tuple[PromptHelper, LLM]
    points_retrieve: bool

    def fit(self, question: Question) -> Question | None:
        """Return *question* with as many of its passages, in their order, as fit; the last may be cut.

        ``None`` where there is no room for a skeleton, whatever is left out.
        """
        bare = replace(question, passages=(Passage(""),) if question.passages else ())
        splitter = self._free(bare)
        if splitter is None:
            return None
        if self.points_retrieve:
            splitter.chunk_size = max(1, splitter.chunk_size // 2)
        return replace(question, passages=tuple(_fitting(question.given, splitter)))

    def fit_own(self, question: Question, passages: Sequence[Passage]) -> list[Passage]:
        """Return as many of the *passages* of a point as fit beside those of the *question*.

        Whole ones, as a node that is cut here and whole there would be cited as two; the first may be cut.
        """
        given = {each.key: each for each in question.given}
        more = [each for each in passages if each.key not in given]
        splitter = self._free(question)
        fitting = list(_fitting(more, splitter)) if splitter else []
        kept = {each.key: each for number, each in enumerate(fitting) if number == 0 or each in more}
        return [found for each in passages if (found := given.get(each.key) or kept.get(each.key))]

    def _free(self, question: Question) -> TokenTextSplitter | None:
        """Return what cuts a text where the room ends."""
        try:
            splitters = list(self._splitters(question))
        except ValueError:  # so LlamaIndex says that there is none
            return None
        return min(splitters, key=lambda splitter: splitter.chunk_size)

    def _splitters(self, question: Question) -> Iterator[TokenTextSplitter]:
        skeleton = Skeleton(tuple(Point(number, _TITLE) for number in range(1, self.form.max_points + 1)))
        own = ((1, ""),) if self.points_retrieve else ()
        point_call = self.prompts.point_call(question, self.form, skeleton, skeleton.points[-1], own)
        yield _beside(self.prompts.skeleton_call(question, self.form), *self.llm)
        yield _beside(point_call, *self.point_llm)


def _beside(call: Call, helper: PromptHelper, llm: LLM) -> TokenTextSplitter:
    """Leave as much as LlamaIndex does for what is written, and more where the call may write more."""
    written = min(bound_of(llm, call), helper.context_window // 2)
    said = PromptTemplate("{said}").partial_format(said=_BETWEEN.join(message.text for message in call.messages))
    more = max(0, written - helper.num_output)
    return helper.get_text_splitter_given_prompt(said, padding=_AROUND + more, llm=llm)


def _fitting(passages: Sequence[Passage], splitter: TokenTextSplitter) -> Iterator[Passage]:
    texts = [f"[{number}] {passage.text.strip()}" for number, passage in enumerate(passages, 1)]
    windows = splitter.split_text(_BETWEEN.join(texts))
    if len(windows) < 2:
        yield from passages
        return
    free = len(windows[0])  # the first is what all begins with
    for passage, text in zip(passages, texts, strict=True):
        mark = len(text) - len(passage.text.strip())
        if free >= len(text):
            yield passage
        elif free > mark:
            yield replace(passage, text=passage.text.strip()[: free - mark])
        free -= len(text) + len(_BETWEEN)
