"""What the heavy operators refuse, and that the message names it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from treadle_agent.program import ops
from treadle_agent.program.model import TensorType
from treadle_agent.program.ops.registry import Node, UnsupportedError, normalise

assert ops.__all__
IMAGE = TensorType("float32", (1, 2, 6, 6))
SIZES = np.array([1, 2, 4, 4], np.int64)
SEQUENCE = (TensorType("float32", (3, 1, 4)), TensorType("float32", (1, 15, 4)), TensorType("float32", (1, 15, 5)))


def _node(op: str, version: int, attributes: Mapping[str, Any], *types: TensorType, outputs: int = 1) -> Node:
    return Node(op, version, attributes, types, (None,) * len(types), (IMAGE,) * outputs)


def _resize(attributes: Mapping[str, Any], data: TensorType = IMAGE, sizes: Any = SIZES) -> Node:
    types = (data, None, None, TensorType("int64", (4,)))
    out = TensorType(data.dtype, (1, 2, 4, 4))
    return Node("Resize", 19, attributes, types, (None, None, None, sizes), (out,))


@pytest.mark.parametrize(
    ("node", "reason"),
    [
        (_node("MatMul", 13, {}, TensorType("uint8", (2, 2)), TensorType("uint8", (2, 2))), "uint8"),
        (_node("Gemm", 13, {}, TensorType("int32", (2, 2)), TensorType("int32", (2, 2))), "int32"),
        (_node("Gemm", 6, {}, IMAGE, IMAGE), "version 6"),
        (_node("Conv", 23, {}, IMAGE, IMAGE), "version 23"),
        (_node("Conv", 22, {"pads": [-1] * 4}, IMAGE, IMAGE), "negative pads"),
        (_node("Conv", 22, {"auto_pad": "SAME"}, IMAGE, IMAGE), "auto_pad SAME"),
        (_node("ConvTranspose", 22, {"pads": [-1] * 4}, IMAGE, IMAGE), "negative pads"),
        (_node("MaxPool", 22, {"kernel_shape": [2, 2]}, IMAGE, outputs=2), "Indices"),
        (_node("MaxPool", 22, {"kernel_shape": [2, 2]}, TensorType("int32", (1, 2, 6, 6))), "int32"),
        (_node("BatchNormalization", 15, {"training_mode": 1}, IMAGE), "training"),
        (_node("LayerNormalization", 17, {"stash_type": 10}, IMAGE), "stash_type"),
        (_node("GRU", 22, {"activations": ["Sigmoid", "Swish"]}, *SEQUENCE), "activation Swish"),
        (_node("GRU", 22, {"direction": "sideways"}, *SEQUENCE), "direction sideways"),
        (_resize({"mode": "cubic"}), "mode cubic"),
        (_resize({"mode": "linear"}, TensorType("uint8", (1, 2, 6, 6))), "uint8"),
        (_resize({"antialias": 1}), "antialias"),
        (_resize({"coordinate_transformation_mode": "tf_crop_and_resize", "mode": "linear"}), "roi"),
        (_resize({}, sizes=None), "sizes"),
    ],
    ids=lambda one: one.op if isinstance(one, Node) else one,
)
def test_a_refusal_names_what_is_asked_for(node: Node, reason: str) -> None:
    with pytest.raises(UnsupportedError, match=reason):
        normalise(node)
