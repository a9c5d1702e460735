"""Commands that ask a cluster say alike what they lack where the Kubernetes client is not installed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import treadle.doctor.command
from treadle.__main__ import main

# `treadle WORDS`, as if a package were not installed.
WITHOUT = """
import sys
class Absent:
    def find_spec(self, name, *_):
        if name.partition(".")[0] == "kubernetes":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
from treadle.__main__ import main
sys.exit(main())
"""
TENANT = """\
{apiVersion: treadle.dev/v1alpha1, kind: InferenceTenant, metadata: {name: a},
 spec: {slo: {deadline: 1s}, tiers: [{name: only, accuracy: '90', model: {uri: m.onnx}}]}}
"""


@pytest.mark.parametrize(
    "words",
    [
        ("plan", "-f", "tenant.yaml"),
        ("plan", "-f", "tenant.yaml", "--against", "tenant.yaml"),
        ("top", "--all-namespaces"),
        ("doctor", "--cluster"),
        ("profile", "-f", "tenant.yaml", "--apply"),
    ],
    ids=" ".join,
)
def test_what_is_missing_is_told_in_one_line(words: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "tenant.yaml").write_text(TENANT)
    command = [sys.executable, "-c", WITHOUT, *words]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    what = "kubernetes, by which clusters are asked, is not installed: pip install 'treadle[agent]'"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"treadle {words[0]}: {what}\n")


def test_of_another_module_that_is_missing_the_fault_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> int:
        raise ModuleNotFoundError("No module named 'kubernetesque'", name="kubernetesque")

    monkeypatch.setattr(treadle.doctor.command, "run", fail)
    with pytest.raises(ModuleNotFoundError):
        main(["doctor"])
