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
    for manifest in ("three-tiers.yaml", "under-load.yaml"):
        for tier in yaml.safe_load((examples / manifest).read_text())["spec"]["tiers"]:
            rounded_off = measured[tier["name"]] - float(tier["accuracy"])
            assert 0 <= rounded_off < 1.5, "the manifest rounds down what was measured"
    it = serve("-f", str(examples))
    it.wait_for("^ready: 3 of 3 tenants")
    assert not any(line.startswith("refused") for line in it.lines)


def test_the_load_makes_the_tenant_made_for_it_change_its_tier(request, serve, tmp_path):
    examples = request.config.rootpath / "examples"
    subprocess.run([sys.executable, examples / "make_models.py", tmp_path / "models"], timeout=120, check=True)
    shutil.copy(examples / "under-load.yaml", tmp_path)
    it = serve("-f", str(tmp_path))
    it.wait_until_ready()
    command = [sys.executable, examples / "load.py", it.url, "under-load", "--rate", "1200", "--seconds", "5"]
    said = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    assert "answered by medium" in said
