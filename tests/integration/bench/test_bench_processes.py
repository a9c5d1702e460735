"""CPU time and memory are those of the whole process tree."""

import subprocess
import sys

import pytest

from treadle.bench.processes import descendants, usage

CHILD = """
import time
block = bytearray(64_000_000)
end = time.process_time() + 0.3
while time.process_time() < end: pass
print("x", flush=True)
input()
"""
PARENT = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {CHILD!r}])"


def test_a_child_counts():
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        parent.stdout.read(1)
        used = usage(parent.pid)
        assert len(descendants(parent.pid)) == 2
        assert used.cpu_seconds >= 0.3
        assert used.rss > 64_000_000
        assert 64_000_000 < used.pss <= used.rss
    finally:
        parent.communicate(b"\n", timeout=20)


def test_a_process_that_has_ended_is_told():
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    with pytest.raises(ProcessLookupError):
        usage(child.pid)
