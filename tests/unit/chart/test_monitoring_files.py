"""Rules, dashboards and runbooks: the files are what the generator writes, and nothing lacks its counterpart."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from monitoring.__main__ import write
from monitoring.alerts import alert_groups
from monitoring.dashboards import DASHBOARDS
from monitoring.grafana import COLUMNS, Dashboard

TREE = Path(__file__).parents[3]
FILES = TREE / "charts" / "treadle" / "files" / "monitoring"
RUNBOOKS = TREE / "docs" / "runbooks"
ALERTS = [rule for group in alert_groups() for rule in group.rules]
NAMES = {rule["alert"] for rule in ALERTS}


def test_the_files_are_what_the_generator_writes(tmp_path: Path):
    write(tmp_path)
    written = {path.relative_to(tmp_path): path.read_text() for path in tmp_path.rglob("*.*")}
    there = {path.relative_to(FILES): path.read_text() for path in FILES.rglob("*.*")}
    assert there == written, "run `make chart-files`"


def test_each_alert_tells_what_is_wrong_and_where_to_read_on():
    for rule in ALERTS:
        annotations = rule["annotations"]
        assert set(annotations) == {"summary", "description", "runbook"}
        assert (TREE / annotations["runbook"]).read_text().startswith(f"# {rule['alert']}\n")
        assert rule["labels"]["severity"] in ("critical", "warning")


def test_each_runbook_and_each_row_of_the_page_has_its_alert():
    assert {path.stem for path in RUNBOOKS.glob("*.md")} == NAMES
    page = (TREE / "docs" / "monitoring.md").read_text()
    rows = re.findall(r"^\| \[(\w+)\]\(runbooks/(\w+)\.md\) \| ([a-z, ]+) \|", page, re.MULTILINE)
    assert all(name == link for name, link, _ in rows)
    severities = {name: set(text.split(", ")) for name, _, text in rows}
    assert severities == {
        name: {rule["labels"]["severity"] for rule in ALERTS if rule["alert"] == name} for name in NAMES
    }


def test_links_between_pages_lead_somewhere():
    for page in [*RUNBOOKS.glob("*.md"), TREE / "docs" / "monitoring.md", TREE / "docs" / "install.md"]:
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / link).exists(), f"{page.name} leads to {link}"


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda dashboard: dashboard.uid)
def test_panels_do_not_lie_upon_each_other(dashboard: Dashboard):
    places = [(panel["gridPos"], panel["title"]) for panel in dashboard.document()["panels"]]
    cells: dict[tuple[int, int], str] = {}
    for place, title in places:
        assert place["x"] + place["w"] <= COLUMNS
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert cells.setdefault((x, y), title) == title
    numbers = [panel["id"] for panel in dashboard.document()["panels"]]
    assert len(set(numbers)) == len(numbers)


def test_rules_are_one_file_that_prometheus_takes_and_the_operator_of_it():
    groups = yaml.safe_load((FILES / "rules.yaml").read_text())["groups"]
    names = [group["name"] for group in groups]
    assert len(set(names)) == len(names)
