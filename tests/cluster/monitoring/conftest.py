"""Prometheus and promtool, as they are built beside the control plane."""

from __future__ import annotations

from pathlib import Path

import pytest

from bed.cluster import TREE


@pytest.fixture(scope="session")
def rules() -> Path:
    """The chart's rules."""
    return TREE / "charts" / "treadle" / "files" / "monitoring" / "rules.yaml"
