"""The embedded engine: one model file, one OpenVINO pipeline, one thread.

The thread alone touches OpenVINO. Between two steps it takes in what was asked, stops what nobody wants
any more, and hands out what came; during a step all requests are one batch. So answers that are written
at the same time cost little more than one, and a prompt that shares its beginning with an earlier one
is not computed again.

What to know of OpenVINO GenAI here, found by trial and in its source:

* `step()` keeps the interpreter's lock. Steps are kept short (`_STEP_TOKENS`), and between two of them the
  thread lets others run.
* A request that makes `step()` throw makes every later step throw, and cannot be taken out. Grammars, the
  only cause that comes from a caller, are therefore tried out first (`_Judge`). Whatever else throws ends
  the requests in flight with an error, and the next one gets a new pipeline.
* Its compiled-model cache is written and never read back for a paged model, so it is not used. What is slow
  at the start is the tokenizer: made from GGUF it takes two seconds, read back from its own format 0.1.
* Its Python package reports every import to its makers. Here it finds that its reporter is not installed.
"""

import asyncio
import atexit
import codecs
import hashlib
import itertools
import os
import re
import secrets
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ..calls import Finish, Message, Piece, Usage, merge_runs
from ..errors import ContextLengthError, InputError, ModelError, ModelFileError, SoTError
from ._requantise import context_length, write_blank
from ._store import cache_folder
from .generation import Generation

_REPORTER = "openvino_telemetry"
if _silenced := _REPORTER not in sys.modules:
    sys.modules[_REPORTER] = None  # type: ignore[assignment]  # the import system's own sign for "not to be had"
import openvino_genai as genai  # type: ignore[import-untyped]  # noqa: E402  it has no types, and comes after the above

if _silenced:
    del sys.modules[_REPORTER]

_CACHE_GIGABYTES = 1
"""For keys and values: 78,000 tokens of SmolLM2, enough for ten expansions of a thousand tokens seven times over."""
_STEP_TOKENS = 512
"""At most in one step. Longer steps compute no faster (512: 1,500 tokens/s, 256: 1,300), and let others wait."""
_TOKENIZER_LIMIT = 8192
"""OpenVINO's tokenizer of a GGUF file silently cuts off what is before the last so many tokens."""
_BLOCK = 32
"""Tokens that the prefix cache keeps together, on a CPU."""
_REMEMBERED_BLOCKS = 512
"""What a gigabyte holds of the largest model that one would run here. Of small ones the engine keeps more."""
_ENDS = frozenset({b"<|im_end|>", b"<|im_start|>", b"<|endoftext|>", b"<|eot_id|>", b"<|end|>", b"</s>"})
"""Control tokens after which no text of this answer comes. A model file names only one of them as its end."""


class _Text:
    """Turn token ids into text as they come: whole characters only, and nothing from a stop string on."""

    def __init__(self, vocabulary: Sequence[bytes], stop: tuple[str, ...]) -> None:
        self._vocabulary = vocabulary
        self._stop = tuple(filter(None, stop))
        self._decode = codecs.getincrementaldecoder("utf-8")("ignore").decode
        self._held = ""
        self.stopped = False

    def feed(self, ids: Sequence[int]) -> str:
        self._held += self._decode(b"".join(self._vocabulary[each] for each in ids))
        found = [at for stop in self._stop if (at := self._held.find(stop)) >= 0]
        self.stopped = bool(found)
        return self._release(min(found) if found else len(self._held) - self._begun())

    def flush(self) -> str:
        return self._release(len(self._held))

    def _begun(self) -> int:
        """Tell how many characters at the end may be the beginning of a stop string."""
        lengths = (n for stop in self._stop for n in range(1, len(stop)) if self._held.endswith(stop[:n]))
        return max(lengths, default=0)

    def _release(self, end: int) -> str:
        text, self._held = self._held[:end], "" if self.stopped else self._held[end:]
        return text


class _Prefixes:
    """What the engine's prefix cache holds, of which the engine itself tells no figure.

    Kept as it keeps it: whole blocks, each known by all tokens up to its end. Where the two could differ
    (a block filled in part, a cache larger than ours) this one knows less, so the figure is a lower bound.
    """

    def __init__(self) -> None:
        self._blocks: OrderedDict[int, None] = OrderedDict()

    def count(self, ids: Sequence[int]) -> int:
        """Tell how many tokens at the beginning of *ids* need not be computed; the last one always is."""
        known = sum(1 for _ in itertools.takewhile(self._blocks.__contains__, self._keys(ids)))
        return min(known * _BLOCK, len(ids) - 1)

    def remember(self, ids: Sequence[int]) -> None:
        for key in self._keys(ids):
            self._blocks[key] = None
            self._blocks.move_to_end(key)
        while len(self._blocks) > _REMEMBERED_BLOCKS:
            self._blocks.popitem(last=False)

    @staticmethod
    def _keys(ids: Sequence[int]) -> "itertools.accumulate[int]":
        blocks = (tuple(ids[at : at + _BLOCK]) for at in range(0, len(ids) - _BLOCK + 1, _BLOCK))
        return itertools.accumulate((hash(block) for block in blocks), lambda before, block: hash((before, block)))


class _Judge:
    """Tell whether a grammar can be obeyed, before the engine sees it.

    The compiler of grammars cannot be called, only run into. This is a pipeline over a blank model, for a
    grammar to fail in: unlike `step()`, `generate()` drops its request when it throws. It is there in 0.14 s
    and answers within a millisecond, with the compiler's own words.
    """

    def __init__(self) -> None:
        with TemporaryDirectory() as folder:
            blank = Path(folder, "blank.gguf")
            write_blank(blank)
            scheduler = genai.SchedulerConfig()
            scheduler.num_kv_blocks = 2
            self._pipeline = genai.ContinuousBatchingPipeline(blank, scheduler, "CPU")

    def check(self, rule: Any) -> None:
        config = genai.GenerationConfig(max_new_tokens=1, apply_chat_template=False, structured_output_config=rule)
        try:
            self._pipeline.generate("a", config)
        except RuntimeError as error:
            kind = "grammar" if rule.grammar is not None else "JSON schema"
            raise InputError(f"the {kind} cannot be obeyed: {_reason(error)}") from error


@dataclass(slots=True, eq=False)
class _Job:
    """One generation on its way through the engine."""

    generation: Generation
    loop: asyncio.AbstractEventLoop
    pieces: "asyncio.Queue[Piece | Exception]" = field(default_factory=asyncio.Queue)
    dropped: bool = False
    prompt: list[int] = field(default_factory=list)
    output: list[int] = field(default_factory=list)
    cached: int = 0
    text: _Text = field(init=False)
    handle: Any = None

    def send(self, *pieces: Piece | Exception) -> None:
        try:
            for piece in pieces:
                self.loop.call_soon_threadsafe(self.pieces.put_nowait, piece)
        except RuntimeError:  # the loop is closed: nobody waits there any more
            self.dropped = True


class Engine:
    """A model in this process: it writes all that is asked of it at the same time, as one batch.

    It may be asked from any thread and any event loop. The model is loaded at the first question.

    Args:
        repetition_penalty: What a generation gets that names none. Small models repeat themselves without it.
        max_tokens: The most that a generation gets that names no bound.
    """

    def __init__(self, path: Path, *, repetition_penalty: float = 1.1, max_tokens: int = 1024) -> None:
        self.path = path
        self.name = path.stem
        self.context_length = min(context_length(path), _TOKENIZER_LIMIT)
        self.peak_batch = 0
        """The most requests that one step has worked on."""
        self.closed = False
        self._repetition_penalty = repetition_penalty
        self._max_tokens = max_tokens
        self._asked: list[_Job] = []
        self._live: list[_Job] = []
        self._pipeline: Any = None
        self._judge: _Judge | None = None
        self._ids = itertools.count()
        self._wake = threading.Condition()
        self._thread = threading.Thread(target=self._work, name=f"engine {self.name}", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    async def generate(self, generation: Generation, /) -> AsyncGenerator[Piece, None]:
        """Yield text as it comes, then one ``Usage`` and one ``Finish``. Closing it ends the work.

        Without a temperature, or at 0, the likeliest token is taken each time. With one, the same seed gives
        the same text, as long as the same is written beside it. A closing assistant message is gone on from.

        Raises:
            InputError: It cannot be done as asked. Nothing else suffers.
            ContextLengthError: It is longer than the model or its tokenizer can take.
            ModelError: The model cannot be loaded, or failed in the middle.
        """
        job = _Job(generation, asyncio.get_running_loop())
        with self._wake:
            if self.closed:
                raise ModelError(f"the engine of {self.name!r} is closed")
            self._asked.append(job)
            self._wake.notify()
        try:
            while True:
                piece = await job.pieces.get()
                if isinstance(piece, Exception):
                    raise piece
                yield piece
                if isinstance(piece, Finish):
                    return
        finally:
            job.dropped = True

    def close(self) -> None:
        """End what is in flight, the thread, and give back the memory."""
        with self._wake:
            self.closed = True
            self._wake.notify()
        if threading.current_thread() is not self._thread:
            self._thread.join()
        atexit.unregister(self.close)

    def _work(self) -> None:
        while asked := self._wait():
            ...
