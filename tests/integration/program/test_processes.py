"""What the processes of a loader carry, and how they end, seen from outside."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


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


CALLER = """
import sys
from pathlib import Path
from treadle_agent.program.limits import Limits
from treadle_agent.program.loader import Loader
try:
    print("compiling", flush=True)
    Loader(Path(sys.argv[1]), Limits(wall_seconds=60)).compile(Path(sys.argv[2]))
    print("compiled", flush=True)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


def others(group: int) -> dict[int, int]:
    """Live processes of a process group beside its leader, each with its parent."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != group:
            try:
                state, parent, member_of = (entry / "stat").read_text().rpartition(")")[2].split()[:3]
            except OSError:
                continue
            if int(member_of) == group and state != "Z":
                found[int(entry.name)] = int(parent)
    return found


def loading(group: int) -> list[int]:
    """The loader's children: those that the fork server made, rather than the caller."""
    family = others(group)
    return [process for process, parent in family.items() if parent in family]


def wait(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "condition not met in time"
        time.sleep(0.01)


def ignores_ctrl_c(process: int) -> bool:
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{process}/status").read_text().splitlines())
    return bool(int(fields["SigBlk"], 16) >> (signal.SIGINT - 1) & 1)


@contextmanager
def compiling(model: Path, cache: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that compiles a model, caught while a child of the loader runs."""
    caller = subprocess.Popen(
        [sys.executable, "-c", CALLER, str(cache), str(model)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    with caller:
        assert caller.stdout is not None
        assert caller.stdout.readline() == "compiling\n"
        wait(lambda: bool(loading(caller.pid)))
        yield caller
    wait(lambda: not others(caller.pid))


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGKILL])
def test_nothing_outlives_the_caller(endless: Path, tmp_path: Path, signal_number: signal.Signals) -> None:
    with compiling(endless, tmp_path / "cache") as caller:
        if signal_number == signal.SIGINT:
            os.killpg(caller.pid, signal_number)  # as a terminal does
        else:
            caller.kill()
        out, err = caller.communicate(timeout=10)
        assert out == ("interrupted\n" if signal_number == signal.SIGINT else "")
        assert err == ""


def test_ctrl_c_is_the_callers_to_answer(mlp: Callable[..., Path], tmp_path: Path) -> None:
    with compiling(mlp((1024, 2048, 1024)), tmp_path / "cache") as caller:
        (child,) = loading(caller.pid)
        wait(lambda: ignores_ctrl_c(child))
        for process in others(caller.pid):
            os.kill(process, signal.SIGINT)
        out, _ = caller.communicate(timeout=60)
        assert out == "compiled\n"
