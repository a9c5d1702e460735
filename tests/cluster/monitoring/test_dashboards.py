"""Every dashboard query returns data from a Prometheus that scrapes a real agent under load, and an operator.

It also counts there what one tenant costs it.
"""

from __future__ import annotations

import math
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml

from bed import deployment
from bed.addresses import LOOPBACK, free_port
from bed.cluster import TREE, Cluster
from bed.eventually import eventually
from bed.prometheus import Prometheus
from monitoring.dashboards import DASHBOARDS
from monitoring.grafana import Variable
from treadle.metrics_reference import sections, series_of_the_tenant

EXAMPLES = TREE / "examples"
TENANT = "under-load"  # of examples/under-load.yaml
THREE_TIERS, MOST_SERIES = "digits", 50  # of examples/three-tiers.yaml; what a tenant of so many may cost a Prometheus
QUERIES = [
    pytest.param(query.expression, id=f"{dashboard.uid}: {panel.title}: {query.legend}")
    for dashboard in DASHBOARDS
    for row in dashboard.rows
    for panel in row.panels
    for query in panel.queries
]
VARIABLES = {variable.name: variable for dashboard in DASHBOARDS for variable in dashboard.variables}
RATE_INTERVAL = "15s"  # at least four scrapes


def three_tiers() -> dict[str, Any]:
    """That tenant, with a floor and a deadline that let each of its tiers answer on any machine."""
    tenant: dict[str, Any] = yaml.safe_load((EXAMPLES / "three-tiers.yaml").read_text())
    tenant["metadata"]["namespace"] = "default"
    tenant["spec"]["slo"] |= {"deadline": "5s", "minAccuracy": "80"}
    return tenant


class Monitored(Prometheus):
    """One that evaluates the dashboards' queries."""

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The samples of an expression now; Grafana's variables stand for all."""
        for name in VARIABLES:
            expression = expression.replace(f"${name}", ".*")
        return super().query(expression.replace("$__rate_interval", RATE_INTERVAL))

    def values(self, variable: Variable) -> list[str]:
        """What a dashboard's variable would offer."""
        samples = self.query(variable.metric)
        return sorted({sample["metric"][variable.label] for sample in samples})


def configuration(targets: dict[str, tuple[str, str]], rules: Path) -> dict[str, Any]:
    """Scrapes as the chart's PodMonitors make them; `targets`: address and node by job."""
    return {
        "rule_files": [str(rules)],
        "scrape_configs": [
            {
                "job_name": job,
                "static_configs": [{"targets": [address], "labels": {"node": node} if node else {}}],
            }
            for job, (address, node) in targets.items()
        ],
    }


@pytest.fixture(scope="module")
def loaded(
    cluster: Cluster, binaries: Path, rules: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Monitored]:
    """A tenant under more load than its best tier can bear, and requests that are wrong; all of it scraped."""
    cluster.wipe()
    cluster.apply_rbac()
    folder = tmp_path_factory.mktemp("monitored")
    subprocess.run([sys.executable, EXAMPLES / "make_models.py", folder / "models"], timeout=120, check=True)
    probes = f"{LOOPBACK}:{free_port()}"
    agent = deployment.agent(cluster, "node-a", folder=folder)
    targets = {
        "treadle-operator": (probes, ""),
        "treadle-agent": (agent.url.removeprefix("http://"), "node-a"),
    }
    prometheus = Monitored(binaries, cluster, folder, configuration(targets, rules))
    operator = deployment.operator(cluster, "operator", "--listen", probes)
    load = (sys.executable, EXAMPLES / "load.py", agent.url, TENANT, "--rate", "900", "--seconds", "120")
    with ExitStack() as stack:
        for program in (operator, agent.program, prometheus.program):
            stack.callback(program.kill)
            program.start()
        cluster.kubectl("apply", "-f", EXAMPLES / "under-load.yaml")
        cluster.apply(three_tiers())
        for tenant in (TENANT, THREE_TIERS):
            cluster.kubectl("wait", f"it/{tenant}", "--for=condition=Ready", "--timeout=90s", seconds=100)
        burst = cluster.program("burst", *load)
        stack.callback(burst.kill)
        burst.start()
        eventually(lambda: refused(f"{agent.url}/v2/models/{TENANT}/infer"), 20.0)
        eventually(lambda: prometheus.query("sum(increase(treadle_tier_switches_total[1m])) > 0"), 60.0)
        eventually(lambda: prometheus.query('slo:period_error_budget_remaining:ratio{sloth_slo="accuracy"}'), 30.0)
        yield prometheus
    cluster.wipe()


def refused(url: str) -> bool:
    """Whether a request that is wrong is told so."""
    try:
        with urllib.request.urlopen(url, data=b'{"inputs": []}', timeout=10):
            return False
    except urllib.error.HTTPError as error:
        with error:
            return error.code == 400


@pytest.mark.parametrize("expression", QUERIES)
def test_it_returns_data(loaded: Monitored, expression: str) -> None:
    def numbers() -> list[float]:
        found = [float(sample["value"][1]) for sample in loaded.query(expression)]
        return [number for number in found if not math.isnan(number)]

    assert eventually(numbers, 20.0)


@pytest.mark.parametrize("variable", VARIABLES.values(), ids=VARIABLES.keys())
def test_its_variables_have_values(loaded: Monitored, variable: Variable) -> None:
    assert loaded.values(variable)


def test_all_rules_are_evaluated(loaded: Monitored, eventually: Callable[..., Any]) -> None:
    eventually(lambda: all(rule["health"] == "ok" for rule in loaded.rules()), 20.0)


def test_every_recorded_series_is_there(loaded: Monitored) -> None:
    recorded = {(rule["name"], rule["labels"]["sloth_slo"]) for rule in loaded.rules() if rule["type"] == "recording"}
    absent = {(name, slo) for name, slo in recorded if not loaded.query(f'{name}{{sloth_slo="{slo}"}}')}
    assert absent == set()


def test_a_tenant_of_three_tiers_costs_no_more_series_than_the_page_says(loaded: Monitored) -> None:
    agent, _, cluster = (series_of_the_tenant(section.families) for section in sections())
    told = {"treadle-agent": agent, "treadle-operator": cluster}
    of_the_tenant = f'{{__name__=~"treadle_.+", tenant="{THREE_TIERS}"}}'

    def series() -> dict[str, int]:
        counts = loaded.query(f"count by (job) ({of_the_tenant})")
        return {count["metric"]["job"]: int(count["value"][1]) for count in counts}

    def as_told() -> bool:
        assert series() == told
        return True

    eventually(as_told, 30.0)
    assert sum(series().values()) <= MOST_SERIES
