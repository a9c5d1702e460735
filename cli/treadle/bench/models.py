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


def embedding(vocabulary: int, width: int, tokens: int, classes: int, *, seed: int) -> onnx.ModelProto:
    """The mean of an embedding table's rows, and an MLP on it: (rows, tokens) of words as shares of the vocabulary
    (0 to below 1) to (rows, classes). Large weights, little arithmetic.
    """
    graph = _Graph(seed)
    bounds = [graph.constant(np.asarray(bound, np.float32)) for bound in (0.0, 0.999)]
    shares = graph.node("Clip", [INPUT, *bounds], "shares")
    words = graph.node("Mul", [shares, graph.constant(np.asarray(vocabulary, np.float32))], "words")
    words = graph.node("Cast", [words], "indices", to=TensorProto.INT64)
    value = graph.node("Gather", [graph.weight((vocabulary, width), fan_in=2), words], "embedded", axis=0)
    value = graph.node("ReduceMean", [value], "mean", axes=[1], keepdims=0)
    for layer in range(2):
        weight, bias = graph.weight((width, width), fan_in=width), graph.weight((width,), fan_in=width)
        value = graph.node("Gemm", [value, weight, bias], f"gemm{layer}")
        value = graph.node("Relu", [value], f"relu{layer}")
    graph.node("Gemm", [value, graph.weight((width, classes), fan_in=width)], OUTPUT)
    return graph.model([tokens], [classes])


def gru(hidden: int, steps: int, width: int, classes: int, *, seed: int) -> onnx.ModelProto:
    """A GRU over a sequence and a linear classifier on its last state: (rows, steps, width) to (rows, classes)."""
    graph = _Graph(seed)
    value = graph.node("Transpose", [INPUT], "sequence", perm=[1, 0, 2])
    weights = [
        graph.weight((1, 3 * hidden, width), fan_in=width),
        graph.weight((1, 3 * hidden, hidden), fan_in=hidden),
        graph.weight((1, 6 * hidden), fan_in=hidden),
    ]
    graph.nodes.append(helper.make_node("GRU", [value, *weights], ["", "last"], hidden_size=hidden))
    value = graph.node("Squeeze", ["last", graph.constant(np.asarray([0], np.int64))], "state")
    weight, bias = graph.weight((classes, hidden), fan_in=hidden), graph.weight((classes,), fan_in=hidden)
    graph.node("Gemm", [value, weight, bias], OUTPUT, transB=1)
    return graph.model([steps, width], [classes])


def resnet(depth: int, size: int = 224, classes: int = 1000, *, seed: int) -> onnx.ModelProto:
    """ResNet-18 or -50 (He et al. 2016, table 1), normalisation folded: (rows, 3, size, size) to (rows, classes)."""
    graph = _Graph(seed)
    value = graph.convolution(INPUT, 3, 64, 7, stride=2, relu=True)
    value = graph.node("MaxPool", [value], "stem", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    channels = 64
    for stage, blocks in enumerate({18: (2, 2, 2, 2), 50: (3, 4, 6, 3)}[depth]):
        width = 64 << stage
        wide = 4 * width if depth == 50 else width
        for block in range(blocks):
            stride = 2 if stage and not block else 1
            if depth == 50:
                inner = graph.convolution(value, channels, width, 1, relu=True)
                inner = graph.convolution(inner, width, width, 3, stride=stride, relu=True)
                inner = graph.convolution(inner, width, wide, 1)
            else:
                inner = graph.convolution(value, channels, width, 3, stride=stride, relu=True)
                inner = graph.convolution(inner, width, width, 3)
            if channels != wide:
                value = graph.convolution(value, channels, wide, 1, stride=stride)
            value = graph.node("Add", [inner, value], f"sum{stage}.{block}")
            value = graph.node("Relu", [value], f"block{stage}.{block}")
            channels = wide
    value = graph.node("GlobalAveragePool", [value], "pooled")
    value = graph.node("Flatten", [value], "features", axis=1)
    weight = graph.weight((classes, channels), fan_in=channels)
    graph.node("Gemm", [value, weight, graph.weight((classes,), fan_in=channels)], OUTPUT, transB=1)
    return graph.model([3, size, size], [classes])


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

    def convolution(
        self, value: str, inputs: int, filters: int, window: int, *, stride: int = 1, relu: bool = False
    ) -> str:
        """A square convolution that keeps the size, but for its stride; with its bias, and Relu where asked for."""
        fan_in = inputs * window**2
        weight, bias = (
            self.weight((filters, inputs, window, window), fan_in=fan_in),
            self.weight((filters,), fan_in=fan_in),
        )
        name = f"conv{len(self.nodes)}"
        pads = [window // 2] * 4
        value = self.node("Conv", [value, weight, bias], name, strides=[stride] * 2, pads=pads)
        return self.node("Relu", [value], f"{name}.relu") if relu else value

    def model(self, inputs: list[int], outputs: list[int]) -> onnx.ModelProto:
        x = helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["rows", *inputs])
        y = helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["rows", *outputs])
        graph = helper.make_graph(self.nodes, "model", [x], [y], self.initializers)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
        onnx.checker.check_model(model)
        return model
