"""The page of metrics is fresh; names, units, labels and the number of series are what Prometheus's users expect."""

from __future__ import annotations

import re

import pytest
from prometheus_client.core import Metric

from treadle.metrics_reference import (
    LABELS,
    NAME,
    NAMESPACE,
    PAGE,
    TIERS,
    labels,
    markdown,
    sections,
    series_of_the_tenant,
    unit,
)

MOST_SERIES = 50  # of a tenant of three tiers: of its agent and the leading operator together
MOST_OF_AN_AGENT = 45
FAMILIES = [family for section in sections() for family in section.families]
AGENT = list(sections()[0].families)
NO_UNITS = ("milliseconds", "microseconds", "minutes", "hours", "kilobytes", "mib", "percent", "ms", "us")


def named(families: list[Metric]) -> list:
    return [pytest.param(family, id=family.name) for family in families]


def test_the_page_is_fresh(request: pytest.FixtureRequest) -> None:
    page = (request.config.rootpath / PAGE).read_text()
    assert page == markdown(), f"run python -m treadle.metrics_reference {PAGE}"


@pytest.mark.parametrize("family", named(FAMILIES))
def test_a_name_has_its_prefix_and_its_unit_and_no_other(family: Metric) -> None:
    assert re.fullmatch(r"treadle(_[a-z0-9]+)+", family.name)
    assert not family.name.endswith(("_total", "_count", "_sum", "_bucket", "_info")), "the type adds these"
    assert not {*family.name.split("_")} & {*NO_UNITS}
    assert family.documentation
    if "duration" in family.name or "_time" in family.name or family.type == "histogram":
        assert unit(family.name) == "seconds" or family.name == "treadle_super_kernel_problems"


@pytest.mark.parametrize("family", named(FAMILIES))
def test_labels_are_those_that_are_said(family: Metric) -> None:
    assert family.samples
    assert {*labels(family)} <= {*LABELS}
    assert ("tenant" in labels(family)) == ("tenant_namespace" in labels(family))
    assert not {*labels(family)} & {"namespace", "pod", "job", "instance"}, "a scrape has these itself"


def test_every_label_is_some_metrics() -> None:
    assert {label for family in FAMILIES for label in labels(family)} == {*LABELS}


def test_no_two_have_one_name() -> None:
    assert len({family.name for family in FAMILIES}) == len(FAMILIES)


def test_a_tenant_of_three_tiers_has_few_series() -> None:
    agent, process, cluster = (series_of_the_tenant(section.families) for section in sections())
    assert 35 < agent <= MOST_OF_AN_AGENT
    assert (process, cluster) == (0, 5)
    assert agent + cluster <= MOST_SERIES
    assert f"tells {agent} series at most" in markdown()
    assert f"the operator that leads {cluster}: {agent + cluster} in all" in markdown()


def test_what_is_counted_begins_at_zero() -> None:
    [requests] = [family for family in AGENT if family.name == "treadle_requests"]
    found = {(one.labels["tier"], one.labels["outcome"]): one.value for one in requests.samples}
    answered = {(tier, outcome): 0 for tier in TIERS for outcome in ("good", "late")}
    assert found == {**answered, **dict.fromkeys((("", outcome) for outcome in ("late", "shed", "error")), 0)}
    [refused] = [family for family in AGENT if family.name == "treadle_refused_requests"]
    assert {one.labels["code"]: one.value for one in refused.samples} == {"400": 0, "408": 0, "413": 0}
    for family in AGENT:
        for sample in family.samples:
            if sample.labels.get("tenant") == NAME and family.type in ("counter", "histogram"):
                assert sample.value == 0, sample
                assert sample.labels["tenant_namespace"] == NAMESPACE


def test_rules_dashboards_and_pages_name_no_other(request: pytest.FixtureRequest) -> None:
    """A metric that is renamed is renamed everywhere."""
    known = {family.name for family in FAMILIES}
    tree = request.config.rootpath
    files = [
        *tree.glob("charts/treadle/files/monitoring/**/*.*"),
        *tree.glob("docs/*.md"),
        *tree.glob("docs/runbooks/*.md"),
    ]
    assert len(files) > 20
    for file in files:
        for name in re.findall(r"\btreadle_[a-z_]+[a-z]\b(?=[{\[\s)`\"])", file.read_text()):
            base = re.sub(r"_(total|count|sum|bucket)$", "", name)
            assert base in known or name in known or name in {"treadle_agent", "treadle_operator", "treadle_api"}, (
                file,
                name,
            )
