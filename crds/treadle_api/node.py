"""An InferenceNode: a node's devices, as its agent sees them. Liveness is a Lease of the node's name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from treadle_api.conditions import Condition, ConditionStatus, find_condition, read_conditions
from treadle_api.fields import Fields, FieldValueError
from treadle_api.objects import (
    DEVICE_ID,
    DEVICE_MODEL_LENGTH,
    LABEL_LENGTH,
    MOST_BYTES,
    MOST_DEVICES,
    PRINTABLE,
    SUBDOMAIN,
    SUBDOMAIN_LENGTH,
    document_of,
    read_address,
    read_decimal,
    read_generation,
)
from treadle_api.tenant import Precision, read_precisions
from treadle_api.units import Bytes

KIND = "InferenceNode"
PLURAL = "inferencenodes"

READY = "Ready"  # type of the condition: whether the agent serves what is assigned to it
ALIVE = "Alive"  # type of the condition that the operator writes: whether the agent's Lease has not expired
STOPPING = "Stopping"  # reason of Ready=False: the agent ends, and serves until its tenants are elsewhere


@dataclass(frozen=True, slots=True)
class Device:
    """One device of a node.

    `id` is unique on the node ("0", a GPU's UUID, or "host"); `model` names what profiles are about. `memory` is what
    tenants may use in all, `used` what they hold. `utilisation`: busy share (0–1) of the last window. `stretch`:
    observed over expected kernel time, over all tenants (1.0 is as expected). `reason`: why it is not healthy.
    `merge_factor`: kernels of single requests a launch, over the last window; None where it launched none.
    `precisions`: those at which it computes.
    """

    id: str
    model: str
    memory: Bytes
    used: Bytes
    utilisation: float
    stretch: float
    healthy: bool
    reason: str
    merge_factor: float | None = None
    precisions: tuple[Precision, ...] = (Precision.FLOAT32,)


@dataclass(frozen=True, slots=True)
class CordonedDevice:
    """A device that takes no new replicas, and whose replicas are moved away; written by the operator or a person."""

    id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Node:
    """One InferenceNode.

    `unschedulable` is a person's wish (the spec); `address` HOST:PORT of the agent's front end, empty before its first
    report. `generation` is the spec's.
    """

    name: str
    unschedulable: bool
    cordoned: tuple[CordonedDevice, ...]
    address: str
    devices: tuple[Device, ...]
    conditions: tuple[Condition, ...]
    generation: int
    agent_version: str = ""
    observed_generation: int = 0

    @property
    def stopping(self) -> bool:
        """Whether the agent was asked to end, and waits for its tenants to be served elsewhere."""
        ready = find_condition(self.conditions, READY)
        return ready is not None and ready.status is ConditionStatus.FALSE and ready.reason == STOPPING


def read_node(manifest: Mapping[str, object]) -> Node:
    """Read a decoded InferenceNode as the API server returned it.

    Raises:
        FieldError: a field is missing or malformed; the error names it.
    """
    document = document_of(manifest, KIND)
    metadata = document.child("metadata")
    spec, status = document.child("spec", optional=True), document.child("status", optional=True)
    return Node(
        name=metadata.text("name", SUBDOMAIN, SUBDOMAIN_LENGTH),
        unschedulable=spec.boolean("unschedulable", default=False),
        cordoned=tuple(
            CordonedDevice(read_device_id(item, "id"), item.text("reason", None, 1024))
            for item in spec.children("cordonedDevices", MOST_DEVICES, least=0, unique="id")
        ),
        address=read_address(status, "address"),
        devices=tuple(_read_device(item) for item in status.children("devices", MOST_DEVICES, least=0, unique="id")),
        conditions=read_conditions(status),
        generation=read_generation(metadata, "generation"),
        agent_version=status.text("agentVersion", None, 64) if status.has("agentVersion") else "",
        observed_generation=read_generation(status, "observedGeneration"),
    )


def read_device_id(fields: Fields, key: str) -> str:
    """A member that is a device's id; raises FieldError."""
    return fields.text(key, DEVICE_ID, LABEL_LENGTH)


def _read_device(device: Fields) -> Device:
    utilisation = read_decimal(device, "utilisation")
    if utilisation > 1:
        raise FieldValueError(device.field("utilisation"), f"must be 0 to 1, is {utilisation:g}")
    return Device(
        id=read_device_id(device, "id"),
        model=device.text("model", PRINTABLE, DEVICE_MODEL_LENGTH),
        memory=Bytes(device.integer("memoryBytes", 0, MOST_BYTES)),
        used=Bytes(device.integer("usedBytes", 0, MOST_BYTES)),
        utilisation=utilisation,
        stretch=read_decimal(device, "stretch"),
        healthy=device.boolean("healthy"),
        reason=device.text("reason", None, 1024, "", least=0),
        merge_factor=read_decimal(device, "mergeFactor") if device.has("mergeFactor") else None,
        precisions=read_precisions(device, "precisions") or (Precision.FLOAT32,),
    )
