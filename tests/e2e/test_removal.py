"""A release is removed: tenants stay, and are served when it is installed again; or go with it, where that is asked."""

from __future__ import annotations

import shlex

import pytest

from bed.cluster import SYSTEM_NAMESPACE, Cluster, KubectlError
from bed.eventually import eventually
from bed.helm import RELEASE, Helm
from bed.uids import uids_of
from node import install_page, release, tenant
from node.client import Client

pytestmark = pytest.mark.e2e

HERE = ("--namespace", SYSTEM_NAMESPACE)
OURS = "app.kubernetes.io/name=treadle"
SLICES = ("endpointslices", "-A", "-l", "endpointslice.kubernetes.io/managed-by=treadle.dev")
IN_THE_NAMESPACE = "all,leases,secrets,configmaps,serviceaccounts,roles,rolebindings,networkpolicies,pdb"
NOT_OURS = {"configmap/kube-root-ca.crt", f"configmap/{tenant.CONFIG_MAP}", "serviceaccount/default"}
IN_THE_CLUSTER = "crd,clusterroles,clusterrolebindings,validatingadmissionpolicies,validatingadmissionpolicybindings"


def uids(cluster: Cluster) -> dict[str, str]:
    """Of our definitions, and of all that they define, by kind and name."""
    found = cluster.get("crd", "-l", OURS)["items"] + cluster.get("it,ir,inode", "-A")["items"]
    return uids_of(found)


def names(cluster: Cluster, kinds: str, *words: str) -> set[str]:
    return set(cluster.kubectl("get", kinds, *words, "-o", "name").split())


def refuses(client: Client, host: str) -> bool:
    """Whether a connection is refused, instead of going to an address where nobody is."""
    try:
        client.connects(host)
    except KubectlError as error:
        return "ConnectionRefusedError" in str(error)
    return False


def test_a_release_is_removed_and_installed_again(
    installed: Cluster, helm: Helm, client: Client, namespace: str
) -> None:
    host = tenant.make(installed, "steady", namespace)
    assert client.ask(host, "steady") == tenant.DOUBLED
    before = uids(installed)
    assert {key.partition("/")[0] for key in before} == {
        "CustomResourceDefinition", "InferenceTenant", "InferenceReplica", "InferenceNode",
    }  # fmt: skip

    values = release.values(helm)
    helm("uninstall", RELEASE, *HERE)
    eventually(lambda: names(installed, "pods", "-n", SYSTEM_NAMESPACE) == set(), 90.0)
    eventually(lambda: names(installed, IN_THE_NAMESPACE, "-n", SYSTEM_NAMESPACE) == NOT_OURS, 30.0)
    assert {one.partition(".")[0] for one in names(installed, IN_THE_CLUSTER, "-l", OURS)} == {
        "customresourcedefinition"
    }
    assert uids(installed) == before
    [named] = [one for each in installed.get(*SLICES)["items"] for one in each["endpoints"]]
    assert named["conditions"]["ready"], "else docs/install.md need not tell what to do about it"
    installed.kubectl(*shlex.split(install_page.line("kubectl delete endpointslices"))[1:])
    assert not installed.exists(*SLICES)
    eventually(lambda: refuses(client, host), 30.0)
    installed.apply(tenant.tenant("in-between", namespace))
    installed.kubectl("delete", "it/in-between", "-n", namespace, "--timeout=20s")  # nothing waits for who is gone

    release.install(helm, values)
    release.wait(installed)
    assert client.ask(host, "steady") == tenant.DOUBLED
    tenant.wait(installed, "steady", namespace)
    assert tenant.address(installed, "steady", namespace) == host
    after = uids(installed)
    assert {key: uid for key, uid in before.items() if not key.startswith("InferenceReplica/")}.items() <= after.items()


def test_definitions_and_tenants_go_with_it_where_that_is_asked(
    installed: Cluster, helm: Helm, client: Client, namespace: str
) -> None:
    values = release.values(helm)
    host = tenant.make(installed, "fleeting", namespace)
    release.change(helm, "crds.keep=false")
    release.wait(installed)
    assert client.ask(host, "fleeting") == tenant.DOUBLED
    of_tenants = ("services,endpointslices", "-n", namespace)
    assert installed.exists(*of_tenants)

    helm("uninstall", RELEASE, *HERE)
    eventually(lambda: names(installed, IN_THE_NAMESPACE, "-n", SYSTEM_NAMESPACE) == NOT_OURS, 90.0)
    eventually(lambda: names(installed, IN_THE_CLUSTER, "-l", OURS) == set(), 30.0)
    eventually(lambda: not installed.exists(*of_tenants), 30.0)

    release.install(helm, values)
    release.wait(installed)
    assert not installed.exists("it,ir", "-A")
    host = tenant.make(installed, "fleeting", namespace)
    assert client.ask(host, "fleeting") == tenant.DOUBLED
