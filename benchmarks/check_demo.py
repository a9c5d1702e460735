"""Run `make demo` and judge it by its figures; exit code 1 when anything failed or was left out.

    python benchmarks/check_demo.py [OPTION OF treadle demo …]

The demo fails, too, where choosing the tier earned less in the spike than another way, and where it took longer than
promised: short runs on a machine with neighbours may disappoint so. Where that is all that failed, the demo has another
try.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec

DISAPPOINTING = ("in the spike ", "too slow: ")  # how the failures begin that neighbours may cause
REAL = "files"  # the tenant whose model is downloaded: magika
TRIES = 3


class Tenant(msgspec.Struct):
    """A tenant that was served."""

    name: str


class Figures(msgspec.Struct):
    """What of the demo's --json is judged."""

    failures: list[str]
    missing: list[str]
    tenants: list[Tenant]


def wrong(figures: Figures) -> list[str]:
    """What failed, and what was left out: continuous integration must have all of it."""
    found = [*figures.failures, *figures.missing]
    if REAL not in {tenant.name for tenant in figures.tenants}:
        found.append(f"no tenant {REAL!r} was served: magika, which the package index has, is part of the demo")
    return found


def play(options: Sequence[str], figures: Path) -> list[str]:
    """What was wrong with one `make demo` that writes its `figures`."""
    figures.unlink(missing_ok=True)
    command = ["make", "demo", f"DEMO_ARGS={shlex.join([*options, '--json', str(figures)])}"]
    status = subprocess.run(command, check=False).returncode
    if not figures.exists():
        return [f"the demo ended with exit status {status} and wrote no figures"]
    found = wrong(msgspec.json.decode(figures.read_bytes(), type=Figures))
    return found or ([f"the demo ended with exit status {status}"] if status else [])


def main(options: Sequence[str]) -> int:
    """Play until nothing is wrong, something is that no other try excuses, or tries are used up."""
    with tempfile.TemporaryDirectory(prefix="treadle-demo-") as folder:
        for attempt in range(1, TRIES + 1):
            found = play(options, Path(folder, "figures.json"))
            for line in found:
                print(f"try {attempt} of {TRIES}: {line}", flush=True)
            if not all(line.startswith(DISAPPOINTING) for line in found):
                return 1
            if not found:
                return 0
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
