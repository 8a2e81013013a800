"""What we and our users test with: a scripted model, and a loopback server that only takes its time, or fails.

``ScriptedLLM`` is the one fake. ``LatencyServer`` is a real endpoint for real clients, and needs the
extra ``server`` when it is started; importing this package does not.
"""

from ._exchange import LoggedRequest
from .faults import (
    Dropped,
    Empty,
    EndedEarly,
    ErrorEvent,
    Fault,
    Garbage,
    Rejected,
    Stalled,
    faults_by,
    random_faults,
)
from .rates import rate_headers
from .script import ScriptReply, go_on, go_on_with_a_word, repeat_words, script_reply, start_again
from .scripted import Failure, ScriptedLLM, collect
from .server import LatencyModel, LatencyServer

__all__ = [
    "Dropped",
    "Empty",
    "EndedEarly",
    "ErrorEvent",
    "Failure",
    "Fault",
    "Garbage",
    "LatencyModel",
    "LatencyServer",
    "LoggedRequest",
    "Rejected",
    "ScriptReply",
    "ScriptedLLM",
    "Stalled",
    "collect",
    "faults_by",
    "go_on",
    "go_on_with_a_word",
    "random_faults",
    "rate_headers",
    "repeat_words",
    "script_reply",
    "start_again",
]
