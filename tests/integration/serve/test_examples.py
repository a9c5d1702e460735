"""The examples, as docs/tenants.md tells a newcomer to run them."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys

import yaml


def test_the_examples_train_and_serve(request, serve, tmp_path):
    examples = tmp_path / "examples"
    shutil.copytree(request.config.rootpath / "examples", examples, ignore=shutil.ignore_patterns("models"))
    done = subprocess.run(
        [sys.executable, examples / "make_models.py"], capture_output=True, text=True, timeout=120, check=True
    )
    measured = {name: float(accuracy) for name, accuracy in re.findall(r"(\w+)\.onnx +([\d.]+) %", done.stdout)}
    manifest = yaml.safe_load((examples / "three-tiers.yaml").read_text())
    for tier in manifest["spec"]["tiers"]:
        assert 0 <= measured[tier["name"]] - float(tier["accuracy"]) < 1.5, "the manifest rounds down what was measured"
    it = serve("-f", str(examples))
    it.wait_for("^ready: 2 of 2 tenants")
    assert not any(line.startswith("refused") for line in it.lines)
