"""The loader: an untrusted ONNX file becomes an artifact folder, compiled in a child process under limits."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from multiprocessing import connection
from multiprocessing.process import BaseProcess
from pathlib import Path

import msgspec

from treadle_agent.program import forkserver
from treadle_agent.program.artifact import ARTIFACT_VERSION, binding_key, read_artifact, read_program, read_refused
from treadle_agent.program.errors import ModelError, Triple
from treadle_agent.program.jobs import STATUS_BYTES, BindJob, CompileJob, Job, Status, work
from treadle_agent.program.limits import Limits, check_size, death_message, time_message
from treadle_agent.program.model import Program, Shape
from treadle_agent.program.processor import processor

_decode_status = msgspec.msgpack.Decoder(Status).decode  # made by one thread: see `artifact`

WORK = ".work-"
ABANDONED_SECONDS = 3600.0
_STOPPING = "treadle is stopping"
_UNWANTED = "nobody wants this model any more"
_SLICE = 1.0  # seconds


class Loader:
    """Compiles models into artifact folders under `cache`; a finished folder is found again by content.

    Any number of threads and processes may compile the same model at once: each works in a folder of its own, and the
    first to rename it wins.
    """

    def __init__(self, cache: Path, limits: Limits | None = None, alone: Path | None = None) -> None:
        """`alone`: a folder whose models have nothing to do with each other, since they were fetched for anybody."""
        self._cache = cache
        self._alone = alone
        self._limits = limits or Limits()
        self._lock = threading.Lock()  # for the two below
        self._children: set[BaseProcess] = set()
        self._closed = False

    def close(self) -> None:
        """End the children at once, and start no more: the calls that wait for one raise ModelError."""
        with self._lock:
            self._closed = True
            for child in self._children:
                child.kill()

    def compile(
        self, model: Path, bindings: Sequence[Mapping[str, Shape]] = (), *, unwanted: threading.Event | None = None
    ) -> Path:
        """The artifact folder of a model, compiled where it is not known yet. Blocks for seconds.

        Args:
            model: the ONNX file; external data must lie in its folder.
            bindings: shapes of all inputs to compile programs for at once, beside the one with a single row.
            unwanted: set by another thread, it ends this within about a second.

        Raises:
            ModelError: the model cannot be served; the message is for its owner.
        """
        shapes = tuple({name: tuple(shape) for name, shape in binding.items()} for binding in bindings)
        self._cache.mkdir(mode=0o700, parents=True, exist_ok=True)
        digest = _digest(model, self._limits)
        name = _folder_name(digest, shapes)
        for folder in sorted(self._cache.glob(f"{name}*")):
            if is_whole(folder, digest, model.parent):
                return folder
        self._sweep()
        with tempfile.TemporaryDirectory(prefix=WORK, dir=self._cache, ignore_cleanup_errors=True) as work_folder:
            made = Path(work_folder) / "artifact"
            made.mkdir()
            self._run(CompileJob(str(model), str(made), digest, shapes, model.parent == self._alone), unwanted)
            if not is_whole(made, digest, model.parent):
                raise ModelError("the model changed while it was compiled, or the disk is full; try again")
            external = read_artifact(made).external
            final = self._cache / (name + (f"-{_short_digest(sorted(external.items()))}" if external else ""))
            _publish(made, final, digest, model.parent)
        return final

    def bind(self, artifact_folder: Path, shapes: Mapping[str, Shape]) -> Program:
        """The program for one more binding of all inputs' shapes, compiled where it is not known yet.

        Where kernels may not run for these shapes the folder keeps a `Refused` instead of the program: what is
        returned then says the types of inputs and outputs, and the segments run.

        Raises:
            ModelError: the model does not accept the shapes; the message says why.
        """
        key = binding_key(shapes)
        found = _find(artifact_folder, key)
        if found is None:
            self._run(BindJob(str(artifact_folder), {name: tuple(shape) for name, shape in shapes.items()}))
            found = _find(artifact_folder, key)
        if found is None:
            raise ModelError("the program could not be kept: the disk is full, or the artifact folder was removed")
        return found

    def _sweep(self) -> None:
        """Remove what callers left that were killed while they compiled."""
        for folder in self._cache.glob(f"{WORK}*"):
            try:
                abandoned = time.time() - folder.stat().st_mtime > ABANDONED_SECONDS
            except FileNotFoundError:  # its owner has finished
                continue
            if abandoned:
                shutil.rmtree(folder, ignore_errors=True)

    def _run(self, job: Job, unwanted: threading.Event | None = None) -> None:
        """Do `job` in a child, which does not outlive this call."""
        _check_wanted(unwanted)
        context = forkserver.context()
        receiver, sender = context.Pipe(duplex=False)
        child = context.Process(target=work, args=(sender, self._limits, job), name="treadle-loader", daemon=True)
        with receiver:
            try:
                forkserver.start(child)
                sender.close()
                self._enlist(child)
                _wait([receiver, child.sentinel], self._limits, unwanted)
                status = _receive(receiver)
                if status is None and self._closed:
                    raise ModelError(_STOPPING)
                if status is None:
                    child.join(timeout=1.0)
                    raise ModelError(death_message(child.exitcode, self._limits))
            finally:
                with self._lock:
                    self._children.discard(child)
                if child.pid is not None:
                    child.kill()
                    child.join()
                    child.close()
        if status.error:
            raise ModelError(status.error, tuple(Triple(*one) for one in status.unsupported))

    def _enlist(self, child: BaseProcess) -> None:
        with self._lock:
            if self._closed:
                raise ModelError(_STOPPING)
            self._children.add(child)


def _wait(objects: Sequence[connection.Connection | int], limits: Limits, unwanted: threading.Event | None) -> None:
    """Until one of the objects is ready; raises ModelError where that takes too long, or is not wanted any more.

    A signal that comes between Python's last look for one and the wait itself is answered after that wait only, so
    that it must not be a long one: else Ctrl-C may take as long as the limit.
    """
    end = time.monotonic() + limits.wall_seconds
    while not connection.wait(objects, timeout=max(0.0, min(_SLICE, end - time.monotonic()))):
        _check_wanted(unwanted)
        if time.monotonic() >= end:
            raise ModelError(time_message(limits))


def _check_wanted(unwanted: threading.Event | None) -> None:
    if unwanted is not None and unwanted.is_set():
        raise ModelError(_UNWANTED)


def _find(folder: Path, key: str) -> Program | None:
    program = read_program(folder, key)
    if program is None:
        refused = read_refused(folder, key)
        program = refused.program if refused else None
    return program


def is_whole(folder: Path, model_sha256: str, model_folder: Path) -> bool:
    """Whether `folder` holds an undamaged artifact of this model, and of the external data beside the model."""
    try:
        artifact = read_artifact(folder)
        return (
            artifact.version == ARTIFACT_VERSION
            and artifact.model_sha256 == model_sha256
            and all(_sha256(folder / name) == expected for name, expected in artifact.checksums.items())
            and all(_sha256(model_folder / name) == expected for name, expected in artifact.external.items())
        )
    except (OSError, msgspec.MsgspecError):
        return False


def _publish(made: Path, final: Path, model_sha256: str, model_folder: Path) -> None:
    try:
        made.rename(final)
    except OSError:  # it exists: made by another process meanwhile, or damaged
        if is_whole(final, model_sha256, model_folder):
            return
        final.rename(made.with_name("damaged"))
        _publish(made, final, model_sha256, model_folder)


def _receive(receiver: connection.Connection[object, object]) -> Status | None:
    try:
        return _decode_status(receiver.recv_bytes(maxlength=STATUS_BYTES))
    except (EOFError, OSError, msgspec.MsgspecError):
        return None


def _digest(model: Path, limits: Limits) -> str:
    try:
        check_size(model, limits)
        return _sha256(model)
    except OSError as error:
        raise ModelError(f"the model file cannot be read: {error.strerror}") from error


def _folder_name(model_sha256: str, bindings: Sequence[Mapping[str, Shape]]) -> str:
    """A name by content: the model, what compiles it, and what it is compiled for."""
    made_by = (ARTIFACT_VERSION, version("onnx"), version("onnxruntime"), processor())
    made_for = tuple(binding_key(one) for one in bindings)
    return f"{model_sha256[:32]}-{_short_digest((made_by, made_for))}"


def _short_digest(parts: Sequence[object]) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
