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


THREAD = """
import resource
from concurrent.futures import ThreadPoolExecutor
from treadle_agent import heap

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    b"x" * (64 << 20)  # more than a thread's own heap can have
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

with ThreadPoolExecutor(1) as early:
    if {early}:
        early.submit(faults).result()
    assert heap.keep_freed()
    with ThreadPoolExecutor(1) as thread:
        print([(early if {early} else thread).submit(faults).result() for _ in range(2)][1])
"""


def faults_of_a_thread(early: object) -> int:
    command = [sys.executable, "-c", THREAD.format(early=early)]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def test_threads_have_no_heap_of_their_own_if_they_come_later() -> None:
    assert faults_of_a_thread(False) < 100
    assert faults_of_a_thread(True) > 1000, "why `open_node` sets it first"


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
