"""What the operator can do to a cluster. Each change may be repeated or lost: the next plan finds what is left."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache

from treadle_api.conditions import Condition
from treadle_api.node import CordonedDevice
from treadle_api.tenant import Tenant
from treadle_operator.snapshot import AddressType, Cause, Endpoint
from treadle_operator.tenant_status import TenantStatus

SERVICE_PORT = 80  # of a tenant's Service


@dataclass(frozen=True, slots=True)
class ReplicaSpec:
    """An InferenceReplica's spec; its `template` is made from `tenant`."""

    tenant: Tenant
    tenant_generation: int
    node: str
    device: str
    epoch: int
    draining: bool = False
    successors: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CreateReplica:
    """Create an InferenceReplica, owned (controller) by the tenant's uid.

    `cause` goes into `CAUSE_ANNOTATION`, and `replaces` (NODE/DEVICE, left out where "") into `REPLACES_ANNOTATION`.
    That it exists already is no error: the next snapshot has it.
    """

    namespace: str
    name: str
    tenant_uid: str
    spec: ReplicaSpec
    cause: Cause
    replaces: str = ""


@dataclass(frozen=True, slots=True)
class UpdateReplica:
    """Replace the spec of the replica of this uid and resource version; a conflict is no error."""

    namespace: str
    name: str
    uid: str
    resource_version: str
    spec: ReplicaSpec


@dataclass(frozen=True, slots=True)
class DeleteReplica:
    """Delete the replica of this uid and resource version; a conflict, or that it is gone, is no error."""

    namespace: str
    name: str
    uid: str
    resource_version: str


@dataclass(frozen=True, slots=True)
class ApplyService:
    """Apply the tenant's Service: port 80 to the named port `http`, no selector, owned by the tenant."""

    namespace: str
    name: str
    tenant_name: str
    tenant_uid: str


@dataclass(frozen=True, slots=True)
class ApplyEndpointSlice:
    """Apply one EndpointSlice of a tenant's Service, whole; owned by the tenant; `port` is called `http`."""

    namespace: str
    name: str
    service: str
    tenant_name: str
    tenant_uid: str
    address_type: AddressType
    port: int
    endpoints: tuple[Endpoint, ...]


@dataclass(frozen=True, slots=True)
class DeleteEndpointSlice:
    """Delete the EndpointSlice of this uid and resource version."""

    namespace: str
    name: str
    uid: str
    resource_version: str


@dataclass(frozen=True, slots=True)
class WriteTenantStatus:
    """Apply a tenant's status, whole (`tenant_status.status_fields`), if its uid is still this one."""

    namespace: str
    name: str
    uid: str
    status: TenantStatus


@dataclass(frozen=True, slots=True)
class CordonDevices:
    """Apply `spec.cordonedDevices` of an InferenceNode: all of the operator's own entries, and no person's.

    A device that was the operator's entry and is not named any more is uncordoned.
    """

    node: str
    cordoned: tuple[CordonedDevice, ...]


@dataclass(frozen=True, slots=True)
class TellAlive:
    """Apply the condition `Alive` of an InferenceNode; all others are its agent's."""

    node: str
    condition: Condition


@dataclass(frozen=True, slots=True)
class RecordEvent:
    """Record an Event about an object; `reason` is one CamelCase word. `namespace` is "" for a cluster-scoped one."""

    kind: str
    namespace: str
    name: str
    uid: str
    warning: bool
    reason: str
    message: str


Change = (
    CreateReplica
    | UpdateReplica
    | DeleteReplica
    | ApplyService
    | ApplyEndpointSlice
    | DeleteEndpointSlice
    | WriteTenantStatus
    | CordonDevices
    | TellAlive
    | RecordEvent
)


def replica_name(tenant: str, node: str, device: str) -> str:
    """Name of a tenant's replica on a device: always the same, so that creating it twice creates one."""
    return f"{tenant}-{_digest(node, device)}"


@lru_cache(4096)  # each plan asks for the name of each replica, of which many are on each device
def _digest(node: str, device: str) -> str:
    return hashlib.sha256(f"{node}/{device}".encode()).hexdigest()[:10]


def service_name(tenant: str) -> str:
    """Name of a tenant's Service: its own would collide with what the user has."""
    return f"{tenant}-treadle"


def tenant_url(tenant: Tenant, *, tls: bool) -> str:
    """Where clients in the cluster reach a tenant: its Service has one port, whether agents answer by TLS or not."""
    host = f"{service_name(tenant.name)}.{tenant.namespace}.svc"
    return f"https://{host}:{SERVICE_PORT}" if tls else f"http://{host}"
