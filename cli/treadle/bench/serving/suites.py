"""Which servers meet which load, and how long."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from treadle.bench.serving import workload
from treadle.bench.serving.deployment import BOUNDED, MLSERVER, MODES, PLAIN, SPACE_TIME
from treadle.bench.serving.workload import Workload

PLAIN_THREADED = PLAIN + "+2"  # peer (a) with two threads: the better of both stands for (a)
LOADS = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0)
LOW_LOAD, OVERLOAD = 0.25, 2.0
MERGING = "merging"  # the modes in an executor without a front end
BINARY: Final = "binary"
JSON: Final = "json"


@dataclass(frozen=True, slots=True)
class Suite:
    """`servers` meet `loads`, each a multiple of the server's own saturation; concurrency is the closed loop's."""

    name: str
    make: Callable[[Path], Workload]
    encoding: Literal["binary", "json"]
    servers: tuple[str, ...]
    loads: tuple[float, ...]
    concurrency: int = 32

    @property
    def binary(self) -> bool:
        """Whether tensors travel in binary."""
        return self.encoding == BINARY


@dataclass(frozen=True, slots=True)
class MemorySuite:
    """Memory of `servers` with one tenant and with `tenants` of the same architecture."""

    name: str
    make: Callable[[Path, int], Workload]
    servers: tuple[str, ...]
    tenants: int


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything of one benchmark; `seconds` a run, `rounds` runs of each kind, alternating between servers."""

    suites: tuple[Suite, ...]
    memory: tuple[MemorySuite, ...]
    seconds: float
    rounds: int
    merging: bool = True  # compare the modes without HTTP, too


def full(seconds: float) -> Plan:
    """What the committed results hold."""
    return Plan(
        (
            Suite("mlp-binary", _mlps, BINARY, (PLAIN, PLAIN + BOUNDED, *MODES), LOADS),
            Suite("mlp-json", _mlps, JSON, (PLAIN, PLAIN + BOUNDED, MLSERVER, MLSERVER + BOUNDED, SPACE_TIME), LOADS),
            *_real((LOW_LOAD, 1.0, OVERLOAD)),
        ),
        _memory(64),
        seconds,
        rounds=3,
    )  # fmt: skip


def quick(seconds: float) -> Plan:
    """A few minutes: every server and every kind of figure once, for continuous integration."""
    loads = (LOW_LOAD, OVERLOAD)
    return Plan(
        (
            Suite("mlp-binary", _mlps, BINARY, (PLAIN, SPACE_TIME), loads),
            Suite("mlp-json", _mlps, JSON, (PLAIN, MLSERVER, SPACE_TIME), loads),
            *_real(loads),
        ),
        _memory(32),
        seconds,
        rounds=1,
    )


def _real(loads: tuple[float, ...]) -> tuple[Suite, ...]:
    servers = (PLAIN, PLAIN_THREADED, SPACE_TIME)
    return (
        Suite("magika", workload.magika, BINARY, servers, loads, concurrency=8),
        Suite("rapidocr-cls", workload.rapidocr_classifier, BINARY, servers, loads, concurrency=8),
    )


def _memory(tenants: int) -> tuple[MemorySuite, ...]:
    servers = (PLAIN, SPACE_TIME)
    return (
        MemorySuite("embedding", workload.embeddings, servers, tenants),
        MemorySuite("conv", workload.convolutionals, servers, tenants),
    )


def _mlps(folder: Path) -> Workload:
    return workload.mlps(folder, 16)
