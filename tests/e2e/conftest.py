"""One cluster with a real node, and treadle installed there. The harness itself is in `node/`."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bed import page
from bed.cluster import SYSTEM_NAMESPACE, Cluster
from bed.helm import CHART, Helm
from controlplane import cache
from images import store
from images.recipe import IMAGES, Image
from node import install_page, node, release, tenant
from node.client import Client, let_in

# What is shown where a test fails.
HERE = ("-n", SYSTEM_NAMESPACE)
TOLD = (
    ("get", "pods", "-A", "-o", "wide"),
    ("get", "it,ir,inode,endpointslices", "-A", "-o", "wide"),
    ("get", "events", "-A", "--sort-by=.lastTimestamp"),
    ("logs", *HERE, "-l", "app.kubernetes.io/component=operator", "--tail=100", "--prefix"),
    ("logs", *HERE, "-l", "app.kubernetes.io/component=agent", "--tail=100", "--prefix"),
)


@pytest.fixture(scope="session")
def binaries() -> Path:
    """The folder that `make controlplane` fills."""
    absent = cache.missing()
    if absent:
        pytest.fail(f"{', '.join(absent)} not built in {cache.folder()}; run `make e2e`", pytrace=False)
    return cache.folder()


@pytest.fixture(scope="session")
def images() -> Iterator[tuple[Image, ...]]:
    """This tree's images; they stay in their store for as long as the tests run."""
    wanted = (IMAGES["operator"], IMAGES["agent"])
    with store.held(print, alone=False):
        absent = [image.name for image in wanted if not store.archive(image).exists()]
        if absent:
            pytest.fail(f"this tree's images are not built: {', '.join(absent)}; run `make e2e`", pytrace=False)
        yield wanted


@pytest.fixture(scope="session")
def world(binaries: Path, images: tuple[Image, ...]) -> Iterator[tuple[Cluster, node.Node]]:
    """A cluster, and its real node that has this tree's images."""
    with node.running(binaries, [store.archive(image) for image in images]) as found:
        yield found


@pytest.fixture(scope="session")
def cluster(world: tuple[Cluster, node.Node]) -> Cluster:
    """The cluster with a real node."""
    return world[0]


@pytest.fixture(scope="session")
def helm(binaries: Path, cluster: Cluster) -> Helm:
    return Helm(binaries, cluster)


@pytest.fixture(scope="session")
def typed(cluster: Cluster, helm: Helm, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the lines print by which docs/install.md installs the chart, each typed as it stands."""
    folder = tmp_path_factory.mktemp("typed")
    (folder / "charts").symlink_to(CHART.parent)
    (folder / install_page.VALUES_FILE).write_text(json.dumps(install_page.values(tenant.VALUES)))
    printed = {}

    def type_in(line: str) -> None:
        done = page.in_a_shell(line, folder=folder, environment=helm.environment)
        assert done.returncode == 0, done.stderr
        printed[line] = done.stdout + done.stderr

    install, *rest = install_page.first_lines()
    type_in(install)
    type_in(install_page.line("kubectl label namespace"))
    cluster.apply(tenant.models(SYSTEM_NAMESPACE))  # a volume of the agents' Pods, which wait for it
    for line in rest:
        type_in(line)
    return printed


@pytest.fixture(scope="session")
def installed(cluster: Cluster, typed: dict[str, str]) -> Cluster:
    """The chart's release, all of whose Pods are ready, in a namespace that takes none that is not `restricted`."""
    release.wait(cluster)
    return cluster


@pytest.fixture
def namespace(installed: Cluster) -> Iterator[str]:
    """A fresh one for tenants, which the client may call; gone, with all that is in it, after the test."""
    name = f"team-{secrets.token_hex(3)}"
    installed.kubectl("create", "namespace", name)
    let_in(installed, name)
    yield name
    installed.kubectl("delete", "namespace", name, "--timeout=60s", seconds=90.0)


@pytest.fixture(scope="session")
def client(installed: Cluster, images: tuple[Image, ...]) -> Client:
    """A Pod in another namespace."""
    return Client.started(installed, images[1].reference)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    """What Pods say, and what happened to them, where a test fails."""
    report = yield
    running = item.funcargs.get("installed") if isinstance(item, pytest.Function) else None
    if report.failed and report.when == "call" and isinstance(running, Cluster):
        report.sections += [(" ".join(words), running.kubectl(*words)) for words in TOLD]
    return report
