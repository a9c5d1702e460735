"""What is known of a machine, and what follows from it for serving there. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from treadle.doctor.finding import Finding, Verdict
from treadle_api.units import Bytes

LEAST_MEMORY = 1 << 30  # what an agent asks for in the chart
FEW_FILES = 4096  # less, and fewer clients than the front end takes may be connected

_MEBIBYTE = 1 << 20


@dataclass(frozen=True, slots=True)
class Machine:
    """Facts. Of what does not work, the reason is given, "" where it does.

    `gpus`: NVIDIA's that are plugged in. `cuda`: why none can be served on. `barred`: device files that this user may
    not open. `mig_is_empty`: the GPU is divided, into no parts. `mps`: a folder that CUDA is told to find a daemon in,
    and does not. `memory` in bytes. `shared_memory`, `cache`: why these cannot be had. `open_files`: of one process at
    most, -1 for any number.
    """

    gpus: int
    cuda: str
    barred: tuple[str, ...]
    mig_is_empty: bool
    mps: str
    memory: Bytes
    shared_memory: str
    cache: str
    open_files: int


def judge(machine: Machine) -> Iterator[Finding]:
    """One finding for each thing that serving needs."""
    yield _gpu(machine)
    if machine.mps:
        yield Finding(
            "MPS",
            Verdict.LACKS,
            f"CUDA is to find a daemon in {machine.mps}, where none listens",
            "treadle needs none: unset CUDA_MPS_PIPE_DIRECTORY; or start nvidia-cuda-mps-control -d",
        )
    yield _memory(machine.memory)
    yield _needed("shared memory", machine.shared_memory, "requests' tensors can be shared with an executor process")
    yield _needed("cache folder", machine.cache, "it can be written")
    yield _files(machine.open_files)


def _gpu(machine: Machine) -> Finding:
    if not machine.cuda:
        return Finding("GPU", Verdict.OK, "CUDA sees one: --device auto serves on it")
    if not machine.gpus:
        return Finding("GPU", Verdict.OK, "there is none: --device auto serves on the host's processors")
    if machine.barred:
        files = " ".join(machine.barred)
        fix = "run as a user of the files' group, or give the container the GPU with --gpus all"
        return Finding("GPU", Verdict.NOTE, f"this user may not open {files}", fix)
    if machine.mig_is_empty:
        fix = "make instances (nvidia-smi mig -cgi PROFILE -C), or use the GPU whole (nvidia-smi -mig 0)"
        return Finding("GPU", Verdict.NOTE, "it is to be used in MIG instances, and has none", fix)
    return _told("GPU", Verdict.NOTE, machine.cuda)


def _memory(memory: Bytes) -> Finding:
    says = f"{memory // _MEBIBYTE} MiB may be used"
    if memory < LEAST_MEMORY:
        fix = f"give the machine, or the container, {LEAST_MEMORY // _MEBIBYTE} MiB and what the models take"
        return Finding("memory", Verdict.NOTE, says, fix)
    return Finding("memory", Verdict.OK, says)


def _needed(subject: str, problem: str, well: str) -> Finding:
    return _told(subject, Verdict.LACKS, problem) if problem else Finding(subject, Verdict.OK, well)


def _files(most: int) -> Finding:
    if 0 <= most < FEW_FILES:
        fix = f"ulimit -n {FEW_FILES}, or the container runtime's --ulimit nofile"
        return Finding("open files", Verdict.NOTE, f"a process may have {most}: clients beyond are refused", fix)
    return Finding("open files", Verdict.OK, f"a process may have {most if most >= 0 else 'any number'}")


def _told(subject: str, verdict: Verdict, problem: str) -> Finding:
    """A problem that is told as PROBLEM; FIX."""
    says, _, fix = problem.partition("; ")
    return Finding(subject, verdict, says, fix)
