"""Classifiers that are trained in closed form: fixed random features, then ridge regression for the last layer.

Random features and a linear readout (Rahimi and Recht, 2007), flat or convolutional (Coates and Ng, 2011), are real
models with real accuracy that train in a fraction of a second, so that the demo needs no download and no GPU.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from treadle.demo.digits import CLASSES, PAGE, PIXELS, Digits

OPSET = 17
IR_VERSION = 9
INPUT = "image"
OUTPUT = "scores"

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Features:
    """Random features as a graph from INPUT (rows, `shape`) to "features" (rows, …, `width`)."""

    shape: tuple[int, ...]
    width: int
    nodes: tuple[onnx.NodeProto, ...]
    constants: Mapping[str, Array]


@dataclass(frozen=True, slots=True)
class Recipe:
    """How the models of one architecture are made; seeds and training digits make the tenants differ.

    `ridge` is the readout's regularisation, a share of the features' mean variance.
    """

    name: str
    features: Callable[[np.random.Generator], Features]
    ridge: float


@dataclass(frozen=True, slots=True)
class Trained:
    """A model, and the share of held-out digits it reads right (0..1)."""

    model: bytes
    accuracy: float


def train(recipe: Recipe, train_digits: Digits, held_out: Digits, seed: int) -> Trained:
    """Draw the features by `seed`, solve the readout on `train_digits`, and measure on `held_out`."""
    features = recipe.features(np.random.default_rng(seed))
    session = open_session(_model(features, {}))
    weights, bias = _readout(_run(session, features, train_digits.images), train_digits.labels, recipe.ridge)
    model = _model(features, {"readout": weights, "bias": bias})
    scores = _run(open_session(model), features, held_out.images)
    return Trained(model, float(np.mean(scores.argmax(axis=1) == held_out.labels)))


def open_session(model: bytes) -> onnxruntime.InferenceSession:
    """The model in ONNX Runtime, on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def dense(layers: Sequence[int], *, per_page: bool) -> Callable[[np.random.Generator], Features]:
    """Fully connected ReLU layers, on each digit of a page, or on single digits as rows."""

    def draw(random: np.random.Generator) -> Features:
        nodes, constants, value, width = [], {}, INPUT, PIXELS
        for index, units in enumerate(layers):
            last = index == len(layers) - 1
            matrix = random.normal(size=(width, units)) * 2.0 / np.sqrt(width)
            constants[f"w{index}"] = matrix.astype(np.float32)
            # Ridge alone cannot move a threshold: spread them around the mean activation of an average digit.
            offset = random.uniform(-1.0, 1.0, units) - 0.3 * matrix.sum(axis=0)
            constants[f"b{index}"] = offset.astype(np.float32)
            result = "features" if last else f"h{index}"
            nodes += [
                helper.make_node("MatMul", [value, f"w{index}"], [f"m{index}"]),
                helper.make_node("Add", [f"m{index}", f"b{index}"], [f"a{index}"]),
                helper.make_node("Relu", [f"a{index}"], [result]),
            ]
            value, width = result, units
        return Features((PAGE, PIXELS) if per_page else (PIXELS,), width, tuple(nodes), constants)

    return draw


def convolutional(filters: Sequence[int], *, pool: int) -> Callable[[np.random.Generator], Features]:
    """3×3 convolutions with ReLU, a layer for each number of `filters`, then average pooling, for each digit."""
    width = filters[-1] * (8 // pool) ** 2

    def draw(random: np.random.Generator) -> Features:
        constants: dict[str, Array] = {
            "digits": np.array([-1, 1, 8, 8], dtype=np.int64),
            "page": np.array([-1, PAGE, width], dtype=np.int64),
        }
        nodes, value, channels = [helper.make_node("Reshape", [INPUT, "digits"], ["ink"])], "ink", 1
        for index, count in enumerate(filters):
            kernels = random.normal(size=(count, channels, 3, 3))
            if index == 0:
                kernels -= kernels.mean(axis=(2, 3), keepdims=True)  # edges count, ink does not
            kernels /= np.sqrt((kernels**2).sum(axis=(1, 2, 3), keepdims=True))
            constants[f"k{index}"] = kernels.astype(np.float32)
            nodes += [
                helper.make_node("Conv", [value, f"k{index}"], [f"c{index}"], pads=[1, 1, 1, 1]),
                helper.make_node("Relu", [f"c{index}"], [f"r{index}"]),
            ]
            value, channels = f"r{index}", count
        nodes += [
            helper.make_node("AveragePool", [value], ["pooled"], kernel_shape=[pool, pool], strides=[pool, pool]),
            helper.make_node("Reshape", ["pooled", "page"], ["features"]),
        ]
        return Features((PAGE, PIXELS), width, tuple(nodes), constants)

    return draw


def _model(features: Features, readout: Mapping[str, Array]) -> bytes:
    """The features alone, or with the readout from them to OUTPUT (rows, …, CLASSES)."""
    nodes, name, width = list(features.nodes), "features", features.width
    if readout:
        nodes.append(helper.make_node("MatMul", ["features", "readout"], ["raw"]))
        nodes.append(helper.make_node("Add", ["raw", "bias"], [OUTPUT]))
        name, width = OUTPUT, CLASSES
    graph = helper.make_graph(
        nodes,
        "digits",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["rows", *features.shape])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", *features.shape[:-1], width])],
        [numpy_helper.from_array(value, key) for key, value in {**features.constants, **readout}.items()],
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="treadle demo"
    )
    onnx.checker.check_model(model, full_check=True)
    serialized: bytes = model.SerializeToString()
    return serialized


def _run(session: onnxruntime.InferenceSession, features: Features, images: Array) -> Array:
    """The session's result for each image: (N, width); the last page is filled up with blanks.

    A page at a time: what lies between two layers of all images together does not fit a cache.
    """
    per_row = int(np.prod(features.shape)) // PIXELS
    step = max(PAGE, per_row)
    padded = np.zeros((-(-len(images) // step) * step, PIXELS), np.float32)
    padded[: len(images)] = images
    shape = (step // per_row, *features.shape)
    results = [
        session.run(None, {INPUT: padded[begin : begin + step].reshape(shape)})[0].reshape(step, -1)
        for begin in range(0, len(padded), step)
    ]
    flat: Array = np.concatenate(results)[: len(images)]
    return flat


def _readout(features: Array, labels: Array, ridge: float) -> tuple[Array, Array]:
    """Ridge regression onto one-hot labels: weights (width, CLASSES) and bias (CLASSES,), float32.

    Solved in the smaller of the two spaces, digits or features.
    """
    centre = features.mean(axis=0, dtype=np.float64)
    centred = features - centre.astype(np.float32)
    targets = np.eye(CLASSES)[labels]
    mean = targets.mean(axis=0)
    count, width = centred.shape
    if width < count:
        gram = centred.T @ centred
        gram[np.diag_indices(width)] += ridge * np.trace(gram) / width
        weights = np.linalg.solve(gram, centred.T @ (targets - mean))
    else:
        gram = centred @ centred.T
        gram[np.diag_indices(count)] += ridge * np.trace(gram) / count
        weights = centred.T @ np.linalg.solve(gram, targets - mean)
    return weights.astype(np.float32), (mean - centre @ weights).astype(np.float32)
