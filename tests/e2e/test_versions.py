"""The previous version is upgraded to this one under load, rolled back, and upgraded again: serving never stops."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bed import previous
from bed.cluster import SYSTEM_NAMESPACE, Cluster
from bed.eventually import eventually
from bed.helm import RELEASE, Helm
from bed.uids import uids_of
from images.recipe import Image, version
from node import node, release, tenant
from node.client import Client

pytestmark = pytest.mark.e2e

HERE = ("-n", SYSTEM_NAMESPACE)
OURS = "app.kubernetes.io/name=treadle"
OF_TENANTS = "treadle.dev/tenant"  # a label of what is made of one


@pytest.fixture
def previously(
    world: tuple[Cluster, node.Node], installed: Cluster, images: tuple[Image, ...], helm: Helm, tmp_path: Path
) -> Cluster:
    """The cluster with the previous version's release instead, installed where nothing was left of this one's."""
    values = release.values(helm)
    helm("uninstall", RELEASE, *HERE)
    installed.kubectl("delete", "crd", "-l", OURS, "--timeout=60s", seconds=90.0)
    eventually(lambda: not installed.exists("pods", *HERE), 90.0)
    eventually(lambda: not installed.exists("leases", *HERE), 30.0)
    for image in images:  # the same programs, by the name that their previous version had
        world[1].tag(image.reference, f"{image.repository}:{previous.VERSION}")
    release.install(helm, values, previous.write(tmp_path))
    release.wait(installed)
    return installed


def uids(cluster: Cluster, helm: Helm) -> dict[str, str]:
    """Of all that the release is made of, and of all that it made of a tenant, by kind and name."""
    manifest = helm("get", "manifest", RELEASE, *HERE)
    found = json.loads(cluster.kubectl("get", "-f", "-", "-o", "json", stdin=manifest))["items"]
    found += cluster.get("it,ir,inode", "-A")["items"]
    found += cluster.get("services,endpointslices", "-A", "-l", OF_TENANTS)["items"]
    return uids_of(found)


def running(cluster: Cluster) -> set[str]:
    """The versions of what runs, by its images' tags."""
    pods = cluster.get("pods", *HERE, "-l", OURS, "--field-selector=status.phase=Running")["items"]
    return {pod["spec"]["containers"][0]["image"].rpartition(":")[2] for pod in pods}


def knows_the_new_field(cluster: Cluster) -> bool:
    definition = cluster.get("crd", "inferencetenants.treadle.dev")
    return previous.FIELD in previous.tenant_fields(definition)


def test_serving_never_stops_and_objects_stay_what_they_were(
    previously: Cluster, helm: Helm, client: Client, namespace: str, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster, values = previously, release.values(helm)
    host = tenant.make(cluster, "steady", namespace)
    assert client.ask(host, "steady") == tenant.DOUBLED
    before = uids(cluster, helm)
    assert {"DaemonSet", "CustomResourceDefinition", "InferenceReplica", "Service", "EndpointSlice"} <= {
        key.partition("/")[0] for key in before
    }
    told = cluster.get("it", "steady", "-n", namespace)["spec"]
    with client.load(host, "steady") as outcome:
        for change, wanted in (
            (lambda: release.upgrade(helm, values), version()),
            (lambda: helm("rollback", RELEASE, *HERE), previous.VERSION),
            (lambda: release.upgrade(helm, values), version()),
        ):
            assert running(cluster) == {version(), previous.VERSION} - {wanted}
            release.replaced(cluster, change)
            eventually(lambda wanted=wanted: running(cluster) == {wanted}, 60.0)
            assert uids(cluster, helm) == before
            assert cluster.get("it", "steady", "-n", namespace)["spec"] == told
            assert knows_the_new_field(cluster) == (wanted == version())
    assert outcome.wrong == []
    assert outcome.answered > 100
    newer = tenant.tenant("steady", namespace)
    newer["spec"][previous.FIELD] = {"kubernetes.io/os": "linux"}
    cluster.apply(newer)
    assert cluster.get("it", "steady", "-n", namespace)["spec"] == told | {
        previous.FIELD: newer["spec"][previous.FIELD]
    }
    assert client.ask(host, "steady") == tenant.DOUBLED
    with capsys.disabled():
        print(f"\nthree changes of version: {outcome.answered} requests answered, the longest in {outcome.longest} s")  # noqa: T201
