"""The documentation's links and examples."""

from __future__ import annotations

import re

import pytest
import yaml

from treadle.manifests import ManifestReader


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
    assert sorted(one.tenant.key for one in found.accepted) == [
        "digits.examples",
        "minimal.default",
        "under-load.default",
    ]
    (digits,) = (one.tenant for one in found.accepted if one.tenant.name == "digits")
    assert [tier.name for tier in digits.served_tiers] == ["large", "medium"], "as its comments say"


def test_the_manifest_in_the_readme_is_accepted(request, tmp_path):
    blocks = re.findall(r"```yaml\n(.*?)```", (request.config.rootpath / "README.md").read_text(), re.DOTALL)
    assert blocks
    for index, block in enumerate(blocks):
        assert yaml.safe_load(block)["kind"] == "InferenceTenant"
        (tmp_path / f"{index}.yaml").write_text(block)
    assert ManifestReader().read(tmp_path).refusals == ()
