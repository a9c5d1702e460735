"""The chart as an earlier version may have been: there is no earlier release yet, so it is this one with less in it."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import yaml

from bed.helm import CHART, Manifest

VERSION = "0.0.9"
FIELD = "nodeSelector"  # of a tenant's spec, which it lacks
ALERT = "TreadleTargetDown"  # which it lacks
RULES = "files/monitoring/rules.yaml"
TENANTS = "files/crds/inferencetenants.treadle.dev.yaml"


def write(folder: Path) -> Path:
    """Copy the chart into `folder`, older, and return where it is."""
    chart = folder / CHART.name
    shutil.copytree(CHART, chart)
    about = chart / "Chart.yaml"
    text, count = re.subn(r"^(version|appVersion): .*$", rf"\1: {VERSION}", about.read_text(), flags=re.MULTILINE)
    assert count == 2
    about.write_text(text)

    rules = yaml.safe_load((chart / RULES).read_text())
    [group] = [one for one in rules["groups"] if ALERT in names(one)]
    group["rules"] = [rule for rule in group["rules"] if rule.get("alert") != ALERT]
    (chart / RULES).write_text(yaml.safe_dump(rules))

    definition = yaml.safe_load((chart / TENANTS).read_text())
    del tenant_fields(definition)[FIELD]
    (chart / TENANTS).write_text(yaml.safe_dump(definition))
    return chart


def names(group: Manifest) -> list[str]:
    """The alerts of a group of rules."""
    return [rule["alert"] for rule in group["rules"] if "alert" in rule]


def tenant_fields(definition: Manifest) -> Manifest:
    """The fields of a tenant's spec, of a definition that has one version."""
    [version] = definition["spec"]["versions"]
    fields: Manifest = version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    return fields
