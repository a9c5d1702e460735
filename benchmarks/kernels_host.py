"""Host kernels, as ratios: R problems in one launch against R launches of one, and against ONNX Runtime called in turn.

Each figure is the median of ratios of CPU times of the one thread that works, taken alternately, so that what else
runs on the machine disturbs it little and both sides alike.

    OPENBLAS_NUM_THREADS=1 python benchmarks/kernels_host.py [--json FILE] [--only NAME]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import onnx
import onnxruntime
from onnx import helper

from treadle_agent.program import ops
from treadle_agent.program.model import TensorType
from treadle_agent.program.ops import registry

Array = np.ndarray[Any, Any]
assert ops.__all__

Shape = tuple[int, ...]
REPEATS = 31
SECONDS = 0.002  # of one timing

# Name: operator, shapes of inputs (activation first), attributes, outputs asked for.
KERNELS: Mapping[str, tuple[str, Sequence[Shape | None], Mapping[str, Any], int]] = {
    "Gemm 1x784x256": ("Gemm", [(1, 784), (256, 784), (256,)], {"transB": 1}, 1),
    "Gemm 1x256x128": ("Gemm", [(1, 256), (128, 256), (128,)], {"transB": 1}, 1),
    "Gemm 1x128x10": ("Gemm", [(1, 128), (10, 128), (10,)], {"transB": 1}, 1),
    "Gemm 8x64x64": ("Gemm", [(8, 64), (64, 64), (64,)], {}, 1),
    "GRU 9x1x16 h32": ("GRU", [(9, 1, 16), (1, 96, 16), (1, 96, 32), (1, 192)], {"hidden_size": 32}, 2),
    "GRU after reset": (
        "GRU",
        [(9, 1, 16), (1, 96, 16), (1, 96, 32), (1, 192)],
        {"hidden_size": 32, "linear_before_reset": 1},
        2,
    ),
    "LSTM 9x1x16 h32": ("LSTM", [(9, 1, 16), (1, 128, 16), (1, 128, 32), (1, 256)], {"hidden_size": 32}, 2),
    "Conv 8x14x14 3x3": ("Conv", [(1, 8, 14, 14), (16, 8, 3, 3), (16,)], {"pads": [1] * 4}, 1),
    "Conv depthwise 3x3": ("Conv", [(1, 32, 14, 14), (32, 1, 3, 3), (32,)], {"pads": [1] * 4, "group": 32}, 1),
    "Conv 1x1": ("Conv", [(1, 32, 14, 14), (32, 32, 1, 1), (32,)], {}, 1),
    "MaxPool 3x3": ("MaxPool", [(1, 16, 14, 14)], {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1] * 4}, 1),
    "LayerNorm 16x64": ("LayerNormalization", [(16, 64), (64,), (64,)], {}, 1),
}


class Bench:
    """One kernel: slabs of weights and slots of activations for the largest R, and ONNX Runtime sessions."""

    def __init__(self, name: str, most: int) -> None:
        op, shapes, attributes, outputs = KERNELS[name]
        random = np.random.default_rng(0)
        node = helper.make_node(
            op, [f"x{i}" for i in range(len(shapes))], [f"y{i}" for i in range(outputs)], **attributes
        )
        rows = [random.standard_normal((most, *shape)).astype(np.float32) * np.float32(0.3) for shape in shapes]
        self._inputs = [_spaced(row) for row in rows]
        self._sessions = [_session(node, [row[r] for row in rows]) for r in range(most)]
        self._feeds = [{"x0": rows[0][r]} for r in range(most)]
        self._expected = [session.run(None, feed) for session, feed in zip(self._sessions, self._feeds, strict=True)]
        self._outputs = [_spaced(np.stack(each)) for each in zip(*self._expected, strict=True)]
        self._canonical = registry.normalise(
            registry.Node(
                op=op,
                version=onnx.defs.get_schema(op, max_inclusive_version=17).since_version,
                attributes={one.name: helper.get_attribute_value(one) for one in node.attribute},
                types=tuple(TensorType("float32", shape) for shape in shapes),
                static=(None,) * len(shapes),
                outputs=tuple(TensorType("float32", one.shape) for one in self._expected[0]),
            )
        )

    def launch(self, first: int, count: int) -> Callable[[], object]:
        """Problems first .. first + count in one launch."""
        chosen = slice(first, first + count)
        operands = [None if index is None else self._inputs[index][chosen] for index in self._canonical.operands]
        outputs = [out[chosen] for out in self._outputs]
        launch = registry.BIND[self._canonical.op](self._canonical.attributes, operands, outputs)
        launch()
        for index, out in enumerate(outputs):
            wanted = [self._expected[r][index] for r in range(first, first + count)]
            np.testing.assert_allclose(out, np.stack(wanted), rtol=1e-3, atol=1e-4)
        return launch

    def one_by_one(self, count: int) -> Callable[[], object]:
        """The same in launches of one problem."""
        launches = [self.launch(r, 1) for r in range(count)]
        return lambda: [launch() for launch in launches]

    def sessions(self, count: int) -> Callable[[], object]:
        """The same by ONNX Runtime sessions called in turn."""
        pairs = list(zip(self._sessions[:count], self._feeds[:count], strict=True))
        return lambda: [session.run(None, feed) for session, feed in pairs]


def _session(node: onnx.NodeProto, rows: Sequence[Array]) -> onnxruntime.InferenceSession:
    info = helper.make_tensor_value_info("x0", onnx.TensorProto.FLOAT, rows[0].shape)
    weights = [onnx.numpy_helper.from_array(row, f"x{i}") for i, row in enumerate(rows) if i]
    graph = helper.make_graph([node], "kernel", [info], [onnx.ValueInfoProto(name=n) for n in node.output], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    model = onnx.shape_inference.infer_shapes(model)
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def _spaced(rows: Array) -> Array:
    """Rows at 64-byte boundaries with a gap between them, as in a slab or an arena."""
    size = rows[0].size
    stride = -(-size // 16) * 16 + 16
    raw = np.zeros(stride * len(rows) + 16, np.float32)
    start = (-raw.ctypes.data % 64) // 4
    room = raw[start : start + stride * len(rows)].reshape(len(rows), stride)[:, :size]
    room[...] = rows.reshape(len(rows), size)
    return room.reshape(rows.shape)


def _seconds(function: Callable[[], object], times: int) -> float:
    start = time.thread_time()
    for _ in range(times):
        function()
    return (time.thread_time() - start) / times


def _compare(merged: Callable[[], object], *others: Callable[[], object]) -> tuple[float, list[float]]:
    """Median seconds of `merged`, and median ratios of the others to it, timed in turn."""
    functions = (merged, *others)
    times = [max(1, int(SECONDS / max(_seconds(each, 3), 1e-7))) for each in functions]
    taken = [[_seconds(each, n) for each, n in zip(functions, times, strict=True)] for _ in range(REPEATS)]
    ratios = [statistics.median(row[i] / row[0] for row in taken) for i in range(1, len(functions))]
    return statistics.median(row[0] for row in taken), ratios


def main() -> int:
    """Measure, print, and write the JSON document if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--only", default="")
    parser.add_argument("--problems", type=int, nargs="+", default=[1, 4, 16, 64])
    arguments = parser.parse_args()
    rows = []
    print(f"{'kernel':20} {'R':>3} {'µs/problem':>11} {'solo / merged':>14} {'ORT / merged':>13}")
    for name in KERNELS:
        if arguments.only not in name:
            continue
        bench = Bench(name, max(arguments.problems))
        for count in arguments.problems:
            merged, (solo, ort) = _compare(bench.launch(0, count), bench.one_by_one(count), bench.sessions(count))
            micro = merged / count * 1e6
            rows.append({"kernel": name, "problems": count, "microseconds": micro, "solo": solo, "onnxruntime": ort})
            print(f"{name:20} {count:3} {micro:11.2f} {solo:13.2f}× {ort:12.2f}×", flush=True)
    if arguments.json:
        machine = f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores"
        versions = {
            "numpy": np.__version__,
            "onnxruntime": onnxruntime.__version__,
            "python": platform.python_version(),
        }
        document = {"machine": machine, "versions": versions, "command": " ".join(sys.argv), "rows": rows}
        arguments.json.write_text(json.dumps(document, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
