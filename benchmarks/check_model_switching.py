"""Hold a result of `treadle simulate model-switching --paper` to the committed ranges: exit code 1 outside of them.

python benchmarks/check_model_switching.py [RESULT.json]

The simulation is seeded: the ranges are narrow, and there for changes of the policies, not of machines.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

import ranges
from check_expected import outside
from treadle.simulate.model_switching.report import Report

HERE = Path(__file__).parent
EXPECTED = HERE / "expected_model_switching.json"
RESULT = HERE / "results" / "model-switching.json"


def main(arguments: Sequence[str]) -> int:
    """Compare; say what is outside."""
    report = msgspec.json.decode((Path(arguments[0]) if arguments else RESULT).read_bytes(), type=Report)
    expected = ranges.read(EXPECTED)
    lines = outside(report, expected)
    print(*lines or [f"all of {len(expected)} figures lie in their ranges"], sep="\n")
    return bool(lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
