"""Trains the models of the example tenants: readers of scikit-learn's 8×8 digits, in four sizes.

    python examples/make_models.py [FOLDER]

Random features, in one layer or two, and a ridge regression on top; the accuracy on held-out digits is printed, and
is what the manifests promise, rounded down.
"""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_digits

WIDTHS = {"deep": (2048, 2048), "large": (1024,), "medium": (128,), "small": (48,)}  # of the hidden layers
TRAINING = 1200  # of the 1,797 digits; the rest are held out
SEED = 7


def train(widths: tuple[int, ...]) -> tuple[onnx.ModelProto, float]:
    """A model with hidden layers of these widths, and its accuracy in percent."""
    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(SEED).permutation(len(images))
    features, labels = (images[order] / 16).astype(np.float32), labels[order]
    random = np.random.default_rng(widths[0])
    layers, nodes, last = [], [], "image"
    for index, (entering, width) in enumerate(itertools.pairwise((features.shape[1], *widths))):
        layer = random.normal(size=(entering, width)).astype(np.float32) / np.float32(np.sqrt(entering))
        features = np.maximum(features @ layer, 0)
        layers.append(numpy_helper.from_array(layer, f"hidden{index}"))
        nodes += [
            helper.make_node("MatMul", [last, f"hidden{index}"], [f"sums{index}"]),
            helper.make_node("Relu", [f"sums{index}"], [last := f"features{index}"]),
        ]
    known, wanted = features[:TRAINING].astype(np.float64), np.eye(10)[labels[:TRAINING]]
    readout = (known.T @ np.linalg.solve(known @ known.T + 0.03 * np.eye(TRAINING), wanted)).astype(np.float32)
    right = (features[TRAINING:] @ readout).argmax(axis=1) == labels[TRAINING:]
    graph = helper.make_graph(
        [*nodes, helper.make_node("MatMul", [last, "readout"], ["scores"])],
        "digits",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 64])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", 10])],
        [*layers, numpy_helper.from_array(readout, "readout")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return model, 100 * float(right.mean())


def main(folder: Path) -> None:
    """Write all models."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, widths in WIDTHS.items():
        model, accuracy = train(widths)
        onnx.save(model, folder / f"{name}.onnx")
        print(f"{folder / name}.onnx  {accuracy:.2f} %")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "models")
