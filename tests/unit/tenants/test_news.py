"""What is told of manifests that were edited."""

from __future__ import annotations

import pytest
import yaml

from treadle.manifests import ManifestReader, retain
from treadle.news import news

READER = ManifestReader()


def tenant(name: str, deadline: str = "1s", accuracy: str = "90") -> str:
    tiers = [{"name": "only", "accuracy": accuracy, "model": {"uri": "m.onnx"}}]
    spec = {"slo": {"deadline": deadline}, "tiers": tiers}
    return yaml.safe_dump(
        {"apiVersion": "treadle.dev/v1alpha1", "kind": "InferenceTenant", "metadata": {"name": name}, "spec": spec}
    )


@pytest.fixture
def told(tmp_path):
    """Reads the folder, and has the lines since it was called last."""
    wanted = READER.read(tmp_path)

    def tell() -> list[str]:
        nonlocal wanted
        found = READER.read(tmp_path, wanted)
        lines = [line.replace(f"{tmp_path}/", "") for line in news(wanted, found)]
        wanted = retain(wanted, found)
        return lines

    return tell


@pytest.mark.parametrize("broken", [tenant("a", "soon"), "{"])
def test_a_refused_edit_that_is_taken_back(told, tmp_path, broken):
    (tmp_path / "a.yaml").write_text(tenant("a"))
    assert told() == [], "a load tells of it"
    (tmp_path / "a.yaml").write_text(broken)
    [line] = told()
    assert line.startswith("refused a.yaml document 1: ")
    assert line.endswith("; its previous version goes on")
    assert told() == [], "it was told"
    (tmp_path / "a.yaml").write_text(tenant("a"))
    assert told() == ["accepted a.yaml document 1: a.default goes on as it is served"]
    assert told() == []


def test_one_that_was_never_accepted_has_no_previous_version(told, tmp_path):
    (tmp_path / "a.yaml").write_text(tenant("a", "soon"))
    assert "goes on" not in told()[0]
    (tmp_path / "a.yaml").write_text(tenant("a"))
    assert told() == [], "a load tells of it"


@pytest.mark.parametrize("deadline", ["1s", "2s"])
def test_the_second_of_a_name_that_takes_over(told, tmp_path, deadline):
    (tmp_path / "a.yaml").write_text(tenant("a"))
    told()
    (tmp_path / "b.yaml").write_text(tenant("a", deadline))
    assert told() == ["refused b.yaml document 1: metadata.name: a.default is defined in a.yaml document 1 already"]
    (tmp_path / "a.yaml").unlink()
    assert told() == ["a.default is that of b.yaml document 1 now"]


def test_an_accuracy_that_looks_like_a_ratio_is_doubted_once(told, tmp_path):
    (tmp_path / "a.yaml").write_text(tenant("a", accuracy="0.86"))
    [line] = told()
    assert line.startswith(
        "warning: a.yaml document 1: spec.tiers[only].accuracy: is in percent: 0.86 means 0.86 %; 86 is"
    )
    assert told() == []
    (tmp_path / "a.yaml").write_text(tenant("a", accuracy="1.5"))
    assert told() == []
