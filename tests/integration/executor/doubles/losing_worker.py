"""The real executor process over the stand-in for a GPU, which is lost once: in a launch beside which a group's outputs
are still being copied. `settings.tuning`: a folder in which that is noted.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

from strict_cupy import modules
from strict_world import World

from treadle_agent.executor import worker
from treadle_agent.executor.cuda import gpu, opening
from treadle_agent.executor.cuda.device import GpuDevice
from treadle_agent.executor.host import Launched
from treadle_agent.executor.shared_memory import SharedMemory
from treadle_agent.executor.worker_settings import WorkerSettings
from treadle_agent.policy.scheduling import Group

LOST = "lost"


def main(connection: socket.socket, memory: SharedMemory, settings: WorkerSettings) -> None:
    world, note = World(), Path(settings.tuning, LOST)
    device = gpu.Gpu(*modules(world), gpu._end_process)
    opening.open_gpu = lambda: device
    run = GpuDevice.run

    def losing(self: GpuDevice, group: Group, begin: int, end: int) -> Callable[[], Launched]:
        if self._leaving and not note.exists():
            note.touch()
            world.fails_at = world.operations + 3
        return run(self, group, begin, end)

    GpuDevice.run = losing
    worker.main(connection, memory, settings)
