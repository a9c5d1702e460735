"""Without a control plane the tests that need one are skipped, loudly; where one is required they fail."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TREE = Path(__file__).parents[2]
TESTS = ["tests/cluster/test_bed.py", "tests/cluster/test_bed_lifeline.py"]
WORDS = "version or closing"  # one test that needs a cluster and one that does not


def run(cache: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """pytest in a process of its own that finds no binaries."""
    environment = {name: value for name, value in os.environ.items() if name != "TREADLE_REQUIRE_CLUSTER"}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *TESTS, "-k", WORDS]
    return subprocess.run(
        command,
        cwd=TREE,
        env={**environment, "XDG_CACHE_HOME": str(cache), **variables},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_they_are_skipped_and_one_line_says_so(tmp_path: Path) -> None:
    done = run(tmp_path)
    assert done.returncode == 0, done.stdout
    assert "1 passed, 1 skipped" in done.stdout
    lines = [line for line in done.stdout.splitlines() if "TESTS SKIPPED" in line]
    assert len(lines) == 1
    assert lines[0].startswith("tests/cluster: 1 TESTS SKIPPED, no control plane: kubectl, etcd")
    assert "make controlplane" in lines[0]


def test_a_required_cluster_that_is_absent_is_a_failure(tmp_path: Path) -> None:
    done = run(tmp_path, TREADLE_REQUIRE_CLUSTER="1")
    assert done.returncode == 1
    assert "1 passed" in done.stdout
    assert "1 error" in done.stdout
    assert "TREADLE_REQUIRE_CLUSTER=1, but no control plane" in done.stdout
