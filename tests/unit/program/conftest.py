"""Small models as text, and what the loader makes of them in this process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx import numpy_helper

from treadle_agent.program import binding, lowering
from treadle_agent.program.errors import ModelError
from treadle_agent.program.limits import Limits
from treadle_agent.program.onnx_import import Source, read_model

Save = Callable[..., Path]


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """Write a model given in ONNX's text form, with arrays as its initializers; returns its path."""

    def write(text: str, weights: Mapping[str, np.ndarray] | None = None, opset: int = 17, name: str = "m") -> Path:
        model = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["": {opset}]>\n{text}')
        for key, value in (weights or {}).items():
            model.graph.initializer.append(numpy_helper.from_array(value, key))
        path = tmp_path / f"{name}.onnx"
        onnx.save_model(model, path)
        return path

    return write


@pytest.fixture
def read(save: Save) -> Callable[..., Source]:
    def reading(text: str, weights: Mapping[str, np.ndarray] | None = None, opset: int = 17) -> Source:
        return read_model(save(text, weights, opset), Limits())

    return reading


@pytest.fixture
def lower(read: Callable[..., Source]) -> Callable[..., lowering.Lowered]:
    """Lower a model given as text, bound to `shapes` or to one row."""

    def lowered(
        text: str,
        weights: Mapping[str, np.ndarray] | None = None,
        shapes: Mapping[str, tuple[int, ...]] | None = None,
        table: tuple[np.ndarray, ...] | None = None,
        opset: int = 17,
    ) -> lowering.Lowered:
        source = read(text, weights, opset)
        bound = shapes or source.static()
        assert bound is not None
        return lowering.lower(binding.bind(source, bound, Limits()), table)

    return lowered


@pytest.fixture
def reason(lower: Callable[..., lowering.Lowered]) -> Callable[..., str]:
    """Why a model is refused when it is read or bound to one row."""

    def refused(text: str, weights: Mapping[str, np.ndarray] | None = None, opset: int = 17) -> str:
        with pytest.raises(ModelError) as caught:
            lower(text, weights, opset=opset)
        return str(caught.value)

    return refused
