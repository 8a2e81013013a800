"""A model whose requests fail as planned, and that goes on exactly, from its last words, or anew."""

import asyncio
import re
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from types import SimpleNamespace

from hypothesis import strategies as st

from skeleton_of_thought import Abilities, Call, Finish, Usage
from skeleton_of_thought.calls import Piece

TITLES = ["Eat well", "Sleep well", "Move daily", "See friends", "Drink water"]
TEXTS = ["Take figs, and nuts.", "Go to bed before ten.", "Walk uphill.", "Invite somebody for soup.", "Never thirst."]
DIRECT = "Live as long as you like."
_WORD = re.compile(r"\s*\S+")


class LastingError(Exception):
    """What never goes well."""


class RefusedError(Exception):
    """What lets all calls wait, for no time."""

    status_code = 429
    response = SimpleNamespace(headers={"retry-after": "0"})


ERRORS: list[type[Exception]] = [ConnectionError, RefusedError, LastingError]


@dataclass(frozen=True)
class Fault:
    """What happens to one request."""

    after: int
    """Behind so many pieces."""
    error: type[Exception]
    turns: int = 0
    """Of the loop, before each piece."""


@dataclass
class Unreliable:
    """A model whose requests fail as planned; those that nothing is planned for go well."""

    points: int
    faults: dict[tuple[str, int], list[Fault]]
    way: str
    in_flight: int = 0
    requests: dict[tuple[str, int], int] = field(default_factory=dict)

    @property
    def abilities(self) -> Abilities:
        return Abilities(prefill=self.way == "exactly")

    async def __call__(self, call: Call) -> AsyncGenerator[Piece, None]:
        key = call.stage, call.point or 0
        number = self.requests[key] = self.requests.get(key, 0) + 1
        planned = self.faults.get(key, [])
        fault = planned[number - 1] if number <= len(planned) else None
        self.in_flight += 1
        try:
            for place, text in enumerate(_WORD.findall(self._rest(call))):
                await self._wait(fault, place)
                yield text
            await self._wait(fault, None)
            yield Usage(1, 1)
            yield Finish("stop")
        finally:
            self.in_flight -= 1

    def _rest(self, call: Call) -> str:
        text = {"skeleton": self._skeleton(), "direct": DIRECT}.get(call.stage) or TEXTS[(call.point or 0) - 1]
        if call.stage == "skeleton" and self.way == "exactly":
            text = text.removeprefix("1.")
        if self.way == "exactly":
            return text.removeprefix(call.said)
        words = _WORD.findall(call.said)
        return text[len("".join(words[:-2])) :].lstrip() if self.way == "from its last words" else text

    def _skeleton(self) -> str:
        return "".join(f"{number}. {title}\n" for number, title in enumerate(TITLES[: self.points], 1))

    async def _wait(self, fault: Fault | None, place: int | None) -> None:
        for _ in range(fault.turns if fault else 0):
            await asyncio.sleep(0)
        if fault and (place is None or place == fault.after):
            raise fault.error


FAULTS = st.builds(Fault, st.integers(0, 6), st.sampled_from([*ERRORS[:2] * 2, LastingError]), st.integers(0, 3))


@st.composite
def models(draw: st.DrawFn) -> Unreliable:
    points = draw(st.integers(2, len(TITLES)))
    keys = [("skeleton", 0), ("direct", 0), *(("point", number) for number in range(1, points + 1))]
    faults = draw(st.dictionaries(st.sampled_from(keys), st.lists(FAULTS, max_size=3), max_size=len(keys)))
    return Unreliable(points, faults, draw(st.sampled_from(["exactly", "from its last words", "anew"])))
