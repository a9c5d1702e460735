"""The real executor process over the stand-in for a GPU, with a trap.

A request whose first number is TRAP makes an illegal access in one of its kernels: its second number says in which.
"""

from __future__ import annotations

import socket

from strict_cupy import modules
from strict_world import World
from trapped_worker import set_trap

from treadle_agent.executor import worker
from treadle_agent.executor.cuda import gpu, opening
from treadle_agent.executor.cuda.device import GpuDevice
from treadle_agent.executor.shared_memory import SharedMemory
from treadle_agent.executor.worker_settings import WorkerSettings


def main(connection: socket.socket, memory: SharedMemory, settings: WorkerSettings) -> None:
    world = World()
    device = gpu.Gpu(*modules(world), gpu._end_process)
    opening.open_gpu = lambda: device

    def spring(begin: int, end: int, kernel: float) -> None:
        if begin <= kernel < end:
            world.fails_at = world.operations + 1 + int(kernel) - begin

    set_trap(GpuDevice, memory, spring)
    worker.main(connection, memory, settings)
