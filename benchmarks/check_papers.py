"""Hold the results beside the papers to the committed ranges: exit code 1 when a ratio lies outside.

python benchmarks/check_papers.py
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec

from papers_figures import figures, read

EXPECTED = Path(__file__).parent / "expected_papers.json"


def outside(measured: Mapping[str, float], expected: Mapping[str, tuple[float, float]]) -> list[str]:
    """What lies outside its range, one line each; a figure and a range that lack each other are such too."""
    lines = [f"{name}: no such figure in the results" for name in expected if name not in measured]
    for name, value in measured.items():
        if name not in expected:
            lines.append(f"{name}: no range in {EXPECTED.name}")
        elif not expected[name][0] <= value <= expected[name][1]:
            low, high = expected[name]
            lines.append(f"{name}: {value:.3g} lies outside {low:g} to {high:g}")
    return lines


def main() -> int:
    """Compare; say what is outside."""
    expected = msgspec.json.decode(EXPECTED.read_bytes(), type=dict[str, tuple[float, float]])
    lines = outside(figures(read()), expected)
    print(*lines or [f"all of {len(expected)} ratios lie in their ranges"], sep="\n")
    return bool(lines)


if __name__ == "__main__":
    sys.exit(main())
