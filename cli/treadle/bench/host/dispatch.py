"""The executor without its process: the library, the host device and the scheduler, driven as the dispatch thread does.

Messages and HTTP are left out on purpose: what is compared is what runs models.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from treadle_agent.executor.binding import Binding
from treadle_agent.executor.host import HostDevice
from treadle_agent.executor.library import Library, LoadedTier
from treadle_agent.executor.protocol import Submit, TierSpec, Version, block_layout
from treadle_agent.executor.tuner import HostTuner
from treadle_agent.executor.versions import LoadedVersion
from treadle_agent.executor.worker_settings import WorkerSettings
from treadle_agent.policy.scheduling import SpaceTime
from treadle_agent.program.loader import Loader
from treadle_agent.program.model import Program, Shape

Array = npt.NDArray[Any]
DEADLINE = 60.0
_BINDING = 1


class Dispatcher:
    """Models of one architecture, a tenant each."""

    def __init__(self, loader: Loader, folders: Sequence[Path], shapes: Mapping[str, Shape]) -> None:
        settings = WorkerSettings()
        self._library = Library(HostTuner(), max_problems=settings.max_problems)
        self._scheduler = SpaceTime(max_problems=settings.max_problems, quantum=settings.quantum)
        self._versions: list[LoadedVersion] = []
        self._sent = 0
        self.kernel_seconds = 0.0  # of the last round
        self.device_seconds = 0.0  # the same with inputs brought to their slots, and outputs from there
        program = loader.bind(folders[0], shapes)
        for folder in folders[1:]:
            loader.bind(folder, shapes)
        for number, folder in enumerate(folders):
            self._add(number, folder, program)
        for change in self._library.take_changes():
            change()
        types = [program.values[port.value] for port in (*program.inputs, *program.outputs)]
        offsets, size = block_layout(types)
        self._memory = np.zeros(size * len(folders), np.uint8)
        self._device = HostDevice(self._memory.data, time.perf_counter)
        views = [
            [
                np.ndarray(type_.shape, type_.dtype, self._memory, number * size + offset)
                for type_, offset in zip(types, offsets, strict=True)
            ]
            for number in range(len(folders))
        ]
        self._size = size
        self.inputs = [one[: len(program.inputs)] for one in views]
        self.outputs = [one[len(program.inputs) :] for one in views]

    @property
    def implementation(self) -> str:
        """What the tuner chose."""
        return self._library.implementation(self._versions[-1].loaded_tiers[0])

    def answer(self) -> None:
        """One request of every tenant, from `inputs` to `outputs`."""
        scheduler, device = self._scheduler, self._device
        self.kernel_seconds = self.device_seconds = 0.0
        now = time.monotonic()
        for number, version in enumerate(self._versions):
            self._sent += 1
            block = number * self._size
            scheduler.submit(version, Submit(self._sent, version.id, _BINDING, 1, block, now, now + DEADLINE))
        while not scheduler.idle:
            now = time.monotonic()
            assert not scheduler.shed(now)
            launch = scheduler.step(now)
            if launch is None:
                continue  # held back for company, for microseconds
            begin = time.perf_counter()
            if launch.group.place is None:
                device.stage(launch.group)
            result = device.run(launch.group, launch.begin, launch.end)
            self.device_seconds += time.perf_counter() - begin
            seconds = sum([one for _, one, _ in result])
            self.kernel_seconds += seconds
            if scheduler.launched(launch, seconds):
                begin = time.perf_counter()
                device.collect(launch.group)
                self.device_seconds += time.perf_counter() - begin

    def _add(self, number: int, folder: Path, program: Program) -> None:
        tier = LoadedTier("only", folder)
        spec = TierSpec("only", 90.0, str(folder))
        version = LoadedVersion(Version(number, str(number), DEADLINE, 0, 8, (spec,)), [tier])
        inputs = tuple(program.values[port.value] for port in program.inputs)
        outputs = tuple(program.values[port.value] for port in program.outputs)
        version.bindings[_BINDING] = Binding(inputs, outputs, batchable=tier.artifact.batchable)
        tier.buckets[_BINDING] = self._library.prepare(tier, inputs)
        self._scheduler.add(version)
        self._versions.append(version)
