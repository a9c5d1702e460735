"""`treadle serve` with two tenants, one of which is attacked, and what its processes take of the memory."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bed.lifeline import Lifeline
from bed.program import Program
from hostile.models import scale, write
from hostile.tenants import FACTORS, INFER, manifest
from hostile.turns import Turns
from hostile.wire import exchange, request

LARGE = 1 << 20  # bytes of a body for the process that reads large ones


@dataclass(frozen=True)
class Server:
    """The program, where it listens, the folder of its manifests and models, a name for a control group, which ends
    with the server, what it notes of its event loop, and the processes that it began with: no attack may end one.
    The one for large bodies may be replaced; it begins with the first such body, which has come.
    """

    program: Program
    host: str
    port: int
    folder: Path
    group: str
    turns: Turns
    lasting: frozenset[int]

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    @property
    def processes(self) -> tuple[int, ...]:
        """The front end, and what it has started: the executor, and the server that forks loaders."""
        return tuple(_family(self.program.pid))

    def forget_peak(self) -> None:
        """Let the front end's and the executor's peaks of memory begin anew."""
        for pid in self.processes:
            Path(f"/proc/{pid}/clear_refs").write_text("5")  # proc(5): resets VmHWM
        self.turns.forget()

    @property
    def resident(self) -> int:
        """Bytes that the processes have in memory."""
        return sum(_status(pid, "VmRSS") for pid in self.processes)

    @property
    def peak(self) -> int:
        """The most that each had in memory since `forget_peak`, in all."""
        return sum(_status(pid, "VmHWM") for pid in self.processes)

    def serve_model(self, name: str, uri: str) -> None:
        """Add a tenant."""
        draft = self.folder / f".{name}"
        draft.write_text(manifest(name, uri))
        draft.rename(self.folder / f"{name}.yaml")

    def remove(self, name: str) -> None:
        """Take it away again."""
        (self.folder / f"{name}.yaml").unlink()


@contextmanager
def serving(folder: Path, *, spare: bool = False) -> Iterator[Server]:
    """The server, ready, in an empty folder; at its end it must stop in order, without a traceback in its output.

    It does not outlive this process, however that ends. `spare`: it takes of the processors what nobody else wants.
    """
    manifests = folder / "tenants"
    manifests.mkdir()
    for name, factor in FACTORS.items():
        write(manifests / f"{name}.onnx", scale(factor))
        (manifests / f"{name}.yaml").write_text(manifest(name, f"{name}.onnx"))
    turns = Turns(folder / "turns")
    command = ["chrt", "--idle", "0"] if spare else []
    command += [sys.executable, "-m", "hostile.turns", str(turns.file), "serve", "-f", str(manifests)]
    command += ["--port", "0", "--device", "host"]
    with Lifeline() as lifeline:
        environment = lifeline.environment(
            PYTHONPATH=os.pathsep.join(filter(None, sys.path)),  # where this process has its modules from
            XDG_CACHE_HOME=str(folder / "cache"),
            PYTHONUNBUFFERED="1",
            COLUMNS="300",
        )
        program = Program("treadle serve", command, environment, folder / "serve.log")
        program.start()
        try:
            found = program.wait_for(r"^ready: 2 of 2 tenants at http://(\S+):(\d+)", 90.0)
            lasting = frozenset(_family(program.pid))
            host, port = found[1], int(found[2])
            answer = asyncio.run(exchange(host, port, request(INFER, b" " * LARGE)))
            assert answer.status == 400, answer
            yield Server(program, host, port, manifests, lifeline.folder.name, turns, lasting)
            code = program.stop()
            assert code == 0, program.tail()
            assert "Traceback" not in program.output, program.tail(100)
        finally:
            program.kill()


def _family(pid: int) -> Iterator[int]:
    yield pid
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            yield from _family(int(child))


def _status(pid: int, field: str) -> int:
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):  # a loader that has ended
        return 0
    found = [line.split()[1] for line in text.splitlines() if line.startswith(f"{field}:")]
    return int(found[0]) * 1024 if found else 0
