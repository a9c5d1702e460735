"""A loader whose children are real, and models to give it."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from treadle_agent.program.limits import Limits
from treadle_agent.program.loader import Loader

MIB = 1 << 20


@pytest.fixture
def loader(tmp_path: Path) -> Loader:
    """Limits low enough that a hostile model meets them within seconds."""
    return Loader(tmp_path / "cache", Limits(memory_bytes=512 * MIB, cpu_seconds=20, wall_seconds=30.0))


@pytest.fixture
def mlp(tmp_path: Path) -> Callable[..., Path]:
    """Write an MLP of some widths, seeded."""

    def write(widths: tuple[int, ...] = (16, 8, 4), seed: int = 0, name: str = "mlp") -> Path:
        generator = np.random.default_rng(seed)
        nodes, weights, last = [], [], "x"
        for index, (fan_in, fan_out) in enumerate(pairwise(widths)):
            matrix = generator.standard_normal((fan_in, fan_out), dtype=np.float32) / np.float32(fan_in**0.5)
            weights.append(numpy_helper.from_array(matrix, f"w{index}"))
            nodes.append(helper.make_node("MatMul", [last, f"w{index}"], [f"m{index}"]))
            nodes.append(helper.make_node("Relu", [f"m{index}"], [f"r{index}"]))
            last = f"r{index}"
        nodes.append(helper.make_node("Softmax", [last], ["y"], axis=-1))
        ports = [
            helper.make_tensor_value_info(label, TensorProto.FLOAT, ["rows", width])
            for label, width in (("x", widths[0]), ("y", widths[-1]))
        ]
        graph = helper.make_graph(nodes, "mlp", ports[:1], ports[1:], weights)
        model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
        path = tmp_path / f"{name}.onnx"
        onnx.save_model(model, path)
        return path

    return write


@pytest.fixture
def text_model(tmp_path: Path) -> Callable[[str], Path]:
    """Write a model given in ONNX's text form."""

    def write(text: str) -> Path:
        path = tmp_path / "text.onnx"
        onnx.save_model(onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["": 17]> {text}'), path)
        return path

    return write
