"""Answer a question from documents: each point from what is found for it, with the sources by number at the end.

    pip install "skeleton-of-thought[langchain]" langchain-openai wordllama
    OPENAI_API_KEY=... python examples/lcel_rag.py "What should I consider when I grow vegetables on a balcony?"

OPENAI_BASE_URL and OPENAI_MODEL choose another endpoint and model. The embeddings are made in this process.
"""

import os
import sys

import wordllama
from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_openai import ChatOpenAI

from langchain_sot import create_sot_retrieval_chain

TEXTS = [
    "A tomato needs a pot of 15 litres at least; in a smaller one its roots dry out on the first hot day.",
    "Terracotta pots lose water through their walls. Plastic ones keep it, and weigh a tenth.",
    "Every pot needs a hole at the bottom: roots that stand in water rot within a week.",
    "Six hours of direct sun a day are enough for tomatoes, peppers and beans.",
    "In the shade of a north side lettuce, spinach and chard still grow well.",
    "Behind a south wall leaves burn in July: a cloth overhead from noon to three prevents it.",
    "Water in the morning, until it runs out below. In a heat wave pots need water twice a day.",
    "A clay cone with a bottle of water carries a pot over a weekend away.",
    "Potting soil feeds a plant for six weeks. After that, give liquid fertilizer once a week.",
    "Old soil can be used again when a third of it is replaced by compost.",
    "A balcony carries about 250 kilograms per square metre, and wet soil weighs 1.5 kilograms per litre.",
    "Wind breaks stems on high floors: tie tomatoes to a cane, and stand pots close together.",
]


class WordEmbeddings(Embeddings):
    """Those of WordLlama: small, and from the weights that its package holds."""

    def __init__(self) -> None:
        self.model = wordllama.WordLlama.load(cache_dir=os.path.dirname(wordllama.__file__), disable_download=True)

    def embed_documents(self, texts: list[str]) -> list[list[float]]:  # noqa: D102
        return self.model.embed(texts, norm=True).tolist()

    def embed_query(self, text: str) -> list[float]:  # noqa: D102
        return self.embed_documents([text])[0]


if __name__ == "__main__":
    store = InMemoryVectorStore.from_texts(TEXTS, WordEmbeddings())
    llm = ChatOpenAI(model=os.environ.get("OPENAI_MODEL", "gpt-4o-mini"))
    chain = create_sot_retrieval_chain(store.as_retriever(search_kwargs={"k": 2}), llm)
    question = " ".join(sys.argv[1:]) or "What should I consider when I grow vegetables on a balcony?"
    sources = []
    for piece in chain.stream({"input": question}):
        print(piece.get("answer", ""), end="", flush=True)
        sources += piece.get("context", [])
    print("\n")
    for number, document in enumerate(sources, 1):
        print(f"[{number}] {document.page_content}")
