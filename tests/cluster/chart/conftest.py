"""A cluster of its own that has never heard of treadle, and helm."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from bed.cluster import SYSTEM_NAMESPACE, Cluster, KubectlError
from bed.eventually import eventually
from bed.helm import RELEASE, Helm
from controlplane import cache

OURS = "app.kubernetes.io/name=treadle"


@pytest.fixture(scope="package")
def bare_cluster(binaries: Path) -> Iterator[Cluster]:
    with Cluster.bare(binaries) as bare:
        bare.kubectl("create", "namespace", SYSTEM_NAMESPACE)
        yield bare


@pytest.fixture(scope="package")
def helm(binaries: Path, bare_cluster: Cluster) -> Helm:
    return Helm(binaries, bare_cluster)


@pytest.fixture(scope="package")
def definitions(bare_cluster: Cluster) -> None:
    """Other projects' kinds, as they define them. Without: skipped, or a failure where a cluster is required."""
    folder = cache.definitions_folder()
    if absent := cache.missing_definitions():
        reason = f"no control plane: {', '.join(absent)} not written in {folder}; run `make definitions`"
        if os.environ.get("TREADLE_REQUIRE_CLUSTER") == "1":
            pytest.fail(f"TREADLE_REQUIRE_CLUSTER=1, but {reason}", pytrace=False)
        pytest.skip(reason)
    bare_cluster.kubectl("apply", "--server-side", "-f", folder)  # larger than an annotation may be
    bare_cluster.kubectl("wait", "--for=condition=Established", "--timeout=30s", "-f", folder)


@pytest.fixture(scope="module")
def clean(bare_cluster: Cluster, helm: Helm) -> Iterator[None]:
    """Nothing is left of a release after the module, nor of what was made with it."""
    yield
    remove_release(bare_cluster, helm)


@pytest.fixture
def fresh(bare_cluster: Cluster, helm: Helm) -> Iterator[Cluster]:
    """The cluster without a release and without definitions, before and after each test."""
    yield bare_cluster
    remove_release(bare_cluster, helm)


def remove_release(cluster: Cluster, helm: Helm) -> None:
    if RELEASE in helm("list", "--short", "--namespace", SYSTEM_NAMESPACE):
        helm("uninstall", RELEASE, "--namespace", SYSTEM_NAMESPACE)
    # An API server that meets a definition's end before it serves it tries again ever more rarely, for minutes.
    for kind in cluster.kubectl("get", "crd", "-l", OURS, "-o", "name").split():
        eventually(partial(served, cluster, kind.partition("/")[2]), 60.0)
    cluster.kubectl("delete", "crd", "-l", OURS, "--wait=false")
    cluster.kubectl("delete", "leases", "--all", "-n", SYSTEM_NAMESPACE)
    eventually(lambda: not cluster.exists("crd", "-l", OURS), 60.0)


def served(cluster: Cluster, definition: str) -> bool:
    """Whether objects of a definition, `PLURAL.GROUP`, can be listed, or it is gone."""
    try:
        cluster.kubectl("get", definition, "--all-namespaces")
    except KubectlError:
        return not cluster.exists("crd", definition)
    return True
