"""The embedded model: nothing to configure, no key, no network once its file is here."""

from collections.abc import AsyncIterator
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import ClassVar

from ..calls import Abilities, Call, Piece
from .generation import Generation

try:
    from ._openvino import engine_for
    from ._store import DEFAULT_MODEL, find
except ImportError as error:
    raise ImportError('the embedded model needs OpenVINO: pip install "skeleton-of-thought[local]"') from error


@dataclass(frozen=True, slots=True)
class LocalModel:
    """A door to a model that runs in this process, shared by all doors to the same file.

    The model is loaded at the first call, not here.

    Raises:
        ModelMissingError: Its file is not here. The message names the command that brings it.
        ModelFileError: Its file is not what it should be.
    """

    abilities: ClassVar[Abilities] = Abilities(prefill=True, grammar=True)

    model: str | Path = DEFAULT_MODEL
    """A name that ``sot model list`` knows, or the path of any GGUF file of a Llama, Qwen2 or Qwen3 model."""
    _: KW_ONLY
    temperature: float | None = None
    """``None`` and 0 take the likeliest token each time."""
    seed: int | None = None
    """With a temperature: the same seed, the same text."""
    repetition_penalty: float = 1.1
    """Above 1 a token is the less likely the more it was used. Small models repeat themselves without it."""

    def __post_init__(self) -> None:
        find(self.model)

    def __call__(self, call: Call, /) -> AsyncIterator[Piece]:
        """Answer one call."""
        generation = Generation(
            messages=call.messages,
            max_tokens=call.max_tokens,
            stop=call.stop,
            grammar=call.grammar,
            temperature=self.temperature,
            seed=self.seed,
            repetition_penalty=self.repetition_penalty,
        )
        return engine_for(find(self.model)).generate(generation)
