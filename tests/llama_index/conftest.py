import asyncio
import gc
from collections.abc import Iterator
from typing import Any

import pytest

from skeleton_of_thought.testing import LatencyModel, LatencyServer


@pytest.fixture(autouse=True, scope="module")
def known() -> Iterator[None]:
    """Look through what a test made, not through all modules each time."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """Close and collect what LlamaIndex leaves open in the test that left it.

    It never closes the clients of ended loops, nor the loop that it makes for a thread that has none.
    """
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield
    loop.close()
    asyncio.set_event_loop(None)
    gc.collect()


@pytest.fixture(scope="module")
def reply() -> Any:
    """Tell what the server says: the script, unless a module says otherwise."""
    from .ways import say  # skips where the framework is not

    return say


@pytest.fixture(scope="module")
def served(reply: Any) -> Iterator[LatencyServer]:
    with LatencyServer(LatencyModel(reply=reply)) as server:
        yield server


@pytest.fixture
def server(served: LatencyServer) -> LatencyServer:
    """Give each test a server that has not been asked anything; starting one takes longer than most tests."""
    served.wait_until_idle()
    served.requests.clear()
    served.peak = 0
    return served


@pytest.fixture
def llm(server: LatencyServer) -> Any:
    from .ways import model

    return model(server)


@pytest.fixture(scope="module")
def index() -> Any:
    from .ways import PASSAGES, index_of

    return index_of(*PASSAGES)


@pytest.fixture(scope="module")
def no_key() -> Iterator[None]:
    """Keep LlamaIndex from making a model of its own, which would need a key."""
    from llama_index.core import Settings
    from llama_index.core.llms import MockLLM

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Settings, "_llm", MockLLM())
        yield


OPEN_CONNECTION = (
    "ignore:Exception ignored in. <(function _SelectorTransport.__del__|socket.socket )"
    ":pytest.PytestUnraisableExceptionWarning"
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "llama_index" in item.path.parts and "tests" in item.path.parts:
            item.add_marker(pytest.mark.filterwarnings(OPEN_CONNECTION))
