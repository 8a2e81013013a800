"""The embedded engine: one model file, one pipeline, one thread.

The thread alone touches the pipeline. Between two steps it takes in what was asked, stops what nobody
wants any more, and hands out what came; during a step all requests are one batch. So answers that are
written at the same time cost little more than one, and a prompt that begins like an earlier one is not
computed again.

A step keeps the interpreter's lock, so whoever waits for text runs between two steps; the thread gives
way there. Whatever throws ends the requests in flight with an error, and the next one gets a new pipeline.
"""

import asyncio
import atexit
import contextlib
import threading
import time
from collections.abc import AsyncGenerator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from ..calls import Finish, Usage
from ..errors import ModelError
from ._pipeline import Defaults, Pipeline, Request, reason, token_limit
from ._tokens import Prefixes, Text
from .generation import Generated, Generation

_GIVE_WAY = 50e-6
"""Seconds between two steps. Without them, most text reaches its reader only after the next step (9 ms later)."""


@dataclass(slots=True, eq=False)
class _Job:
    """One generation, from the question to its last token."""

    generation: Generation
    loop: asyncio.AbstractEventLoop
    pieces: "asyncio.Queue[Generated | Exception]" = field(default_factory=asyncio.Queue)
    dropped: bool = False


_Letter: TypeAlias = tuple[_Job, Generated | Exception]


def _deliver(letters: Sequence[_Letter]) -> None:
    for job, piece in letters:
        job.pieces.put_nowait(piece)


def _send(*letters: _Letter) -> None:
    """Wake each loop once: whoever wakes takes the interpreter, and the next call would wait for it."""
    for loop in {job.loop for job, _ in letters}:
        theirs = [letter for letter in letters if letter[0].loop is loop]
        try:
            loop.call_soon_threadsafe(_deliver, theirs)
        except RuntimeError:  # the loop is closed: nobody waits there any more
            for job, _ in theirs:
                job.dropped = True


@dataclass(slots=True, eq=False)
class _Running:
    """A job that is in the pipeline."""

    job: _Job
    request: Request
    text: Text
    cached: int
    output: list[int] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    """Text that is shown at the end, where it was asked for as a whole."""
    over: bool = False


class Engine:
    """A model in this process: what is asked of it at the same time, it writes as one batch.

    It may be asked from any thread and any event loop. The model is loaded at the first question.

    Args:
        path: A GGUF file.
        repetition_penalty: What a generation gets that names none. Small models repeat themselves without it.
        max_tokens: The most that a generation gets that names no bound.
    """

    def __init__(self, path: Path, *, repetition_penalty: float = 1.1, max_tokens: int = 1024) -> None:
        self.name = path.stem
        self.context_length = token_limit(path)
        """How many tokens, asked and answered, a generation may have."""
        self.peak_batch = 0
        """The most generations that one step has worked on."""
        self.closed = False
        self._path = path
        self._defaults = Defaults(repetition_penalty=repetition_penalty, max_tokens=max_tokens)
        self._pipeline: Pipeline | None = None
        self._prefixes = Prefixes()
        self._asked: list[_Job] = []
        self._running: list[_Running] = []
        self._wake = threading.Condition()
        self._thread = threading.Thread(target=self._work, name=f"engine of {self.name}", daemon=True)
        self._thread.start()
        # Not left to the interpreter's end: a daemon thread that is inside a step then cannot be ended cleanly.
        atexit.register(self.close)

    async def generate(self, generation: Generation, /) -> AsyncGenerator[Generated, None]:
        """Yield text as it comes, then one ``Usage`` and one ``Finish``. Closing it ends the work.

        Without a temperature, or at 0, the likeliest token is taken each time; with one, a seed chooses. Both
        give the same text again on an engine that does the same beside it. What it does beside it, and what
        of the prompt it remembers, changes how sums are rounded, and now and then a word.
        ``Usage.cached_tokens`` is a lower bound, in whole blocks of 32 tokens.

        Raises:
            InputError: It cannot be done as asked. Nothing else suffers.
            ContextLengthError: It is longer than the model can take.
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
        """End what is in flight and the thread, and give back the memory."""
        with self._wake:
            self.closed = True
            self._wake.notify()
        if threading.current_thread() is not self._thread:
            self._thread.join()
        atexit.unregister(self.close)

    def _work(self) -> None:
        while self._wait():
            try:
                self._take_in()
                self._go_on()
            except Exception as error:  # noqa: BLE001  whatever it is, it must not end the thread
                self._fail(f"the engine of {self.name!r} failed in the middle: {reason(error)}", error)
        self._fail(f"the engine of {self.name!r} was closed")

    def _wait(self) -> bool:
        with self._wake:
            self._wake.wait_for(lambda: self.closed or self._asked or (self._pipeline and self._pipeline.busy()))
            return not self.closed

    def _take_in(self) -> None:
        with self._wake:
            asked, self._asked = self._asked, []
        for job in (job for job in asked if not job.dropped):
            try:
                self._running.append(self._start(job))
            except Exception as error:  # noqa: BLE001  it belongs to whoever asked
                _send((job, error))
        for running in self._running:
            if running.job.dropped:
                running.request.stop()
        self._running = [running for running in self._running if not running.job.dropped]

    def _start(self, job: _Job) -> _Running:
        if self._pipeline is None:
            self._pipeline, self._prefixes = Pipeline(self._path), Prefixes()
        request = self._pipeline.ask(job.generation, self._defaults)
        text = Text(self._pipeline.vocabulary, job.generation.stop)
        return _Running(job, request, text, self._prefixes.count(request.prompt))

    def _go_on(self) -> None:
        if self._pipeline is None or not self._pipeline.busy():
            return
        self.peak_batch = max(self.peak_batch, self._pipeline.step())
        letters = [(running, piece) for running in self._running for piece in self._read(running)]
        self._running = [running for running in self._running if not running.over]
        _send(*((running.job, piece) for running, piece in letters))
        if letters:
            time.sleep(_GIVE_WAY)

    def _read(self, running: _Running) -> Iterator[Generated | Exception]:
        """Tell what came for one of them."""
        ids, end = running.request.read(), running.request.end()
        if ids and not running.output:
            self._prefixes.remember(running.request.prompt)
        running.output += ids
        running.kept.append(running.text.feed(ids))
        if running.text.stopped:
            running.request.stop()
            end = "stop"
        running.over = end is not None
        if end == "memory":
            yield ModelError(f"the engine of {self.name!r} has no memory left for so many tokens at once")
            return
        if end is not None:
            running.kept.append(running.text.flush())
        if (end is not None or not running.job.generation.whole) and (shown := "".join(running.kept)):
            running.kept.clear()
            yield shown
        if end is not None:
            prompt, output = running.request.prompt, running.output
            yield from (Usage(len(prompt), len(output), running.cached), Finish(end))
            self._prefixes.remember(prompt + output[:-1])  # the last one was chosen, and never computed with

    def _fail(self, message: str, cause: Exception | None = None) -> None:
        with self._wake:
            jobs, self._asked = [*(running.job for running in self._running), *self._asked], []
        for job in jobs:
            failure = ModelError(message)
            failure.__cause__ = cause
            _send((job, failure))
        for running in self._running:
            running.request.stop()
        self._running = []
        with contextlib.suppress(RuntimeError):
            self._go_on()  # one more step takes them out; OpenVINO complains of what is still there at the end
        self._pipeline = None


_engines: dict[Path, Engine] = {}
_engines_lock = threading.Lock()


def engine_for(path: Path) -> Engine:
    """Tell which engine of this process runs the model in a file, and make it if there is none."""
    path = path.resolve()
    with _engines_lock:
        engine = _engines.get(path)
        if engine is None or engine.closed:
            engine = _engines[path] = Engine(path)
        return engine
