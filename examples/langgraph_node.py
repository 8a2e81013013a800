"""A node of a LangGraph graph that answers in points, and both ways to watch it while it writes.

    pip install "skeleton-of-thought[langchain]" langchain-openai langgraph
    OPENAI_API_KEY=... python examples/langgraph_node.py "How do I sleep better?"

The node writes its text in reading order to the graph's custom stream. LangGraph streams the tokens of all
models itself, as they come: ``sot_point`` in their metadata tells the points apart, so that each can have a
place of its own on a screen. OPENAI_BASE_URL and OPENAI_MODEL choose another endpoint and model.
"""

import os
import sys
from collections import defaultdict
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import message_chunk_to_message
from langchain_openai import ChatOpenAI
from langgraph.config import get_stream_writer
from langgraph.graph import START, MessagesState, StateGraph

from langchain_sot import SoTChain

QUESTION = "How do I sleep better?"


def build(model: BaseChatModel) -> Any:
    """Make a graph of one node."""
    chain = SoTChain(llm=model)

    def answer(state: MessagesState) -> dict[str, Any]:
        write = get_stream_writer()
        chunks = []
        for chunk in chain.stream(state["messages"]):
            write(chunk.text)
            chunks.append(chunk)
        return {"messages": [message_chunk_to_message(sum(chunks[1:], chunks[0]))]}

    return StateGraph(MessagesState).add_node("answer", answer).add_edge(START, "answer").compile()


def main(question: str) -> None:
    """Print the answer in reading order, then each point as its own tokens made it."""
    graph = build(ChatOpenAI(model=os.environ.get("OPENAI_MODEL", "gpt-4o-mini")))
    points: dict[int, list[str]] = defaultdict(list)
    for mode, item in graph.stream({"messages": [("human", question)]}, stream_mode=["custom", "messages"]):
        if mode == "custom":
            print(item, end="", flush=True)
        else:
            token, metadata = item
            if "sot_point" in metadata:  # the others are the skeleton's, and the whole message at the end
                points[metadata["sot_point"]].append(token.text)
    print("\n")
    for number, tokens in sorted(points.items()):
        print(f"point {number} came in {len(tokens)} pieces: {''.join(tokens)}")


if __name__ == "__main__":
    main(" ".join(sys.argv[1:]) or QUESTION)
