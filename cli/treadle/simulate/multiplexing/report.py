"""What the simulation found, as it stands in the JSON file."""

from __future__ import annotations

import msgspec


class Slowdown(msgspec.Struct, frozen=True):
    """Seconds until all of `tenants` tenants' requests are answered, over those of one tenant's batch of as many."""

    network: str
    tenants: int
    time: float
    space: float
    merged: float


class Spread(msgspec.Struct, frozen=True):
    """How unequal tenants fare with equal work: the slowest tenant's seconds over the fastest's, less one.

    `request`: of requests that began together, the median over rounds; `lasting`: of the tenants' means.
    """

    way: str
    tenants: int
    request: float
    lasting: float


class Memory(msgspec.Struct, frozen=True):
    """Models that fit a device, each in a process of its own (as the paper found), and all in one process."""

    network: str
    device_bytes: float
    weight_bytes: int
    processes: int
    process_bytes: float  # beside weights and activations: context and framework, from the paper's count
    one_process: int


class Objective(msgspec.Struct, frozen=True):
    """FLOP/s of a product with the tile that an objective chooses: alone, and `problems` merged."""

    objective: str
    tile: str
    alone: float
    multiplexed: float
    problems: int


class Compared(msgspec.Struct, frozen=True):
    """A figure beside the paper's."""

    name: str
    what: str
    simulated: float
    paper: float
    source: str


class Report(msgspec.Struct, frozen=True):
    """All of it. Nothing in here was measured."""

    device: str
    simulated: bool
    note: str
    command: str
    date: str
    slowdowns: tuple[Slowdown, ...]
    spreads: tuple[Spread, ...]
    memory: tuple[Memory, ...]
    objectives: tuple[Objective, ...]
    compared: tuple[Compared, ...]
