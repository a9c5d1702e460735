"""The real executor process over the stand-in for a GPU."""

from __future__ import annotations

import socket

from strict_cupy import modules
from strict_world import World

from treadle_agent.executor import worker
from treadle_agent.executor.cuda import gpu, opening
from treadle_agent.executor.shared_memory import SharedMemory
from treadle_agent.executor.worker_settings import WorkerSettings


def main(connection: socket.socket, memory: SharedMemory, settings: WorkerSettings) -> None:
    device = gpu.Gpu(*modules(World()), gpu._end_process)
    opening.open_gpu = lambda: device
    worker.main(connection, memory, settings)
