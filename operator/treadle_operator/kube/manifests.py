"""Objects as the operator writes them. What `views` reads of one is what it was made from: a test holds them to it."""

from __future__ import annotations

from treadle_api import node, replica, tenant
from treadle_api.conditions import Condition
from treadle_api.node import CordonedDevice
from treadle_api.objects import API_VERSION
from treadle_api.tenant import Precision, SwitchingMode, Tenant
from treadle_api.units import format_decimal, format_duration
from treadle_operator.kube.kinds import (
    MANAGER,
    MANAGER_LABEL,
    SERVICE_NAME_LABEL,
    SERVICES,
    SLICE_MANAGER,
    SLICE_MANAGER_LABEL,
    SLICES,
    TENANT_LABEL,
)
from treadle_operator.kube.views import PORT_NAME
from treadle_operator.policy.changes import (
    SERVICE_PORT,
    ApplyEndpointSlice,
    ApplyService,
    CreateReplica,
    ReplicaSpec,
    WriteTenantStatus,
)
from treadle_operator.snapshot import CAUSE_ANNOTATION, REPLACES_ANNOTATION, Endpoint
from treadle_operator.tenant_status import condition_fields, status_fields

Manifest = dict[str, object]


def replica_manifest(change: CreateReplica) -> Manifest:
    """An InferenceReplica to create."""
    name = change.spec.tenant.name
    annotations = {CAUSE_ANNOTATION: str(change.cause)}
    if change.replaces:
        annotations[REPLACES_ANNOTATION] = change.replaces
    metadata = _owned(change.namespace, change.name, name, change.tenant_uid)
    metadata["annotations"] = annotations
    return {
        "apiVersion": API_VERSION,
        "kind": replica.KIND,
        "metadata": metadata,
        "spec": replica_spec(change.spec),
    }


def replica_spec(spec: ReplicaSpec) -> Manifest:
    """The spec of an InferenceReplica, whole."""
    return {
        "tenantName": spec.tenant.name,
        "tenantGeneration": spec.tenant_generation,
        "nodeName": spec.node,
        "device": spec.device,
        "epoch": spec.epoch,
        "draining": spec.draining,
        "successors": list(spec.successors),
        "template": replica_template(spec.tenant),
    }


def replica_template(of: Tenant) -> Manifest:
    """The members of a tenant's spec that its agents need."""
    switching = {"mode": str(SwitchingMode.AUTOMATIC)}
    if of.pinned is not None:
        switching = {"mode": str(SwitchingMode.PINNED), "tier": of.pinned}
    return {
        "slo": {
            "deadline": format_duration(of.slo.deadline),
            "objective": format_decimal(of.slo.objective),
            "window": format_duration(of.slo.window),
            "minAccuracy": format_decimal(of.slo.min_accuracy),
        },
        "tiers": [
            {
                "name": tier.name,
                "accuracy": format_decimal(tier.accuracy),
                "model": {"uri": tier.model.uri}
                | ({"sha256": tier.model.sha256} if tier.model.sha256 is not None else {})
                | ({"secretName": tier.model.secret} if tier.model.secret is not None else {}),
            }
            # Left out where it is the default: a definition older than this operator refuses what it does not know.
            | ({"precision": str(tier.precision)} if tier.precision is not Precision.FLOAT32 else {})
            for tier in of.tiers
        ],
        "priority": of.priority,
        "switching": switching,
    }


def service_manifest(change: ApplyService) -> Manifest:
    """A tenant's Service. It has no selector: its EndpointSlices are ours."""
    return {
        "apiVersion": SERVICES.api_version,
        "kind": SERVICES.name,
        "metadata": _owned(change.namespace, change.name, change.tenant_name, change.tenant_uid),
        "spec": {
            "ports": [{"name": PORT_NAME, "port": SERVICE_PORT, "protocol": "TCP", "targetPort": PORT_NAME}],
            "type": "ClusterIP",
        },
    }


def service_mending(change: ApplyService, uid: str) -> Manifest:
    """What of a tenant's Service is to be as the operator writes it, to merge into the one of this uid."""
    whole = service_manifest(change)
    return {"metadata": {"uid": uid, "labels": _labels(change.tenant_name)}, "spec": whole["spec"]}


def slice_manifest(change: ApplyEndpointSlice) -> Manifest:
    """An EndpointSlice of a tenant's Service, whole."""
    metadata = _owned(change.namespace, change.name, change.tenant_name, change.tenant_uid)
    metadata["labels"] = {
        SERVICE_NAME_LABEL: change.service,
        SLICE_MANAGER_LABEL: SLICE_MANAGER,
        TENANT_LABEL: change.tenant_name,
    }
    return {
        "apiVersion": SLICES.api_version,
        "kind": SLICES.name,
        "metadata": metadata,
        "addressType": str(change.address_type),
        "ports": [{"name": PORT_NAME, "port": change.port, "protocol": "TCP"}],
        "endpoints": [_endpoint(endpoint) for endpoint in change.endpoints],
    }


def status_manifest(change: WriteTenantStatus) -> Manifest:
    """A tenant's status to apply; another object of the same name refuses it by its uid."""
    return {
        "apiVersion": API_VERSION,
        "kind": tenant.KIND,
        "metadata": {"namespace": change.namespace, "name": change.name, "uid": change.uid},
        "status": status_fields(change.status),
    }


def cordon_manifest(name: str, uid: str, cordoned: tuple[CordonedDevice, ...]) -> Manifest:
    """The operator's own entries of a node's cordoned devices."""
    return _of_node(name, uid) | {
        "spec": {"cordonedDevices": [{"id": device.id, "reason": device.reason} for device in cordoned]}
    }


def alive_manifest(name: str, uid: str, condition: Condition) -> Manifest:
    """The one condition of a node's status that is the operator's."""
    return _of_node(name, uid) | {"status": {"conditions": [condition_fields(condition)]}}


def _of_node(name: str, uid: str) -> Manifest:
    """An InferenceNode to apply something to; without the uid, that would create one that is gone."""
    return {"apiVersion": API_VERSION, "kind": node.KIND, "metadata": {"name": name, "uid": uid}}


def _owned(namespace: str, name: str, tenant_name: str, tenant_uid: str) -> Manifest:
    """Metadata of an object that goes when its tenant does: by garbage collection, without a finalizer."""
    owner = {
        "apiVersion": API_VERSION,
        "kind": tenant.KIND,
        "name": tenant_name,
        "uid": tenant_uid,
        "controller": True,
        "blockOwnerDeletion": False,
    }
    return {"namespace": namespace, "name": name, "labels": _labels(tenant_name), "ownerReferences": [owner]}


def _labels(tenant_name: str) -> Manifest:
    return {MANAGER_LABEL: MANAGER, TENANT_LABEL: tenant_name}


def _endpoint(endpoint: Endpoint) -> Manifest:
    return {
        "addresses": [endpoint.address],
        "nodeName": endpoint.node,
        "conditions": {
            "ready": endpoint.ready,
            "serving": endpoint.serving,
            "terminating": endpoint.terminating,
        },
    }
