"""A tenant's measured tiers as they stand in the JSON file."""

from __future__ import annotations

import msgspec


class Batch(msgspec.Struct, frozen=True):
    """Seconds of one request of `rows` rows, alone on the device."""

    rows: int
    p50: float
    p99: float
    repeats: int


class Load(msgspec.Struct, frozen=True):
    """Seconds from when each request was due to its answer, under Poisson load: queueing included, HTTP not."""

    requests_per_second: float
    p50: float
    p99: float
    requests: int


class Tier(msgspec.Struct, frozen=True):
    """A tier's model. `profile`: name of its ModelProfile; `saturation_rps`: answers a second in a closed loop;
    `loads`: those that it bore.
    """

    tier: str
    accuracy: float
    profile: str
    sha256: str
    architecture: str
    memory_bytes: int
    implementation: str
    saturation_rps: float
    batches: tuple[Batch, ...]
    loads: tuple[Load, ...]


class Report(msgspec.Struct, frozen=True):
    """One tenant on one device; `simulated`: its seconds come from a model."""

    tenant: str
    device: str
    device_model: str
    simulated: bool
    tiers: tuple[Tier, ...]
