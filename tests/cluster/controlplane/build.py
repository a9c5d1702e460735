"""Builds one component: fetch its modules, compile, move into place."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from controlplane.components import MODULES, Component
from controlplane.errors import BuildError, UnavailableError
from controlplane.toolchain import Tell, go_environment

ENDING = 5.0  # seconds that Go is given to end
HEARTBEAT = 10.0  # seconds between two lines of progress
LAST_WORDS = 12  # lines of Go's that an error quotes
# Go says these of a go.mod or go.sum that is wrong; anything else that fails while fetching is out of reach.
FAULTS_OF_THE_TREE = ("go.sum", "go.mod", "SECURITY ERROR", "no required module provides", "malformed")


def build(component: Component, go: Path, folder: Path, tell: Tell) -> None:
    """Build `component` into `folder`, where it appears at once and whole.

    Raises:
        UnavailableError: its modules cannot be fetched.
        BuildError: it does not compile, or its go.mod or go.sum is wrong.
    """
    start = time.monotonic()

    def say(what: str) -> None:
        tell(f"{component.name:<24} {time.monotonic() - start:4.0f} s  {what}")

    say("fetching modules")
    tags = [f"-tags={','.join(component.tags)}"]
    code, packages, said = _run([go, "list", *tags, "-deps", component.package], component, "modules fetched", say)
    if code != 0:
        words = "\n".join(said[-LAST_WORDS:])
        if any(sign in words for sign in FAULTS_OF_THE_TREE):
            raise BuildError(f"the modules of {component.name} do not fit its go.mod and go.sum:\n{words}")
        raise UnavailableError(f"the modules of {component.name} cannot be fetched:\n{words}")
    say(f"compiling {len(packages)} packages")
    with tempfile.TemporaryDirectory(dir=folder, prefix=".building-") as scratch:
        made = Path(scratch) / component.name
        flags = [*tags, "-v", "-trimpath", "-ldflags", " ".join(component.linker_flags)]
        code, _, said = _run([go, "build", *flags, "-o", made, component.package], component, "packages compiled", say)
        if code != 0:
            raise BuildError(f"{component.name} does not build:\n" + "\n".join(said[-LAST_WORDS:]))
        made.replace(folder / component.name)
    say("done")


def _run(
    command: Sequence[str | Path], component: Component, counted: str, say: Tell
) -> tuple[int, list[str], list[str]]:
    """Exit code and the lines of both outputs; meanwhile says how many lines the second has had."""
    output: list[str] = []
    errors: list[str] = []
    with subprocess.Popen(
        command,
        cwd=MODULES / component.module,
        env=go_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        streams = ((process.stdout, output), (process.stderr, errors))
        readers = [
            threading.Thread(target=lambda stream, lines: lines.extend(map(str.rstrip, stream)), args=pair)
            for pair in streams
        ]
        for reader in readers:
            reader.start()
        try:
            while True:
                try:
                    code = process.wait(HEARTBEAT)
                    break
                except subprocess.TimeoutExpired:
                    say(f"{len(errors)} {counted}")
        except BaseException:
            _end(process)
            raise
        finally:
            for reader in readers:
                reader.join()
    return code, output, errors


def _end(process: subprocess.Popen[str]) -> None:
    """End Go and its compilers; told by SIGINT, it removes its scratch folder."""
    os.killpg(process.pid, signal.SIGINT)
    try:
        process.wait(ENDING)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
