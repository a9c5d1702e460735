"""The real executor process with a trap: a request whose first number is TRAP kills it inside its launch, or hangs it
there where the second one is HANG.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable

from treadle_agent.executor import worker
from treadle_agent.executor.host import HostDevice, Launched
from treadle_agent.executor.shared_memory import SharedMemory
from treadle_agent.executor.versions import requests_of
from treadle_agent.executor.worker_settings import WorkerSettings
from treadle_agent.policy.scheduling import Group
from treadle_agent.program.model import TensorType

TRAP, HANG = -1001.0, -1002.0


def main(connection: socket.socket, memory: SharedMemory, settings: WorkerSettings) -> None:
    set_trap(HostDevice, memory, lambda _, __, number: time.sleep(3600.0) if number == HANG else os.abort())
    worker.main(connection, memory, settings)


def set_trap(device: type, memory: SharedMemory, spring: Callable[[int, int, float], None]) -> None:
    """Before a device runs the kernels from `begin` to `end` of a trapped request, call `spring(begin, end, number)`.

    `number`: the request's second one.
    """
    run = device.run

    def trapped(self: object, group: Group, begin: int, end: int) -> Launched:
        for stream in group.streams:
            for request in requests_of(stream):
                first, second = memory.view(request.block, TensorType("float32", (2,)))
                if first == TRAP:
                    spring(begin, end, second)
        return run(self, group, begin, end)

    device.run = trapped
