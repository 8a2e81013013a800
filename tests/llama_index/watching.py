"""Handlers of LlamaIndex's instrumentation, for as long as a test wants them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import pytest

pytest.importorskip("llama_index.core")

from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.span_handlers import SimpleSpanHandler

Events = TypeVar("Events", bound=BaseEventHandler)
Spans = TypeVar("Spans", bound=SimpleSpanHandler)


@contextmanager
def told_events(handler: Events) -> Iterator[Events]:
    """Let it have all events."""
    root = get_dispatcher()
    root.add_event_handler(handler)
    yield handler
    root.event_handlers.remove(handler)


@contextmanager
def told_spans(handler: Spans) -> Iterator[Spans]:
    """Let it have all spans."""
    root = get_dispatcher()
    root.add_span_handler(handler)
    yield handler
    root.span_handlers.remove(handler)
