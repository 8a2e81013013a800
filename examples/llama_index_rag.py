"""Answer a question from Markdown files: each point from what is found for it, with the sources by number at the end.

    pip install "skeleton-of-thought[llama-index]" llama-index-llms-openai-like wordllama
    OPENAI_API_KEY=... python examples/llama_index_rag.py docs "What are the ways to ask a model on my machine?"

Without a folder, it reads the documentation of this package. OPENAI_BASE_URL and OPENAI_MODEL choose another endpoint
and model. The embeddings are made in this process.
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

from llama_index_sot import SoTQueryEngine

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
        context_window=16_000,  # what does not fit is left out
    )
    engine = SoTQueryEngine.from_args(index.as_retriever(), llm, streaming=True, point_retrieval=True)
    response = engine.query(" ".join(sys.argv[2:]) or "What are the ways to ask a model on my machine?")
    response.print_response_stream()
    print("\n")
    for number, source in enumerate(response.source_nodes, 1):  # complete now that the text is
        print(f"[{number}] {source.metadata['file']}: {source.text.splitlines()[0].strip('# ')}")
