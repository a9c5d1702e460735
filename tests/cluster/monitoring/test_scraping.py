"""A real Prometheus scrapes who asks who is there, as the chart's PodMonitors say; nobody else is let in."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml

from bed import deployment
from bed.addresses import LOOPBACK, free_port
from bed.cluster import SYSTEM_NAMESPACE, Cluster
from bed.helm import Helm, Manifest, Values
from bed.program import Program
from bed.prometheus import Prometheus

CERTIFICATE = "agent-tls"  # the Secret that agents have theirs of
HERE = ("-n", SYSTEM_NAMESPACE)
SCRAPER = {"treadle-scraper", "treadle-metrics"}  # the objects by which Prometheus has its token, and its right
JOBS = {"treadle-agent", "treadle-operator"}
KINDS = {"ServiceAccount", "Secret", "ClusterRole", "ClusterRoleBinding"}


@pytest.fixture
def certificate(cluster: Cluster, tmp_path: Path) -> Iterator[Path]:
    """A folder with an agent's certificate and key, which are in a Secret, too."""
    made = trustme.CA().issue_cert("treadle-agent", "*.team.svc")
    (tmp_path / "tls.crt").write_bytes(made.cert_chain_pems[0].bytes())
    (tmp_path / "tls.key").write_bytes(made.private_key_pem.bytes())
    files = (f"--cert={tmp_path / 'tls.crt'}", f"--key={tmp_path / 'tls.key'}")
    cluster.kubectl("create", "secret", "tls", CERTIFICATE, *HERE, *files)
    yield tmp_path
    cluster.kubectl("delete", "secret", CERTIFICATE, *HERE)


@pytest.fixture
def endpoints(cluster: Cluster, binaries: Path, request: pytest.FixtureRequest) -> Iterator[dict[str, Manifest]]:
    """How the chart's PodMonitors have each job scraped; what else it renders for that is in the cluster."""
    values: Values = {"monitoring": {"enabled": True}, **request.param}
    objects = Helm(binaries, cluster).render(values)
    needed = [each for each in objects if each["kind"] in KINDS and each["metadata"]["name"] in SCRAPER]
    assert len(needed) == 4
    text = yaml.safe_dump_all(needed)
    cluster.apply(text)
    monitors = {each["metadata"]["name"]: each["spec"] for each in objects if each["kind"] == "PodMonitor"}
    assert set(monitors) == JOBS
    yield {job: spec["podMetricsEndpoints"][0] for job, spec in monitors.items()}
    cluster.kubectl("delete", "--ignore-not-found", "-f", "-", stdin=text)  # the token goes with its account


@pytest.fixture
def secret(cluster: Cluster, eventually: Callable[..., Any]) -> Callable[[dict[str, str]], str]:
    """What a selector of a key in a Secret leads to, as the Prometheus operator reads it."""

    def read(selector: dict[str, str]) -> str:
        def look() -> str:
            data = cluster.get("secret", selector["name"], *HERE).get("data") or {}
            return base64.b64decode(data.get(selector["key"], "")).decode()

        return str(eventually(look))

    return read


@pytest.fixture
def bound(cluster: Cluster) -> Iterator[Callable[[str, str], None]]:
    """Gives the default account of our namespace a ClusterRole, until the test has ended."""
    made: list[str] = []

    def bind(name: str, role: str) -> None:
        account = f"--serviceaccount={SYSTEM_NAMESPACE}:default"
        cluster.kubectl("create", "clusterrolebinding", name, f"--clusterrole={role}", account)
        made.append(name)

    yield bind
    for name in made:
        cluster.kubectl("delete", "clusterrolebinding", name)


def transport(endpoint: Manifest, secret: Callable[[dict[str, str]], str]) -> dict[str, Any]:
    """How an endpoint is spoken to, as the Prometheus operator writes it."""
    if "tlsConfig" not in endpoint:
        return {}
    tls = endpoint["tlsConfig"]
    return {
        "scheme": endpoint["scheme"],
        "tls_config": {"server_name": tls["serverName"], "ca": secret(tls["ca"]["secret"])},
    }


def bearer(token: str) -> dict[str, Any]:
    return {"authorization": {"type": "Bearer", "credentials": token}}


@pytest.mark.parametrize(
    ("endpoints", "tls"),
    [({}, False), ({"agent": {"tls": {"secretName": CERTIFICATE}}}, True)],
    ids=["http", "https"],
    indirect=["endpoints"],
)
def test_who_has_the_charts_token_is_told_the_metrics_and_nobody_else(
    clean_cluster: Cluster,
    binaries: Path,
    certificate: Path,
    endpoints: dict[str, Manifest],
    secret: Callable[[dict[str, str]], str],
    bound: Callable[[str, str], None],
    tls: bool,
    tmp_path: Path,
    started: Callable[[Program], Program],
    eventually: Callable[..., Any],
) -> None:
    cluster = clean_cluster
    cluster.apply_rbac()
    options = ("--tls", str(certificate)) if tls else ()
    agent = deployment.agent(cluster, "node-a", "--auth-audience", "treadle.dev", *options)
    probes = f"{LOOPBACK}:{free_port()}"
    started(agent.program)
    started(deployment.operator(cluster, "operator", "--auth", "--listen", probes))
    addresses = {"treadle-agent": agent.url.removeprefix("http://"), "treadle-operator": probes}
    own = bearer(cluster.kubectl("create", "token", "default", *HERE).strip())
    scrapes = [
        {"job_name": name, "static_configs": [{"targets": [address]}], **transport(endpoints[job], secret), **terms}
        for job, address in addresses.items()
        for name, terms in (
            (job, bearer(secret(endpoints[job]["authorization"]["credentials"]))),
            (f"{job} without a token", {}),
            (f"{job} by its own account", own),
        )
    ]
    prometheus = Prometheus(binaries, cluster, tmp_path, {"scrape_configs": scrapes})
    started(prometheus.program)

    def agree(job: str, health: str, told: str) -> bool:
        found = prometheus.targets().get(job, {})
        assert (found.get("health"), told in found.get("lastError", "")) == (health, True), found
        return True

    for job in JOBS:
        eventually(lambda job=job: agree(job, "up", ""), 60.0)
        eventually(lambda job=job: agree(f"{job} without a token", "down", "401 Unauthorized"))
        eventually(lambda job=job: agree(f"{job} by its own account", "down", "403 Forbidden"))
    [up] = eventually(lambda: prometheus.query("treadle_executor_up"))
    assert (up["metric"]["job"], up["metric"]["device"], up["value"][1]) == ("treadle-agent", "host", "1")
    for job, metric in (("agent", "process_cpu_seconds_total"), ("operator", "treadle_operator_leader")):
        assert {one["metric"]["job"] for one in prometheus.query(metric)} == {f"treadle-{job}"}

    bound("prometheus-treadle", "treadle-metrics")  # as docs/monitoring.md has it
    for job in JOBS:
        eventually(lambda job=job: agree(f"{job} by its own account", "up", ""), 60.0)
