from __future__ import annotations

from pathlib import Path

from treadle_agent.program.ops.reference import PAGE, markdown
from treadle_agent.program.ops.registry import NORMALISE

ROOT = Path(__file__).parents[3]


def test_the_page_of_operators_is_fresh() -> None:
    assert (ROOT / PAGE).read_text() == markdown(), f"run python -m treadle_agent.program.ops.reference {PAGE}"


def test_every_operator_has_a_line_with_its_versions() -> None:
    page = markdown()
    assert all(f"| [{name}](" in page for name in NORMALISE)
    assert "onnx__Softmax.html) | 11, 13 |" in page
