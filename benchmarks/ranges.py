"""Committed ranges for the figures of a benchmark, by name. A figure that is too good is as wrong as a bad one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

Ranges = dict[str, tuple[float, float]]


def read(path: Path) -> Ranges:
    """The ranges of a file."""
    return msgspec.json.decode(path.read_bytes(), type=Ranges)


def outside(
    measured: Mapping[str, float | None], expected: Mapping[str, tuple[float, float]], source: str
) -> list[str]:
    """What lies outside its range, one line each; a figure and a range that lack each other are such too.

    A figure that was not measured, None, lies nowhere.
    """
    lines = [f"{name}: no such figure in the results" for name in expected if name not in measured]
    for name, value in measured.items():
        if name not in expected:
            lines.append(f"{name}: no range in {source}")
        elif value is not None and not expected[name][0] <= value <= expected[name][1]:
            low, high = expected[name]
            lines.append(f"{name}: {value:.3g} lies outside {low:g} to {high:g}")
    return lines
