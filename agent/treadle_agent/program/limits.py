"""What a model, an untrusted input, may cost while it is compiled."""

from __future__ import annotations

import os
import re
import resource
import signal
import stat
from dataclasses import dataclass
from pathlib import Path

from treadle_agent.program.errors import ModelError

MIB = 1 << 20
# What the libraries say when an allocation or a write fails; protobuf reports the former as "failed to serialize".
OUT_OF_MEMORY = re.compile(
    r"bad.?alloc|failed to allocate|out of memory|length_error|failed to serialize", re.IGNORECASE
)
UNWRITTEN = re.compile(r"serialization failed|file too large|no space left|write failed", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one loader process, and of the model it reads.

    Attributes:
        model_bytes: size of the ONNX file with its external data.
        nodes: operators in the graph, after constants are folded; of a model with functions before that, too.
        tensor_bytes: size of one tensor that is not an input of the model.
        memory_bytes: address space beyond what the process has when it starts.
        cpu_seconds: processor time.
        wall_seconds: time until the parent kills it.
        file_bytes: size of one file it writes.
        open_files: file descriptors.
    """

    model_bytes: int = 1024 * MIB
    nodes: int = 20_000
    tensor_bytes: int = 1024 * MIB
    memory_bytes: int = 6144 * MIB
    cpu_seconds: int = 120
    wall_seconds: float = 180.0
    file_bytes: int = 2048 * MIB
    open_files: int = 256


def confine(limits: Limits) -> None:
    """Put the calling process under `limits`, for good."""
    for kind, bound in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, limits.file_bytes),
        (resource.RLIMIT_NOFILE, limits.open_files),
        (resource.RLIMIT_AS, _address_space() + limits.memory_bytes),
    ):
        _lower(kind, bound, bound)
    # The hard limit a little above the soft one: SIGXCPU tells the parent what happened, SIGKILL would not.
    _lower(resource.RLIMIT_CPU, limits.cpu_seconds, limits.cpu_seconds + 5)


def check_size(model: Path, limits: Limits) -> None:
    """Refuse a model file that is too large, or no file (reading a pipe would never end)."""
    status = model.stat()
    if not stat.S_ISREG(status.st_mode):
        raise ModelError(f"{model.name} is not a file")
    if status.st_size > limits.model_bytes:
        raise ModelError(size_message(f"the model file has {status.st_size} bytes", limits))


def size_message(what: str, limits: Limits) -> str:
    """What to tell a model's owner whose files are too large."""
    return f"{what}; at most {limits.model_bytes // MIB} MiB are accepted (Limits.model_bytes)"


def memory_message(limits: Limits) -> str:
    """What to tell a model's owner whose model needs more memory than allowed."""
    return (
        f"the model needs more than {limits.memory_bytes // MIB} MiB to compile; "
        "raise the loader's memory limit (Limits.memory_bytes) if it is meant to be this large"
    )


def file_message(limits: Limits) -> str:
    """What to tell a model's owner whose compiled model does not fit a file."""
    return (
        f"the compiled model cannot be written: it needs a file of more than {limits.file_bytes // MIB} MiB "
        "(raise the loader's file limit, Limits.file_bytes), or the disk is full"
    )


def explained(message: str, limits: Limits) -> str:
    """A library's error message, preceded by the limit that is behind it where one is."""
    if OUT_OF_MEMORY.search(message):
        return f"{memory_message(limits)} ({message[:300]})"
    if UNWRITTEN.search(message):
        return f"{file_message(limits)} ({message[:300]})"
    return message


def time_message(limits: Limits) -> str:
    """What to tell a model's owner whose model takes longer than allowed."""
    return (
        f"the model takes longer than {limits.wall_seconds:g} s to compile; "
        "raise the loader's time limit (Limits.wall_seconds) if it is meant to be this large"
    )


def death_message(exit_code: int | None, limits: Limits) -> str:
    """What to tell a model's owner when the loader process ended without an answer."""
    match -(exit_code or 0):
        case signal.SIGXCPU:
            return (
                f"the model takes more than {limits.cpu_seconds} s of processor time to compile; "
                "raise the loader's processor limit (Limits.cpu_seconds) if it is meant to be this large"
            )
        case signal.SIGXFSZ:
            return file_message(limits)
        case signal.SIGKILL:
            return (
                f"the loader process was killed, which is what the kernel does out of memory: {memory_message(limits)}"
            )
        case number if number > 0:
            return (
                f"the loader process died of {signal.Signals(number).name} while it compiled the model: either a fault "
                f"in the model that a library did not catch, or {memory_message(limits)}"
            )
        case _:
            return f"the loader process ended with status {exit_code} and no answer"


def _address_space() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _lower(kind: int, soft: int, hard: int) -> None:
    _, ceiling = resource.getrlimit(kind)
    if ceiling != resource.RLIM_INFINITY:
        soft, hard = min(soft, ceiling), min(hard, ceiling)
    resource.setrlimit(kind, (soft, hard))
