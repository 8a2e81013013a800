"""Keys and passwords are in no trace, no error, no log and no saved chain."""

import json
import logging
from contextlib import nullcontext
from typing import Any

import pytest

from ..script import REPLY

ChatOpenAI = pytest.importorskip("langchain_openai").ChatOpenAI

from langchain_core.callbacks import BaseCallbackHandler  # noqa: E402 -- only where the framework is
from langchain_core.load import dumpd, dumps, load  # noqa: E402
from langchain_core.tracers.base import BaseTracer  # noqa: E402

from langchain_sot import SoTChain  # noqa: E402
from skeleton_of_thought import PointError  # noqa: E402
from skeleton_of_thought.testing import LatencyModel, LatencyServer  # noqa: E402

from ..script import ALONE  # noqa: E402
from ..secret import KEY, NOWHERE, QUESTION, TEXTS, refusing, secrets_in, shown  # noqa: E402
from .ways import EVERY, FOUR, ask  # noqa: E402


def chain(base_url: str = NOWHERE, **told: Any) -> SoTChain:
    """Make a chain whose models know a key."""
    llm = ChatOpenAI(base_url=base_url, model="m", api_key=KEY, max_retries=0, default_headers=ALONE)
    return SoTChain(llm=llm, point_llm=llm, **told)


class Everything(BaseCallbackHandler):
    """Keeps all that any callback is told, as text."""

    run_inline = True
    raise_error = True

    def __init__(self) -> None:
        self.told: list[str] = []

    def __getattribute__(self, name: str) -> Any:
        if not name.startswith("on_"):
            return super().__getattribute__(name)
        return lambda *told, **named: self.told.extend(f"{name}: {each!r}" for each in (*told, *named.items()))


class Traces(BaseTracer):
    """Keeps what tracers send of all runs."""

    raise_error = True

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[str] = []

    def _persist_run(self, run: Any) -> None:
        sent = ("name", "tags", "inputs", "outputs", "serialized", "extra", "error", "events")
        self.sent += [f"{name}: {getattr(run, name)!r}" for name in sent]
        for child in run.child_runs:
            self._persist_run(child)


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG)
    return caplog


def test_a_chain_shows_no_key() -> None:
    """It shows its models, which hide theirs."""
    made = chain()
    bound = made.bind(stop=["END"]).with_config(tags=["mine"])
    assert [] == secrets_in(repr(made), str(made), repr(bound), made.get_graph().draw_mermaid(), made.model_dump())


def test_a_saved_chain_has_no_key() -> None:
    """Nor has one that was loaded, and saved and shown again."""
    saved = dumpd(chain())
    loaded = load(
        json.loads(json.dumps(saved)),
        allowed_objects=[SoTChain, ChatOpenAI],
        valid_namespaces=["langchain_sot"],
        secrets_map={"OPENAI_API_KEY": KEY},
    )
    assert [] == secrets_in(saved, dumps(loaded), repr(loaded))


@EVERY
def test_traces_have_no_key(way: str) -> None:
    """Neither what a run begins with nor what it ends with."""
    told, traces = Everything(), Traces()
    with LatencyServer(LatencyModel(reply=REPLY)) as server:
        ask(way, chain(server.base_url), QUESTION, {"callbacks": [told, traces]})
    assert [] == secrets_in(*told.told, *traces.sent)
    assert {"name: 'SoTChain'", "name: 'expand'", "name: 'ChatOpenAI'"} <= set(traces.sent)
    assert {"on_chain_start", "on_chat_model_start", "on_chain_end"} <= {each.partition(":")[0] for each in told.told}


@FOUR
@pytest.mark.parametrize("points_only", [True, False])
def test_a_run_that_fails_shows_no_key(way: str, points_only: bool, log: pytest.LogCaptureFixture) -> None:
    """Neither its error, nor the traces and logs of it."""
    told, traces = Everything(), Traces()
    with refusing(points_only=points_only) as url, pytest.raises(Exception, match=r"point|401") as raised:
        ask(way, chain(url), QUESTION, {"callbacks": [told, traces]})
    messages = [record.getMessage() for record in log.records]
    assert [] == secrets_in(shown(raised.value), *told.told, *traces.sent, *messages)
    assert points_only == isinstance(raised.value, PointError)


@pytest.mark.parametrize("way", ["invoke", "astream"])
def test_an_endpoint_that_is_not_there_shows_no_key(way: str, log: pytest.LogCaptureFixture) -> None:
    """It takes no key, but the request had one."""
    told = Everything()
    with nullcontext(NOWHERE) as url, pytest.raises(Exception, match="Connection error") as raised:
        ask(way, chain(url, router="never"), QUESTION, {"callbacks": [told]})
    assert [] == secrets_in(shown(raised.value), *told.told, *(record.getMessage() for record in log.records))


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: SoTChain(llm=KEY),
        lambda: SoTChain(llm={"model": "m", "api_key": KEY}),
        lambda: SoTChain(llm=chain().llm, retriever={"api_key": KEY}),
        lambda: SoTChain(llm=chain().llm, api_key=KEY),
    ],
)
def test_settings_that_cannot_work_show_no_key(wrong: Any) -> None:
    """Whatever stands in the wrong place may hold one."""
    with pytest.raises(ValueError, match=r"SoTChain|cannot work") as raised:
        wrong()
    assert [] == secrets_in(shown(raised.value))


@EVERY
def test_nothing_that_is_asked_or_answered_is_logged(way: str, log: pytest.LogCaptureFixture) -> None:
    """Whoever logs everything of all packages gets nothing of it from these."""
    with LatencyServer(LatencyModel(reply=REPLY)) as server:
        ask(way, chain(server.base_url), QUESTION)
        ask(way, chain(server.base_url, router="never"), QUESTION)
    ours = [record for record in log.records if record.name.startswith(("skeleton_of_thought", "langchain_sot"))]
    assert [] == [record for record in ours for text in TEXTS if text in record.getMessage()]
