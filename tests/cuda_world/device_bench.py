"""A device with a program and six tenants on it, whichever device it is: what tests of devices begin with."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from treadle_agent.executor.binding import Binding
from treadle_agent.executor.cuda.choice import Choices
from treadle_agent.executor.cuda.device import GpuDevice
from treadle_agent.executor.cuda.gpu import Gpu
from treadle_agent.executor.cuda.program import GpuProgram
from treadle_agent.executor.cuda.slab import GpuSlab
from treadle_agent.executor.host import HostDevice, Launched
from treadle_agent.executor.slab import Slab
from treadle_agent.executor.super_kernel import MergedProgram
from treadle_agent.policy.scheduling import Group
from treadle_agent.program import ops
from treadle_agent.program.artifact import WeightEntry
from treadle_agent.program.model import Activation, Kernel, Port, Program, TensorType, Weight
from treadle_api.tenant import Precision

assert ops.__all__  # importing the package fills the table

GEMM = (("alpha", 1.0), ("beta", 1.0), ("trans_a", False), ("trans_b", True))
CONV = (
    ("after", (1, 1)), ("before", (1, 1)), ("dilations", (1, 1)), ("group", 2), ("kernel", (3, 3)), ("strides", (1, 1)),
)  # fmt: skip
ROWS = 2
SHAPES = {
    "x": (ROWS, 4, 5, 6), "c": (ROWS, 6, 5, 6), "r": (ROWS, 6, 5, 6), "s": (ROWS, 6, 5, 6), "f": (ROWS, 180),
    "g": (ROWS, 17), "h": (ROWS, 17), "m": (ROWS, 10), "y": (ROWS, 10),
}  # fmt: skip
WEIGHTS = ((6, 2, 3, 3), (6,), (17, 180), (17,), (17, 10))


def f32(shape: tuple[int, ...]) -> TensorType:
    return TensorType("float32", shape)


def _program() -> Program:
    names = list(SHAPES)
    value = {name: index for index, name in enumerate(names)}
    offsets, at = [], 0
    for name in names:
        if name == "f":  # a view of "s"
            offsets.append(offsets[value["s"]])
            continue
        offsets.append(at)
        at += -(-f32(SHAPES[name]).nbytes // 64) * 64
    kernels = (
        Kernel("Conv", CONV, (Activation(value["x"]), Weight(0), Weight(1)), (value["c"],)),
        Kernel("Relu", (), (Activation(value["c"]),), (value["r"],)),
        Kernel("Add", (), (Activation(value["r"]), Activation(value["c"])), (value["s"],)),
        Kernel("Gemm", GEMM, (Activation(value["f"]), Weight(2), Weight(3)), (value["g"],)),
        Kernel("Tanh", (), (Activation(value["g"]),), (value["h"],)),
        Kernel("MatMul", (), (Activation(value["h"]), Weight(4)), (value["m"],)),
        Kernel("Softmax", (("axes", (1,)),), (Activation(value["m"]),), (value["y"],)),
    )
    return Program(
        (Port("x", value["x"]),), (Port("y", value["y"]),), tuple(f32(SHAPES[name]) for name in names),
        tuple(offsets), at, tuple(map(f32, WEIGHTS)), (), kernels,
    )  # fmt: skip


PROGRAM = _program()
ENTRIES, ROW_BYTES = [], 0
for _type in PROGRAM.weights:
    ENTRIES.append(WeightEntry(_type, ROW_BYTES))
    ROW_BYTES += -(-_type.nbytes // 64) * 64
BINDING = Binding([f32((1, *SHAPES["x"][1:]))], [f32((1, *SHAPES["y"][1:]))], batchable=True)
BLOCK = 4096
TENANTS = 6


def weights_file(folder: Path, tenant: int, *, rounded: bool = False) -> Path:
    """`rounded`: the matrices are what float16 leaves of them."""
    random = np.random.default_rng(tenant)
    data = bytearray(ROW_BYTES)
    for entry in ENTRIES:
        weight = (random.standard_normal(entry.type.shape) * 0.2).astype(np.float32)
        if rounded and weight.ndim > 1:
            weight = weight.astype(np.float16).astype(np.float32)
        data[entry.offset : entry.offset + weight.nbytes] = weight.tobytes()
    path = folder / f"{tenant}.bin"
    path.write_bytes(bytes(data))
    return path


class Waiting:
    """A device whose work is waited for at once."""

    def __init__(self, device: HostDevice | GpuDevice) -> None:
        self.apart = device
        self.stage, self.free = device.stage, device.free

    def run(self, group: Group, begin: int, end: int) -> Launched:
        launched = self.apart.run(group, begin, end)
        return launched() if callable(launched) else launched

    def collect(self, group: Group) -> None:
        if (rest := self.apart.collect(group)) is not None:
            rest()


@dataclass
class Bench:
    """A device with its program, six tenants' weights, and the shared memory of requests."""

    device: Waiting
    body: MergedProgram | GpuProgram
    slab: Slab | GpuSlab
    memory: np.ndarray
    rows: list[int]

    def group(self, tenants: list[int], rows: int = ROWS, first: int = 0) -> SimpleNamespace:
        """`first`: the block that its requests begin at."""
        streams = []
        for place, tenant in enumerate(tenants, first):
            requests, block = [], place * BLOCK
            for count in (1,) * rows:
                self._input(tenant, len(requests), block)
                requests.append(SimpleNamespace(rows=count, block=block, binding=0))
                block += 1024
            owner = SimpleNamespace(bindings={0: BINDING}, tiers=[SimpleNamespace(row=self.rows[tenant])])
            streams.append(SimpleNamespace(tenant=owner, requests=requests, tier=0, rows=rows, name=tenant))
        return SimpleNamespace(executable=SimpleNamespace(body=self.body), streams=streams, place=None)

    def _input(self, tenant: int, row: int, block: int) -> None:
        (offset,), _ = BINDING.offsets(1)
        x = np.random.default_rng((tenant, row)).standard_normal(SHAPES["x"][1:]).astype(np.float32)
        self.memory[block + offset : block + offset + x.nbytes] = x.reshape(-1).view(np.uint8)

    def answers(self, group: SimpleNamespace) -> dict[int, np.ndarray]:
        found = {}
        for stream in group.streams:
            rows = []
            for request in stream.requests:
                _, (offset,) = BINDING.offsets(1)
                start = request.block + offset
                rows.append(self.memory[start : start + 40].copy().view(np.float32))
            found[stream.name] = np.array(rows)
        return found

    def run(self, tenants: list[int], rows: int = ROWS, cut: int = 0) -> dict[int, np.ndarray]:
        group = self.group(tenants, rows)
        self.device.stage(group)
        launched = [*self.device.run(group, 0, cut), *self.device.run(group, cut, self.body.length)]
        assert [signature for signature, _, _ in launched] == list(self.body.signatures)
        assert all(seconds >= 0.0 for _, seconds, _ in launched)
        self.device.collect(group)
        assert group.place is None
        return self.answers(group)


def bench_of(device, slab, body_of, memory: np.ndarray, folder: Path, *, rounded: bool = False) -> Bench:
    files = (weights_file(folder, tenant, rounded=rounded) for tenant in range(TENANTS))
    rows = [slab.acquire(str(tenant), file) for tenant, file in enumerate(files)]
    return Bench(Waiting(device), body_of(slab), slab, memory, rows)


def host_bench(folder: Path, kind: Callable[..., HostDevice] = HostDevice, *, rounded: bool = False) -> Bench:
    memory = np.zeros(TENANTS * BLOCK, np.uint8)
    device = kind(memoryview(memory), time.perf_counter)
    slab = Slab(ENTRIES, ROW_BYTES)
    return bench_of(device, slab, lambda slab: MergedProgram(PROGRAM, slab), memory, folder, rounded=rounded)


def gpu_bench(
    gpu: Gpu, folder: Path, library: frozenset[int] = frozenset(), precision: Precision = Precision.FLOAT32
) -> Bench:
    memory = np.zeros(TENANTS * BLOCK, np.uint8)
    slab = GpuSlab(gpu, ENTRIES, ROW_BYTES, precision)
    device = GpuDevice(gpu, memoryview(memory))
    return bench_of(device, slab, lambda slab: GpuProgram(gpu, PROGRAM, slab, 8, Choices(library)), memory, folder)
