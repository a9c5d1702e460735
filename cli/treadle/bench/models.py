"""Small models made on the spot, seeded, so that a benchmark needs no download: equal architectures, different weights.

All take and give float32 with one free leading dimension, rows.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
IR_VERSION = 9
INPUT, OUTPUT = "x", "y"


def mlp(widths: Sequence[int], *, seed: int) -> onnx.ModelProto:
    """Gemm and Relu in turn, as PyTorch exports nn.Linear: (rows, widths[0]) to (rows, widths[-1])."""
    graph = _Graph(seed)
    value = INPUT
    last = len(widths) - 2
    for layer, (inputs, outputs) in enumerate(itertools.pairwise(widths)):
        weight = graph.weight((outputs, inputs), fan_in=inputs)
        bias = graph.weight((outputs,), fan_in=inputs)
        gemm = OUTPUT if layer == last else f"gemm{layer}"
        value = graph.node("Gemm", [value, weight, bias], gemm, transB=1)
        if layer != last:
            value = graph.node("Relu", [value], f"relu{layer}")
    return graph.model([widths[0]], [widths[-1]])


def gru(steps: int, features: int, hidden: int, classes: int, *, seed: int) -> onnx.ModelProto:
    """One GRU layer over `steps` rows of `features`, and a linear classifier: (rows, steps, features) to
    (rows, classes).
    """
    graph = _Graph(seed)
    graph.node("Transpose", [INPUT], "sequence", perm=[1, 0, 2])
    gates = graph.weight((1, 3 * hidden, features), fan_in=features)
    recurrence = graph.weight((1, 3 * hidden, hidden), fan_in=hidden)
    bias = graph.weight((1, 6 * hidden), fan_in=hidden)
    graph.nodes.append(helper.make_node("GRU", ["sequence", gates, recurrence, bias], ["", "last"], hidden_size=hidden))
    graph.node("Squeeze", ["last", graph.constant(np.array([0], np.int64))], "state")
    weight = graph.weight((classes, hidden), fan_in=hidden)
    graph.node("Gemm", ["state", weight, graph.weight((classes,), fan_in=hidden)], OUTPUT, transB=1)
    return graph.model([steps, features], [classes])


def convolutional(channels: Sequence[int], size: int, classes: int, *, seed: int) -> onnx.ModelProto:
    """Strided 3×3 convolutions with Relu, global average, a linear classifier: (rows, channels[0], size, size) to
    (rows, classes).
    """
    graph = _Graph(seed)
    value = INPUT
    for layer, (inputs, outputs) in enumerate(itertools.pairwise(channels)):
        kernel = graph.weight((outputs, inputs, 3, 3), fan_in=9 * inputs)
        bias = graph.weight((outputs,), fan_in=9 * inputs)
        value = graph.node("Conv", [value, kernel, bias], f"conv{layer}", strides=[2, 2], pads=[1, 1, 1, 1])
        value = graph.node("Relu", [value], f"relu{layer}")
    value = graph.node("GlobalAveragePool", [value], "pooled")
    value = graph.node("Flatten", [value], "features", axis=1)
    weight = graph.weight((classes, channels[-1]), fan_in=channels[-1])
    graph.node("Gemm", [value, weight, graph.weight((classes,), fan_in=channels[-1])], OUTPUT, transB=1)
    return graph.model([channels[0], size, size], [classes])


class _Graph:
    """Nodes and seeded weights under construction."""

    def __init__(self, seed: int) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self._random = np.random.default_rng(seed)

    def weight(self, shape: tuple[int, ...], *, fan_in: int) -> str:
        scale = np.sqrt(2.0 / fan_in)  # keeps activations in range through Relu layers (He et al. 2015)
        return self.constant((self._random.standard_normal(shape) * scale).astype(np.float32))

    def constant(self, value: npt.NDArray[Any]) -> str:
        name = f"w{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(value, name))
        return name

    def node(self, op: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(op, inputs, [output], **attributes))
        return output

    def model(self, inputs: list[int], outputs: list[int]) -> onnx.ModelProto:
        x = helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["rows", *inputs])
        y = helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["rows", *outputs])
        graph = helper.make_graph(self.nodes, "model", [x], [y], self.initializers)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
        onnx.checker.check_model(model)
        return model
