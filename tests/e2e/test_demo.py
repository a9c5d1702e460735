"""What `make demo-cluster` runs: tenants are seen at work, and Ctrl-C leaves nothing behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bed import guardian
from bed.cluster import TREE
from bed.eventually import eventually
from images.recipe import Image
from node.examples import TENANTS

pytestmark = pytest.mark.e2e

DEMO = (sys.executable, "-m", "node")
# What it is run by on a terminal of its own, whose keys are its stdin.
ON_A_TERMINAL = (sys.executable, "-c", "import pty, sys; sys.exit(pty.spawn(sys.argv[1:]) >> 8)")
PATH = os.pathsep.join(str(TREE / "tests" / name) for name in ("e2e", "cluster", "images", "objects"))
CTRL_C = b"\x03"
SCREEN, GIVEN_BACK = "\x1b[?1049h", "\x1b[?1049l"
UP = 240.0  # seconds
SEEN = 90.0


def has_rows(text: str) -> bool:
    """Whether the last tables have all tenants ready, with the rate of their requests."""
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text)
    return all(
        re.search(rf"{one.namespace} +{one.name} +[0-9.]+ .* True +True +1 .* node-1/host", plain) for one in TENANTS
    )


def press(demo: subprocess.Popen[bytes]) -> None:
    assert demo.stdin is not None
    demo.stdin.write(CTRL_C)
    demo.stdin.flush()


def interrupt(demo: subprocess.Popen[bytes]) -> None:
    demo.send_signal(signal.SIGINT)


@pytest.mark.parametrize(
    ("command", "end", "terminal"),
    [((*ON_A_TERMINAL, *DEMO), press, True), (DEMO, interrupt, False)],
    ids=["on a terminal", "into a file"],
)
def test_it_comes_up_shows_tenants_at_work_and_is_gone(
    binaries: Path,
    images: tuple[Image, ...],
    tmp_path: Path,
    command: tuple[str, ...],
    end: Callable[[subprocess.Popen[bytes]], None],
    terminal: bool,
) -> None:
    log = tmp_path / "log"
    environment = {**os.environ, "PYTHONPATH": PATH, "COLUMNS": "200", "LINES": "50"}
    with (
        log.open("wb") as output,
        subprocess.Popen(
            command, cwd=TREE, env=environment, stdin=subprocess.PIPE, stdout=output, stderr=subprocess.STDOUT
        ) as demo,
    ):
        try:
            eventually(lambda: demo.poll() is not None or "export KUBECONFIG=" in log.read_text(), UP)
            eventually(lambda: demo.poll() is not None or has_rows(log.read_text()), SEEN)
            end(demo)
            assert demo.wait(60.0) == 0
        finally:
            demo.kill()
            sys.stdout.write(log.read_text(errors="replace")[-5000:])  # which is shown if the test fails
    said = log.read_text(errors="replace")
    assert said.rstrip().endswith("nothing is left of it")
    assert (SCREEN in said, GIVEN_BACK in said) == (terminal, terminal)
    [folder] = re.findall(r"export KUBECONFIG=(/\S+?treadle-bed-\w+)/", said)
    assert not Path(folder).exists()
    assert guardian.control_groups(Path(folder).name) == [], "all that ran there was in them"
