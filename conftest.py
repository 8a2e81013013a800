"""Every example in a docstring, in README.md and in docs/ is run.

An example that needs a network, a key or a model is left out by an invisible comment above it, and by
nothing else: ``<!-- skip: next -->`` or ``<!-- skip: next "needs a key" -->``.
"""

from doctest import ELLIPSIS, NORMALIZE_WHITESPACE

from sybil import Sybil
from sybil.document import PythonDocStringDocument
from sybil.parsers.markdown import PythonCodeBlockParser, SkipParser
from sybil.parsers.rest import DocTestParser

_FLAGS = ELLIPSIS | NORMALIZE_WHITESPACE

# In a pattern ** is one folder at least.
_docstrings = Sybil(
    parsers=[DocTestParser(optionflags=_FLAGS)],
    pattern="*.py",
    excludes=["tests/**", "benchmarks/**", "examples/**", "conftest.py", "noxfile.py", ".*/**"],
    document_types={".py": PythonDocStringDocument},
)
_pages = Sybil(
    parsers=[PythonCodeBlockParser(doctest_optionflags=_FLAGS), SkipParser()],
    patterns=["README.md", "docs/*.md", "docs/**/*.md"],
)

pytest_collect_file = (_docstrings + _pages).pytest()
