"""Every way to ask the core, through `OpenAIModel`, for an answer from an endpoint that fails."""

from contextlib import aclosing, closing
from dataclasses import dataclass
from typing import Any

import pytest

from skeleton_of_thought import Abilities, Answer, SkeletonOfThought
from skeleton_of_thought.events import Event, Finished, Text
from skeleton_of_thought.models.openai import OpenAIModel

from ..faulty import SOME, STAGES, Faulty, run
from ..script import QUESTION

FOUR = pytest.mark.parametrize("way", ["ask", "stream", "aask", "astream"])
TWO = pytest.mark.parametrize("way", ["ask", "astream"])
STREAMED = pytest.mark.parametrize("way", ["stream", "astream"])
STAGE = pytest.mark.parametrize("stage", STAGES)
FEW = pytest.mark.parametrize("stage", SOME)


@dataclass
class Heard:
    """What a reader got."""

    text: str = ""
    answer: Answer | None = None

    def take(self, event: Event) -> None:
        """Read an event."""
        self.text += event.text if isinstance(event, Text) else ""
        self.answer = event.answer if isinstance(event, Finished) else self.answer


def ask(endpoint: Faulty, way: str, *, prefill: bool = False, resume: Answer | None = None, **told: Any) -> Answer:
    """Ask in one of the ways. Of a stream, the text that was read is that of the answer."""
    heard = Heard()
    model = OpenAIModel("scripted", base_url=endpoint.base_url, abilities=Abilities(prefill=prefill))
    sot = SkeletonOfThought(llm=model, **told)

    async def aread() -> None:
        async with aclosing(sot.astream(QUESTION, resume=resume)) as events:
            async for event in events:
                heard.take(event)

    match way:
        case "ask":
            return sot.ask(QUESTION, resume=resume)
        case "aask":
            return run(sot.aask(QUESTION, resume=resume))
        case "astream":
            run(aread())
        case "stream":
            with closing(sot.stream(QUESTION, resume=resume)) as events:
                for event in events:
                    heard.take(event)
    assert heard.answer
    assert heard.answer.text == heard.text
    return heard.answer
