import gc
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """Collect what LlamaIndex leaves open in the test that left it: it never closes the clients of ended loops."""
    yield
    gc.collect()


OPEN_CONNECTION = (
    "ignore:Exception ignored in. <(function _SelectorTransport.__del__|socket.socket )"
    ":pytest.PytestUnraisableExceptionWarning"
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "llama_index" in item.path.parts and "tests" in item.path.parts:
            item.add_marker(pytest.mark.filterwarnings(OPEN_CONNECTION))
