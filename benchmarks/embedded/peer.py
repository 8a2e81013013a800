"""llama.cpp, the fastest engine found here for one text after another, in a process of its own.

It is had through `xllamacpp`, which carries llama.cpp's server as a library. SmolLM2 comes in Q4_1, for which llama.cpp
has no fast kernel, so it also gets the model in Q4_0.
"""

import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from multiprocessing.connection import Connection
from pathlib import Path
from time import perf_counter
from typing import Any

from gguf import GGMLQuantizationType as Kind
from gguf import GGUFReader, GGUFWriter, quants

from skeleton_of_thought.models._requantise import _ARCHITECTURE, _copy_field, _write
from skeleton_of_thought.models._store import cache_folder

from ..elsewhere import talk_to
from .ways import Run

THREADS = multiprocessing.cpu_count()


class LlamaCpp:
    """A model in llama.cpp, in another process."""

    def __init__(self, talk: Connection) -> None:
        self._talk = talk

    def sequential(self, question: str, tokens: int) -> Run:
        """Write one answer of *tokens* tokens."""
        self._talk.send((question, tokens))
        told: tuple[int, float] | str = self._talk.recv()
        if isinstance(told, str):
            raise RuntimeError(told)
        return Run(*told)


def is_here() -> bool:
    """Tell whether llama.cpp can be asked."""
    return find_spec("xllamacpp") is not None


@contextmanager
def llama_cpp(path: Path) -> Iterator[LlamaCpp]:
    """Load a model file."""
    with talk_to(partial(_serve, path)) as talk:
        yield LlamaCpp(talk)


def in_q4_0(path: Path) -> Path:
    """Make the model of a Q4_1 file in Q4_0, once."""
    target = cache_folder() / "benchmarks" / f"{path.stem}.Q4_0.gguf"
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    making = target.with_suffix(".making")
    reader = GGUFReader(path)
    writer = GGUFWriter(making, reader.fields[_ARCHITECTURE].contents())
    for field in reader.fields.values():
        _copy_field(field, writer)
    for tensor in reader.tensors:
        if tensor.tensor_type == Kind.Q4_1:
            values = quants.quantize(quants.dequantize(tensor.data, Kind.Q4_1), Kind.Q4_0)
            writer.add_tensor(tensor.name, values, raw_dtype=Kind.Q4_0)
        else:
            writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
    _write(writer)
    return making.rename(target)


def _serve(path: Path, talk: Connection) -> None:
    import xllamacpp  # here, and not at the top: the process that measures does without

    settings = xllamacpp.CommonParams()
    settings.model.path = str(path)
    settings.n_ctx, settings.n_parallel, settings.fit_params = 4096, 1, False
    settings.cpuparams.n_threads = THREADS
    settings.verbosity = -1
    server = xllamacpp.Server(settings)
    while True:
        try:
            question, tokens = talk.recv()
        except EOFError:
            return
        talk.send(_answer(server, question, tokens))


def _answer(server: Any, question: str, tokens: int) -> tuple[int, float] | str:
    message = {"role": "user", "content": question}
    asked = {"messages": [message], "max_tokens": tokens, "ignore_eos": True, "temperature": 0, "cache_prompt": True}
    began = perf_counter()
    told = server.handle_chat_completions(asked)
    seconds = perf_counter() - began
    written = told.get("usage", {}).get("completion_tokens")
    return (tokens, seconds) if written == tokens else f"llama.cpp wrote {written} tokens of {tokens}: {told}"
