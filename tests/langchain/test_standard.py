"""The standard tests of LangChain that apply: those of tools, for the chain as one.

Those of chat models, embeddings, stores and retrievers ask for a subclass of these. A chain is none.
"""

from typing import Any

import pytest

from ..script import DIRECT, POINTS, QUESTION, SKELETON

pytest.importorskip("langchain_tests")

from langchain_core.language_models import SimpleChatModel
from langchain_core.tools import BaseTool
from langchain_tests.integration_tests import ToolsIntegrationTests
from langchain_tests.unit_tests import ToolsUnitTests

from langchain_sot import SoTChain


class Scripted(SimpleChatModel):
    """It says what is in the script."""

    def _call(self, messages: Any, *args: Any, **kwargs: Any) -> str:
        asked = messages[-1].text
        point = next((number for number in POINTS if f"Write only point {number}" in asked), None)
        return POINTS[point] if point else SKELETON if "skeleton" in asked else DIRECT

    @property
    def _llm_type(self) -> str:
        return "scripted"


class Answering:
    """The tool, and how it is called."""

    @property
    def tool_constructor(self) -> BaseTool:
        return SoTChain(llm=Scripted()).as_tool()

    @property
    def tool_invoke_params_example(self) -> dict[str, Any]:
        return {"question": QUESTION}


class TestToolUnit(Answering, ToolsUnitTests):
    """What a tool tells of itself."""


class TestToolIntegration(Answering, ToolsIntegrationTests):
    """What it returns, by a call of a tool and without one, both ways."""


class Named(Answering):
    """The same with a name and a description of the caller's."""

    @property
    def tool_constructor(self) -> BaseTool:
        return SoTChain(llm=Scripted(), router="always").as_tool(name="explain", description="Explain it all.")


class TestNamedToolUnit(Named, ToolsUnitTests):
    """What a named tool tells of itself."""


class TestNamedToolIntegration(Named, ToolsIntegrationTests):
    """What it returns."""


def test_the_suites_reach_the_chain() -> None:
    """The tool of the suites answers in points."""
    for about in (Answering(), Named()):
        answer = about.tool_constructor.invoke(about.tool_invoke_params_example)
        assert all(text in answer for text in POINTS.values())
