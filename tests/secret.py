"""What must not be seen, where it might be seen, and servers that refuse it."""

import json
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from skeleton_of_thought.server import running

from .script import POINTS, SKELETON

KEY = "sk-SECRET-0123456789"
PASSWORD = "pass-SECRET-word"  # noqa: S105 -- it is none
HEADERS = {"X-Tenant": "header-SECRET"}
BODY = {"tenant": "body-SECRET"}
QUESTION = "How do I sleep better in Timbuktu?"
TEXTS = ["Timbuktu", *SKELETON.split("\n"), *POINTS.values(), *(line[3:] for line in SKELETON.split("\n"))]
"""Of the question and of the answer."""
NOWHERE = "http://127.0.0.1:9/v1"
"""Where nobody listens."""


def with_password(base_url: str) -> str:
    """Put a user and a password into an address."""
    return base_url.replace("//", f"//somebody:{PASSWORD}@")


def shown(error: BaseException) -> str:
    """Return everything that is usually shown of an error and of those that led to it."""
    texts = ["".join(traceback.format_exception(error))]
    current: BaseException | None = error
    while current is not None:
        texts += [str(current), repr(current), repr(current.args), repr(getattr(current, "__notes__", ""))]
        current = current.__cause__
    return "\n".join(texts)


def secrets_in(*texts: Any) -> list[str]:
    """Return where a secret is seen, with what is around it."""
    found = []
    for text in map(str, texts):
        at = text.find("SECRET")
        found += [text[max(0, at - 60) : at + 40]] if at >= 0 else []
    return found


@contextmanager
def refusing(*, points_only: bool = False) -> Iterator[str]:
    """Serve an endpoint that refuses every key, or only for points, and give its address."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        asked = json.loads((await receive())["body"])
        if points_only and "Do not answer yet" in asked["messages"][-1]["content"]:
            await _say(send, asked.get("stream", False))
        else:
            error = {"message": f"Incorrect API key provided: {KEY[:3]}***.", "code": "invalid_api_key"}
            await _send(send, 401, "application/json", json.dumps({"error": error}))

    with running(app) as server:
        yield server.base_url


async def _say(send: Any, stream: bool) -> None:
    kind, says = ("text/event-stream", "delta") if stream else ("application/json", "message")
    choice = {"index": 0, says: {"role": "assistant", "content": SKELETON}, "finish_reason": "stop"}
    said = json.dumps({"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]})
    await _send(send, 200, kind, f"data: {said}\n\ndata: [DONE]\n\n" if stream else said)


async def _send(send: Any, status: int, kind: str, body: str) -> None:
    headers = [(b"content-type", kind.encode()), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body.encode()})
