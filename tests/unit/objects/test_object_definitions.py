"""What a definition must have to be served by an API server, and to be of use to people."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from typing import Any

import yaml

from treadle.crds import ALL, definition_text, read_definition
from treadle.reference import pages
from treadle_api import node, profile, replica, tenant
from treadle_api.histogram import BOUNDS
from treadle_api.objects import API_VERSION

SCHEMAS = {name: read_definition(name).schema["properties"] for name in ALL}
TENANT, REPLICA, NODE, PROFILE = (SCHEMAS[name] for name in ALL)


def walk(schema: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every schema inside a schema, with its path."""
    yield path, schema
    for key, inner in schema.get("properties", {}).items():
        yield from walk(inner, f"{path}.{key}".lstrip("."))
    for key, suffix in (("items", "[]"), ("additionalProperties", ".*")):
        if key in schema:
            yield from walk(schema[key], path + suffix)


def member(schema: dict[str, Any], path: str) -> dict[str, Any]:
    """The schema at a path inside of a definition's properties."""
    return dict(walk({"properties": schema}, ""))[path]


def test_every_definition_of_the_folder_is_known(request):
    files = sorted(file.stem for file in (request.config.rootpath / "crds").glob("*.yaml"))
    assert files == sorted(ALL)
    for name in ALL:
        assert definition_text(name) == (request.config.rootpath / f"crds/{name}.yaml").read_text()


def test_every_definition_ships_in_the_wheel(request):
    root = request.config.rootpath
    build = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert build["force-include"] == {f"crds/{name}.yaml": f"treadle_api/crds/{name}.yaml" for name in ALL}


def test_names_are_those_that_the_code_says():
    named = []
    for name in ALL:
        spec = yaml.safe_load(definition_text(name))["spec"]
        names = spec["names"]
        assert name == f"{names['plural']}.{spec['group']}"
        assert (names["categories"], names["listKind"]) == (["treadle"], f"{names['kind']}List")
        assert names["singular"] == names["kind"].lower()
        assert read_definition(name).api_version == API_VERSION
        named.append((names["kind"], names["plural"], *names["shortNames"], spec["scope"]))
    assert named == [
        (tenant.KIND, tenant.PLURAL, "it", "Namespaced"),
        (replica.KIND, replica.PLURAL, "ir", "Namespaced"),
        (node.KIND, node.PLURAL, "inode", "Cluster"),
        (profile.KIND, profile.PLURAL, "mp", "Cluster"),
    ]


def test_statuses_are_written_apart_from_specs():
    for name in ALL:
        (version,) = yaml.safe_load(definition_text(name))["spec"]["versions"]
        assert ("status" in version.get("subresources", {})) == ("status" in SCHEMAS[name])


def test_columns_and_selectors_point_at_fields():
    for name in ALL:
        (version,) = yaml.safe_load(definition_text(name))["spec"]["versions"]
        known = {path for path, _ in walk({"properties": SCHEMAS[name]}, "")} | {"metadata.creationTimestamp"}
        paths = [column["jsonPath"] for column in version["additionalPrinterColumns"]]
        for path in paths + [field["jsonPath"] for field in version.get("selectableFields", [])]:
            head, _, tail = path.lstrip(".").partition("[")
            field = f"{head}[]{tail.partition(']')[2]}" if tail else head
            assert field in known, path
        assert version["additionalPrinterColumns"][-1]["name"] == "Age"


def test_agents_find_their_replicas_by_field_selector():
    assert set(read_definition(ALL[1]).selectable) == {".spec.nodeName", ".spec.tenantName"}


def test_every_field_has_a_description():
    for name in ALL:
        bare = [path for path, one in walk({"properties": SCHEMAS[name]}, "") if "description" not in one]
        assert [path for path in bare if path not in {"", "metadata"}] == []


def test_everything_is_bounded():
    """An API server takes rules on unbounded lists and strings for too costly, and etcd refuses objects of 1.5 MiB."""
    for name in ALL:
        for path, schema in walk({"properties": SCHEMAS[name]}, ""):
            if path.startswith(("spec", "status")):
                needs = {"array": ["maxItems"], "integer": ["minimum", "maximum"]}.get(schema["type"], [])
                needs = ["maxLength"] if schema["type"] == "string" and "enum" not in schema else needs
                needs = ["maxProperties"] if "additionalProperties" in schema else needs
                assert [key for key in needs if key not in schema] == [], path


def test_no_number_has_a_fraction():
    for name in ALL:
        assert {one["type"] for _, one in walk({"properties": SCHEMAS[name]}, "") if "type" in one} <= {
            "object",
            "array",
            "string",
            "integer",
            "boolean",
        }


def test_a_replicas_template_has_the_schema_of_its_tenants_spec():
    spec, template = TENANT["spec"], REPLICA["spec"]["properties"]["template"]
    assert list(template["properties"]) == ["slo", "tiers", "priority", "switching"]
    for key, schema in template["properties"].items():
        assert schema == spec["properties"][key], key
    assert template["required"] == spec["required"]
    assert template["x-kubernetes-validations"] == spec["x-kubernetes-validations"]


def test_conditions_are_alike_in_every_status():
    found = [dict(schema["status"]["properties"]["conditions"]) for schema in (TENANT, REPLICA, NODE)]
    assert len({one.pop("description") for one in found}) == 3
    assert found[0] == found[1] == found[2]
    assert found[0]["x-kubernetes-list-map-keys"] == ["type"]


def test_one_thing_has_one_form_wherever_it_stands():
    devices = [member(REPLICA, "spec.device"), member(NODE, "status.devices[].id")]
    devices.append(member(NODE, "spec.cordonedDevices[].id"))
    models = [member(NODE, "status.devices[].model"), member(PROFILE, "spec.deviceModel")]
    addresses = [
        member(REPLICA, "spec.successors[]"),
        member(REPLICA, "status.address"),
        member(NODE, "status.address"),
    ]
    names = [member(TENANT, "spec.tiers[].name"), member(REPLICA, "status.tiers[].name")]
    names.append(member(REPLICA, "status.activeTier"))
    for group in (devices, models, addresses, names):
        forms = [{key: one[key] for key in ("minLength", "maxLength", "pattern")} for one in group]
        assert forms[1:] == forms[:-1]


def test_latencies_have_as_many_counts_as_the_histogram_has_buckets():
    counts = member(REPLICA, "status.figures.latencyCounts")
    assert counts["minItems"] == counts["maxItems"] == len(BOUNDS) + 1 == 32


def test_the_reference_is_fresh(request):
    folder = request.config.rootpath / "docs/reference"
    for name, page in pages().items():
        assert (folder / name).read_text() == page, "run: python -m treadle.reference"


def test_the_reference_has_every_field_and_every_rule():
    found = pages()
    assert len(found) == len(ALL)
    for page, name in zip(found.values(), ALL, strict=True):
        for path, schema in walk(read_definition(name).schema, ""):
            for rule in schema.get("x-kubernetes-validations", ()):
                assert rule["message"] in page
            if path.startswith(("spec.", "status.")) and not path.endswith(("[]", ".*")):
                assert f"`{path}`" in page
                assert schema["description"] in page
