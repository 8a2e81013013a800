"""Real embeddings that come in their package, and a folder of files to find by them."""

from pathlib import Path
from typing import Any

import pytest

wordllama = pytest.importorskip("wordllama")
pytest.importorskip("llama_index.core")

from llama_index.core import SimpleDirectoryReader, VectorStoreIndex  # noqa: E402 -- only where the framework is
from llama_index.core.embeddings import BaseEmbedding  # noqa: E402
from llama_index.core.node_parser import NodeParser  # noqa: E402

QUESTION = "How do I prepare for a long hike?"
SKELETON = "1. Choose sturdy boots\n2. Pack food and water\n3. Check the weather\n4. Carry a map"
TOPICS = {1: "boots", 2: "food", 3: "weather", 4: "map"}
FILES = {
    "gear/boots.md": """\
# Leather boots

Leather boots need weeks of wear before their soles bend with the foot.

## Sturdy boots

A sturdy boot holds the ankle; a thick sole keeps stones from bruising the foot.
""",
    "food.md": """\
# Food for days

Nuts, dried fruit and bread are food that keeps for days in a pack.

## Water to drink

Pack food and half a litre of water for each hour, and more water than you expect to need.
""",
    "weather.md": """\
# The weather in the sky

Check the sky too: the weather turns within minutes, and storms come in the afternoon.

## The forecast of the weather

Check the forecast for rain, wind and thunder on the evening before.
""",
    "gear/map.md": """\
# A paper map

Carry a paper map and a compass: they need no battery.

## Lines on a map

Lines that stand close together on a map show steep ground: carry one that has them.
""",
    "gear/map.txt": "A map for nobody: it is no Markdown.",
}


class WordEmbeddings(BaseEmbedding):
    """Those of WordLlama, from the weights in its package."""

    def __init__(self) -> None:
        super().__init__(model_name="wordllama")
        folder = Path(wordllama.__file__).parent
        self._model: Any = wordllama.WordLlama.load(cache_dir=folder, disable_download=True)

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._model.embed([text], norm=True)[0].tolist()  # type: ignore[no-any-return]

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)


def write(folder: Path) -> None:
    """Write all files."""
    for name, text in FILES.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")


def index_of_files(folder: Path, *parsers: NodeParser) -> VectorStoreIndex:
    """Read the Markdown files of a folder, and cut them as *parsers* do; LlamaIndex's own without any."""
    reader = SimpleDirectoryReader(str(folder), recursive=True, required_exts=[".md"], exclude_hidden=False)
    documents = reader.load_data()
    return VectorStoreIndex.from_documents(documents, embed_model=WordEmbeddings(), transformations=[*parsers] or None)
