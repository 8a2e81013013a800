"""OpenVINO GenAI as we need it: load a model file, ask it, step, read. Nothing else of us touches OpenVINO.

What to know of it here, found by trial and in its source:

* A request that makes `step()` throw makes every later step throw, and cannot be taken out. Grammars, the
  only cause that comes from a caller, are therefore tried out first (`_Judge`).
* Its cache of compiled models is written and never read back for a paged model, so it is not used. What is
  slow at the start is the tokenizer: made from GGUF it takes two seconds, read back from its own format 0.1.
* Its tokenizer of a GGUF file silently cuts off what is before the last 8,192 tokens.
* Its Python package reports every import to its makers. Here it finds that its reporter is not installed.
"""

import contextlib
import hashlib
import itertools
import os
import re
import secrets
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, TypeAlias

from ..calls import merge_runs
from ..errors import ContextLengthError, InputError, ModelFileError
from ._requantise import context_length, write_blank
from ._store import cache_folder
from .generation import Generation

_REPORTER = "openvino_telemetry"
if _silenced := _REPORTER not in sys.modules:
    sys.modules[_REPORTER] = None  # type: ignore[assignment]  # the import system's own sign for "not to be had"
import openvino_genai as genai  # type: ignore[import-untyped]  # noqa: E402  has no types; must come after the above

if _silenced:
    del sys.modules[_REPORTER]

_TOKENIZER_LIMIT = 8192
_CACHE_GIGABYTES = 1
"""For keys and values: 46,000 tokens of SmolLM2. It is taken as it fills."""
_KEYS_AND_VALUES = "f16"
"""A twentieth faster than the engine's own 8 bits, which it packs and unpacks at each step; twice as large."""
_STEP_TOKENS = 512
"""At most in one step, so also the widest batch: `max_num_seqs` plays no part where prompts are read in pieces. Longer
steps compute no faster (256: 1,300 tokens/s; 512 and 2,048: 1,500), and all others wait for a step: it keeps the
interpreter's lock."""
_ENDS = frozenset({b"<|im_end|>", b"<|im_start|>", b"<|endoftext|>", b"<|eot_id|>", b"<|end|>", b"</s>"})
"""Control tokens after which no text of this answer comes. A model file names only one of them as its end."""
_FAULTS = (IndexError, RuntimeError, ValueError)
"""What OpenVINO throws, without a system, at what it cannot do."""

End: TypeAlias = Literal["stop", "length", "memory"]
"""Why a request is over: it was done, at its bound, or too large for the cache of keys and values."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Defaults:
    """What a generation gets that leaves it open."""

    repetition_penalty: float
    max_tokens: int


class Request:
    """One generation in the pipeline."""

    def __init__(self, prompt: list[int], handle: Any) -> None:
        self.prompt = prompt
        self._handle = handle
        self._at_bound = False

    def read(self) -> list[int]:
        """Return the tokens since the last time."""
        ids: list[int] = []
        while self._handle.can_read():
            for output in self._handle.read().values():
                ids += output.generated_ids
                self._at_bound = output.finish_reason == genai.GenerationFinishReason.LENGTH
        return ids

    def end(self) -> End | None:
        """Tell why it is over, or ``None`` while it is not."""
        status = self._handle.get_status()
        if status == genai.GenerationStatus.RUNNING:
            return None
        if status == genai.GenerationStatus.IGNORED:
            return "memory"
        return "length" if self._at_bound else "stop"

    def stop(self) -> None:
        """Take it out of the pipeline, at the next step."""
        self._handle.stop()


class Pipeline:
    """A loaded model.

    Raises:
        ModelFileError: OpenVINO cannot load the file.
    """

    def __init__(self, path: Path) -> None:
        scheduler = genai.SchedulerConfig()
        scheduler.cache_size = _CACHE_GIGABYTES
        scheduler.max_num_batched_tokens = _STEP_TOKENS
        scheduler.enable_prefix_caching = True
        try:
            self._tokenizer = _tokenizer(path)
            self._batch = genai.ContinuousBatchingPipeline(
                path, self._tokenizer, scheduler, "CPU", KV_CACHE_PRECISION=_KEYS_AND_VALUES
            )
        except _FAULTS as error:
            raise ModelFileError(f"{path} cannot be loaded: {reason(error)}") from error
        self.vocabulary, self._ends = _vocabulary(self._tokenizer)
        self._limit = token_limit(path)
        self._judge: _Judge | None = None
        self._numbers = itertools.count()

    def ask(self, generation: Generation, defaults: Defaults) -> Request:
        """Put a generation into the batch.

        Raises:
            InputError: It cannot be done as asked. Nothing else suffers.
        """
        _check_texts(generation)
        with _blaming("the text cannot be turned into tokens"):
            tensor = self._tokenizer.encode(self._prompt(generation)).input_ids
        prompt = tensor.data[0].tolist()
        if not prompt:
            raise InputError("there is nothing to go on from: the prompt is empty")
        settings = _settings(generation, defaults) | {"max_new_tokens": self._room(generation, len(prompt), defaults)}
        if rule := _rule(generation):
            self._judge = self._judge or _Judge()
            self._judge.check(rule)
            settings["structured_output_config"] = rule
        with _blaming("the settings cannot work"):
            config = genai.GenerationConfig(stop_token_ids=self._ends, **settings)
            return Request(prompt, self._batch.add_request(next(self._numbers), tensor, config))

    def step(self) -> int:
        """Write one more token of each request, or read a part of new ones; tell how many were worked on."""
        self._batch.step()
        return int(self._batch.get_metrics().scheduled_requests)

    def busy(self) -> bool:
        """Tell whether a step would do anything."""
        return bool(self._batch.has_non_finished_requests())

    def _prompt(self, generation: Generation) -> str:
        if generation.prompt is not None:
            return generation.prompt
        messages = merge_runs(generation.messages)
        opening = messages.pop().text if messages and messages[-1].role == "assistant" else ""
        history = [{"role": message.role, "content": message.text} for message in messages]
        return str(self._tokenizer.apply_chat_template(history, add_generation_prompt=True)) + opening

    def _room(self, generation: Generation, prompt_tokens: int, defaults: Defaults) -> int:
        wanted = generation.max_tokens
        if wanted is None:
            wanted = max(1, min(defaults.max_tokens, self._limit - prompt_tokens))
        if prompt_tokens + wanted > self._limit:
            raise ContextLengthError(prompt_tokens + wanted, self._limit)
        return wanted


class _Judge:
    """Tell whether a rule can be obeyed, before the batch sees it.

    The compiler of grammars cannot be called, only run into. This is a pipeline over a blank model, for a
    grammar to fail in: unlike `step()`, `generate()` drops its request when it throws. It is there in 0.14 s
    and answers within a millisecond, with the compiler's own words.
    """

    def __init__(self) -> None:
        scheduler = genai.SchedulerConfig()
        scheduler.num_kv_blocks = 2
        with TemporaryDirectory() as folder:
            blank = Path(folder, "blank.gguf")
            write_blank(blank)
            self._batch = genai.ContinuousBatchingPipeline(blank, scheduler, "CPU")

    def check(self, rule: Any) -> None:
        config = genai.GenerationConfig(max_new_tokens=1, apply_chat_template=False, structured_output_config=rule)
        with _blaming("the JSON schema cannot be obeyed" if rule.json_schema else "the grammar cannot be obeyed"):
            self._batch.generate("a", config)


def token_limit(path: Path) -> int:
    """Tell how many tokens, asked and answered, the model in a file can take here."""
    return min(context_length(path), _TOKENIZER_LIMIT)


def reason(error: Exception) -> str:
    """Say what OpenVINO says, without the places in its source."""
    return " ".join(re.sub(r"(?s).*\.(?:cc|cpp):\d+:", "", str(error)).split()) or type(error).__name__


@contextlib.contextmanager
def _blaming(what: str) -> Iterator[None]:
    """Take an exception for the fault of what was given."""
    try:
        yield
    except _FAULTS as error:
        raise InputError(f"{what}: {reason(error)}") from error


def _check_texts(generation: Generation) -> None:
    if generation.prompt is None and not generation.messages:
        raise InputError("there is nothing to answer: give messages or a prompt")
    texts = (generation.prompt, generation.grammar, generation.json_schema, *(m.text for m in generation.messages))
    with _blaming("half a character cannot be read"):
        for text in texts:
            (text or "").encode()


def _settings(generation: Generation, defaults: Defaults) -> dict[str, Any]:
    penalty = generation.repetition_penalty
    settings = {
        "apply_chat_template": False,
        "ignore_eos": generation.ignore_eos,
        "repetition_penalty": defaults.repetition_penalty if penalty is None else penalty,
        "presence_penalty": generation.presence_penalty,
        "frequency_penalty": generation.frequency_penalty,
    }
    if generation.temperature:
        settings |= {"do_sample": True, "temperature": generation.temperature, "top_p": generation.top_p}
        settings["rng_seed"] = secrets.randbits(31) if generation.seed is None else generation.seed
    return {name: value for name, value in settings.items() if value is not None}


def _rule(generation: Generation) -> Any:
    if generation.grammar is not None and generation.json_schema is not None:
        raise InputError("a text can obey a grammar or a JSON schema, not both")
    if generation.grammar is not None:
        return genai.StructuredOutputConfig(grammar=generation.grammar)
    if generation.json_schema is not None:
        return genai.StructuredOutputConfig(json_schema=generation.json_schema)
    return None


def _tokenizer(path: Path) -> Any:
    """Load the tokenizer of a GGUF file, from the copy in OpenVINO's format that the first start leaves behind."""
    stat = path.stat()
    key = f"{path.resolve()} {stat.st_size} {stat.st_mtime_ns} {genai.get_version()}"
    kept = cache_folder() / "tokenizers" / hashlib.sha256(key.encode()).hexdigest()[:16]
    if not kept.exists():
        try:
            _keep_tokenizer(path, kept)
        except OSError:  # a read-only home, a system without links, or another process was first
            return genai.Tokenizer(path)
    return genai.Tokenizer(kept)


def _keep_tokenizer(path: Path, kept: Path) -> None:
    kept.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".making-", dir=kept.parent, ignore_cleanup_errors=True) as temporary:
        folder = Path(temporary, "tokenizer")
        folder.mkdir()
        link = folder / "model.gguf"  # OpenVINO puts the copy beside the file that it is given
        link.symlink_to(path.resolve())
        genai.Tokenizer(link, enable_save_ov_model=True)
        link.unlink()
        os.rename(folder, kept)


def _vocabulary(tokenizer: Any) -> tuple[list[bytes], set[int]]:
    """List the bytes of every token, none for a control token, and the control tokens that end an answer."""
    raw = {number: word for word, number in tokenizer.get_vocab().items()}
    numbers = range(max(raw) + 1)
    shown = tokenizer.decode([[number] for number in numbers])
    control = {number for number in numbers if not shown[number] and _is_text(raw.get(number, b""))}
    words = [b"" if number in control else raw[number] for number in numbers]
    return words, {number for number in control if raw.get(number) in _ENDS}


def _is_text(word: bytes) -> bool:
    """Tell a control token, which is written out, from a part of a character; both decode to nothing."""
    try:
        word.decode()
    except UnicodeDecodeError:
        return False
    return True
