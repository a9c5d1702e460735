"""Tiers stand in for each other only where clients cannot tell their inputs and outputs apart."""

from types import SimpleNamespace
from typing import Any

import pytest

from treadle_agent.agreement import difference
from treadle_agent.program.artifact import TensorSpec

IMAGE = TensorSpec("image", "float32", (-1, 64))
LABEL, SCORES = TensorSpec("label", "int64", (-1,)), TensorSpec("scores", "float32", (-1, 10))


def model(*, inputs: tuple[TensorSpec, ...] = (IMAGE,), outputs: tuple[TensorSpec, ...] = (LABEL, SCORES)) -> Any:
    return SimpleNamespace(inputs=inputs, outputs=outputs)


def test_models_of_one_interface_agree() -> None:
    assert difference(model(), model(), "large") == ""


@pytest.mark.parametrize(
    ("other", "told"),
    [
        (model(outputs=(SCORES, LABEL)), "its outputs are scores, label, those of tier large are label, scores"),
        (
            model(inputs=(TensorSpec("picture", "float32", (-1, 64)),)),
            "its inputs are picture, those of tier large are image",
        ),
        (
            model(inputs=(TensorSpec("image", "uint8", (-1, 64)),)),
            "its input image is uint8[any, 64], that of tier large is float32[any, 64]",
        ),
        (
            model(outputs=(LABEL, TensorSpec("scores", "float32", (-1, 12)))),
            "its output scores is float32[any, 12], that of tier large is float32[any, 10]",
        ),
    ],
)
def test_the_difference_is_told(other: Any, told: str) -> None:
    assert difference(model(), other, "large") == told
