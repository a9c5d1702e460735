"""The part of `make gpu` that measures: super-kernels on a real GPU, beside the same work by cuBLAS and in turns.

    python benchmarks/gpu.py --json benchmarks/results/gpu-kernels.json

Writes nothing where there is no GPU. `measure` takes the device, so that its logic is tested without one.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import statistics
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from treadle_agent.executor.cuda.gpu import Gpu, open_gpu
from treadle_agent.executor.cuda.tables import MATRICES
from treadle_agent.executor.cuda.variants import TILES, Tile, Variant
from treadle_agent.executor.devices import DeviceError, choose_device

# Jain et al. 2018, Table 1: m, n, k
PROBLEMS = {"rnn": (512, 1, 512), "conv2_2": (256, 128, 1152), "square": (256, 256, 256)}
COUNTS = (1, 10, 20, 60, 120)
REPEATS = 9


@dataclass(frozen=True)
class Row:
    """Median seconds of R problems: merged by own kernels (the fastest tile), by cuBLAS, and one launch at a time."""

    problem: str
    r: int
    tile: str
    merged: float
    library: float
    in_turns: float
    largest_error: float


def measure(
    gpu: Gpu, problems: dict[str, tuple[int, int, int]], counts: Sequence[int], tiles: Sequence[Tile]
) -> list[Row]:
    """One row for each problem and R; the largest difference from NumPy stands beside the times."""
    rows = []
    for name, (m, n, k) in problems.items():
        for count in counts:
            print(f"{name}, R = {count} …", file=sys.stderr)
            rows.append(_row(gpu, name, (m, n, k), count, tiles))
    return rows


def _row(gpu: Gpu, name: str, extents: tuple[int, int, int], count: int, tiles: Sequence[Tile]) -> Row:
    m, n, k = extents
    random = np.random.default_rng(count)
    a, b = (random.standard_normal((count, *shape)).astype(np.float32) for shape in ((m, k), (k, n)))
    with gpu.stream() as stream:
        left, right = gpu.upload(a.tobytes(), stream), gpu.upload(b.tobytes(), stream)
        result = gpu.allocate(4 * count * m * n)
        entries = np.zeros(count, MATRICES)
        entries["m"], entries["n"], entries["k"], entries["alpha"] = m, n, k, 1.0
        entries["a_row"], entries["b_row"], entries["c_row"] = k, n, n
        for field in ("a", "b", "c"):
            entries[f"{field}_column"] = 1
        for field, memory, size in (("a", left, m * k), ("b", right, k * n), ("c", result, m * n)):
            entries[field] = int(memory.ptr) + 4 * size * np.arange(count)
        problems = gpu.upload(entries.tobytes(), stream)

        def grouped(tile: Tile, group: int) -> list[float]:
            each = tile.tiles(m, n)
            first = gpu.upload((np.arange(group, dtype=np.int32) * each).tobytes(), stream)
            function = gpu.function(Variant("gemm", tile, "float32").source, "grouped_gemm")

            def launch() -> None:
                for start in range(0, count, group):
                    at = np.uint64(int(problems.ptr) + start * MATRICES.itemsize)
                    function((each * group,), (tile.threads,), (at, np.uint64(first.ptr), np.int32(group)))

            return _timed(gpu, stream, launch)

        def library() -> None:
            gpu.multiply_by_stride(
                (False, False), (n, m, k), 1.0, 0.0,
                (int(right.ptr), n, k * n), (int(left.ptr), k, m * k), (int(result.ptr), n, m * n), count,
            )  # fmt: skip

        merged = {tile: statistics.median(grouped(tile, count)) for tile in tiles}
        error = _difference(gpu, result, a @ b, stream)
        best = min(tiles, key=lambda tile: merged[tile])
        in_turns = statistics.median(grouped(best, 1))
        by_library = statistics.median(_timed(gpu, stream, library))
        error = max(error, _difference(gpu, result, a @ b, stream))
        return Row(name, count, best.name, merged[best], by_library, in_turns, error)


def _timed(gpu: Gpu, stream: object, launch: object) -> list[float]:
    seconds = []
    for _ in range(REPEATS + 1):  # the first warms up
        begin, end = gpu.event(timing=True), gpu.event(timing=True)
        begin.record(stream)
        launch()
        end.record(stream)
        end.synchronize()
        seconds.append(gpu.seconds(begin, end))
    return seconds[1:]


def _difference(gpu: Gpu, memory: object, wanted: np.ndarray, stream: object) -> float:
    pinned, view = gpu.pinned(wanted.nbytes)
    memory.copy_to_host_async(ctypes.c_void_p(pinned.ptr), wanted.nbytes, stream)
    stream.synchronize()
    return float(np.abs(view.view(np.float32).reshape(wanted.shape) - wanted).max())


def facts() -> dict[str, object]:
    """Which GPU, driver and versions."""
    import pynvml

    pynvml.nvmlInit()
    try:
        handle = pynvml.nvmlDeviceGetHandleByIndex(0)
        found: dict[str, object] = {
            "device": pynvml.nvmlDeviceGetName(handle),
            "driver": pynvml.nvmlSystemGetDriverVersion(),
            "cuda": pynvml.nvmlSystemGetCudaDriverVersion(),
        }
    finally:
        pynvml.nvmlShutdown()
    versions = {}
    for package in ("treadle", "cupy-cuda12x", "cupy-cuda13x", "numpy"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return {**found, "versions": versions, "date": datetime.now(UTC).isoformat(timespec="seconds"), "simulated": False}


def main() -> int:
    """0: measured, or with --check there is a GPU; 2: there is no GPU that can be used."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="only say whether there is a GPU")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result here")
    arguments = parser.parse_args()
    try:
        choose_device("cuda")
    except DeviceError as error:
        print(f"nothing was run on a GPU: {error}", file=sys.stderr)
        return 2
    if arguments.check:
        return 0
    rows = measure(open_gpu(), PROBLEMS, COUNTS, TILES)
    report = {**facts(), "rows": [asdict(row) for row in rows]}
    text = json.dumps(report, indent=1)
    print(text)
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(text + "\n", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
