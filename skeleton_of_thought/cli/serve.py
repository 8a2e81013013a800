"""``sot serve``."""

import argparse
import asyncio
import os

from ..errors import ConfigurationError
from ..models.generation import Generation, Generator
from ..server import Running, serve
from . import figures

try:
    from ..models._openvino import engine_for
    from ..models._store import DEFAULT_MODEL, find
except ModuleNotFoundError as error:
    raise ImportError('the embedded model needs OpenVINO: pip install "skeleton-of-thought[local]"') from error


def run(arguments: argparse.Namespace) -> None:
    """Serve the embedded model until it is told to stop."""
    engine = engine_for(find(arguments.model or DEFAULT_MODEL))
    asyncio.run(_load(engine))

    def ready(at: Running) -> None:
        print(at.base_url, flush=True)
        figures.say(f"serving {engine.name} until Ctrl-C")

    try:
        serve(engine, host=arguments.host, port=arguments.port, ready=ready)
    except (OSError, OverflowError) as error:
        number = getattr(error, "errno", None) or 0
        why = os.strerror(number) if number > 0 else "there is no such place"
        raise ConfigurationError(
            f"cannot listen at {arguments.host}:{arguments.port}: {why}: see --host and --port"
        ) from error


async def _load(engine: Generator) -> None:
    """Write one token, so that a model that cannot be loaded is told of now, and the first reply is not late."""
    async for _ in engine.generate(Generation(prompt="Hello", max_tokens=1)):
        pass  # to its end, so there is nothing to close
