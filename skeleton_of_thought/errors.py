"""Every error that this package raises on purpose.

    SoTError
    ├── ConfigurationError (ValueError)   a setting that cannot work
    ├── InputError (ValueError)           a question that cannot be asked
    │   └── ContextLengthError            more tokens than the model can take
    ├── SkeletonError (ValueError)        points that are no skeleton
    ├── ModelError                        a model that cannot be used
    │   ├── ModelMissingError             its files are not here
    │   └── ModelFileError                its files are not what they should be
    ├── EmptyTextError                    a call that gave no text where there has to be one
    ├── ModelTimeoutError (TimeoutError)  a model that was silent for too long
    ├── StreamCutError (ConnectionError)  a reply that ended before it was complete
    ├── DeadlineError (TimeoutError)      an answer of which nothing was written in time
    └── PointError                        a point that could not be written

A model's own exception is never replaced: it is raised as it is, or is the ``__cause__`` of a `PointError`. What was
written until any of them was raised is in `Answer.before(error)`.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .answer import Answer


class SoTError(Exception):
    """Base of every error that this package raises on purpose."""


class ConfigurationError(SoTError, ValueError):
    """A setting cannot work. Raised when the object is made; what functions of yours return is seen in a run."""

    @classmethod
    def of_kind(cls, name: str, value: object, cure: str) -> "ConfigurationError":
        """Say that a setting is of a kind that cannot work. The value is not shown: it may hold a key."""
        return cls(f"{name} of type {type(value).__name__} cannot work: {cure}")


class InputError(SoTError, ValueError):
    """A question cannot be asked. Raised before any model is called."""


class ContextLengthError(InputError):
    """A call needs more tokens than the model can take."""

    def __init__(self, tokens: int, limit: int) -> None:
        super().__init__(tokens, limit)
        self.tokens = tokens
        self.limit = limit

    def __str__(self) -> str:
        cure = "shorten the question or its context"
        return f"the call needs {self.tokens} tokens and the model takes {self.limit}: {cure}"


class SkeletonError(SoTError, ValueError):
    """Points do not make a skeleton: a number twice, an unknown dependency, or a cycle."""


class ModelError(SoTError):
    """A model cannot be used."""


class ModelMissingError(ModelError):
    """The files of a model are not on this machine. The message names the command that brings them."""


class ModelFileError(ModelError):
    """A file of a model is damaged, or is not the file that was asked for."""


class EmptyTextError(SoTError):
    """A model wrote nothing where there has to be a text. It is the ``__cause__`` of a `PointError`."""

    def __init__(self, finish: str | None) -> None:
        super().__init__(finish)
        self.finish = finish

    def __str__(self) -> str:
        cures = {
            "length": ": raise point_max_tokens, which thoughts count against too",
            "content_filter": ": the provider's filter took it, so reword the question",
            "tool_calls": ": give point_llm a model without tools",
        }
        return f"the model wrote nothing (finish reason {self.finish!r}){cures.get(self.finish or '', '')}"


class ModelTimeoutError(SoTError, TimeoutError):
    """A model was silent for longer than ``timeout``."""

    def __init__(self, seconds: float | None) -> None:
        super().__init__(seconds)
        self.seconds = seconds

    def __str__(self) -> str:
        return f"the model said nothing for {self.seconds} s: raise timeout, or lower max_concurrency"


class StreamCutError(SoTError, ConnectionError):
    """A reply ended without a sign that it was complete: something on the way cut it."""

    def __str__(self) -> str:
        return "the stream ended before the reply was complete"


class DeadlineError(SoTError, TimeoutError):
    """Nothing was written until the ``deadline``; or, as the cause of a `PointError`, not this point."""

    def __init__(self, seconds: float | None) -> None:
        super().__init__(seconds)
        self.seconds = seconds

    def __str__(self) -> str:
        return f"not written within {self.seconds} s: raise deadline"


class PointError(SoTError):
    """A point could not be written. The model's own exception is the ``__cause__``."""

    answer: "Answer"
    """What was written until then, of this point and of all others."""

    def __init__(self, number: int, title: str) -> None:
        super().__init__(number, title)
        self.number = number
        self.title = title

    def __str__(self) -> str:
        return f"point {self.number} ({self.title!r}) could not be written"
