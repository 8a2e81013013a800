"""What holds for all tests."""

import signal
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from .faulty import Faulty

# A gate that runs in the background has interrupts ignored, and hands that on to the programs that tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile("default", deadline=None)  # timings never decide a test
settings.load_profile("default")


@pytest.fixture(scope="module")
def failing() -> "Iterator[Faulty]":
    """Serve an endpoint that fails as a module's tests want it."""
    from .faulty import faulty  # it needs the extra of the server, and most tests need neither

    with faulty() as failing:
        yield failing


@pytest.fixture
def keeps() -> bool:
    """Tell whether a test's connections stay open."""
    return False


@pytest.fixture
def endpoint(failing: "Faulty", keeps: bool) -> "Iterator[Faulty]":
    """Give each test an endpoint that has not been asked anything, and see that nothing is left of the test."""
    from .faulty import nothing_left  # as above

    with nothing_left(failing, keeps=keeps) as endpoint:
        yield endpoint
