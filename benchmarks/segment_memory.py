"""What one more tenant costs as a segment chain, against one more ``InferenceSession(bytes)``: memory and speed.

Each way runs in a process of its own, its tenants' files copied so that nothing is shared that tenants would not share.
Growth is (resident set of N tenants, each of which has answered once, - that of one) / (N - 1).

    python benchmarks/segment_memory.py --tenants 64 --json FILE
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from treadle import wheels
from treadle.bench.machine import machine, versions
from treadle_agent.program import segments
from treadle_agent.program.artifact import read_artifact
from treadle_agent.program.loader import Loader
from treadle_agent.program.onnx_runtime import Level, session_options

MIB = 1 << 20
RUNS = 30
INPUT = (1, 3, 48, 320)
Array = np.ndarray[Any, Any]
Answer = Callable[[Mapping[str, Array]], Array]


def plain(model: Path) -> Answer:
    """A session as most servers open it, on one thread so that both ways use as many."""
    session = onnxruntime.InferenceSession(
        model.read_bytes(), session_options(Level.ORT_ENABLE_ALL), providers=["CPUExecutionProvider"]
    )
    return lambda feeds: session.run(None, dict(feeds))[0]


def chained(folder: Path) -> Answer:
    """The artifact's segments, as the executor opens them."""
    artifact = read_artifact(folder)
    sessions = [(one, segments.open_segment(folder, one)) for one in artifact.segments]

    def answer(feeds: Mapping[str, Array]) -> Array:
        tensors = dict(feeds)
        for segment, session in sessions:
            given = session.run(segment.outputs, {name: tensors[name] for name in segment.inputs})
            tensors.update(zip(segment.outputs, given, strict=True))
        return tensors[artifact.outputs[0].name]

    return answer


def resident() -> float:
    """Resident set of this process in bytes."""
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return float(fields["VmRSS"].split()[0]) * 1024


def growth(way: str, paths: list[Path], sender: Any) -> None:
    """Open one tenant after another; send the bytes that each but the first took."""
    feeds = {"x": np.random.default_rng(0).standard_normal(INPUT, dtype=np.float32)}
    opened: list[Answer] = []
    first = 0.0
    for path in paths:
        opened.append(plain(path) if way == "plain" else chained(path))
        opened[-1](feeds)
        first = first or resident()
    sender.send((resident() - first) / (len(paths) - 1))


def measured_growth(way: str, source: Path, tenants: int, folder: Path) -> float:
    """`growth` in a fresh process over copies of `source`."""
    copies = [folder / f"{way}-{index}" for index in range(tenants)]
    for copy in copies:
        shutil.copytree(source, copy) if source.is_dir() else shutil.copyfile(source, copy)
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=growth, args=(way, copies, sender))
    child.start()
    sender.close()
    result: float = receiver.recv()
    child.join()
    return result


def slowdown(model: Path, folder: Path) -> float:
    """Time of the chain over time of the plain session: medians of runs taken in turns."""
    feeds = {"x": np.random.default_rng(0).standard_normal(INPUT, dtype=np.float32)}
    ways = {"plain": plain(model), "segments": chained(folder)}
    taken: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(RUNS):
        for way, answer in ways.items():
            begin = time.perf_counter()
            answer(feeds)
            taken[way].append(time.perf_counter() - begin)
    return statistics.median(taken["segments"]) / statistics.median(taken["plain"])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tenants", type=int, default=64)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    model = wheels.member(wheels.RAPIDOCR, wheels.RAPIDOCR_RECOGNIZER)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Loader(Path(scratch) / "artifacts").compile(model)
        grown = {
            way: measured_growth(way, source, arguments.tenants, Path(scratch))
            for way, source in (("plain", model), ("segments", folder))
        }
        report = {
            "machine": {name: getattr(machine(), name) for name in machine().__struct_fields__},
            "versions": versions(),
            "model_mib": round(model.stat().st_size / MIB, 1),
            "tenants": arguments.tenants,
            "segments": len(read_artifact(folder).segments),
            "growth_mib": {way: round(value / MIB, 1) for way, value in grown.items()},
            "growth_ratio": round(grown["segments"] / grown["plain"], 2),
            "time_ratio": round(slowdown(model, folder), 2),
        }
    text = json.dumps(report, indent=2)
    print(text)
    if arguments.json:
        arguments.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
