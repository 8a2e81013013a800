"""An agent with a tool, whose long answers are written in points.

    pip install "skeleton-of-thought[agents]" langchain-openai
    OPENAI_API_KEY=... python examples/agent.py "What are the best ways to save energy in my home?"

OPENAI_BASE_URL and OPENAI_MODEL choose another endpoint and model.
"""

import os
import sys

from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI

from langchain_sot.middleware import SoTMiddleware

QUESTION = "What are the best ways to save energy in my home?"


@tool
def meter_readings(months: int) -> str:
    """Tell what the home of the user used in each of the last months."""
    usage = ["May: 210 kWh", "June: 190 kWh", "July: 380 kWh", "August: 410 kWh"]
    return "; ".join(usage[-max(1, months) :]) + ". Most of it between noon and six."


def main(question: str, model: BaseChatModel) -> None:
    """Answer, and show each step of the agent when it is done."""
    agent = create_agent(
        model,
        tools=[meter_readings],
        system_prompt="You advise on energy. Look at the meter before you advise.",
        middleware=[SoTMiddleware(detail="medium")],  # first: what follows sees every model call
    )
    for update in agent.stream({"messages": [("human", question)]}, stream_mode="updates"):
        for step in update.values():
            for message in step["messages"]:
                show(message)


def show(message: AIMessage | ToolMessage) -> None:
    """Print what the agent did: called a tool, got its result, or answered."""
    if isinstance(message, ToolMessage):
        print(f"{message.name} says: {message.text}\n")
    elif message.tool_calls:
        print("\n".join(f"calls {call['name']}({call['args']})" for call in message.tool_calls))
    else:
        about = message.response_metadata.get("sot")  # there, where the answer was written in points
        print(message.text)
        print(f"\n({len(about['points'])} points written at the same time)" if about else "\n(answered directly)")


if __name__ == "__main__":
    llm = ChatOpenAI(model=os.environ.get("OPENAI_MODEL", "gpt-4o-mini"))
    main(" ".join(sys.argv[1:]) or QUESTION, llm)
