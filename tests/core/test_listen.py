import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress

from skeleton_of_thought import Call, SkeletonOfThought
from skeleton_of_thought.events import PointText


def test_a_model_that_swallows_a_cancellation_is_left_all_the_same() -> None:
    """As ``asyncio.wait_for`` does before Python 3.12, which clients put around each chunk."""
    said = 0

    async def deaf(call: Call) -> AsyncGenerator[str, None]:
        nonlocal said
        if call.stage == "skeleton":
            yield "1. Eat well\n2. Sleep well"
            return
        while said < 500:
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(0.001)
            said += 1
            yield "word "

    async def leave() -> None:
        async with aclosing(SkeletonOfThought(llm=deaf, router="always").astream("How do I stay healthy?")) as events:
            async for event in events:
                if isinstance(event, PointText):
                    break

    asyncio.run(leave())
    assert said < 20
