"""Chat with Markdown files: a follow-up becomes a question of its own, and a long answer is written in points.

    pip install "skeleton-of-thought[llama-index]" llama-index-llms-openai-like wordllama
    OPENAI_API_KEY=... python examples/llama_index_chat.py docs

It reads a question from each line, until Ctrl-D. Without a folder, it reads the documentation of this package.
OPENAI_BASE_URL and OPENAI_MODEL choose another endpoint and model. The embeddings are made in this process.
"""

import logging
import os
import sys
from pathlib import Path

import wordllama
from llama_index.core import Document, VectorStoreIndex
from llama_index.core.embeddings import BaseEmbedding
from llama_index.core.node_parser import MarkdownNodeParser
from llama_index.llms.openai_like import OpenAILike

from llama_index_sot import SoTSynthesizer

FOLDER = Path(__file__).parent.parent / "docs"


class WordEmbeddings(BaseEmbedding):
    """Those of WordLlama: small, and from the weights that its package holds."""

    def __init__(self) -> None:
        super().__init__(model_name="wordllama")
        self._model = wordllama.WordLlama.load(cache_dir=os.path.dirname(wordllama.__file__), disable_download=True)

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._model.embed([text], norm=True)[0].tolist()

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)


if __name__ == "__main__":
    logging.getLogger().setLevel(logging.WARNING)  # WordLlama lets every request be logged
    files = sorted(Path(sys.argv[1] if len(sys.argv) > 1 else FOLDER).rglob("*.md"))
    pages = [Document(text=file.read_text(encoding="utf-8"), metadata={"file": file.name}) for file in files]
    index = VectorStoreIndex.from_documents(pages, embed_model=WordEmbeddings(), transformations=[MarkdownNodeParser()])
    llm = OpenAILike(
        model=os.environ.get("OPENAI_MODEL", "gpt-4o-mini"),
        api_base=os.environ.get("OPENAI_BASE_URL", "https://api.openai.com/v1"),
        api_key=os.environ["OPENAI_API_KEY"],
        is_chat_model=True,
        context_window=16_000,  # what does not fit is left out, of the passages and of the chat
    )
    chat = index.as_chat_engine("condense_question", llm=llm, response_synthesizer=SoTSynthesizer(llm=llm))
    for question in filter(None, map(str.strip, sys.stdin)):
        reply = chat.stream_chat(question)
        reply.print_response_stream()
        print("\n\nfrom", ", ".join(sorted({source.metadata["file"] for source in reply.source_nodes})), end="\n\n")
