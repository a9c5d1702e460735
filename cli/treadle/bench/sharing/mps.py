"""NVIDIA's Multi-Process Service, started for a benchmark and stopped after it, in a folder of its own.

Processes find the daemon by CUDA_MPS_PIPE_DIRECTORY, which is set for all of them: while none runs there, they share
the GPU in time-slices, whatever other daemon the machine has.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

from treadle_agent.program.forkserver import environment

CONTROL = "nvidia-cuda-mps-control"
PIPES, LOGS = "CUDA_MPS_PIPE_DIRECTORY", "CUDA_MPS_LOG_DIRECTORY"
TIMEOUT = 30.0  # seconds


class MpsError(Exception):
    """Raised when MPS cannot be used here; the message says why."""


def private_pipes(folder: Path) -> AbstractContextManager[None]:
    """Let processes that are started from now on look for a daemon in `folder` alone."""
    return environment(dict.fromkeys((PIPES, LOGS), str(folder)))


@contextmanager
def daemon() -> Iterator[None]:
    """Run the daemon; raises MpsError where there is none, or it is not permitted."""
    if shutil.which(CONTROL) is None:
        raise MpsError(f"there is no {CONTROL} here: it comes with the driver, and containers rarely have it")
    _control("-d")
    try:
        yield
    finally:
        _control(said="quit\n")


def check_used() -> None:
    """Raise MpsError unless the daemon serves somebody: processes that cannot reach it share in time-slices."""
    if not _control(said="get_server_list\n").strip():
        raise MpsError("the daemon runs, but no process uses it")


def _control(*options: str, said: str = "") -> str:
    """What the daemon's control program answers.

    Into files: a daemon that it starts may keep what it was given to write to, and the end of a pipe would not come.
    """
    with TemporaryFile("w+") as given, TemporaryFile("w+") as answer, TemporaryFile("w+") as errors:
        given.write(said)
        given.seek(0)
        try:
            done = subprocess.run(
                [CONTROL, *options], stdin=given, stdout=answer, stderr=errors, timeout=TIMEOUT, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise MpsError(f"{CONTROL}: {error}") from error
        answered, wrong = (_all(file) for file in (answer, errors))
    if done.returncode != 0:
        reason = (wrong or answered).strip() or f"exit status {done.returncode}"
        raise MpsError(f"{CONTROL} {' '.join(options) or said.strip()}: {reason}")
    return answered


def _all(file: IO[str]) -> str:
    file.seek(0)
    return file.read()
