"""An answer as a workflow: its route, its skeleton, and all points side by side while they are written.

    pip install "skeleton-of-thought[llama-index]" llama-index-llms-openai-like
    OPENAI_API_KEY=... python examples/llama_index_workflow.py "How do I sleep better?"

OPENAI_BASE_URL and OPENAI_MODEL choose another endpoint and model.
"""

import asyncio
import os
import shutil
import sys

from llama_index.llms.openai_like import OpenAILike

from llama_index_sot import SoTQueryEngine
from llama_index_sot.workflow import PointDelta, PointWritten, RouteChosen, SkeletonWritten, SoTWorkflow

QUESTION = "How do I sleep better?"


def show(titles: dict[int, str], texts: dict[int, str], *, again: bool = True) -> None:
    """Give each point a line, with the end of what is written of it; *again* over the lines before."""
    heads = [f"{number}. {title}: " for number, title in titles.items()]
    room = max(10, shutil.get_terminal_size().columns - max(map(len, heads)) - 1)
    lines = [head + " ".join(texts[number].split())[-room:] for head, number in zip(heads, titles, strict=True)]
    print((f"\x1b[{len(lines)}F" if again else "") + "".join(f"\x1b[K{line}\n" for line in lines), end="", flush=True)


async def main(question: str, engine: SoTQueryEngine) -> None:
    """Show the points while they are written, then the answer."""
    titles: dict[int, str] = {}
    texts: dict[int, str] = {}
    handler = SoTWorkflow(engine, timeout=300).run(query=question)
    async for event in handler.stream_events():
        match event:
            case RouteChosen(kind=kind, by=by, why=why):
                print(f"{kind}, by {by}: {why}\n")
            case SkeletonWritten(points=titles):
                texts = dict.fromkeys(titles, "")
                show(titles, texts, again=False)
            case PointDelta(number=number, delta=delta):
                texts[number] += delta
                show(titles, texts)
            case PointWritten(number=number, seconds=seconds):
                texts[number] += f" ({seconds or 0:.1f} s)"
                show(titles, texts)
    print(f"\n{await handler}")


if __name__ == "__main__":
    llm = OpenAILike(
        model=os.environ.get("OPENAI_MODEL", "gpt-4o-mini"),
        api_base=os.environ.get("OPENAI_BASE_URL", "https://api.openai.com/v1"),
        api_key=os.environ["OPENAI_API_KEY"],
        is_chat_model=True,
    )
    asyncio.run(main(" ".join(sys.argv[1:]) or QUESTION, SoTQueryEngine.without_retrieval(llm)))
