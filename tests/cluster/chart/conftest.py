"""A cluster of its own that has never heard of treadle, and helm."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bed.cluster import SYSTEM_NAMESPACE, Cluster
from bed.helm import Helm


@pytest.fixture(scope="package")
def bare_cluster(binaries: Path) -> Iterator[Cluster]:
    with Cluster.bare(binaries) as bare:
        bare.kubectl("create", "namespace", SYSTEM_NAMESPACE)
        yield bare


@pytest.fixture(scope="package")
def helm(binaries: Path, bare_cluster: Cluster) -> Helm:
    return Helm(binaries, bare_cluster)
