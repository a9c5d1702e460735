"""Trains the models of the example tenants: readers of scikit-learn's 8×8 digits, in three sizes.

    python examples/make_models.py [FOLDER]

Random features and a ridge regression on top; the accuracy on held-out digits is printed, and is what the manifests
promise, rounded down.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_digits

WIDTHS = {"large": 1024, "medium": 128, "small": 48}
TRAINING = 1200  # of the 1,797 digits; the rest are held out
SEED = 7


def train(width: int) -> tuple[onnx.ModelProto, float]:
    """A model with `width` hidden units, and its accuracy in percent."""
    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(SEED).permutation(len(images))
    images, labels = (images[order] / 16).astype(np.float32), labels[order]
    hidden = np.random.default_rng(width).normal(size=(64, width)).astype(np.float32) / 8
    features = np.maximum(images @ hidden, 0)
    known, wanted = features[:TRAINING].astype(np.float64), np.eye(10)[labels[:TRAINING]]
    readout = np.linalg.solve(known.T @ known + 0.03 * np.eye(width), known.T @ wanted).astype(np.float32)
    right = (features[TRAINING:] @ readout).argmax(axis=1) == labels[TRAINING:]
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["image", "hidden"], ["sums"]),
            helper.make_node("Relu", ["sums"], ["features"]),
            helper.make_node("MatMul", ["features", "readout"], ["scores"]),
        ],
        "digits",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 64])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", 10])],
        [numpy_helper.from_array(hidden, "hidden"), numpy_helper.from_array(readout, "readout")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return model, 100 * float(right.mean())


def main(folder: Path) -> None:
    """Write one model a width."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, width in WIDTHS.items():
        model, accuracy = train(width)
        onnx.save(model, folder / f"{name}.onnx")
        print(f"{folder / name}.onnx  {accuracy:.2f} %")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "models")
