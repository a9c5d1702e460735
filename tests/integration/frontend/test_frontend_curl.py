"""The curl lines of docs/inference-api.md, run as they stand there against a served model."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[3] / "docs" / "inference-api.md"
COMMANDS = [
    block.strip().removeprefix("$ ")
    for block in re.findall(r"```(?:sh|console)\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    if "curl" in block
]


def test_the_page_has_curl_lines():
    assert len(COMMANDS) >= 5


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize("command", COMMANDS)
def test_curl_lines_of_the_page(site, command, tmp_path, weights):
    run = subprocess.run(
        ["bash", "-ec", command.replace("localhost:8080", site.url).replace("models/NAME", "models/linear")],
        capture_output=True, check=False, timeout=30, cwd=tmp_path,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr.decode()
    output = run.stdout
    if "/metrics" in command:
        assert b"treadle_requests_total{" in output
        return
    documents = [json.loads(line) for line in output.decode("utf-8", "replace").splitlines() if line.startswith("{")]
    assert documents, output
    assert not any("error" in document for document in documents), output
    if "/infer" in command:
        assert documents[-1]["parameters"] == {"tier": "large", "accuracy": 97.5}
        if "binary_data_size" not in command:
            x = [1.0, 2.0, 3.0, 4.0]
            assert documents[-1]["outputs"][0]["data"] == [float(value) for value in x @ weights]
