"""`treadle bench memory`: its arguments and exit codes."""

from __future__ import annotations

import argparse
import multiprocessing
import shlex
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from treadle.bench import models
from treadle.bench.machine import machine, versions
from treadle.bench.memory.holders import Array, Holder, from_bytes, from_files, treadle
from treadle.bench.memory.report import FROM_FILES, OURS, TARGET, YARDSTICK, Held, Report
from treadle.bench.processes import descendants, usage
from treadle.results import write_result

_MODELS, _SIZE = 60, 224
_MB = 1e6
WAYS = {OURS: treadle, YARDSTICK: from_bytes, FROM_FILES: from_files}
_ANSWER_SECONDS = 600.0  # for compiling, loading and answering one model


@dataclass(frozen=True, slots=True)
class Subject:
    """What is held: `make` gives the bytes of a model with the weights of a seed; `shape` of its one input."""

    name: str
    make: Callable[[int], bytes]
    shape: tuple[int, ...]


class HolderError(Exception):
    """Raised when a process that holds models ended, or did not answer."""


Tell = Callable[[str], None]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `treadle bench memory` takes."""
    parser.add_argument("--models", type=int, default=_MODELS, metavar="N", help="distinct ResNet-50 (default 60)")
    parser.add_argument("--size", type=int, default=_SIZE, metavar="PIXELS", help="of their input (default 224)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result here")


def run(arguments: argparse.Namespace) -> int:
    """Measure: 0 the target is reached, 1 it is not or nothing could be measured, 2 wrong usage."""
    if arguments.models < 1 or arguments.size < 32:
        print("--models must be at least 1, --size at least 32", file=sys.stderr)
        return 2
    try:
        report = compare(_resnet50(arguments.size), arguments.models, lambda what: print(what, file=sys.stderr))
    except HolderError as error:
        print(error, file=sys.stderr)
        return 1
    for held in report.held:
        print(
            f"{held.server}: {held.empty_mb:,.0f} MB empty, {held.full_mb:,.0f} MB with {report.models} models; "
            f"treadle's over it: {held.ratio:.2f}"
        )
    verdict = "yes" if report.reached else "no"
    print(f"at most {TARGET:g} of {YARDSTICK}: {verdict}; answers differ by {report.deviation:.1e} at most")
    if arguments.json:
        write_result(arguments.json, report)
    return int(not report.reached)


def compare(subject: Subject, count: int, tell: Tell) -> Report:
    """Hold `count` models one way after another; files go as soon as nobody needs them."""
    measured: list[Held] = []
    answers: list[list[Array]] = []
    for name, holder in WAYS.items():
        with tempfile.TemporaryDirectory(prefix="treadle-memory-") as folder:
            held, given = _held(name, holder, subject, count, Path(folder), tell)
        measured.append(held)
        answers.append(given)
    ours = measured[0].full_mb
    largest = max(float(np.abs(one).max()) for one in answers[0])
    return Report(
        machine=machine(),
        versions=versions(),
        command=shlex.join(["treadle", *sys.argv[1:]]),
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        models=count,
        model=subject.name,
        weights_mb=len(subject.make(0)) / _MB,
        held=tuple(msgspec.structs.replace(one, ratio=ours / one.full_mb) for one in measured),
        deviation=max(float(np.abs(np.subtract(answers[0], other)).max()) for other in answers[1:]) / largest,
    )


def _resnet50(size: int) -> Subject:
    def make(seed: int) -> bytes:
        model: bytes = models.resnet(50, size, seed=seed).SerializeToString()
        return model

    return Subject(f"ResNet-50, {size}×{size}", make, (1, 3, size, size))


def _held(
    name: str, holder: Holder, subject: Subject, count: int, folder: Path, tell: Tell
) -> tuple[Held, list[Array]]:
    """What a process that holds the models needs, and its answers, given once every model is loaded."""
    context = multiprocessing.get_context("spawn")
    channel, far_end = context.Pipe()
    process = context.Process(target=holder, args=(far_end, subject.shape, folder / "cache"))
    process.start()
    far_end.close()
    assert process.pid is not None

    def receive(what: str) -> Any:
        if not channel.poll(_ANSWER_SECONDS):
            raise HolderError(f"{name}: nothing came for {_ANSWER_SECONDS:g} s ({what})")
        try:
            return channel.recv()
        except EOFError:
            raise HolderError(f"{name}: its process ended ({what}); see above, or free memory") from None

    def ask(path: Path) -> Array:
        channel.send(str(path))
        answer: Array = receive(path.name)
        return answer

    try:
        receive("its start")
        empty = usage(process.pid).pss / _MB
        paths = [folder / f"{seed}.onnx" for seed in range(count)]
        seconds = []
        for seed, path in enumerate(paths):
            path.write_bytes(subject.make(seed))
            begin = time.perf_counter()
            ask(path)
            seconds.append(time.perf_counter() - begin)
            path.unlink()
            tell(f"{name}: {seed + 1} of {count} models, {usage(process.pid).pss / _MB:,.0f} MB")
        answers = [ask(path) for path in paths]
        full, anonymous = usage(process.pid).pss / _MB, _anonymous(process.pid) / _MB
        channel.send("")
        process.join(60.0)
    finally:
        process.kill()
        process.join()
        channel.close()
    return Held(name, empty, full, anonymous, statistics.median(seconds), 1.0), answers


def _anonymous(root: int) -> int:
    """Bytes of a process and its descendants that no file holds; what a child shares with its parent counts once."""
    total = 0
    for pid in descendants(root):
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        line = next(line for line in rollup.splitlines() if line.startswith("Pss_Anon:"))
        total += int(line.split()[1]) * 1024
    return total
