"""The documents about the server itself: metadata, liveness, readiness."""

from __future__ import annotations

from importlib.metadata import version

import msgspec

from treadle_agent.frontend.reply import Reply

SERVER_METADATA = msgspec.json.encode(
    {"name": "treadle", "version": version("treadle"), "extensions": ["binary_tensor_data", "parameters"]}
)


def live() -> Reply:
    """200 for as long as the event loop turns."""
    return Reply(b'{"live":true}')


def ready(*, is_ready: bool) -> Reply:
    """200 where requests should be sent here, else 503."""
    return Reply(b'{"ready":true}') if is_ready else Reply(b'{"ready":false}', status=503)
