"""``sot serve``."""

import argparse
import asyncio
import os

from ..errors import ConfigurationError
from ..models.generation import Generation, Generator
from ..server import serve
from . import figures

try:
    from ..models._openvino import engine_for
    from ..models._store import DEFAULT_MODEL, find
except ImportError as error:
    raise ImportError('the embedded model needs OpenVINO: pip install "skeleton-of-thought[local]"') from error


def run(arguments: argparse.Namespace) -> None:
    """Serve the embedded model until it is told to stop."""
    engine = engine_for(find(arguments.model or DEFAULT_MODEL))
    figures.say(f"serving {engine.name} until Ctrl-C")
    asyncio.run(_load(engine))
    try:
        serve(engine, host=arguments.host, port=arguments.port, ready=lambda at: print(at.base_url, flush=True))
    except OSError as error:
        raise ConfigurationError(
            f"cannot listen at {arguments.host}:{arguments.port}: {os.strerror(error.errno or 0)}: see --port"
        ) from error


async def _load(engine: Generator) -> None:
    """Write one token, so that a model that cannot be loaded is told of now, and the first reply is not late."""
    async for _ in engine.generate(Generation(prompt="Hello", max_tokens=1)):
        pass  # to its end, so there is nothing to close
