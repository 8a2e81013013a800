"""Real embeddings that come in their package, and a dozen documents to find by them."""

from pathlib import Path
from typing import Any

import wordllama
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings

from skeleton_of_thought.testing import script_reply

QUESTION = "How do I prepare for a long hike?"
SKELETON = "1. Choose sturdy boots\n2. Pack food and water\n3. Check the weather\n4. Carry a map"
TOPICS = {1: "boots", 2: "food", 3: "weather", 4: "map"}
POINTS = {
    1: "Walk them in for some weeks [1].",
    2: "Take more than you need [2].",
    3: "Turn back before the storm [3].",
    4: "Batteries run out, paper does not [4].",
}
DIRECT = "With a map, and boots that fit [1]."
REPLY = script_reply(skeleton=SKELETON, points=POINTS, direct=DIRECT)

DOCUMENTS = [
    Document(text, id=f"{topic}-{number}", metadata={"topic": topic})
    for topic, texts in {
        "boots": [
            "Leather boots need weeks of wear before their soles bend with the foot.",
            "A sturdy boot holds the ankle; a thick sole keeps stones from bruising the foot.",
            "Blisters come from shoes that are too small and from wet socks.",
        ],
        "food": [
            "Nuts, dried fruit and bread are food that keeps for days in a pack.",
            "Drink half a litre of water an hour, and pack more of it than you expect to need.",
            "Hunger makes people slow: eat a little snack every hour.",
        ],
        "weather": [
            "Check the sky too: the weather turns within minutes, and storms come in the afternoon.",
            "Check the forecast for rain, wind and thunder on the evening before.",
            "Temperatures fall by six degrees for each thousand metres, and wind makes them feel colder.",
        ],
        "map": [
            "A paper map and a compass need no battery.",
            "Lines that stand close together on a map show steep ground: carry one that has them.",
            "Marks of paint show the route; carry a map for where they are missing.",
        ],
    }.items()
    for number, text in enumerate(texts, 1)
]


class WordEmbeddings(Embeddings):
    """Those of WordLlama, from the weights in its package."""

    def __init__(self) -> None:
        folder = Path(wordllama.__file__).parent
        self._model: Any = wordllama.WordLlama.load(cache_dir=folder, disable_download=True)

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return self._model.embed(texts, norm=True).tolist()  # type: ignore[no-any-return]

    def embed_query(self, text: str) -> list[float]:
        return self.embed_documents([text])[0]
