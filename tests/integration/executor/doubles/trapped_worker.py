"""The real executor process with a trap: a request whose first number is TRAP kills it, inside its launch."""

from __future__ import annotations

import os
import socket

from treadle_agent.executor import worker
from treadle_agent.executor.host import HostDevice, Launched
from treadle_agent.executor.shared_memory import SharedMemory
from treadle_agent.executor.versions import requests_of
from treadle_agent.executor.worker_settings import WorkerSettings
from treadle_agent.policy.scheduling import Group
from treadle_agent.program.model import TensorType

TRAP = -1001.0


def main(connection: socket.socket, memory: SharedMemory, settings: WorkerSettings) -> None:
    run = HostDevice.run

    def trapped(self: HostDevice, group: Group, begin: int, end: int) -> Launched:
        for stream in group.streams:
            for request in requests_of(stream):
                if memory.view(request.block, TensorType("float32", ()))[()] == TRAP:
                    os.abort()
        return run(self, group, begin, end)

    HostDevice.run = trapped  # type: ignore[method-assign]
    worker.main(connection, memory, settings)
