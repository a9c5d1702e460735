"""The documentation says what the definition says."""

from __future__ import annotations

import re

import pytest
import yaml

from treadle.crds import read_definition
from treadle.manifests import ManifestReader
from treadle.reference import pages


def test_the_reference_is_fresh(request):
    page = request.config.rootpath / "docs/reference/inferencetenant.md"
    assert page.read_text() == pages()["inferencetenant.md"], "run: python -m treadle.reference"


def test_the_reference_has_every_field_and_every_rule():
    page = pages()["inferencetenant.md"]

    def walk(schema: dict, path: str) -> None:
        for rule in schema.get("x-kubernetes-validations", ()):
            assert rule["message"] in page
        for name, inner in schema.get("properties", {}).items():
            assert f"`{path}.{name}`" in page
            assert inner.get("description", "") in page
            walk(inner, f"{path}.{name}")
        if "items" in schema:
            walk(schema["items"], f"{path}[]")

    schema = read_definition().schema
    for part in ("metadata", "spec", "status"):
        walk(schema["properties"][part], part)


@pytest.mark.parametrize("page", ["docs/tenants.md", "README.md"])
def test_links_lead_somewhere(request, page):
    file = request.config.rootpath / page
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", file.read_text())
    assert links
    for link in links:
        if "tenant" in link or "example" in link or "crds" in link:
            assert (file.parent / link).exists(), link


def test_the_examples_are_accepted(request):
    found = ManifestReader().read(request.config.rootpath / "examples")
    assert found.refusals == ()
    assert sorted(one.tenant.key for one in found.accepted) == ["digits.examples", "minimal.default"]
    (digits,) = (one.tenant for one in found.accepted if one.tenant.name == "digits")
    assert [tier.name for tier in digits.served_tiers] == ["large", "medium"], "as its comments say"


def test_the_manifest_in_the_readme_is_accepted(request, tmp_path):
    blocks = re.findall(r"```yaml\n(.*?)```", (request.config.rootpath / "README.md").read_text(), re.DOTALL)
    assert blocks
    for index, block in enumerate(blocks):
        assert yaml.safe_load(block)["kind"] == "InferenceTenant"
        (tmp_path / f"{index}.yaml").write_text(block)
    assert ManifestReader().read(tmp_path).refusals == ()
