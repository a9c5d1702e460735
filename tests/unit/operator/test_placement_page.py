"""docs/placement.md names every reason that there is."""

from __future__ import annotations

from pathlib import Path

import pytest

from treadle_operator.policy.devices import IGNORED_TAINTS
from treadle_operator.policy.plan import Reason
from treadle_operator.policy.slow_devices import MARK
from treadle_operator.snapshot import CAUSE_ANNOTATION, REPLACES_ANNOTATION, Cause
from treadle_operator.tenant_status import TenantCondition

PAGE = (Path(__file__).parents[3] / "docs" / "placement.md").read_text()
QUIET = {Reason.PLACED, Cause.ADMITTED, Cause.SCALED_UP}  # nothing is wrong, and nothing moves


@pytest.mark.parametrize("word", [*Reason, *Cause, *TenantCondition, CAUSE_ANNOTATION, REPLACES_ANNOTATION, MARK])
def test_every_reason_is_explained(word: str) -> None:
    assert word in QUIET or f"`{word}`" in PAGE


def test_every_accelerator_s_taint_is_named() -> None:
    accelerators = {key for key in IGNORED_TAINTS if not key.startswith("node.kubernetes.io/")}
    assert accelerators
    assert all(f"`{key}`" in PAGE for key in accelerators)
