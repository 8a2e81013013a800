"""An endpoint that speaks Anthropic's Messages API, and keeps prefixes by Anthropic's rules. Tokens are words."""

import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from .script import DIRECT, POINTS, SKELETON

MARK = "cache_control"
LOOK_BACK = 20
"""How many blocks before a breakpoint an entry is looked for."""


class MessagesEndpoint:
    """Answers by the script, on a free port, as long as it is open."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        """The bodies, as they came."""
        self._kept: set[str] = set()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.base_url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> "MessagesEndpoint":
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def usage_of(self, request: dict[str, Any]) -> dict[str, int]:
        """Count what is read from the cache, what is written to it, and the rest."""
        blocks, places = blocks_of(request), marks_of(request)
        last = max(places, default=-1) + 1
        before = (prefix_of(blocks[:end]) for end in range(max(0, last - LOOK_BACK), last + 1))
        read = max((_words(prefix) for prefix in before if prefix in self._kept), default=0)
        written = _words(prefix_of(blocks[:last])) - read if last else 0
        return {
            "input_tokens": _words(prefix_of(blocks)) - read - written,
            "cache_creation_input_tokens": written,
            "cache_read_input_tokens": read,
        }

    def keep(self, request: dict[str, Any]) -> None:
        """Make the entries of a request whose response has begun."""
        blocks = blocks_of(request)
        self._kept |= {prefix_of(blocks[: place + 1]) for place in marks_of(request)}


def marks_of(request: dict[str, Any]) -> list[int]:
    """Tell which blocks have a breakpoint: those with a mark, and the last, where the request as a whole has one."""
    blocks = blocks_of(request)
    marked = [place for place, (_, block) in enumerate(blocks) if MARK in block]
    return [*marked, len(blocks) - 1] if MARK in request else marked


def blocks_of(request: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """List the blocks of a request, in the order of the cache, each with its role."""
    said = [{"role": "system", "content": request.get("system") or []}, *request["messages"]]
    return [
        (each["role"], block)
        for each in said
        for block in (
            [{"type": "text", "text": each["content"]}] if isinstance(each["content"], str) else each["content"]
        )
    ]


def prefix_of(blocks: list[tuple[str, dict[str, Any]]]) -> str:
    """Write blocks as the cache compares them: to the letter, but for the marks."""
    return json.dumps([
        (role, {name: value for name, value in block.items() if name != MARK}) for role, block in blocks
    ])


def _words(text: str) -> int:
    return len(text.split())


def _answer(request: dict[str, Any]) -> str:
    task = blocks_of(request)[-1][1]["text"]
    if point := re.search(r"Write only point (\d+)", task):
        return POINTS[int(point[1])]
    return SKELETON if "Write only the skeleton" in task else DIRECT


def _handler(endpoint: MessagesEndpoint) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):  # HTTP/1.0, so that each request has a connection of its own
        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            endpoint.requests.append(request)
            text, usage = _answer(request), endpoint.usage_of(request) | {"output_tokens": 1}
            endpoint.keep(request)
            self.send_response(200)
            whole = _message(text, usage | {"output_tokens": _words(text)})
            self.send_header("Content-Type", "text/event-stream" if request.get("stream") else "application/json")
            self.end_headers()
            if request.get("stream"):
                for event in _events(text, usage):
                    self.wfile.write(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode())
            else:
                self.wfile.write(json.dumps(whole).encode())

        def log_message(self, *_: object) -> None:
            pass

    return Handler


def _message(text: str, usage: dict[str, int]) -> dict[str, Any]:
    content = [{"type": "text", "text": text}] if text else []
    told = {"id": "msg", "type": "message", "role": "assistant", "model": "scripted", "stop_sequence": None}
    return told | {"content": content, "stop_reason": "end_turn" if text else None, "usage": usage}


def _events(text: str, usage: dict[str, int]) -> Iterator[dict[str, Any]]:
    yield {"type": "message_start", "message": _message("", usage)}
    yield {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
    for piece in re.findall(r"\s*\S+", text):
        yield {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": piece}}
    yield {"type": "content_block_stop", "index": 0}
    ended = {"stop_reason": "end_turn", "stop_sequence": None}
    yield {"type": "message_delta", "delta": ended, "usage": usage | {"output_tokens": _words(text)}}
    yield {"type": "message_stop"}
