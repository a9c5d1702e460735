"""One fork server for every process this agent starts: a child begins with NumPy, onnx and ONNX Runtime imported.

A child then costs tens of milliseconds instead of half a second, and no thread of the agent is copied by a fork.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from multiprocessing import connection, forkserver, resource_tracker
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from types import ModuleType

PRELOAD = (
    "numpy",
    "onnx.checker",
    "onnx.shape_inference",
    "onnxruntime",
    "treadle_agent.program.compilation",
    "treadle_agent.executor.worker",
    "treadle_agent.frontend.large_json",
)
# Read once, when the libraries start: threads of a pool would be lost in the fork, and a kernel owns one thread.
SINGLE_THREADED = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}

_starting = threading.Lock()


def context() -> ForkServerContext:
    """The multiprocessing context all children come from; the first call starts the server."""
    chosen = multiprocessing.get_context("forkserver")
    with _starting, single_threaded(), _interrupts_blocked():
        chosen.set_forkserver_preload(list(PRELOAD))
        forkserver.ensure_running()
    return chosen


def start(process: BaseProcess) -> None:
    """Start a process made by `context()` whose target lies in an importable module.

    multiprocessing re-imports the caller's main module in every child, which here costs more than the child itself;
    our targets never lie there.
    """
    with _starting, single_threaded(), _interrupts_blocked():
        main = sys.modules["__main__"]
        sys.modules["__main__"] = ModuleType("__main__")
        try:
            process.start()
        finally:
            sys.modules["__main__"] = main


def follow_parent() -> None:
    """In a child: die when the parent dies, however it dies.

    PR_SET_PDEATHSIG would watch the fork server, which outlives the parent as long as a child does.
    """
    parent = multiprocessing.parent_process()
    assert parent is not None, "follow_parent is for child processes"

    def watch(sentinel: int) -> None:
        connection.wait([sentinel])
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, args=(parent.sentinel,), name="parent-watch", daemon=True).start()


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """The server and its children inherit the mask: Ctrl-C reaches them too, and the parent answers it for all.

    A handler set in the child would leave its first moments open, in which Python still raises KeyboardInterrupt.
    """
    resource_tracker.ensure_running()  # it unblocks the signal after its own start
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """Processes that are spawned meanwhile have these variables."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def single_threaded() -> AbstractContextManager[None]:
    """Processes that are spawned meanwhile keep linear algebra to one thread."""
    return environment(SINGLE_THREADED)
