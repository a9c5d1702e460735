"""`treadle top` beside a server under load: its figures are those of what was sent."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys

import pytest

from treadle.__main__ import main

RATE, ROWS = 40, 2


def test_what_top_tells_is_what_was_sent(
    request: pytest.FixtureRequest, serve, tmp_path, capsys: pytest.CaptureFixture[str]
) -> None:
    examples, folder = request.config.rootpath / "examples", tmp_path / "served"
    subprocess.run([sys.executable, examples / "make_models.py", folder / "models"], timeout=120, check=True)
    text = (examples / "under-load.yaml").read_text().replace("deadline: 100ms", "deadline: 5s")
    (folder / "under-load.yaml").write_text(text)  # no machine is too busy for it
    shutil.copy(examples / "minimal.yaml", folder)
    it = serve("-f", str(folder))
    it.wait_until_ready()
    options = ["--rate", str(RATE), "--rows", str(ROWS), "--seconds", "30"]
    command = [sys.executable, examples / "load.py", it.url, "under-load", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as load:
        try:
            assert load.stdout is not None
            load.stdout.readline()  # it has begun
            code = main(["top", "--url", it.url, "--once", "--json"])
            document = json.loads(capsys.readouterr().out)
            main(["top", "--url", it.url, "--once"])
            printed = capsys.readouterr().out
        finally:
            load.kill()
    tenants = {row["name"]: row for row in document["tenants"]}
    loaded, idle = tenants.pop("under-load"), tenants.popitem()[1]
    assert (code, tenants) == (0, {})
    sent = sum(loaded["requests"].values())
    assert loaded["requests"] == {"good": sent, "late": 0, "shed": 0, "error": 0}
    assert sent == pytest.approx(RATE * document["seconds"], rel=0.6), "of a Poisson process, and a busy machine"
    assert loaded["requestsPerSecond"] == pytest.approx(sent / document["seconds"], rel=0.01)
    assert 0 < loaded["p99"] < loaded["deadline"] == 5.0
    assert (loaded["objective"], loaded["minAccuracy"], loaded["activeTier"]) == (99.0, 90.0, "deep")
    assert (loaded["tiers"], loaded["effectiveAccuracy"]) == ({"deep": 1.0}, 98.5)
    assert (loaded["sloMet"], loaded["accuracyMet"], loaded["ready"], loaded["devices"]) == (*["True"] * 3, ["host"])
    assert (sum(idle["requests"].values()), idle["p99"], idle["sloMet"]) == (0, None, "Unknown")
    [device] = document["devices"]
    assert (device["device"], device["healthy"], device["tenants"]) == ("host", True, 2)
    assert device["busy"] > 0
    assert device["mergeFactor"] >= 1
    assert re.search(r" default +under-load +[\d.]+ +5s +\d+ms +99 +True +90 +98\.5 +True +deep +deep 100% ", printed)
