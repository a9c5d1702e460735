"""A profile as it stands in the JSON file."""

from __future__ import annotations

import msgspec


class ClusterRow(msgspec.Struct, frozen=True):
    """Products that could share a launch: the shape they would be padded to, each as (m, n, k, occurrences), and the
    share of the arithmetic that would be padding.
    """

    m: int
    n: int
    k: int
    products: tuple[tuple[int, int, int, int], ...]
    padding: float


class KernelRow(msgspec.Struct, frozen=True):
    """A signature. `greedy_tile`: the fastest alone; `collaborative_tile`: the fastest with `problems` problems merged,
    which are as many as it takes for seconds a problem to be near their least; `alone_seconds`, `shared_seconds`: of
    one problem, alone and then. On a GPU they are what serving goes by: of the whole program's times the share that the
    kernel had of a launch of eight.
    """

    model: str
    signature: str
    count: int
    implementation: str
    greedy_tile: str
    collaborative_tile: str
    problems: int
    alone_seconds: float
    shared_seconds: float


class Profile(msgspec.Struct, frozen=True):
    """What was asked for; `simulated`: seconds come from a model, nothing ran on such a device."""

    device: str
    simulated: bool
    models: tuple[str, ...]
    padding_limit: float
    clusters: tuple[ClusterRow, ...] = ()
    kernels: tuple[KernelRow, ...] = ()
