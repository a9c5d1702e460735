"""Hold a result of `treadle bench switching` to the committed ranges: exit code 1 outside of them.

python benchmarks/check_switching.py [RESULT.json]

Points are differences within one run and one deadline, so that they hold on any machine that has nothing else to do.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

import ranges
from check_expected import outside
from treadle.bench.switching.report import Report

HERE = Path(__file__).parent
EXPECTED = HERE / "expected_switching.json"
RESULT = HERE / "results" / "switching.json"


def main(arguments: Sequence[str]) -> int:
    """Compare; say what is outside."""
    report = msgspec.json.decode((Path(arguments[0]) if arguments else RESULT).read_bytes(), type=Report)
    expected = ranges.read(EXPECTED)
    lines = outside(report, expected)
    print(*lines or [f"all of {len(expected)} figures lie in their ranges"], sep="\n")
    return bool(lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
