"""One call of a run, however many requests it takes until it is heard.

A request waits for its share of the rate limit, then for a place. If it fails in a way that may go well the next
time, it is made again: anew where nothing of it was shown, and otherwise from what was shown, so that no reader sees
a text twice, or two that contradict each other. A provider's refusal lets all calls to that model wait together.
"""

import asyncio
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import partial
from time import monotonic, perf_counter
from typing import TYPE_CHECKING

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception

from ._hedge import Race
from ._limits import Limit
from ._listen import Hear, Heard, Timeout, listen
from ._replies import Reply
from ._retry import is_refusal, is_transient
from .calls import LLM, TOOL_CALLS, Allowance, Call, Usage, abilities_of, key_of, tells_ends, tries_of
from .errors import ModelTimeoutError, StreamCutError
from .rate_limit import tokens_of

if TYPE_CHECKING:
    from .settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Calls:
    """What all calls of a run have in common."""

    settings: "Settings"
    limit: Limit
    run: Hashable
    """Whom the limit has to be fair to."""
    spend: Callable[[Call, Usage], None]
    """Takes what a request cost, as far as the model told, also where it failed."""
    retried: Callable[[Call, Exception, float], None]
    """Takes why a call is made again, and in how many seconds."""

    async def hear(self, llm: LLM, call: Call, reply: Reply, begin: Callable[[], None] | None = None) -> Heard:
        """Make a call and let *reply* take what it says. Raises what the last attempt raised.

        Args:
            begin: called once, when the first request is made.
        """
        attempts = _Attempts(self, llm, call, reply, begin)
        try:
            await attempts.attempt()
        except Exception as error:
            if not attempts.may_go_well(error):
                raise
            await attempts.try_again(error)
        return attempts.total


class _Attempts:
    """The requests of one call."""

    def __init__(self, calls: Calls, llm: LLM, call: Call, reply: Reply, begin: Callable[[], None] | None) -> None:
        self._calls = calls
        self._llm = llm
        self._call = call
        self._reply = reply
        self._begin = begin
        self._place = calls.limit.place(calls.run, key_of(llm))
        self._requests = 0
        self._failing: float | None = None
        self._error: Exception | None = None
        self._started = 0.0
        self.total = Heard()

    async def try_again(self, error: Exception) -> None:
        """Make further requests after one that failed with *error*. Nearly all calls go well, and need none of this."""
        failed = [error]

        async def attempt() -> None:
            if failed:
                raise failed.pop()
            await self.attempt()

        retrying = AsyncRetrying(
            sleep=self.sleep,
            stop=self.enough,
            wait=self._calls.settings.retry.wait,
            retry=retry_if_exception(self.may_go_well),
            before_sleep=self.tell,
            reraise=True,
        )
        await retrying(attempt)

    async def attempt(self) -> None:
        """Make one request, from the beginning or from what was said."""
        settings, said, abilities = self._calls.settings, self._reply.said, abilities_of(self._llm)
        call = settings.prompts.continued(self._call, said, abilities) if said else self._call
        if settings.rate_limit:
            await settings.rate_limit.wait(tokens_of(call))
        async with self._place:
            if self._begin:
                self._begin()
                self._begin = None
            self._started = self._started or perf_counter()
            self._reply.begin(exact=abilities.prefill)
            await self._request(call)
        self._reply.end(self.total.finish)

    def may_go_well(self, error: BaseException) -> bool:
        """Tell whether another attempt makes sense after *error*."""
        if not is_transient(error) or self.total.finish == TOOL_CALLS:  # half a call of a tool cannot be gone on with
            return False
        if (task := asyncio.current_task()) and task.cancelling():  # a model may make an error of it
            return False
        assert isinstance(error, Exception)
        self._error, self._failing = error, self._failing or monotonic()
        return True

    def enough(self, state: RetryCallState) -> bool:
        """Tell whether the next attempt would be one too many, or come too late."""
        retry = self._calls.settings.retry
        failing = monotonic() - (self._failing or monotonic())
        return (
            self._requests + tries_of(self._llm, self._call) > retry.attempts
            or failing + state.upcoming_sleep > retry.seconds
        )

    def tell(self, state: RetryCallState) -> None:
        """Tell that the call is made again."""
        assert self._error
        self._calls.retried(self._call, self._error, state.upcoming_sleep)

    async def sleep(self, seconds: float) -> None:
        """Wait before the next attempt; after a refusal all wait, where they wait for a place."""
        if self._error and is_refusal(self._error):
            self._place.pause(seconds)
        else:
            await asyncio.sleep(seconds)

    async def _request(self, call: Call) -> None:
        heard, began, after = Heard(), monotonic(), perf_counter() - self._started
        try:
            await self._ask(call, heard)
            self._see_end(call, heard)
        except Exception as error:
            ours = isinstance(error, ModelTimeoutError | StreamCutError)
            self._requests += 1 if heard.pieces or ours else tries_of(self._llm, self._call)
            if heard.finish in {None, TOOL_CALLS} or not is_transient(error):
                raise  # what breaks after the model has told why it ends has broken nothing
        else:
            self._requests += 1
            self._place.went_well(began, heard.per_token)
        finally:
            self.total.add(heard, after)
            if heard.usage:
                self._calls.spend(call, heard.usage)

    def _see_end(self, call: Call, heard: Heard) -> None:
        told, alike = self._place.traffic.told_end, {call.stage, "skeleton" if call.stage == "point" else call.stage}
        if not call.stream or heard.enough:
            return
        if heard.finish:
            told.add(call.stage)
        elif told & alike and tells_ends(self._llm):
            raise StreamCutError

    async def _ask(self, call: Call, heard: Heard) -> None:
        patience = Timeout.of(self._calls.settings.timeout)

        async def ask(hear: Hear, heard: Heard) -> None:
            began = monotonic()
            try:
                await listen(self._llm, call, hear, heard, patience, partial(self._allow, call))
            except Exception as error:
                if is_refusal(error):
                    self._place.refused(began)
                raise

        traffic, hedge = self._place.traffic, self._calls.settings.hedge
        if call.stage != "point" or hedge is None:
            await ask(self._reply.hear, heard)
            return
        traffic.pace.calls += 1
        late = hedge.late_after(traffic.pace, monotonic() - traffic.refused, streamed=call.stream)
        if late is not None:
            race = Race(ask, self._reply.hear, traffic.pace, streamed=call.stream)
            await race.run(late, hedge.budget, self._place.another(), heard)
            return
        await ask(self._reply.hear, heard)
        if heard.first is not None:
            traffic.pace.heard(heard.first, streamed=call.stream)

    def _allow(self, call: Call, allowance: Allowance) -> None:
        known = (allowance.requests, allowance.tokens and allowance.tokens // max(1, tokens_of(call)))
        if left := [each for each in known if each is not None]:
            self._place.allowed(min(left))
