"""Any `Generator` as an OpenAI-compatible endpoint.

``protocol`` knows the JSON and never waits; ``app`` does the waiting.
"""

from .app import Running, application, running, serve

__all__ = ["Running", "application", "running", "serve"]
