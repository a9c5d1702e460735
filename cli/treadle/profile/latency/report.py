"""A tenant's measured tiers as they stand in the JSON file."""

from __future__ import annotations

import msgspec

from treadle_api.tenant import Precision


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
    """A tier's model. `profile`: name of its ModelProfile, "" where it has none, since profiles are of Float32;
    `saturation_rps`: answers a second in a closed loop; `loads`: those that it bore; `unborne`: requests a second of
    those whose queue outgrew all bounds.
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
    precision: Precision = Precision.FLOAT32
    unborne: tuple[float, ...] = ()


class Report(msgspec.Struct, frozen=True):
    """One tenant on one device; `simulated`: its seconds come from a model."""

    tenant: str
    device: str
    device_model: str
    simulated: bool
    tiers: tuple[Tier, ...]

    @property
    def profiled(self) -> list[Tier]:
        """The tiers that ModelProfiles are made of."""
        return [tier for tier in self.tiers if tier.profile]
