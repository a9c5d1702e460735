"""docs/cluster.md does what it says: its commands are run one after another, as they stand."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bed.cluster import TREE
from bed.program import Program

PAGE = TREE / "docs" / "cluster.md"
COMMAND = "make cluster"


@pytest.fixture
def bed(binaries: Path, tmp_path: Path) -> Iterator[Program]:
    """What `make cluster` runs, once Make has seen to the environment and the binaries."""
    environment = {**os.environ, "PYTHONPATH": str(TREE / "tests" / "cluster"), "PYTHONUNBUFFERED": "1"}
    program = Program("make cluster", [sys.executable, "-m", "bed"], environment, tmp_path / "log", TREE)
    program.start()
    yield program
    program.kill()


def in_a_shell(*lines: str) -> subprocess.CompletedProcess[str]:
    script = "\n".join(["set -euo pipefail", *lines])
    return subprocess.run(
        ["bash", "-x", "-c", script], cwd=TREE, capture_output=True, text=True, timeout=250, check=False
    )


def test_the_commands_of_the_page_work_in_turn(bed: Program, eventually) -> None:
    first, *blocks = re.findall(r"^```sh\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert first.strip() == COMMAND
    export = bed.wait_for(r"^export KUBECONFIG=\S+ PATH=.*$", seconds=90).group()

    done = in_a_shell(export, *blocks)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr[-3000:]}\n{bed.output}"
    assert re.search(r"^under-load +100ms +True +True", done.stdout, re.MULTILINE)
    assert "answered by medium" in done.stdout
    eventually(lambda: "No resources found" in in_a_shell(export, "kubectl get it,ir").stderr, seconds=15)

    processes = [int(process) for process in re.findall(r"process (\d+)", bed.output)]
    assert len(processes) == 3
    bed.signal(signal.SIGINT)
    assert bed.wait(60) == 0
    eventually(lambda: not any(Path(f"/proc/{process}").exists() for process in processes))
    folder = Path(export.split("KUBECONFIG=")[1].split()[0]).parents[1]
    eventually(lambda: not folder.exists())
