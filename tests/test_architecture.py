"""What the layout promises, looked at from outside: in a fresh interpreter, and in the files."""

import subprocess
import sys
from pathlib import Path

import pytest

import skeleton_of_thought

CORE = Path(skeleton_of_thought.__file__).parent
FRAMEWORKS = {
    "langchain",
    "langchain_core",
    "langgraph",
    "llama_index",
    "openai",
    "openvino_genai",
    "rich",
    "starlette",
}


def fresh(code: str) -> str:
    """Run *code* in an interpreter that has imported nothing, and return what it prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.strip()


@pytest.mark.parametrize("module", ["skeleton_of_thought", "skeleton_of_thought.testing", "skeleton_of_thought.cli"])
def test_the_core_imports_no_framework(module: str) -> None:
    """Whatever is installed beside it."""
    loaded = fresh(f"import sys, {module}; print(*{{name.partition('.')[0] for name in sys.modules}})").split()
    assert set() == FRAMEWORKS & set(loaded)


def test_importing_the_core_is_cheap() -> None:
    """The goal is 0.3 s; here only what costs time is counted, as timings never decide a test."""
    loaded = fresh("import sys, skeleton_of_thought; print(len(sys.modules))")
    assert int(loaded) < 400


@pytest.mark.parametrize("package", ["skeleton_of_thought", "langchain_sot", "llama_index_sot"])
def test_packages_are_typed(package: str) -> None:
    """Each tells type checkers to read it."""
    assert (CORE.parent / package / "py.typed").is_file()


@pytest.mark.parametrize("path", sorted(CORE.rglob("*.py")), ids=lambda path: str(path.relative_to(CORE)))
def test_modules_stay_small(path: Path) -> None:
    """A file that needs a table of contents is two files."""
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 300


def test_without_an_extra_the_cure_is_named() -> None:
    """An import that cannot work says what to install."""
    hide = (
        "import sys; sys.modules.update(dict.fromkeys(['langchain_core', 'llama_index', 'llama_index.core', 'openai']))"
    )
    for module, extra in {
        "langchain_sot": "langchain",
        "llama_index_sot": "llama-index",
        "skeleton_of_thought.models.openai": "openai",
    }.items():
        said = fresh(f"{hide}\ntry:\n    import {module}\nexcept ImportError as error:\n    print(error)")
        assert f'pip install "skeleton-of-thought[{extra}]"' in said
