"""What we and our users test with: a scripted model, and a loopback server that only takes its time.

``ScriptedLLM`` is the one fake. ``LatencyServer`` is a real endpoint for real clients, and needs the
extra ``server`` when it is started; importing this package does not.
"""

from .scripted import Failure, ScriptedLLM, collect
from .server import LatencyModel, LatencyServer, LoggedRequest, script_reply

__all__ = [
    "Failure",
    "LatencyModel",
    "LatencyServer",
    "LoggedRequest",
    "ScriptedLLM",
    "collect",
    "script_reply",
]
