"""The examples, as docs/tenants.md tells a newcomer to run them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys

import numpy as np
import onnxruntime
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
    it.wait_until_ready()
    page = (request.config.rootpath / "README.md").read_text(encoding="utf-8")
    (command,) = (block for block in re.findall(r"```sh\n(.*?)```", page, re.DOTALL) if "curl -s" in block)
    line = command.replace("localhost:8080", it.url)
    said = subprocess.run(["bash", "-ec", line], capture_output=True, text=True, timeout=30, check=True).stdout
    (output,) = json.loads(said)["outputs"]
    model = onnxruntime.InferenceSession(examples / "models" / "small.onnx", providers=["CPUExecutionProvider"])
    (expected,) = model.run(None, {"image": np.arange(1, 65, dtype=np.float32)[np.newaxis]})
    assert (output["name"], output["shape"]) == ("scores", [1, 10])
    np.testing.assert_allclose(output["data"], expected[0], rtol=1e-3)


def test_the_load_makes_the_tenant_made_for_it_change_its_tier(request, serve, tmp_path):
    examples = request.config.rootpath / "examples"
    subprocess.run([sys.executable, examples / "make_models.py", tmp_path / "models"], timeout=120, check=True)
    shutil.copy(examples / "under-load.yaml", tmp_path)
    it = serve("-f", str(tmp_path))
    it.wait_until_ready()
    command = [sys.executable, examples / "load.py", it.url, "under-load", "--rate", "1200", "--seconds", "5"]
    said = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    assert "answered by medium" in said
