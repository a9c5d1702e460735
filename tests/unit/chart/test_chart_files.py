"""What the chart holds twice, or says of the programs, is what they say themselves."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from treadle_agent.executor.gpu_model import GPUS

TREE = Path(__file__).parents[3]
CHART = TREE / "charts" / "treadle"
VALUES_TEXT = (CHART / "values.yaml").read_text()
VALUES = yaml.safe_load(VALUES_TEXT)
SCHEMA = json.loads((CHART / "values.schema.json").read_text())


def test_definitions_are_copies_of_the_one_source():
    source = {path.name: path.read_text() for path in (TREE / "crds").glob("*.yaml")}
    copies = {path.name: path.read_text() for path in (CHART / "files" / "crds").glob("*.yaml")}
    assert copies == source, "run `make chart-files`"


def test_its_version_is_the_packages():
    version = tomllib.loads((TREE / "pyproject.toml").read_text())["project"]["version"]
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert (chart["version"], chart["appVersion"]) == (version, version)


def test_the_defaults_fit_the_schema():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.Draft202012Validator(SCHEMA).validate(VALUES)


def named(schema: dict[str, Any], prefix: str = "") -> set[str]:
    """The keys that a schema knows, dotted."""
    if "$ref" in schema:
        schema = SCHEMA["$defs"][schema["$ref"].rsplit("/", 1)[1]]
    return {
        key
        for name, below in schema.get("properties", {}).items()
        for key in ({f"{prefix}{name}"} | named(below, f"{prefix}{name}."))
    }


def written(values: dict[str, Any], known: set[str], prefix: str = "") -> set[str]:
    """The keys of `values` that are the chart's own, dotted; what lies below a free-form key is the user's."""
    keys = set()
    for name, value in values.items():
        if f"{prefix}{name}" in known:
            keys.add(f"{prefix}{name}")
            keys |= written(value, known, f"{prefix}{name}.") if isinstance(value, dict) else set()
    return keys


def test_every_key_that_is_taken_has_its_default_in_sight():
    known = named(SCHEMA)
    hidden = {"global", "operator.resources.requests", "operator.resources.limits", "agent.resources.limits"}
    assert known - written(VALUES, known) <= hidden


def test_simulated_gpus_are_those_that_agents_know():
    simulated = {device for device in SCHEMA["properties"]["agent"]["properties"]["device"]["enum"] if ":" in device}
    assert simulated == {f"simulated:{gpu}" for gpu in GPUS}


@pytest.mark.parametrize("path", sorted((CHART / "rbac").glob("*.yaml")), ids=lambda path: path.name)
def test_roles_have_no_wildcards_and_read_no_secret(path: Path):
    for document in yaml.safe_load_all(path.read_text()):
        for rule in document.get("rules", []):
            assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]
            assert not {"secrets", "configmaps"} & set(rule["resources"])


def test_the_namespace_that_the_chart_replaces_is_written_in_one_way():
    for path in (CHART / "rbac").glob("*.yaml"):
        ways = set(re.findall(r"namespace:.*", path.read_text()))
        assert ways == {"namespace: treadle-system"}
