"""The tests as users have the package: the wheel, with no extra, with each, and with the lowest versions.

Every session builds the wheel, installs it with what it is about, and runs the tests from a copy, so that
the source is out of the way.
"""

import shutil
from pathlib import Path

import nox

nox.options.default_venv_backend = "uv"
nox.options.reuse_existing_virtualenvs = True
nox.options.stop_on_first_error = True

LANGCHAIN = "langchain-openai>=1.1"
ANTHROPIC = "langchain-anthropic>=1.7"
LLAMA_INDEX = "llama-index-llms-openai-like>=0.5"
EMBEDDINGS = "wordllama>=0.4"
OPENAI_TESTS = (
    "allowance",
    "engine_requests",
    "openai",
    "openai_faults",
    "openai_leaving",
    "openai_replies",
    "openai_waits",
    "prefix_cache",
)
OPENAI = tuple(f"tests/models/test_{name}.py" for name in OPENAI_TESTS)
SERVED = ("fastapi>=0.115", "httpx>=0.28")
"""What a chain is served by in our tests. LangGraph comes with `langchain`, in a version that goes with it."""


def _test(session: nox.Session, *tests: str) -> None:
    copy = Path(session.create_tmp()) / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree("tests", copy / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy("pyproject.toml", copy)
    session.chdir(copy)
    session.run("pytest", "--quiet", "--numprocesses=4", "--dist=loadfile", "-p", "no:cacheprovider", *tests)


def _install(session: nox.Session, extras: str, *more: str) -> None:
    wheel = f".[{extras}]" if extras else "."
    session.install(
        "--reinstall-package",
        "skeleton-of-thought",
        wheel,
        *nox.project.dependency_groups(nox.project.load_toml("pyproject.toml"), "test"),
        *more,
    )


@nox.session
def core(session: nox.Session) -> None:
    """No extra at all."""
    _install(session, "")
    _test(session, "tests/core", "--ignore=tests/core/test_rate_limit.py", "tests/test_architecture.py")


@nox.session
def limits(session: nox.Session) -> None:
    """The core with limits of requests and tokens a minute."""
    _install(session, "limits")
    _test(session, "tests/core")


@nox.session
def langchain(session: nox.Session) -> None:
    """LangChain with the newest openai."""
    _install(session, "langchain,agents,openai,server", LANGCHAIN, ANTHROPIC, *SERVED, EMBEDDINGS, "openai>=3")
    _test(session, "tests/langchain", *OPENAI, "tests/test_server.py", "tests/test_faults.py", "tests/test_secrets.py")


@nox.session
def chroma(session: nox.Session) -> None:
    """LangChain with a vector store that people use."""
    _install(session, "langchain,openai,server", LANGCHAIN, EMBEDDINGS, "langchain-chroma>=1")
    _test(session, "tests/langchain/test_chroma.py")


@nox.session
@nox.parametrize("resolution", ["highest", "lowest-direct"])
def standard(session: nox.Session, resolution: str) -> None:
    """LangChain's own standard tests, which bring pytest plugins that no other session wants."""
    _install(session, "langchain", "langchain-tests>=1.1.9", f"--resolution={resolution}")
    asyncio = ("asyncio_mode=auto", "asyncio_default_fixture_loop_scope=function")
    options = [part for option in asyncio for part in ("-o", option)]
    _test(session, "--numprocesses=0", *options, "tests/langchain/test_standard.py")  # benchmarks want no workers


@nox.session
def llama_index(session: nox.Session) -> None:
    """LlamaIndex with the openai that it takes."""
    _install(session, "langchain,llama-index,openai,server", LLAMA_INDEX, EMBEDDINGS)
    _test(session, "tests/llama_index", *OPENAI)


@nox.session
def local(session: nox.Session) -> None:
    """The embedded engine alone."""
    _install(session, "local", "pip")  # environments made by uv have none, and models are fetched with the user's own
    _test(session, "tests/models/test_local.py", "tests/models/test_store.py", "tests/models/test_tokens.py")


@nox.session
def lowest(session: nox.Session) -> None:
    """The lowest versions that are allowed."""
    extras = "langchain,agents,limits,llama-index,openai,server"
    _install(session, extras, LANGCHAIN, *SERVED, EMBEDDINGS, LLAMA_INDEX, "--resolution=lowest-direct")
    _test(session, "tests/core", "tests/langchain", "tests/llama_index/test_query_engine.py")
