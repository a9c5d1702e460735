"""Where the executor process begins. The front end, which starts it, does not load ONNX Runtime to name it."""

from __future__ import annotations

import socket
from importlib import import_module

from treadle_agent.executor.shared_memory import SharedMemory
from treadle_agent.executor.worker_settings import WorkerSettings


def main(connection: socket.socket, memory: SharedMemory, settings: WorkerSettings) -> None:
    """See `worker.main`."""
    import_module("treadle_agent.executor.worker").main(connection, memory, settings)
