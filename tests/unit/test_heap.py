"""What is freed stays with the process, up to a bound."""

from __future__ import annotations

import subprocess
import sys

import pytest

SCRIPT = """
import resource, sys
from pathlib import Path
from treadle_agent import heap

assert {keep} is None or heap.keep_freed() is True
PAGE, SIZE = 4096, 32 << 20


def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    b"x" * SIZE
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

faults()
again = faults()
before = resident()
many = [b"x" * (256 << 10) for _ in range(1600)]  # 400 MiB
del many
print(again, resident() - before)
"""


def run(keep: object) -> tuple[int, int]:
    done = subprocess.run([sys.executable, "-c", SCRIPT.format(keep=keep)], capture_output=True, text=True, check=True)
    faults, kept = map(int, done.stdout.split())
    return faults, kept


def test_a_block_is_made_once() -> None:
    faults, kept = run(True)
    assert faults < 100, "its pages are there"
    assert kept < (128 + 8) << 20, "the rest is given back"


def test_by_itself_it_is_not() -> None:
    faults, _ = run(None)
    if faults < 1000:
        pytest.skip("this C library keeps what is freed by itself")


HUGE = """
import re
from pathlib import Path
import numpy as np
from treadle_agent import heap

assert {small} is None or heap.small_pages() is True
array = np.ones(64 << 20, np.uint8)
print(re.search(r"AnonHugePages: +([0-9]+) kB", Path("/proc/self/smaps_rollup").read_text())[1])
"""


def huge(small: object) -> int:
    done = subprocess.run([sys.executable, "-c", HUGE.format(small=small)], capture_output=True, text=True, check=True)
    return int(done.stdout)


def test_no_huge_page_is_cleared() -> None:
    assert huge(True) == 0
    if not huge(None):
        pytest.skip("this kernel gives no huge pages")
