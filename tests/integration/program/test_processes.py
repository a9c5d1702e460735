"""What a process of ours carries, seen from a fresh interpreter."""

from __future__ import annotations

import subprocess
import sys


def fresh(script: str) -> str:
    command = [sys.executable, "-c", script]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout.strip()


def test_the_loader_does_not_bring_onnx_runtime_into_its_process() -> None:
    script = "import sys, treadle_agent.program.loader; print(sorted({'onnx', 'onnxruntime'} & set(sys.modules)))"
    assert fresh(script) == "[]"


def test_onnx_runtime_neither_reports_nor_runs_a_thread_that_a_fork_would_tear() -> None:
    script = """
import os
os.environ["OPENBLAS_NUM_THREADS"] = "1"
import treadle_agent
from treadle_agent.program import compilation
print(os.environ["ORT_DISABLE_TELEMETRY"], len(os.listdir("/proc/self/task")))
"""
    assert fresh(script) == "1 1"
