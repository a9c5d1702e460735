"""The examples of docs/inference-api.md, run as they stand there against `treadle serve` with the tenant they name."""

from __future__ import annotations

import json
import re
import runpy
import shutil
import subprocess

import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator

HERE = "localhost:8080"


@pytest.fixture
def page(request):
    return (request.config.rootpath / "docs" / "inference-api.md").read_text(encoding="utf-8")


@pytest.fixture
def small(request):
    """The model that `examples/minimal.yaml` names."""
    script = runpy.run_path(str(request.config.rootpath / "examples" / "make_models.py"))
    return script["train"](script["WIDTHS"]["small"])[0]


@pytest.fixture
def server(request, serve, folder, small):
    (folder / "models").mkdir()
    onnx.save(small, folder / "models" / "small.onnx")
    shutil.copy(request.config.rootpath / "examples" / "minimal.yaml", folder)
    it = serve()
    it.wait_until_ready()
    return it


def scores(model, image):
    (found,) = ReferenceEvaluator(model).run(None, {"image": image.astype(np.float32).reshape(1, 64)})
    return pytest.approx(found[0].tolist(), rel=1e-3, abs=1e-4)


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_curl_lines(page, server, small):
    commands = [block for block in re.findall(r"```sh\n(.*?)```", page, re.DOTALL) if "curl" in block]
    assert sum("/infer" in command for command in commands) == 4
    for command in commands:
        assert HERE in command
        line = command.replace(f"http://{HERE}", HERE).replace(HERE, server.url)
        output = subprocess.run(["bash", "-ec", line], capture_output=True, timeout=30, check=True).stdout
        if "/metrics" in command:
            assert b"treadle_requests_total{" in output
            continue
        document = json.loads(output.decode())
        if "/infer" in command:
            image = np.zeros(64) if "binary_data_size" in command else np.arange(1, 65)
            (answer,) = document["outputs"]
            assert (answer["name"], answer["data"]) == ("scores", scores(small, image)), command
            assert document["parameters"] == {"tier": "only", "accuracy": 86.0}
        else:
            assert [one["name"] for one in document["inputs"]] == ["image"]


def test_the_lines_of_python(page, server, small):
    pytest.importorskip("tritonclient.http")
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    names = {}
    exec(code.replace(HERE, server.url.removeprefix("http://")), names)  # the page's own
    result = names["result"]
    assert result.as_numpy("scores")[0].tolist() == scores(small, np.arange(1, 65))
    assert result.get_response()["parameters"] == {"tier": "only", "accuracy": 86.0}
