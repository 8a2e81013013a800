"""The embedded model: nothing to configure, no key, no network once its file is here."""

from collections.abc import AsyncIterator
from dataclasses import KW_ONLY, dataclass
from pathlib import Path

from ..calls import Abilities, Call, Piece
from .generation import Generation

try:
    from ._openvino import engine_for
    from ._store import DEFAULT_MODEL, find
except ModuleNotFoundError as error:
    raise ImportError('the embedded model needs OpenVINO: pip install "skeleton-of-thought[local]"') from error

_SMALL = 400_000_000
"""Bytes of a model file; 0.5B parameters in 8 bits are 600 million, 135M in 4 bits are 100 million."""

_SKELETON_REPETITION = 1.1
_SKELETON_PRESENCE = 0.8
"""Penalties: without them a 135M model writes one point ten times, with more it makes up words. None that grows with
each use: it would keep the model from the signs that end a point."""


@dataclass(frozen=True, slots=True)
class LocalModel:
    """A door to a model that runs in this process, shared by all doors to the same file.

    The model is loaded at the first call, not here.

    Raises:
        ModelMissingError: Its file is not here. The message names the command that brings it.
        ModelFileError: Its file is not what it should be.
    """

    model: str | Path = DEFAULT_MODEL
    """A name that ``sot model list`` knows, or the path of any GGUF file of a Llama, Qwen2 or Qwen3 model."""
    _: KW_ONLY
    temperature: float | None = None
    """``None`` and 0 take the likeliest token each time."""
    seed: int | None = None
    """With a temperature: what makes the text come out the same again, on an engine with nothing else to do."""
    repetition_penalty: float = 1.15
    """Above 1 a token is the less likely the more it was used. Small models repeat themselves without it."""
    small: bool | None = None
    """Whether the model is too small to follow instructions about form. ``None`` takes a file's size for a sign."""

    def __post_init__(self) -> None:
        find(self.model)

    @property
    def abilities(self) -> Abilities:
        """It goes on from a prefill and obeys a grammar."""
        small = find(self.model).stat().st_size < _SMALL if self.small is None else self.small
        return Abilities(prefill=True, grammar=True, small=small)

    def __call__(self, call: Call, /) -> AsyncIterator[Piece]:
        """Answer one call."""
        varied = call.stage == "skeleton" and self.abilities.small
        generation = Generation(
            messages=call.messages,
            max_tokens=call.max_tokens,
            stop=call.stop,
            grammar=call.grammar,
            temperature=self.temperature,
            seed=self.seed,
            repetition_penalty=_SKELETON_REPETITION if varied else self.repetition_penalty,
            presence_penalty=_SKELETON_PRESENCE if varied else None,
            whole=not call.stream,
        )
        return engine_for(find(self.model)).generate(generation)
