"""What anybody can write in a few lines with the ``openai`` package alone.

One call for the whole answer; the paper's prompts with ``asyncio.gather``, which is the floor for any client that takes
the same requests; and the order of the paper's own code for endpoints, which asks for one point after another
(``outline_scheduler.py``).
"""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

from openai import AsyncOpenAI

from .way import Piece, Way, whole
from .work import POINT_PROMPT, SKELETON_PROMPT


class ByHand:
    """All ways of this file, with one client."""

    def __init__(self, url: str) -> None:
        self._client = AsyncOpenAI(base_url=url, api_key="none")

    def __iter__(self) -> Iterator[Way]:
        yield Way(family="one call", name="openai", ask=whole(self._say), path=lambda work: work.one_call)
        yield Way(
            family="one call", name="openai, streamed", ask=self._one, streams=True, path=lambda work: work.one_call
        )
        yield Way(family="by hand", name="openai, asyncio.gather", ask=whole(self._gather))
        yield Way(family="by hand", name="openai, gathered streams", ask=self._stream, streams=True)
        yield Way(
            family="paper", name="its order, one by one", ask=whole(self._in_turn), path=lambda w: w.one_after_another
        )

    async def _say(self, prompt: str) -> str:
        completion = await self._client.chat.completions.create(
            model="none", messages=[{"role": "user", "content": prompt}]
        )
        return completion.choices[0].message.content or ""

    async def _pieces(self, prompt: str) -> AsyncIterator[str]:
        messages: list[Any] = [{"role": "user", "content": prompt}]
        stream = await self._client.chat.completions.create(model="none", messages=messages, stream=True)
        async for chunk in stream:  # which closes it at its end
            if chunk.choices and (text := chunk.choices[0].delta.content):
                yield text

    async def _plan(self, question: str) -> list[str]:
        """Return the prompt of each point."""
        skeleton = "1. " + await self._say(SKELETON_PROMPT.format(question=question))
        return [
            POINT_PROMPT.format(question=question, skeleton=skeleton, number=number, title=title)
            for number, title in re.findall(r"(\d+)\.\s?([^\n]+)", skeleton)
        ]

    async def _one(self, question: str) -> AsyncIterator[Piece]:
        async for text in self._pieces(question):
            yield 0, text

    async def _gather(self, question: str) -> str:
        return "\n\n".join(await asyncio.gather(*map(self._say, await self._plan(question))))

    async def _in_turn(self, question: str) -> str:
        return "\n\n".join([await self._say(prompt) for prompt in await self._plan(question)])

    async def _stream(self, question: str) -> AsyncIterator[Piece]:
        heard: asyncio.Queue[Piece | None] = asyncio.Queue()

        async def read(number: int, prompt: str) -> None:
            async for text in self._pieces(prompt):
                heard.put_nowait((number, text))

        async def read_all() -> None:
            await asyncio.gather(*(read(*asked) for asked in enumerate(await self._plan(question), 1)))
            heard.put_nowait(None)

        task = asyncio.create_task(read_all())
        while (piece := await heard.get()) is not None:
            yield piece
        await task
