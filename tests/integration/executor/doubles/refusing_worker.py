"""The real executor process over the stand-in for a GPU, with a trap.

A request whose first number is TRAP makes an illegal access in one of its kernels: its second number says in which.
"""

from __future__ import annotations

import socket

from strict_cupy import World, modules

from treadle_agent.executor import worker
from treadle_agent.executor.cuda import gpu, opening
from treadle_agent.executor.cuda.device import GpuDevice
from treadle_agent.executor.host import Launched
from treadle_agent.executor.shared_memory import SharedMemory
from treadle_agent.executor.versions import requests_of
from treadle_agent.executor.worker_settings import WorkerSettings
from treadle_agent.policy.scheduling import Group
from treadle_agent.program.model import TensorType

TRAP = -1001.0


def main(connection: socket.socket, memory: SharedMemory, settings: WorkerSettings) -> None:
    world = World()
    device = gpu.Gpu(*modules(world), gpu._end_process)
    opening.open_gpu = lambda: device
    run = GpuDevice.run

    def trapped(self: GpuDevice, group: Group, begin: int, end: int) -> Launched:
        for stream in group.streams:
            for request in requests_of(stream):
                first, second = memory.view(request.block, TensorType("float32", (2,)))
                if first == TRAP and begin <= second < end:
                    world.fails_at = world.operations + 1 + int(second) - begin
        return run(self, group, begin, end)

    GpuDevice.run = trapped  # type: ignore[method-assign]
    worker.main(connection, memory, settings)
