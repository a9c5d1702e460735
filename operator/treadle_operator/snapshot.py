"""All that a plan is made from: the objects as last seen, read once into frozen values.

Times are seconds since the epoch on the operator's clock. Mappings and their values are never changed in place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property

from treadle_api.conditions import Condition, find_condition
from treadle_api.node import Node
from treadle_api.profile import Profile
from treadle_api.replica import Replica, ReplicaCondition
from treadle_api.tenant import Tenant
from treadle_operator.tenant_status import TenantStatus

CAUSE_ANNOTATION = "treadle.dev/placed-because"
REPLACES_ANNOTATION = "treadle.dev/replaces"


class Cause(StrEnum):
    """Why a replica was placed where it is: written on it when it is created, as `CAUSE_ANNOTATION`."""

    ADMITTED = "Admitted"  # the tenant is new
    SCALED_UP = "ScaledUp"  # its load, or `replicas.min`, asks for one more device
    NODE_LOST = "NodeLost"  # the agent of the node that it was on is not heard of any more
    NODE_STOPPING = "NodeStopping"  # the agent of the node that it was on was asked to stop
    DEVICE_LOST = "DeviceLost"  # the device it was on is gone, or not healthy
    DEVICE_CORDONED = "DeviceCordoned"  # by a person, or because the device slows all its tenants
    NODE_UNFIT = "NodeUnfit"  # labels, nodeSelector or a NoExecute taint have changed
    LOAD_FAILED = "LoadFailed"  # the device it was on could not load it
    STRAGGLING = "Straggling"  # it was slower than its kernels should be
    TOO_SLOW = "TooSlow"  # the device it was on turned out too slow for the deadline
    OVERLOADED = "DeviceOverloaded"  # promises of that device's tenants could not all be kept


# Causes that a device's tenants can wait for: limited by a cool-down and by the budget for moves.
OPTIONAL_CAUSES = frozenset({Cause.STRAGGLING, Cause.TOO_SLOW, Cause.OVERLOADED})


@dataclass(frozen=True, slots=True)
class TenantView:
    """One InferenceTenant. `created`: its creationTimestamp; `status`: as the API server has it now."""

    tenant: Tenant
    uid: str
    generation: int
    created: float
    deleting: bool = False
    status: TenantStatus = field(default_factory=TenantStatus)


@dataclass(frozen=True)  # no slots: what plans ask for again and again is found once
class ReplicaView:
    """One InferenceReplica.

    `tenant_uid`: of the controlling ownerReference. `cause` (None where none is written) and `replaces` (NODE/DEVICE,
    or "") as the annotations say.
    """

    replica: Replica
    uid: str
    resource_version: str
    tenant_uid: str
    created: float
    cause: Cause | None = None
    replaces: str = ""

    @property
    def key(self) -> str:
        """``NAMESPACE/NAME``."""
        return f"{self.replica.namespace}/{self.replica.name}"

    @cached_property
    def place(self) -> str:
        """``NODE/DEVICE``."""
        return f"{self.replica.node}/{self.replica.device}"

    @cached_property
    def serves(self) -> bool:
        """Whether some version of the tenant answers requests there, as far as its agent could tell."""
        condition = self._condition(ReplicaCondition.SERVING)
        return condition is not None and condition.holds

    @cached_property
    def straggles(self) -> bool:
        """Whether its agent finds it slower than its kernels should be."""
        condition = self._condition(ReplicaCondition.STRAGGLING)
        return condition is not None and condition.holds

    @cached_property
    def loaded(self) -> Condition | None:
        """What its agent says of the version that its spec asks for; None while it says nothing."""
        return self._condition(ReplicaCondition.LOADED)

    @cached_property
    def draining(self) -> Condition | None:
        """What its agent says of its draining, once that has begun."""
        condition = self._condition(ReplicaCondition.DRAINING)
        return condition if condition is not None and condition.holds else None

    def _condition(self, type_: ReplicaCondition) -> Condition | None:
        return find_condition(self.replica.status.conditions, type_)


class TaintEffect(StrEnum):
    """What a taint of a core Node does to those who do not tolerate it."""

    NO_SCHEDULE = "NoSchedule"
    PREFER_NO_SCHEDULE = "PreferNoSchedule"
    NO_EXECUTE = "NoExecute"


@dataclass(frozen=True, slots=True)
class Taint:
    """One taint of a core Node."""

    key: str
    value: str
    effect: TaintEffect


@dataclass(frozen=True, slots=True)
class NodeView:
    """One InferenceNode, and what the core Node of its name says (nothing, where there is none).

    `unschedulable`: the core Node is cordoned (the InferenceNode's own wish is in `node`). `alive`: its agent's Lease
    has not expired; when it does is for those who watch the Leases, who then ask for a new plan.
    """

    node: Node
    alive: bool
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[Taint, ...] = ()
    unschedulable: bool = False
    uid: str = ""


@dataclass(frozen=True, slots=True)
class ServiceView:
    """A Service of a tenant's Service name. `tenant_uid`: of its controlling ownerReference, "" where it has none.

    `in_order`: whether it has the port that the operator writes. `selects`: whether somebody gave it a selector.
    """

    namespace: str
    name: str
    tenant_uid: str
    in_order: bool
    selects: bool = False


class AddressType(StrEnum):
    """What addresses an EndpointSlice holds."""

    IPV4 = "IPv4"
    IPV6 = "IPv6"


@dataclass(frozen=True, slots=True, order=True)
class Endpoint:
    """One agent that serves a tenant; conditions as a Pod's would be."""

    address: str
    node: str
    ready: bool
    serving: bool
    terminating: bool


@dataclass(frozen=True, slots=True)
class EndpointSliceView:
    """One EndpointSlice; `endpoints` in the order of their addresses.

    `managed`: whether its label says that it is treadle's; one that is not was met where ours should be.
    """

    namespace: str
    name: str
    uid: str
    resource_version: str
    tenant_uid: str
    address_type: AddressType
    port: int
    endpoints: tuple[Endpoint, ...]
    managed: bool = True


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The objects as last seen.

    `epoch` is the planning leader's. `tenants` by `Tenant.key`; `replicas`, `services` and `slices` by
    ``NAMESPACE/NAME``; `nodes` by name; `profiles` by model digest and device model. `hushed`: no agent at all is heard
    of (`heartbeats`). `tls`: agents answer by TLS.
    """

    epoch: int
    tenants: Mapping[str, TenantView] = field(default_factory=dict)
    replicas: Mapping[str, ReplicaView] = field(default_factory=dict)
    nodes: Mapping[str, NodeView] = field(default_factory=dict)
    profiles: Mapping[tuple[str, str], Profile] = field(default_factory=dict)
    services: Mapping[str, ServiceView] = field(default_factory=dict)
    slices: Mapping[str, EndpointSliceView] = field(default_factory=dict)
    hushed: bool = False
    tls: bool = False
