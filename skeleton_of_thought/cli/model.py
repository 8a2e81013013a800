"""``sot model``."""

import argparse
from pathlib import Path

try:
    from ..models import _store
except ModuleNotFoundError as error:
    raise ImportError('the embedded models need more packages: pip install "skeleton-of-thought[local]"') from error


def run(arguments: argparse.Namespace) -> None:
    """Fetch, list or find models."""
    match arguments.action:
        case "pull":
            print(_store.pull(arguments.name or _store.DEFAULT_MODEL))
        case "path":
            print(_store.find(arguments.name))
        case "list":
            print("\n".join(_row(name, known, file) for name, known, file in _store.models()))


def _row(name: str, model: _store.KnownModel, file: Path | None) -> str:
    here = "here" if file else f"fetch it with `sot model pull {name}`"
    return f"{name:<20} {model.size / 1e6:>5.0f} MB  {model.licence:<12} {model.title:<36} {here}"
