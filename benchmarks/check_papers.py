"""Hold the results beside the papers to the committed ranges: exit code 1 when a ratio lies outside.

python benchmarks/check_papers.py
"""

from __future__ import annotations

import sys
from pathlib import Path

import ranges
from papers_figures import figures, read

EXPECTED = Path(__file__).parent / "expected_papers.json"


def main() -> int:
    """Compare; say what is outside."""
    expected = ranges.read(EXPECTED)
    lines = ranges.outside(figures(read()), expected, EXPECTED.name)
    print(*lines or [f"all of {len(expected)} ratios lie in their ranges"], sep="\n")
    return bool(lines)


if __name__ == "__main__":
    sys.exit(main())
