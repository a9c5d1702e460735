"""What the operator writes is read back as what it was made from, and our own schemas accept it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from treadle_api.conditions import Condition, ConditionStatus
from treadle_api.node import CordonedDevice, read_node
from treadle_api.tenant import Replicas, Tenant, read_tenant
from treadle_api.units import Percent, PerSecond, Seconds, TierName
from treadle_operator.kube import manifests
from treadle_operator.kube.views import (
    controller_uid,
    read_core_node,
    read_identity,
    read_node_lease,
    read_replica_view,
    read_service_view,
    read_slice_view,
    read_tenant_view,
)
from treadle_operator.policy.changes import (
    ApplyEndpointSlice,
    ApplyService,
    CreateReplica,
    ReplicaSpec,
    WriteTenantStatus,
    replica_name,
)
from treadle_operator.snapshot import AddressType, Cause, Endpoint, Taint, TaintEffect
from treadle_operator.tenant_status import CounterOffer, TenantStatus

Manifest = dict[str, Any]
Store = Callable[..., Manifest]
CRDS = Path(__file__).parents[3] / "crds"


def accepted(manifest: Manifest) -> Manifest:
    """The manifest, if the kind's schema takes its spec and status with no field unknown."""
    for file in CRDS.glob("*.yaml"):
        crd = yaml.safe_load(file.read_text())
        if crd["spec"]["names"]["kind"] == manifest["kind"]:
            members = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
            for member in {"spec", "status"} & manifest.keys():
                jsonschema.validate(manifest[member], closed(members[member]))
            return manifest
    raise AssertionError(f"no CRD for {manifest['kind']}")


def closed(schema: Any) -> Any:
    """The schema, but with unknown members refused, as strict field validation does."""
    if isinstance(schema, list):
        return [closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {key: closed(value) for key, value in schema.items()}
    if schema.get("type") == "object" and "properties" in schema:
        inner.setdefault("additionalProperties", False)
    return inner


@pytest.fixture
def digits(tenant: Callable[..., Manifest]) -> Tenant:
    return read_tenant(tenant())


def creation(tenant: Tenant, **changes: Any) -> CreateReplica:
    spec = ReplicaSpec(tenant, 3, "node-1", "GPU-1", 7, draining=True, successors=("10.0.0.2:8080",))
    name = replica_name(tenant.name, "node-1", "GPU-1")
    return replace(
        CreateReplica(tenant.namespace, name, "uid-digits", spec, Cause.STRAGGLING, "node-0/GPU-0"), **changes
    )


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"switching": {"mode": "Pinned", "tier": "small"}, "priority": 1},
        {
            "slo": {"deadline": "1m30s250ms", "window": "2160h"},
            "nodeSelector": {"zone": "b"},
            "load": {"requestsPerSecond": "9"},
        },
        {
            "tiers": [
                {
                    "name": "only",
                    "accuracy": "100",
                    "model": {"uri": "s3://models/m.onnx", "secretName": "reader"},
                }
            ],
            "replicas": {"min": 2, "max": 3},
        },
    ],
)
def test_a_replica_is_read_back(tenant: Callable[..., Manifest], stored: Store, spec: Manifest) -> None:
    made_from = read_tenant(tenant(**spec))
    change = creation(made_from)
    view = read_replica_view(stored(accepted(manifests.replica_manifest(change))))
    # The agent needs neither the number of devices, nor which nodes would do, nor the load that was expected.
    served = replace(made_from, replicas=Replicas(1, 1), node_selector=(), requests_per_second=None)
    assert view.replica.tenant == served
    assert (view.replica.node, view.replica.device, view.replica.epoch) == ("node-1", "GPU-1", 7)
    assert (view.replica.tenant_generation, view.replica.draining) == (3, True)
    assert view.replica.successors == ("10.0.0.2:8080",)
    assert (view.tenant_uid, view.cause, view.replaces) == ("uid-digits", Cause.STRAGGLING, "node-0/GPU-0")
    assert view.key == f"team/{change.name}"


def test_a_precision_is_written_only_where_it_was_chosen(tenant: Callable[..., Manifest]) -> None:
    plain = {"name": "plain", "accuracy": "100", "model": {"uri": "m.onnx"}}
    chosen = {"name": "chosen", "accuracy": "99", "model": {"uri": "m.onnx"}, "precision": "TF32"}
    template = manifests.replica_template(read_tenant(tenant(tiers=[plain, chosen])))
    assert [tier.get("precision") for tier in template["tiers"]] == [None, "TF32"]  # type: ignore[attr-defined]


def test_a_replica_that_takes_over_from_nothing_says_nothing_of_it(digits: Tenant, stored: Store) -> None:
    manifest = manifests.replica_manifest(creation(digits, replaces=""))
    assert list(manifest["metadata"]["annotations"]) == ["treadle.dev/placed-because"]  # type: ignore[index]
    assert read_replica_view(stored(manifest)).replaces == ""


def test_owned_objects_go_with_their_tenant_and_hold_up_nothing(digits: Tenant) -> None:
    manifest = manifests.replica_manifest(creation(digits))
    metadata: Any = manifest["metadata"]
    assert "finalizers" not in metadata
    assert metadata["ownerReferences"][0]["controller"] is True
    assert metadata["ownerReferences"][0]["blockOwnerDeletion"] is False
    assert controller_uid(manifest) == "uid-digits"


def test_a_service_is_read_back_and_a_users_is_told_apart(stored: Store) -> None:
    manifest = manifests.service_manifest(ApplyService("team", "digits-treadle", "digits", "uid-digits"))
    view = read_service_view(stored(manifest))
    assert (view.namespace, view.name, view.tenant_uid, view.in_order) == ("team", "digits-treadle", "uid-digits", True)
    spec: Any = manifest["spec"]
    assert "selector" not in spec
    users = stored({"metadata": {"name": "digits-treadle", "namespace": "team"}, "spec": spec})
    assert read_service_view(users).tenant_uid == ""
    for wrong in ({"ports": []}, {"ports": [{"name": "web", "port": 80}]}):
        assert not read_service_view(stored(manifest | {"spec": spec | wrong})).in_order
    more = read_service_view(
        stored(manifest | {"spec": spec | {"ports": [{"name": "web", "port": 81}, *spec["ports"]]}})
    )
    assert (more.in_order, more.selects) == (True, False), "what others add cannot be taken away, and does no harm"
    selecting = read_service_view(stored(manifest | {"spec": spec | {"selector": {"app": "x"}}}))
    assert (selecting.in_order, selecting.selects) == (True, True)


def test_a_slice_is_read_back(stored: Store) -> None:
    endpoints = (
        Endpoint("10.0.0.1", "a", ready=True, serving=True, terminating=False),
        Endpoint("10.0.0.2", "b", ready=False, serving=True, terminating=True),
    )
    change = ApplyEndpointSlice(
        "team", "digits-treadle-8080", "digits-treadle", "digits", "uid-digits", AddressType.IPV4, 8080, endpoints
    )
    manifest = manifests.slice_manifest(change)
    view = read_slice_view(stored(manifest))
    assert view.managed
    users = {**manifest, "metadata": {"name": "digits-treadle-8080", "namespace": "team"}}
    assert not read_slice_view(stored(users)).managed
    assert (view.address_type, view.port, view.endpoints, view.tenant_uid) == (
        AddressType.IPV4,
        8080,
        endpoints,
        "uid-digits",
    )
    labels: Any = manifest["metadata"]
    assert labels["labels"]["kubernetes.io/service-name"] == "digits-treadle"
    assert labels["labels"]["endpointslice.kubernetes.io/managed-by"] == "treadle.dev"
    assert read_slice_view(stored(manifest | {"ports": []})).port == 0


def test_a_status_is_read_back(tenant: Callable[..., Manifest], stored: Store) -> None:
    status = TenantStatus(
        observed_generation=4,
        conditions=(
            Condition("Admitted", ConditionStatus.FALSE, "DeadlineInfeasible", "why", 4, "2026-11-22T20:00:00Z"),
        ),
        replicas_desired=2,
        replicas_ready=1,
        active_tier=TierName("small"),
        effective_accuracy=Percent(91.25),
        p99=Seconds(0.075),
        requests_per_second=PerSecond(12.5),
        url="http://digits-treadle.team.svc",
        counter_offer=CounterOffer(Seconds(0.25), Percent(80.0), PerSecond(3.0)),
    )
    manifest = manifests.status_manifest(WriteTenantStatus("team", "digits", "uid-digits", status))
    assert "spec" not in manifest
    whole = accepted(tenant() | {"status": manifest["status"]})
    assert read_tenant_view(stored(whole)).status == status
    assert read_identity(stored(manifest, version=7)).version == 7


def test_a_status_that_cannot_be_read_counts_as_none(tenant: Callable[..., Manifest], stored: Store) -> None:
    assert read_tenant_view(stored(tenant() | {"status": {"p99": "soon"}})).status == TenantStatus()


def test_cordons_carry_the_uid_so_that_applying_them_creates_no_node(
    node: Callable[..., Manifest], stored: Store
) -> None:
    cordoned = (CordonedDevice("host", "it slows all its tenants"),)
    manifest = manifests.cordon_manifest("a", "uid-a", cordoned)
    assert manifest["metadata"] == {"name": "a", "uid": "uid-a"}
    assert read_node(stored(accepted(node() | {"spec": manifest["spec"]}))).cordoned == cordoned


def test_that_an_agent_is_silent_is_the_only_thing_applied_to_a_nodes_status(
    node: Callable[..., Manifest], stored: Store
) -> None:
    told = Condition("Alive", ConditionStatus.FALSE, "LeaseExpired", "not heard of", 1, "2026-11-22T20:00:00Z")
    manifest = manifests.alive_manifest("a", "uid-a", told)
    assert manifest["metadata"] == {"name": "a", "uid": "uid-a"}
    assert list(manifest["status"]) == ["conditions"]  # type: ignore[call-overload]
    assert read_node(stored(accepted(node() | {"status": manifest["status"]}))).conditions == (told,)


def test_a_core_node_is_read(stored: Store) -> None:
    found = read_core_node(
        stored(
            {
                "metadata": {"name": "a", "labels": {"zone": "b", "empty": ""}},
                "spec": {
                    "unschedulable": True,
                    "taints": [
                        {"key": "gpu", "value": "yes", "effect": "NoSchedule"},
                        {"key": "gone", "effect": "NoExecute"},
                        {"key": "new", "effect": "OfAnotherVersion"},
                    ],
                },
            }
        )
    )
    assert found.labels == {"zone": "b", "empty": ""}
    assert found.taints == (
        Taint("gpu", "yes", TaintEffect.NO_SCHEDULE),
        Taint("gone", "", TaintEffect.NO_EXECUTE),
    )
    assert found.unschedulable


def test_of_the_leases_only_the_nodes_are_read(stored: Store) -> None:
    def lease(name: str, **spec: Any) -> Manifest:
        usual = {
            "holderIdentity": "a",
            "leaseDurationSeconds": 15,
            "renewTime": "2026-11-22T20:00:00.250000Z",
        }
        return stored({"metadata": {"name": name, "namespace": "treadle-system"}, "spec": usual | spec})

    read = read_node_lease(lease("treadle-node-a.b"))
    assert read is not None
    assert (read.node, read.duration, read.renewed) == ("a.b", 15.0, 1795377600.25)
    assert read.written == 0.0
    written = lease("treadle-node-a")
    written["metadata"]["managedFields"] = [
        {"manager": "treadle-agent", "time": "2026-11-22T20:00:05Z"},
        {"manager": "kubectl", "time": "2026-11-21T20:00:00Z"},
        {"manager": "unknown"},
    ]
    read = read_node_lease(written)
    assert read is not None
    assert read.written == 1795377605.0
    assert read_node_lease(lease("treadle-operator")) is None
    assert read_node_lease(lease("treadle-node-a", renewTime=None)) is None
    assert read_node_lease(lease("treadle-node-a", holderIdentity="")) is None
