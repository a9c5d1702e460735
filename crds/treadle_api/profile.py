"""A ModelProfile: how long one model takes on one kind of device, measured."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass

from treadle_api.fields import ContradictionError, Fields
from treadle_api.objects import (
    DEVICE_MODEL_LENGTH,
    MOST_BYTES,
    PRINTABLE,
    SHA256,
    SUBDOMAIN,
    SUBDOMAIN_LENGTH,
    document_of,
    read_architecture,
    read_decimal,
)
from treadle_api.units import Bytes, PerSecond, Seconds

KIND = "ModelProfile"
PLURAL = "modelprofiles"

MOST_ROWS = 65_536
MOST_POINTS = 64

_NOT_IN_NAMES = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True, slots=True)
class BatchLatency:
    """Service time of one launch with `rows` rows, alone on the device."""

    rows: int
    p50: Seconds
    p99: Seconds


@dataclass(frozen=True, slots=True)
class LoadLatency:
    """Latency under open-loop load."""

    requests_per_second: PerSecond
    p50: Seconds
    p99: Seconds


@dataclass(frozen=True, slots=True)
class Profile:
    """One ModelProfile.

    `architecture` is the digest of the program without weights, empty where not all of its shapes are static; `memory`
    the weights' bytes. `batches` by rising rows, at least the one for one row; `loads` by rising rate, may be empty.
    """

    sha256: str
    device_model: str
    architecture: str
    memory: Bytes
    batches: tuple[BatchLatency, ...]
    loads: tuple[LoadLatency, ...] = ()

    @property
    def name(self) -> str:
        """The object's name."""
        return profile_name(self.sha256, self.device_model)


def profile_name(sha256: str, device_model: str) -> str:
    """Name of the ModelProfile of a model (hexadecimal digest) on a device model: a DNS subdomain, unique for both."""
    readable = _NOT_IN_NAMES.sub("-", device_model.lower()).strip("-")[:40]
    exact = hashlib.sha256(device_model.encode()).hexdigest()[:8]
    return f"{sha256[:16]}-{readable}-{exact}" if readable else f"{sha256[:16]}-{exact}"


def read_profile(manifest: Mapping[str, object]) -> Profile:
    """Read a decoded ModelProfile as the API server returned it.

    Raises:
        FieldError: a field is missing or malformed; the error names it.
    """
    document = document_of(manifest, KIND)
    document.child("metadata").text("name", SUBDOMAIN, SUBDOMAIN_LENGTH)
    spec = document.child("spec")
    batches = tuple(
        BatchLatency(item.integer("rows", 1, MOST_ROWS), *_read_quantiles(item))
        for item in spec.children("batches", MOST_POINTS, unique="rows")
    )
    if all(batch.rows != 1 for batch in batches):
        raise ContradictionError(spec.field("batches"), "must hold the latency of a batch of one row")
    loads = tuple(
        LoadLatency(PerSecond(read_decimal(item, "requestsPerSecond")), *_read_quantiles(item))
        for item in spec.children("loads", MOST_POINTS, least=0, unique="requestsPerSecond")
    )
    return Profile(
        sha256=spec.text("sha256", SHA256, 64),
        device_model=spec.text("deviceModel", PRINTABLE, DEVICE_MODEL_LENGTH),
        architecture=read_architecture(spec, "architecture"),
        memory=Bytes(spec.integer("memoryBytes", 0, MOST_BYTES)),
        batches=tuple(sorted(batches, key=lambda batch: batch.rows)),
        loads=tuple(sorted(loads, key=lambda load: load.requests_per_second)),
    )


def _read_quantiles(point: Fields) -> tuple[Seconds, Seconds]:
    p50, p99 = Seconds(read_decimal(point, "p50")), Seconds(read_decimal(point, "p99"))
    if p50 > p99:
        raise ContradictionError(point.field("p99"), f"{p99:g} is below p50, {p50:g}")
    return p50, p99
