"""An agent with a query engine for a tool, which writes its long answers in points.

    pip install "skeleton-of-thought[llama-index]" llama-index-llms-openai-like
    OPENAI_API_KEY=... python examples/llama_index_agent.py "What are the best ways to save energy in my home?"

OPENAI_BASE_URL and OPENAI_MODEL choose another endpoint and model.
"""

import asyncio
import os
import sys

from llama_index.core import Document, SummaryIndex
from llama_index.core.agent import FunctionAgent
from llama_index.core.agent.workflow import ToolCall
from llama_index.core.tools import QueryEngineTool
from llama_index.llms.openai_like import OpenAILike

from llama_index_sot import SoTQueryEngine

QUESTION = "What are the best ways to save energy in my home?"
TEXTS = [
    "Meter: 190 kWh in June, 380 kWh in July, 410 kWh in August. Most of it between noon and six.",
    "Built in 1974. The attic has no insulation, the windows have two panes.",
    "The refrigerator is from 2003 and stands beside the oven.",
    "South side: three windows without shutters.",
]


async def main(question: str, llm: OpenAILike) -> None:
    """Answer, and show each call of a tool when it is made."""
    index = SummaryIndex.from_documents([Document(text=text) for text in TEXTS])
    tool = QueryEngineTool.from_defaults(
        SoTQueryEngine.from_args(index.as_retriever(), llm),
        name="home",
        description="Advises on the home of the user. Hand on what the user asks, word for word.",
        return_direct=True,  # else the agent writes the answer once more, one word after another
    )
    agent = FunctionAgent(tools=[tool], llm=llm, system_prompt="You advise on energy. Look at the home first.")
    handler = agent.run(question)
    async for event in handler.stream_events():
        if isinstance(event, ToolCall):
            print(f"calls {event.tool_name}({event.tool_kwargs})\n")
    output = await handler
    points = getattr(output.raw, "metadata", {}).get("sot", {}).get("points")  # there, where the tool wrote in points
    print(output)
    print(f"\n({len(points)} points written at the same time)" if points else "\n(answered directly)")


if __name__ == "__main__":
    model = OpenAILike(
        model=os.environ.get("OPENAI_MODEL", "gpt-4o-mini"),
        api_base=os.environ.get("OPENAI_BASE_URL", "https://api.openai.com/v1"),
        api_key=os.environ["OPENAI_API_KEY"],
        is_chat_model=True,
        is_function_calling_model=True,
        context_window=16_000,
    )
    asyncio.run(main(" ".join(sys.argv[1:]) or QUESTION, model))
