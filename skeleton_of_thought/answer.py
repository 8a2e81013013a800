"""What goes into a run and what is left of it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field, TypeAdapter

from .calls import Message, Stage, Usage
from .errors import InputError
from .skeleton import Point, Skeleton

Heading: TypeAlias = Literal["numbered", "bold", "markdown", "none"]

GAP = "[…]"
"""Stands where text is missing."""


@dataclass(frozen=True, slots=True)
class Passage:
    """A text to answer from, as a retriever found it."""

    text: str
    key: str = ""
    """Its identifier, where it has one."""
    origin: Annotated[object, Field(exclude=True)] = field(default=None, compare=False, repr=False)
    """The framework's own document."""

    @property
    def same(self) -> tuple[str, str]:
        """What two passages have in common that are one. Parts of one document may share its identifier."""
        return self.key, self.text


@dataclass(frozen=True, slots=True)
class Source:
    """A passage, and the number by which the whole answer cites it."""

    number: int
    passage: Passage
    points: tuple[int, ...] = ()
    """Numbers of the points it was found for. Empty where it was found for the whole question."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, and what every call of the run sees with it.

    Raises:
        InputError: the question is empty.
    """

    text: str
    history: tuple[Message, ...] = ()
    """The system message and earlier turns, oldest first."""
    passages: tuple[str | Passage, ...] = ()
    """Texts to answer from, as a retriever found them. Every call sees them."""
    since: tuple[Message, ...] = ()
    """What has been said since: tools that were called for it, and their results."""
    has_form: bool = False
    """The answer has a form of its own, such as JSON by a schema, and so is none in points."""
    origin: object = field(default=None, compare=False, repr=False)
    """The framework's own message that asked; it may hold more than text. See ``Message.origin``."""

    def __post_init__(self) -> None:
        if not isinstance(self.text, str):
            raise InputError(f"a question is text, not {type(self.text).__name__}")
        _check_signs("the question", self.text)
        if not any(sign.isprintable() and sign != " " for sign in self.text) and self.origin is None:
            raise InputError("the question is empty: ask something, in words")
        for name, messages in {"history": self.history, "since": self.since}.items():
            for number, message in enumerate(messages, 1):
                _check_signs(f"message {number} of {name}", message.text)
        for number, passage in enumerate(self.passages, 1):
            _check_signs(f"passage {number}", passage.text if isinstance(passage, Passage) else passage)

    @property
    def given(self) -> tuple[Passage, ...]:
        """The passages, each once: the first has the number 1."""
        given: dict[tuple[str, str], Passage] = {}
        for each in self.passages:
            passage = each if isinstance(each, Passage) else Passage(each)
            given.setdefault(passage.same, passage)
        return tuple(given.values())


def _check_signs(name: str, text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"{name} has half a sign at {error.start}: decode it as UTF-8") from error


@dataclass(frozen=True, slots=True)
class Route:
    """Whether a question gets a skeleton."""

    kind: Literal["skeleton", "direct"]
    by: str
    """Who decided: the name of a router, or ``skeleton`` where the model wrote none."""
    why: str


@dataclass(frozen=True, slots=True)
class Section:
    """One point of the answer."""

    point: Point
    text: str
    """The point's own text, without its heading."""
    seconds: float | None = None
    """From the call to its last token. ``None`` while the point is not done."""
    finish: str | None = None
    """Why the model stopped, where it told: ``stop``, ``length``, ``content_filter``."""
    usage: Usage | None = None
    """``None`` where the model told nothing."""
    sources: tuple[int, ...] = ()
    """Numbers of the sources that were retrieved for it."""
    span: tuple[int, int] | None = field(default=None, compare=False)
    """Where its text stands in that of the answer: from, and up to. ``None`` as long as it is not shown whole."""
    failure: str | None = None
    """The class of the error for which the point is not complete."""

    @property
    def done(self) -> bool:
        """Whether the point is complete."""
        return self.seconds is not None

    def about(self) -> dict[str, Any]:
        """Tell of it, without its text, in types that JSON knows."""
        return {
            "number": self.point.number,
            "title": self.point.title,
            "span": list(self.span) if self.span else None,
            "seconds": self.seconds,
            "finish": self.finish,
            "failure": self.failure,
            "usage": asdict(self.usage) if self.usage else None,
            "sources": list(self.sources),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Timings:
    """Seconds on the wall clock. ``None`` is what did not happen."""

    total: float
    first_text: float | None = None
    """From the question to the first piece of the answer."""
    skeleton: float | None = None
    skeleton_first: float | None = None
    """From the skeleton call to its first token."""
    points: Mapping[int, float] = field(default_factory=dict)
    retrieval: Mapping[int, float] = field(default_factory=dict)
    """What each point's own retrieval took, by number; under 0 that of a direct answer."""
    critical_path: float | None = None
    """The skeleton and the longest chain of points, retrieval included: what no scheduler can beat."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """All that is left of a run."""

    question: str
    route: Route
    text: str
    skeleton: Skeleton | None = None
    planned: bool = True
    """Whether the skeleton is complete. A pipelined run may have failed while it was being written."""
    sections: tuple[Section, ...] = ()
    """In reading order. Empty for a direct answer."""
    usage: Mapping[Stage, Usage] = field(default_factory=dict)
    """Tokens by stage, as far as the models told: a stage of which none did is not there."""
    finish: str | None = None
    """Why a direct answer ended, where the model told; ``"deadline"`` where it was cut. For points see ``sections``."""
    complete: bool = True
    """Whether nothing is missing. Otherwise give the answer back as ``resume``, and only that is written."""
    sources: tuple[Source, ...] = ()
    """All passages that were given to the model, each once, in the order of their numbers."""
    timings: Timings
    origins: Annotated[tuple[object, ...], Field(exclude=True)] = field(default=(), compare=False, repr=False)
    """The framework's own messages that a direct answer came in, for an adapter to hand on whole."""

    @property
    def total_usage(self) -> Usage:
        """Tokens of all calls together."""
        return sum(self.usage.values(), Usage())

    @property
    def speed_up(self) -> float | None:
        """Estimate how many times longer the same text would have taken as one call.

        The pace of a single call is read off the skeleton: its first token, then so many tokens a second.
        ``None`` where that is not known: no skeleton, not streamed, or no usage from the model.
        """
        skeleton, points = self.usage.get("skeleton", Usage()), self.usage.get("point", Usage())
        first, whole = self.timings.skeleton_first, self.timings.skeleton
        if first is None or whole is None or skeleton.output_tokens < 2 or not points.output_tokens:
            return None
        per_token = (whole - first) / (skeleton.output_tokens - 1)
        return (first + per_token * points.output_tokens) / self.timings.total

    @property
    def missing(self) -> tuple[int, ...]:
        """The numbers of the points that are not complete."""
        return tuple(section.point.number for section in self.sections if not section.done)

    @staticmethod
    def before(error: BaseException) -> "Answer | None":
        """Return what was written until a run failed with *error*; ``None`` where *error* is from no run."""
        found = getattr(error, "answer", None)
        return found if isinstance(found, Answer) else None

    def as_dict(self) -> dict[str, Any]:
        """Return the answer in types that JSON knows."""
        about: dict[str, Any] = _ADAPTER.dump_python(self, mode="json")
        return about

    def about(self) -> dict[str, Any]:
        """Tell how the answer was made, in types that JSON knows: all but its texts."""
        about: dict[str, Any] = _ADAPTER.dump_python(self, mode="json", exclude={"text", "sections"})
        return about | {"points": [section.about() for section in self.sections]}

    @classmethod
    def from_about(cls, text: str, about: Mapping[str, Any], sources: tuple[Source, ...] = ()) -> "Answer":
        """Put an answer together again from its text and what ``about`` told, as far as it takes to go on with it."""
        skeleton = _SKELETON.validate_python(about["skeleton"])
        sections = []
        for point, told in zip(skeleton.points if skeleton else (), about["points"], strict=False):
            written = text[slice(*told["span"])] if told["span"] else ""
            about_point = {name: told[name] for name in ("seconds", "finish", "failure")}
            about_point["seconds"] = told["seconds"] if told["span"] else None  # what was not shown is not there
            sections.append(Section(point, written, sources=tuple(told["sources"]), **about_point))
        return cls(
            question=about["question"],
            route=Route(**about["route"]),
            text=text,
            skeleton=skeleton,
            planned=about["planned"],
            sections=tuple(sections),
            finish=about["finish"],
            complete=about["complete"],
            sources=sources,
            timings=Timings(total=about["timings"]["total"]),
        )

    def to_json(self) -> str:
        """Write the answer as one JSON object."""
        return _ADAPTER.dump_json(self).decode()

    @classmethod
    def from_json(cls, text: str) -> "Answer":
        """Read an answer that ``to_json`` wrote.

        Raises:
            pydantic.ValidationError: the text is no such answer.
        """
        return _ADAPTER.validate_json(text)


_ADAPTER = TypeAdapter(Answer)
_SKELETON: TypeAdapter[Skeleton | None] = TypeAdapter(Skeleton | None)


def heading_of(point: Point, style: Heading) -> str:
    """Write what stands before a point's text.

    >>> heading_of(Point(1, "Sleep well"), "bold")
    '**Sleep well:** '
    """
    colon = "" if point.title.endswith(("?", "!", "？", "！")) else ":"
    match style:
        case "numbered":
            return f"{point.number}. {point.title}{colon} "
        case "bold":
            return f"**{point.title}{colon}** "
        case "markdown":
            return f"### {point.title}\n\n"
        case "none":
            return ""
