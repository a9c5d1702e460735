"""All objects of a node's process are looked through for cycles seldom, and those of its start never."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import gc
from treadle_agent.node import collect_seldom

whole = []
gc.callbacks.append(lambda phase, info: whole.append(1) if phase == "start" and info["generation"] == 2 else None)
if {seldom}:
    collect_seldom()
    assert gc.get_freeze_count() > 10_000
else:
    gc.freeze()
kept = [[] for _ in range(400_000)]
print(len(whole))
"""


def collections(*, seldom: bool) -> int:
    """How often all objects are looked through while 400,000 come."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(seldom=seldom)], capture_output=True, text=True, check=True
    )
    return int(done.stdout)


def test_they_are_looked_through_seldom() -> None:
    assert collections(seldom=True) == 0
    assert collections(seldom=False) > 2
