"""The examples, as a user runs them: each a program of its own, against a loopback endpoint."""

import asyncio
import importlib.util
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from skeleton_of_thought.testing import LatencyModel, LatencyServer, script_reply

from .script import DIRECT, POINTS, QUESTION, REPLY, SKELETON, TEXT

pytest.importorskip("starlette")

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from skeleton_of_thought.server import application, running

EXAMPLES = Path(__file__).parent.parent / "examples"
NEEDS = {
    "agent": ("langchain_openai", "langchain"),
    "fastapi_stream": ("langchain_openai", "fastapi", "uvicorn"),
    "langgraph_node": ("langchain_openai", "langgraph"),
    "lcel_rag": ("langchain_openai", "wordllama"),
    "llama_index_agent": ("llama_index.llms.openai_like",),
    "llama_index_chat": ("llama_index.llms.openai_like", "wordllama"),
    "llama_index_rag": ("llama_index.llms.openai_like", "wordllama"),
    "llama_index_workflow": ("llama_index.llms.openai_like",),
}
FACT = "What is the capital of France?"
PATIENCE = 30.0  # seconds after which a test that waits has failed


def _need(name: str) -> None:
    for package in NEEDS[name]:
        pytest.importorskip(package)


NO_NETWORK = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), "http://127.0.0.1:9")
"""What downloads anything fails: nobody listens there."""


def _environment(base_url: str, **more: str) -> dict[str, str]:
    usual = {key: value for key, value in os.environ.items() if not key.startswith(("OPENAI_", "LANGSMITH_"))}
    told = {"OPENAI_BASE_URL": base_url, "OPENAI_API_KEY": "none", "OPENAI_MODEL": "scripted"}
    return usual | NO_NETWORK | {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"} | told | more


def _run(name: str, base_url: str, *words: str, lines: str = "", **more: str) -> str:
    """Run an example, which reads *lines*; what it prints comes back."""
    _need(name)
    ended = subprocess.run(
        [sys.executable, EXAMPLES / f"{name}.py", *words],
        env=_environment(base_url, **more),
        input=lines,
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE,
        check=False,
    )
    assert 0 == ended.returncode, ended.stderr
    return ended.stdout


def _load(name: str) -> ModuleType:
    _need(name)
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def server() -> Iterator[LatencyServer]:
    with LatencyServer(LatencyModel(reply=REPLY)) as server:
        yield server


def test_every_example_is_tested() -> None:
    """One that is added here has to say what it needs."""
    assert sorted(NEEDS) == sorted(path.stem for path in EXAMPLES.glob("*.py"))


@pytest.mark.parametrize("name", NEEDS)
def test_it_can_be_imported(name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a key, and without printing anything."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    module = _load(name)
    assert "" == capsys.readouterr().out
    assert f"python examples/{name}.py" in (module.__doc__ or "")


@pytest.mark.parametrize("name", NEEDS)
def test_it_is_short(name: str) -> None:
    """An example is read before it is run."""
    assert 60 >= len((EXAMPLES / f"{name}.py").read_text().splitlines())


def test_rag_cites_what_it_found() -> None:
    """Each point is asked with the passages found for it, and every number in the text has its source below."""
    reply = script_reply(
        skeleton="1. Choose large pots\n2. Water every morning\n3. Find enough sun",
        points={1: "Roots need room [1].", 2: "Pots dry out [2].", 3: "Six hours will do [3]."},
        direct="It is Paris [1].",
    )
    with LatencyServer(LatencyModel(reply=reply)) as server:
        told = _run("lcel_rag", server.base_url)
        direct = _run("lcel_rag", server.base_url, *FACT.split())
    text, _, listed = told.partition("\n\n[1] ")
    assert (
        "1. Choose large pots: Roots need room [1].\n\n2. Water every morning: Pots dry out [2].\n\n"
        "3. Find enough sun: Six hours will do [3]."
    ) == text
    sources = re.findall(r"^\[(\d+)\] (.+)$", f"[1] {listed}", re.MULTILINE)
    assert [str(number) for number in range(1, len(sources) + 1)] == [number for number, _ in sources]
    assert {"1", "2", "3"} <= {number for number, _ in sources}
    passages = _load("lcel_rag").TEXTS
    assert len(sources) == len({passage for _, passage in sources} & set(passages))
    asked = [request.body["messages"][-1]["content"] for request in server.requests]
    (watering,) = [task for task in asked if "Write only point 2" in task]
    assert "Water in the morning, until it runs out below." in watering
    assert "It is Paris [1].\n\n[1] " in direct


READINGS = "July: 380 kWh; August: 410 kWh. Most of it between noon and six."
LOOKED_UP = f"calls meter_readings({{'months': 2}})\nmeter_readings says: {READINGS}\n\n"


def test_an_agent_looks_up_and_then_answers_in_points(capsys: pytest.CaptureFixture[str]) -> None:
    """Its call of a tool, the result, and an answer that was written with the result in view."""
    example = _load("agent")
    from .langchain.agents_fakes import AgentModel

    model = AgentModel(wants={"name": "meter_readings", "args": {"months": 2}, "id": "call_1"})
    example.main(example.QUESTION, model)
    assert f"{LOOKED_UP}{TEXT}\n\n(3 points written at the same time)\n" == capsys.readouterr().out
    assert 5 == len(model.calls)
    assert [True] * 4 == [READINGS in [message.text for message in asked] for _, asked, _ in model.calls[1:]]
    example.main(FACT, AgentModel())
    assert f"{DIRECT}\n\n(answered directly)\n" == capsys.readouterr().out


def test_an_agent_asks_a_real_endpoint() -> None:
    """The program itself: its tool is in every request, its result in all after the first."""
    bodies: list[Any] = []
    call = {"name": "meter_readings", "arguments": json.dumps({"months": 2})}
    with running(_calling_first(application(LatencyModel(reply=REPLY)), bodies, call)) as there:
        told = _run("agent", there.base_url)
    assert f"{LOOKED_UP}{TEXT}\n\n(3 points written at the same time)\n" == told
    assert ["meter_readings"] * 5 == [body["tools"][0]["function"]["name"] for body in bodies]
    assert [False, True, True, True, True] == [READINGS in str(body["messages"]) for body in bodies]


def _calling_first(inner: Any, bodies: list[Any], call: dict[str, str]) -> Any:
    """*Call* a tool as long as there is one without a result; else let the loopback model answer, which knows none."""

    async def endpoint(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await inner(scope, receive, send)
            return
        bodies.append(await Request(scope, receive).json())
        said = bodies[-1]["messages"]
        if "tools" not in bodies[-1] or any(message["role"] == "tool" for message in said):
            asked = {"messages": [message for message in said if message["role"] in {"system", "user"}]}
            first = [{"type": "http.request", "body": json.dumps(asked).encode()}]

            async def again() -> Any:
                return first.pop() if first else await receive()

            await inner(scope, again, send)
            return
        stream = bodies[-1].get("stream", False)
        calls = [{"index": 0, "id": "call_1", "type": "function", "function": call}]
        message = {"role": "assistant", "content": None, "tool_calls": calls}
        choice = {"index": 0, "delta" if stream else "message": message, "finish_reason": "tool_calls"}
        kind = "chat.completion.chunk" if stream else "chat.completion"
        told = {"id": "1", "object": kind, "created": 1, "model": "scripted", "choices": [choice]}
        events = f"data: {json.dumps(told)}\n\ndata: [DONE]\n\n"
        response = Response(events, media_type="text/event-stream") if stream else JSONResponse(told)
        await response(scope, receive, send)

    return endpoint


def test_a_graph_shows_the_text_in_order_and_each_point_by_itself(server: LatencyServer) -> None:
    """What the node writes is the text; the tokens of each point make its text."""
    told = _run("langgraph_node", server.base_url, *QUESTION.split())
    text, _, points = told.partition("\n\npoint ")
    assert TEXT == text
    found = re.findall(r"^point (\d) came in (\d+) pieces: (.+)$", f"point {points}", re.MULTILINE)
    assert POINTS == {int(number): text for number, _, text in found}
    assert [True] * 3 == [int(pieces) > 5 for _, pieces, _ in found]
    assert 4 == len(server.requests)


# -- LlamaIndex ----------------------------------------------------------------------------------------

FILES = {
    "fruit.md": "# Tomatoes\n\nA tomato needs a pot of 15 litres; in a smaller one its roots dry out.\n\n"
    "# Peppers\n\nPeppers like it warm and want shelter from the wind.\n",
    "care/water.md": "# Watering\n\nWater every morning, until it runs out below. Pots dry out in a heat wave.\n",
    "care/light.md": "# Sunlight\n\nSix hours of direct sun a day are enough for most vegetables.\n",
    "notes.txt": "Nobody reads this.",
}
GROW = "What should I consider when I grow vegetables on a balcony?"
PEPPERS = "What should I consider when I grow peppers?"
GROWN = "1. Choose large pots: Roots need room [1].\n\n2. Water every morning: Pots dry out [2]."


def _grow(generation: Any) -> str:
    """Say what the pages about vegetables are asked for; the last message alone tells what that is."""
    task = generation.messages[-1].text
    if "Standalone question" in task:
        return PEPPERS
    if "Write only point 1," in task:
        return "Roots need room [1]."
    if "Write only point 2," in task:
        return "Pots dry out [2]."
    return "1. Choose large pots\n2. Water every morning" if "Write only the skeleton" in task else "It is Paris [1]."


@pytest.fixture
def pages(tmp_path: Path) -> str:
    """Make a folder of Markdown files."""
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    return str(tmp_path)


@pytest.fixture
def gardener() -> Iterator[LatencyServer]:
    with LatencyServer(LatencyModel(reply=_grow)) as server:
        yield server


def _tasks(server: LatencyServer) -> list[str]:
    return [request.body["messages"][-1]["content"] for request in server.requests]


def test_rag_over_files_cites_what_it_found(gardener: LatencyServer, pages: str) -> None:
    """Each point is asked with what is found for it, and every source is below, by number, file and heading."""
    text, _, listed = _run("llama_index_rag", gardener.base_url, pages, *GROW.split()).partition("\n\n[1] ")
    assert GROWN == text
    sources = re.findall(r"^\[(\d+)\] (.+)$", f"[1] {listed}", re.MULTILINE)
    assert [str(number) for number in range(1, len(sources) + 1)] == [number for number, _ in sources]
    everything = {"fruit.md: Tomatoes", "fruit.md: Peppers", "water.md: Watering", "light.md: Sunlight"}
    assert everything >= {source for _, source in sources}
    assert len(sources) == len({source for _, source in sources})
    assert "water.md: Watering" in {source for _, source in sources}
    (watering,) = [task for task in _tasks(gardener) if "Write only point 2," in task]
    assert "Water every morning, until it runs out below." in watering


def test_rag_over_files_reads_the_documentation_where_no_folder_is_given(gardener: LatencyServer) -> None:
    """With a question of its own that is answered in points, or with that of the user."""
    names = {file.name for file in (EXAMPLES.parent / "docs").glob("*.md")}
    for words in ((), (str(EXAMPLES.parent / "docs"), *FACT.split())):
        told = _run("llama_index_rag", gardener.base_url, *words)
        assert ("It is Paris [1].\n\n[1] " if words else f"{GROWN}\n\n[1] ") in told
        sources = re.findall(r"^\[\d+\] (.+?): \S", told, re.MULTILINE)
        assert names >= set(sources)
        assert sources


def test_a_chat_asks_follow_ups_as_questions_of_their_own(gardener: LatencyServer, pages: str) -> None:
    """The second question is condensed with the first answer in view, and answered from what is found for that."""
    told = _run("llama_index_chat", gardener.base_url, pages, lines=f"{GROW}\n\n And for peppers? \n")
    answers = re.findall(r"(.+?)\n\nfrom ([^\n]+)\n\n", told, re.DOTALL)
    assert [GROWN, GROWN] == [text for text, _ in answers]
    assert "fruit.md" in answers[1][1].split(", ")
    tasks = _tasks(gardener)
    assert 7 == len(tasks)
    assert [False] * 3 + [True] + [False] * 3 == ["And for peppers?" in task for task in tasks]
    assert GROWN in tasks[3]
    heads = [request.body["messages"][0]["content"] for request in gardener.requests]
    assert [True] * 3 == [PEPPERS in head and "Peppers like it warm" in head for head in heads[4:]]


@pytest.mark.parametrize(
    ("question", "said"),
    [(QUESTION, f"{TEXT}\n\n(3 points written at the same time)\n"), (FACT, f"{DIRECT}\n\n(answered directly)\n")],
    ids=["points", "direct"],
)
def test_an_agent_hands_on_what_its_tool_wrote(question: str, said: str) -> None:
    """It calls the tool once; what the tool answers from its documents is the agent's answer, asked of nobody again."""
    bodies: list[Any] = []
    call = {"name": "home", "arguments": json.dumps({"input": question})}
    with running(_calling_first(application(LatencyModel(reply=REPLY)), bodies, call)) as there:
        told = _run("llama_index_agent", there.base_url)
    assert f"calls home({{'input': '{question}'}})\n\n{said}" == told
    assert "home" == bodies[0]["tools"][0]["function"]["name"]
    assert (1 + 3 if question == QUESTION else 1) == len(bodies[1:])
    for body in bodies[1:]:
        assert "tools" not in body
        assert "The attic has no insulation" in str(body["messages"])


def test_a_workflow_shows_all_points_while_they_are_written(server: LatencyServer) -> None:
    """Its route, then a line for each point over and over, each time with more of it; at last the answer."""
    told = _run("llama_index_workflow", server.base_url, *QUESTION.split(), COLUMNS="200")
    frames, _, answer = told.removesuffix("\n").rpartition("\n\n1. ")
    assert TEXT == f"1. {answer}"
    route, _, drawn = frames.partition("\n\n")
    assert route.startswith("skeleton, by rules: ")
    shown = [re.findall(r"\x1b\[K(\d\. .+?): ?(.*)", frame) for frame in drawn.split("\x1b[3F")]
    assert {tuple(SKELETON.splitlines())} == {tuple(head for head, _ in lines) for lines in shown}
    for number, text in POINTS.items():
        grown = [lines[number - 1][1] for lines in shown]
        assert "" == grown[0]
        assert [True] * (len(grown) - 1) == [later.startswith(earlier) for earlier, later in pairwise(grown)]
        assert 5 < len(set(grown))
        assert re.fullmatch(rf"{re.escape(text)} \(\d+\.\d s\)", grown[-1])
    direct = _run("llama_index_workflow", server.base_url, *FACT.split())
    assert direct.startswith("direct, by rules: ")
    assert direct.endswith(f"\n\n{DIRECT}\n")


# -- the endpoint --------------------------------------------------------------------------------------


@contextmanager
def _served(server: LatencyServer) -> Iterator[str]:
    """Run the example's server on a free port."""
    _need("fastapi_stream")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    program: Any = subprocess.Popen(
        [sys.executable, EXAMPLES / "fastapi_stream.py"],
        env=_environment(server.base_url, PORT=port),
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    try:
        for line in program.stderr:
            if "Uvicorn running on" in line:
                break
        else:
            pytest.fail("the server ended before it was there")
        yield f"http://127.0.0.1:{port}/answer"
    finally:
        program.terminate()
        program.communicate(timeout=PATIENCE)


def test_an_endpoint_streams_the_answer(server: LatencyServer) -> None:
    """In pieces, in reading order, also a direct one; no question is refused before any model is called."""
    httpx = pytest.importorskip("httpx")
    with _served(server) as url, httpx.Client(timeout=PATIENCE) as client:
        with client.stream("GET", url, params={"question": QUESTION}) as response:
            pieces = list(response.iter_text())
        assert TEXT == "".join(pieces)
        assert "text/plain; charset=utf-8" == response.headers["content-type"]
        assert DIRECT == client.get(url, params={"question": FACT}).text
        count = len(server.requests)
        assert [422, 422] == [client.get(url).status_code, client.get(url, params={"question": " "}).status_code]
        assert (5, 5) == (count, len(server.requests))


class Stalling(LatencyModel):
    """Says the first word of a point, and then nothing more."""

    async def generate(self, generation: Any, /) -> AsyncGenerator[Any, None]:
        async for piece in super().generate(generation):
            yield piece
            if "Write only point" in generation.messages[-1].text:
                await asyncio.Event().wait()


def test_models_stop_when_the_client_leaves() -> None:
    """All requests to the model end, which would never end by themselves; other clients are answered all the while."""
    httpx = pytest.importorskip("httpx")
    asked, other = {"question": QUESTION}, {"question": FACT}
    with (
        LatencyServer(Stalling(reply=REPLY)) as server,
        _served(server) as url,
        httpx.Client(timeout=PATIENCE) as client,
        httpx.Client(timeout=PATIENCE) as another,
    ):
        with client.stream("GET", url, params=asked) as response:
            pieces, heard = response.iter_text(), ""  # the response is closed with its iterator
            while not heard.endswith(": Go"):
                heard += next(pieces)
            server.wait_until(3, timeout=PATIENCE)
            assert DIRECT == another.get(url, params=other).text
        server.wait_until(0, timeout=PATIENCE)
        assert DIRECT == another.get(url, params=other).text
    stages = ["Write only point" in request.body["messages"][-1]["content"] for request in server.requests]
    assert [False, True, True, True, False, False] == stages
    assert stages == [request.cancelled for request in server.requests]
