import ast
import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

import skeleton_of_thought
from skeleton_of_thought import errors, events, routers, testing
from skeleton_of_thought.errors import SoTError


def public(module: ModuleType) -> set[str]:
    """Names without an underscore that are no modules."""
    return {
        name for name, value in vars(module).items() if not name.startswith("_") and not isinstance(value, ModuleType)
    }


@pytest.mark.parametrize("module", [skeleton_of_thought, testing])
def test_every_name_that_is_imported_is_listed(module: ModuleType) -> None:
    """Whatever a package's ``__init__`` holds is meant to be used."""
    assert set(module.__all__) == public(module)


@pytest.mark.parametrize("module", [skeleton_of_thought, testing, routers])
def test_every_name_that_is_listed_is_there(module: ModuleType) -> None:
    """``from ... import *`` works."""
    assert [] == [name for name in module.__all__ if not hasattr(module, name)]


@pytest.mark.parametrize("module", [skeleton_of_thought, testing, routers])
def test_the_list_is_sorted(module: ModuleType) -> None:
    """Capitals, then classes, then functions, each by the alphabet, and no name twice."""
    order = sorted(set(module.__all__), key=lambda name: (not name.isupper(), not name[0].isupper(), name))
    assert order == module.__all__


def test_every_error_is_one_of_ours() -> None:
    """Whoever catches the base catches all of them."""
    named = [getattr(errors, name) for name in public(errors) if name.endswith("Error")]
    assert [] == [error for error in named if not issubclass(error, SoTError)]


@pytest.mark.parametrize("package", ["skeleton_of_thought", "langchain_sot", "llama_index_sot"])
def test_names_are_few(package: str) -> None:
    """So that a reader of the list knows the package."""
    tree = ast.parse(Path(spec(package)).read_text())
    [listed] = [node.value for node in tree.body if isinstance(node, ast.Assign) and isinstance(node.value, ast.List)]
    assert len(listed.elts) <= 25


def spec(package: str) -> str:
    """Find a package without importing it: its extra may not be here."""
    found = importlib.util.find_spec(package)
    assert found is not None
    assert found.origin is not None
    return found.origin


def test_every_event_has_a_place_in_the_union() -> None:
    """A ``match`` that ends with ``assert_never`` forgets none."""
    of_module = {value for value in vars(events).values() if getattr(value, "__module__", "") == events.__name__}
    assert set(events.Event.__args__) == {value for value in of_module if isinstance(value, type)}


@pytest.mark.parametrize(
    "module",
    ["answer", "calls", "engine", "errors", "events", "prompts", "routers", "settings", "skeleton", "testing"],
)
def test_modules_that_users_name_are_there(module: str) -> None:
    """What the documentation imports from."""
    assert importlib.import_module(f"skeleton_of_thought.{module}").__doc__
