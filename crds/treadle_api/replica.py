"""An InferenceReplica: one tenant on one device, bound to it as a Pod is to a node.

The operator writes the spec, which is all that the agent needs to serve; the agent of that node writes the status.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from treadle_api.conditions import Condition, read_conditions
from treadle_api.fields import Fields
from treadle_api.histogram import BOUNDS
from treadle_api.node import read_device_id
from treadle_api.objects import (
    ADDRESS,
    ADDRESS_LENGTH,
    LABEL,
    LABEL_LENGTH,
    LARGEST_INT,
    LARGEST_INT32,
    MOST_BYTES,
    PRINTABLE,
    SHA256,
    SUBDOMAIN,
    SUBDOMAIN_LENGTH,
    document_of,
    read_address,
    read_architecture,
    read_decimal,
    read_generation,
)
from treadle_api.tenant import (
    MOST_TIERS,
    Precision,
    Tenant,
    read_namespace,
    read_precision,
    read_tenant_name,
    read_tenant_spec,
)
from treadle_api.units import Bytes, Seconds, TierName, parse_duration

KIND = "InferenceReplica"
PLURAL = "inferencereplicas"

MOST_SUCCESSORS = 64

_NOTHING = Seconds(0.0)


class ReplicaCondition(StrEnum):
    """Types of an InferenceReplica's conditions."""

    LOADED = "Loaded"  # the wanted version is in the executor; False carries the reason why not (or Loading)
    SERVING = "Serving"  # some version answers requests here
    DRAINING = "Draining"  # True while it drains; True with reason Drained when it may be deleted
    STRAGGLING = "Straggling"  # the agent's verdict: slower than its kernels should be, isolated already


class LoadedReason(StrEnum):
    """Reasons of condition `Loaded`: all that agents say, and so all that the operator may tell apart."""

    LOADED = "Loaded"
    LOADING = "Loading"
    MODEL_NOT_FOUND = "ModelNotFound"
    MODEL_UNREACHABLE = "ModelUnreachable"
    MODEL_REFUSED = "ModelRefused"  # by its server
    MODEL_TOO_LARGE = "ModelTooLarge"
    DIGEST_MISMATCH = "DigestMismatch"
    MODEL_INVALID = "ModelInvalid"
    MODEL_UNSUPPORTED = "ModelUnsupported"
    TIERS_DIFFER = "TiersDiffer"
    PRECISION_UNSUPPORTED = "PrecisionUnsupported"  # by this device
    LOAD_FAILED = "LoadFailed"  # on this device
    EXECUTOR_FAILED = "ExecutorFailed"  # loading it, or its requests, killed the executor
    STORAGE_FAILED = "StorageFailed"
    INTERNAL_ERROR = "InternalError"
    DEVICE_NOT_FOUND = "DeviceNotFound"
    SPEC_INVALID = "SpecInvalid"
    NOT_LOADED = "NotLoaded"  # it drains, and was never loaded
    STALE_EPOCH = "StaleEpoch"  # the spec is of a leader that the agent knows to be gone


@dataclass(frozen=True, slots=True)
class Figures:
    """What a replica answered in its last `window`: they add up over replicas.

    `accuracy_credit`: sum over the good answers of their tier's accuracy in percent. `latency_counts` by
    `histogram.BOUNDS`. `device_seconds`: device time spent on it.
    """

    window: Seconds
    good: int = 0
    late: int = 0
    shed: int = 0
    error: int = 0
    accuracy_credit: float = 0.0
    latency_counts: tuple[int, ...] = ()
    device_seconds: Seconds = _NOTHING

    @property
    def total(self) -> int:
        """All requests of the window."""
        return self.good + self.late + self.shed + self.error


@dataclass(frozen=True, slots=True)
class TierFigures:
    """A loaded tier: the model's digest, how it runs, seconds for one row alone, and the bytes of its weights."""

    name: TierName
    sha256: str
    architecture: str
    implementation: str
    service_seconds: Seconds
    memory: Bytes
    precision: Precision = Precision.FLOAT32


@dataclass(frozen=True, slots=True)
class ReplicaStatus:
    """What the agent tells; `address` is HOST:PORT of its front end, empty before the first report."""

    observed_generation: int = 0
    observed_epoch: int = 0
    conditions: tuple[Condition, ...] = ()
    address: str = ""
    active_tier: TierName | None = None
    tiers: tuple[TierFigures, ...] = ()
    figures: Figures = Figures(_NOTHING)


@dataclass(frozen=True, slots=True)
class Replica:
    """One InferenceReplica.

    `tenant` is read from the template, the tenant's spec as of `tenant_generation`. `epoch` is that of the leader that
    wrote the spec last. `draining`: it takes no new requests; what still comes is forwarded to `successors`
    (HOST:PORT), and it reports reason Drained when nothing is left. `uid` tells it from one that is made again under
    its name.
    """

    name: str
    namespace: str
    tenant: Tenant
    tenant_generation: int
    node: str
    device: str
    epoch: int
    draining: bool
    successors: tuple[str, ...]
    generation: int
    deleting: bool
    status: ReplicaStatus
    uid: str = ""


def read_replica(manifest: Mapping[str, object]) -> Replica:
    """Read a decoded InferenceReplica as the API server returned it.

    Raises:
        FieldError: a field is missing, malformed or contradicts another; the error names it.
    """
    document = document_of(manifest, KIND)
    metadata, spec = document.child("metadata"), document.child("spec")
    namespace = read_namespace(metadata)
    return Replica(
        name=metadata.text("name", SUBDOMAIN, SUBDOMAIN_LENGTH),
        namespace=namespace,
        tenant=read_tenant_spec(spec.child("template"), read_tenant_name(spec, "tenantName"), namespace),
        tenant_generation=spec.integer("tenantGeneration", 0, LARGEST_INT),
        node=spec.text("nodeName", SUBDOMAIN, SUBDOMAIN_LENGTH),
        device=read_device_id(spec, "device"),
        epoch=spec.integer("epoch", 0, LARGEST_INT32),
        draining=spec.boolean("draining", default=False),
        successors=spec.texts("successors", ADDRESS, MOST_SUCCESSORS, ADDRESS_LENGTH),
        generation=read_generation(metadata, "generation"),
        deleting=metadata.has("deletionTimestamp"),
        status=_read_status(document.child("status", optional=True)),
        uid=metadata.text("uid", None, 64, "", least=0),
    )


def _read_status(status: Fields) -> ReplicaStatus:
    return ReplicaStatus(
        observed_generation=read_generation(status, "observedGeneration"),
        observed_epoch=status.integer("observedEpoch", 0, LARGEST_INT32, 0),
        conditions=read_conditions(status),
        address=read_address(status, "address"),
        active_tier=_read_tier_name(status, "activeTier") if status.has("activeTier") else None,
        tiers=tuple(_read_tier(item) for item in status.children("tiers", MOST_TIERS, least=0, unique="name")),
        figures=_read_figures(status.child("figures")) if status.has("figures") else Figures(_NOTHING),
    )


def _read_tier_name(fields: Fields, key: str) -> TierName:
    return TierName(fields.text(key, LABEL, LABEL_LENGTH))


def _read_tier(tier: Fields) -> TierFigures:
    return TierFigures(
        name=_read_tier_name(tier, "name"),
        sha256=tier.text("sha256", SHA256, 64),
        architecture=read_architecture(tier, "architecture"),
        implementation=tier.text("implementation", PRINTABLE, 128),
        service_seconds=Seconds(read_decimal(tier, "serviceSeconds")),
        memory=Bytes(tier.integer("memoryBytes", 0, MOST_BYTES)),
        precision=read_precision(tier),
    )


def _read_figures(figures: Fields) -> Figures:
    def count(key: str) -> int:
        return figures.integer(key, 0, LARGEST_INT)

    return Figures(
        window=figures.parsed("window", parse_duration, 28),
        good=count("good"),
        late=count("late"),
        shed=count("shed"),
        error=count("error"),
        accuracy_credit=read_decimal(figures, "accuracyCredit"),
        latency_counts=figures.integers("latencyCounts", len(BOUNDS) + 1, 0, LARGEST_INT),
        device_seconds=Seconds(read_decimal(figures, "deviceSeconds")),
    )
