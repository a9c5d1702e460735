"""A release's life on a real API server: installed, upgraded, rolled back, removed, installed again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bed import previous
from bed.cluster import SYSTEM_NAMESPACE, Cluster, KubectlError
from bed.helm import CHART, RELEASE, Helm, HelmError
from bed.uids import uids_of

DEFINITIONS = "crd"
OURS = "app.kubernetes.io/name=treadle"
TENANT = {
    "apiVersion": "treadle.dev/v1alpha1",
    "kind": "InferenceTenant",
    "metadata": {"name": "digits", "namespace": "default"},
    "spec": {
        "slo": {"deadline": "1s", "objective": "99", "window": "1h"},
        "tiers": [{"name": "only", "accuracy": "90", "model": {"uri": "/models/1.onnx"}}],
    },
}
# One that says all that a tenant can, but for what the previous version does not know.
FULL_TENANT: dict[str, Any] = {
    "apiVersion": "treadle.dev/v1alpha1",
    "kind": "InferenceTenant",
    "metadata": {"name": "full", "namespace": "default"},
    "spec": {
        "slo": {"deadline": "250ms", "objective": "99.5", "window": "24h", "minAccuracy": "80"},
        "tiers": [
            {
                "name": name,
                "accuracy": accuracy,
                "precision": "TF32",
                "model": {"uri": f"https://models.example/{name}.onnx", "sha256": "0" * 64, "secretName": "reader"},
            }
            for name, accuracy in (("large", "97.5"), ("small", "92.1"))
        ],
        "load": {"requestsPerSecond": "250"},
        "priority": 3,
        "replicas": {"min": 2, "max": 4},
        "switching": {"mode": "Pinned", "tier": "small"},
    },
}
CONDITION = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-11-01T00:00:00Z"}
STATUS = {
    "observedGeneration": 1,
    "conditions": [{**CONDITION, "observedGeneration": 1, "reason": "Serving", "message": "on 2 devices"}],
    "activeTier": "small",
    "p99": "20ms",
}
MONITORED = {"monitoring": {"enabled": True}}
HERE = ("--namespace", SYSTEM_NAMESPACE)

Eventually = Callable[..., Any]


def kinds(cluster: Cluster) -> list[str]:
    """All that a release may be made of: not Events, nor the kinds that it brings itself."""
    names = cluster.kubectl("api-resources", "--verbs=list", "-o", "name").split()
    return [name for name in names if "event" not in name and not name.endswith(".treadle.dev")]


def uids(cluster: Cluster) -> dict[str, str]:
    """The UID of every object of ours, by kind and name."""
    found = cluster.get(",".join(kinds(cluster)), "-A", "-l", OURS)["items"]
    return uids_of(found)


def test_from_install_to_uninstall(helm: Helm, fresh: Cluster, eventually: Eventually) -> None:
    said = helm("install", RELEASE, CHART, *HERE)
    assert f"helm test {RELEASE} -n {SYSTEM_NAMESPACE}" in said, "the next command is told"
    fresh.kubectl("wait", "--for=condition=Established", "--timeout=30s", DEFINITIONS, "-l", OURS)
    eventually(lambda: fresh.apply(TENANT))
    tenant = fresh.get("it", "digits")["metadata"]["uid"]
    installed = uids(fresh)
    assert {"Deployment/treadle-operator", "DaemonSet/treadle-agent"} <= set(installed)

    # Other values, then the ones before: every object is the one that it was.
    values = {"operator": {"replicas": 1}, "agent": {"device": "host", "leaveSeconds": 60}, "crds": {"keep": True}}
    helm("upgrade", RELEASE, CHART, *HERE, values=values)
    upgraded = uids(fresh)
    assert set(installed) - set(upgraded) == {"PodDisruptionBudget/treadle-operator"}, "one operator may be disrupted"
    assert upgraded.items() <= installed.items()
    agent = fresh.get("daemonset", "treadle-agent", "-n", SYSTEM_NAMESPACE)["spec"]["template"]["spec"]
    assert "--device=host" in agent["containers"][0]["args"]
    assert agent["terminationGracePeriodSeconds"] == 60 + 40

    helm("rollback", RELEASE, "1", *HERE)
    again = uids(fresh)
    assert set(again) == set(installed)
    assert upgraded.items() <= again.items()
    assert fresh.get("deployment", "treadle-operator", "-n", SYSTEM_NAMESPACE)["spec"]["replicas"] == 2

    helm("uninstall", RELEASE, *HERE)
    eventually(lambda: {key.partition("/")[0] for key in uids(fresh)} == {"CustomResourceDefinition"})
    assert fresh.get("it", "digits")["metadata"]["uid"] == tenant
    left = fresh.kubectl("get", "all,leases,secrets,networkpolicies,pdb", "-n", SYSTEM_NAMESPACE, "-o", "name")
    assert left == ""

    # Installed again, the release takes the definitions that were kept, and the tenant is still the same.
    helm("install", RELEASE, CHART, *HERE, values={"crds": {"keep": False}})
    assert fresh.get("it", "digits")["metadata"]["uid"] == tenant
    helm("uninstall", RELEASE, *HERE)
    eventually(lambda: uids(fresh) == {}, 30.0)
    eventually(lambda: "treadle.dev" not in fresh.kubectl("api-resources", "-o", "name"), 30.0)


@pytest.mark.usefixtures("definitions")
def test_an_upgrade_from_the_previous_version(
    helm: Helm, fresh: Cluster, eventually: Eventually, tmp_path: Path
) -> None:
    """Every object stays the one that it was, what a tenant says is kept, and what is new is there."""
    newer = {**FULL_TENANT, "spec": {**FULL_TENANT["spec"], previous.FIELD: {"pool": "gpus"}}}
    helm("install", RELEASE, previous.write(tmp_path), *HERE, values=MONITORED)
    fresh.kubectl("wait", "--for=condition=Established", "--timeout=30s", DEFINITIONS, "-l", OURS)
    eventually(lambda: fresh.apply(FULL_TENANT))
    fresh.kubectl("patch", "it/full", "--type=merge", "--subresource=status", "-p", json.dumps({"status": STATUS}))
    with pytest.raises(KubectlError, match=f'unknown field "spec.{previous.FIELD}"'):
        fresh.apply(newer)
    before, told = uids(fresh), fresh.get("it", "full")
    assert previous.ALERT not in alerts(fresh)

    helm("upgrade", RELEASE, CHART, *HERE, values=MONITORED)
    assert uids(fresh) == before
    assert fresh.get("it", "full") == told
    assert lost(FULL_TENANT["spec"], told["spec"]) == lost(STATUS, told["status"]) == []
    assert previous.ALERT in alerts(fresh)
    eventually(lambda: takes(fresh, newer))
    assert fresh.get("it", "full")["spec"] == {**told["spec"], previous.FIELD: {"pool": "gpus"}}


def takes(cluster: Cluster, manifest: dict[str, Any]) -> bool:
    """Whether it is applied: the API server goes by a changed definition a moment later."""
    try:
        cluster.apply(manifest)
    except KubectlError:
        return False
    return True


def alerts(cluster: Cluster) -> list[str]:
    """Those of the release's rules."""
    groups = cluster.get("prometheusrule", RELEASE, "-n", SYSTEM_NAMESPACE)["spec"]["groups"]
    return [name for group in groups for name in previous.names(group)]


def test_no_field_of_the_definitions_is_pruned(helm: Helm, fresh: Cluster) -> None:
    """What the API server keeps of each object is what was rendered."""
    helm("install", RELEASE, CHART, *HERE)
    for rendered in helm.render():
        if "helm.sh/hook" in rendered["metadata"].get("annotations", {}):
            continue
        metadata = rendered["metadata"]
        namespace = ("-n", metadata["namespace"]) if "namespace" in metadata else ()
        kept = fresh.get(f"{rendered['kind'].lower()}", metadata["name"], *namespace)
        assert lost(rendered, kept) == [], rendered["kind"]


def lost(wanted: Any, kept: Any, path: str = "") -> list[str]:
    """Where `kept` lacks, or changes, a part of `wanted`; quantities may be written in another way."""
    if isinstance(wanted, dict):
        if not isinstance(kept, dict):
            return [path]
        return [
            gone
            for key, value in wanted.items()
            if value not in (None, {}, [])
            for gone in (lost(value, kept[key], f"{path}.{key}") if key in kept else [f"{path}.{key}"])
        ]
    if isinstance(wanted, list):
        if not isinstance(kept, list) or len(kept) < len(wanted):
            return [path]
        return [gone for one, other in zip(wanted, kept, strict=False) for gone in lost(one, other, f"{path}[]")]
    return [] if wanted == kept else [f"{path}: {wanted!r} became {kept!r}"]


def test_a_second_release_is_refused_before_it_does_harm(helm: Helm, fresh: Cluster) -> None:
    helm("install", RELEASE, CHART, *HERE)
    before = uids(fresh)
    fresh.kubectl("create", "namespace", "other")
    with pytest.raises(HelmError, match="exists and cannot be imported"):
        helm("install", "second", CHART, "--namespace", "other")
    assert uids(fresh) == before
    fresh.kubectl("delete", "namespace", "other", "--wait=false")


def permissions(cluster: Cluster, role: str) -> set[tuple[str, str]]:
    """What those with a ClusterRole may do with our kinds: resource and verb."""
    rules = cluster.get("clusterrole", role)["rules"]
    return {
        (resource, verb)
        for rule in rules
        if "treadle.dev" in rule.get("apiGroups", ())
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def test_a_namespaces_editors_write_tenants_and_nothing_else(
    helm: Helm, fresh: Cluster, eventually: Eventually
) -> None:
    helm("install", RELEASE, CHART, *HERE)
    kinds = ("inferencetenants", "inferencereplicas", "inferencenodes", "modelprofiles")
    seen = {(kind, verb) for kind in kinds for verb in ("get", "list", "watch")}
    writing = ("create", "update", "patch", "delete", "deletecollection")
    written = {("inferencetenants", verb) for verb in writing} | {("inferencetenants/infer", "create")}
    eventually(lambda: permissions(fresh, "view") == seen)
    eventually(lambda: permissions(fresh, "edit") == seen | written)
    eventually(lambda: permissions(fresh, "admin") == seen | written)
