"""Objects as the API server gives them, read into what a snapshot is made of."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from treadle_api.fields import FieldError, Fields, FieldValueError
from treadle_api.leases import NODE_LEASE_PREFIX
from treadle_api.objects import SUBDOMAIN, SUBDOMAIN_LENGTH, read_generation
from treadle_api.replica import read_replica
from treadle_api.tenant import read_tenant
from treadle_api.units import Seconds
from treadle_operator.heartbeats import NodeLease
from treadle_operator.kube.client import Json
from treadle_operator.kube.kinds import SLICES
from treadle_operator.policy.changes import SERVICE_PORT
from treadle_operator.snapshot import (
    CAUSE_ANNOTATION,
    REPLACES_ANNOTATION,
    AddressType,
    Cause,
    Endpoint,
    EndpointSliceView,
    ReplicaView,
    ServiceView,
    Taint,
    TaintEffect,
    TenantView,
)
from treadle_operator.tenant_status import TenantStatus, read_tenant_status

PORT_NAME = "http"
MOST_ENDPOINTS = 1000  # the API server's own bound for one EndpointSlice
_MANY = 1 << 16
_ANY = re.compile(".*", re.DOTALL)
_LARGEST_PORT = 65535


@dataclass(frozen=True, slots=True)
class Identity:
    """What tells an object from all others, and one state of it from another.

    `version`: the resourceVersion, which may be compared: Kubernetes 1.35 made it part of the API that a later one is
    the greater number.
    """

    key: str
    uid: str
    version: int


@dataclass(frozen=True, slots=True)
class CoreNode:
    """What the core Node of a name says about scheduling."""

    labels: dict[str, str]
    taints: tuple[Taint, ...]
    unschedulable: bool


def read_identity(manifest: Json) -> Identity:
    """Whose state this is; the key is ``NAMESPACE/NAME``, or the name alone where there is no namespace."""
    metadata = Fields("", manifest).child("metadata")
    name = metadata.text("name", None, SUBDOMAIN_LENGTH)
    namespace = metadata.text("namespace", None, SUBDOMAIN_LENGTH, "", least=0)
    version = metadata.text("resourceVersion", None, 32)
    if not version.isdecimal():
        raise FieldValueError("metadata.resourceVersion", f"{version!r} is not a number")
    return Identity(f"{namespace}/{name}" if namespace else name, metadata.text("uid", None, 64), int(version))


def read_labels(manifest: Json) -> Mapping[str, object]:
    """An object's labels."""
    return Fields("", manifest).child("metadata").child("labels", optional=True).values


def read_tenant_view(manifest: Json) -> TenantView:
    """An InferenceTenant; a status that cannot be read counts as none, and is written anew."""
    metadata = Fields("", manifest).child("metadata")
    try:
        status = read_tenant_status(manifest)
    except FieldError:
        status = TenantStatus()
    return TenantView(
        tenant=read_tenant(manifest),
        uid=metadata.text("uid", None, 64),
        generation=read_generation(metadata, "generation"),
        created=_read_time(metadata, "creationTimestamp"),
        deleting=metadata.has("deletionTimestamp"),
        status=status,
    )


def read_replica_view(manifest: Json) -> ReplicaView:
    """An InferenceReplica."""
    metadata = Fields("", manifest).child("metadata")
    annotations = metadata.child("annotations", optional=True)
    cause = annotations.text(CAUSE_ANNOTATION, None, 64, "", least=0)
    return ReplicaView(
        replica=read_replica(manifest),
        uid=metadata.text("uid", None, 64),
        resource_version=metadata.text("resourceVersion", None, 32),
        tenant_uid=_controller_uid(metadata),
        created=_read_time(metadata, "creationTimestamp"),
        cause=Cause(cause) if cause in Cause.__members__.values() else None,
        replaces=annotations.text(REPLACES_ANNOTATION, None, 512, "", least=0),
    )


def read_core_node(manifest: Json) -> CoreNode:
    """A core Node; taints of effects that this version does not know are left out."""
    document = Fields("", manifest)
    spec = document.child("spec", optional=True)
    labels = document.child("metadata").child("labels", optional=True)
    return CoreNode(
        labels={key: labels.text(key, None, 63, least=0) for key in labels.values},
        taints=tuple(_read_taints(spec)),
        unschedulable=spec.boolean("unschedulable", default=False),
    )


def read_service_view(manifest: Json) -> ServiceView:
    """A Service."""
    document = Fields("", manifest)
    metadata, spec = document.child("metadata"), document.child("spec", optional=True)
    ports = [
        (port.text("name", None, 63, "", least=0), port.integer("port", 1, _LARGEST_PORT))
        for port in spec.children("ports", _MANY, least=0)
    ]
    return ServiceView(
        namespace=metadata.text("namespace", None, 63),
        name=metadata.text("name", None, 63),
        tenant_uid=_controller_uid(metadata),
        in_order=(PORT_NAME, SERVICE_PORT) in ports,
        selects=bool(spec.child("selector", optional=True).values),
    )


def read_slice_view(manifest: Json) -> EndpointSliceView:
    """An EndpointSlice of ours; one with other ports than we write reads as port 0, and is written anew."""
    document = Fields("", manifest)
    metadata = document.child("metadata")
    ports = [
        (port.text("name", None, 63, "", least=0), port.integer("port", 1, _LARGEST_PORT))
        for port in document.children("ports", _MANY, least=0)
    ]
    return EndpointSliceView(
        namespace=metadata.text("namespace", None, 63),
        name=metadata.text("name", None, SUBDOMAIN_LENGTH),
        uid=metadata.text("uid", None, 64),
        resource_version=metadata.text("resourceVersion", None, 32),
        tenant_uid=_controller_uid(metadata),
        address_type=AddressType(document.text("addressType", None, 8)),
        port=ports[0][1] if len(ports) == 1 and ports[0][0] == PORT_NAME else 0,
        endpoints=tuple(sorted(_read_endpoint(item) for item in document.children("endpoints", _MANY, least=0))),
        managed=SLICES.selects(read_labels(manifest)),
    )


def read_node_lease(manifest: Json) -> NodeLease | None:
    """A node's Lease; None for a Lease that is something else's, or that nobody has renewed yet."""
    document = Fields("", manifest)
    metadata, spec = document.child("metadata"), document.child("spec", optional=True)
    name = metadata.text("name", None, SUBDOMAIN_LENGTH)
    if not name.startswith(NODE_LEASE_PREFIX) or not spec.has("renewTime") or not spec.values.get("holderIdentity"):
        return None
    return NodeLease(
        node=name.removeprefix(NODE_LEASE_PREFIX),
        duration=Seconds(spec.integer("leaseDurationSeconds", 1, 1 << 31, 15)),
        renewed=Seconds(_read_time(spec, "renewTime")),
        stamp=spec.text("renewTime", None, 64),
        written=max(
            (_read_time(one, "time") for one in metadata.children("managedFields", _MANY, least=0) if one.has("time")),
            default=0.0,
        ),
    )


def _read_endpoint(endpoint: Fields) -> Endpoint:
    conditions = endpoint.child("conditions", optional=True)
    addresses = endpoint.texts("addresses", _ANY, MOST_ENDPOINTS, SUBDOMAIN_LENGTH)
    return Endpoint(
        address=addresses[0] if len(addresses) == 1 else "",
        node=endpoint.text("nodeName", SUBDOMAIN, SUBDOMAIN_LENGTH) if endpoint.has("nodeName") else "",
        ready=conditions.boolean("ready", default=False),
        serving=conditions.boolean("serving", default=False),
        terminating=conditions.boolean("terminating", default=False),
    )


def _read_taints(spec: Fields) -> Iterator[Taint]:
    for taint in spec.children("taints", _MANY, least=0):
        effect = taint.text("effect", None, 64)
        if effect in TaintEffect.__members__.values():
            key, value = taint.text("key", None, 317), taint.text("value", None, 63, "", least=0)
            yield Taint(key, value, TaintEffect(effect))


def controller_uid(manifest: Json) -> str:
    """The uid of the owner that controls an object; "" where there is none."""
    return _controller_uid(Fields("", manifest).child("metadata"))


def _controller_uid(metadata: Fields) -> str:
    for owner in metadata.children("ownerReferences", _MANY, least=0):
        if owner.boolean("controller", default=False):
            return owner.text("uid", None, 64)
    return ""


def _read_time(fields: Fields, key: str) -> float:
    """An RFC 3339 time as seconds since the epoch."""
    text = fields.text(key, None, 64)
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError as error:
        raise FieldValueError(fields.field(key), f"{text!r} is not a time: {error}") from error
