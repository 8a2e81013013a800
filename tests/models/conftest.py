import pytest


@pytest.fixture
def keeps(request: pytest.FixtureRequest) -> bool:
    """The loop that synchronous callers borrow has a pool of its own."""
    told = request.node.callspec.params if hasattr(request.node, "callspec") else {}
    return told.get("way") in {"ask", "stream"}
