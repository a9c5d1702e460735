"""What the agent says, and how it ends, when it is asked for what cannot be."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import urllib.request

import pytest

from bed.addresses import free_port
from treadle_agent.__main__ import _options, _parser, main

USUAL = {"--node-name": "alpha", "--port": "18123", "--address": "10.0.0.7:8000", "--device": "host"}
KUBECONFIG = (
    "{clusters: [{name: a, cluster: {server: 'http://127.0.0.1:1'}}], users: [],"
    " contexts: [{name: a, context: {cluster: a, user: a}}], current-context: a}"
)


@pytest.fixture(autouse=True)
def no_cluster(monkeypatch):
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/nonexistent")


def flags(*more: str, **changed: str | None) -> list[str]:
    """Usual flags, but for those that are changed (None: left out)."""
    wanted = USUAL | {f"--{name.replace('_', '-')}": value for name, value in changed.items()}
    return [part for name, value in wanted.items() if value is not None for part in (name, value)] + [*more]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"node_name": "Alpha"}, "--node-name Alpha: must be lower-case letters"),
        ({"port": "0"}, "--port 0: must be 1 to 65535"),
        ({"address": "10.0.0.7"}, "--address 10.0.0.7: must be HOST:PORT"),
        ({"device": "tpu"}, "--device tpu: must be auto, host, cuda or simulated:MODEL"),
        ({"device": "simulated:X"}, "the simulated GPUs are"),
        ({"device": "cuda"}, "--device cuda: "),
        (
            {"model_hosts": "models.example,https://a.b"},
            "--model-hosts https://a.b: must be HOST, HOST:PORT or *.DOMAIN",
        ),
        ({"model_folders": "models"}, "--model-folders models: must be an absolute path"),
        ({"model_ca": "/nowhere"}, "--model-ca /nowhere cannot be used: No such file or directory"),
        ({"model_ca": __file__}, "cannot be used: it holds no certificate"),
        ({"leave_seconds": "-1"}, "--leave-seconds -1: must be 0 to 86400"),
        ({"leave_seconds": "nan"}, "--leave-seconds nan: must be 0 to 86400"),
        (
            {"kubeconfig": "/nowhere"},
            "kubeconfig /nowhere, which --kubeconfig names, cannot be used: there is no such file",
        ),
        ({}, "kubeconfig /nonexistent/.kube/config, which is the default, cannot be used: there is no such file; set"),
    ],
)
def test_wrong_usage_is_exit_code_2_and_says_what_is_wrong(capsys, changed, message):
    assert main(flags(**changed)) == 2
    assert message in capsys.readouterr().err


def test_flags_that_are_missing_or_given_twice(capsys):
    with pytest.raises(SystemExit) as ended:
        main(flags(device=None))
    assert ended.value.code == 2
    assert "the following arguments are required: --device" in capsys.readouterr().err
    assert main(flags("--device", "host")) == 2
    assert "each device can be given once" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["", "[]", "{", "clusters: 7", "current-context: a\ncontexts: []"])
def test_a_kubeconfig_that_is_none(tmp_path, capsys, text):
    path = tmp_path / "config"
    path.write_text(text)
    assert main(flags(kubeconfig=str(path))) == 2
    assert f"kubeconfig {path}, which --kubeconfig names, cannot be used: " in capsys.readouterr().err


def test_without_the_packages_for_a_cluster(monkeypatch, capsys):
    monkeypatch.setattr("treadle_agent.__main__.find_spec", lambda name: None if name == "pynvml" else object())
    assert main(flags()) == 2
    assert "pip install 'treadle[agent]'" in capsys.readouterr().err


def test_a_port_in_use(tmp_path):
    path = tmp_path / "config"
    path.write_text(KUBECONFIG)
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        command = [sys.executable, "-m", "treadle_agent", *flags(kubeconfig=str(path), port=port)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1, done.stderr
    assert f"--port {port} is in use by another program" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_cache_folder_that_cannot_be_written(tmp_path, monkeypatch, capsys):
    path = tmp_path / "config"
    path.write_text(KUBECONFIG)
    monkeypatch.setenv("XDG_CACHE_HOME", str(path))
    assert main(flags(kubeconfig=str(path))) == 2
    assert f"treadle_agent: the cache folder {path}/treadle cannot be written: Not a dir" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "published"),
    [
        ("10.0.0.7:8000", "10.0.0.7:8000"),
        ("fd00::7:8000", "[fd00::7]:8000"),  # as $(POD_IP):8000 comes in an IPv6 cluster
        ("fd00:0:0:0:0:0:0:7:8000", "[fd00::7]:8000"),
        ("[fd00::7]:8000", "[fd00::7]:8000"),
        ("node-a.example:8000", "node-a.example:8000"),
    ],
)
def test_an_ipv6_address_gets_its_brackets(given, published):
    assert _options(_parser().parse_args(flags(address=given))).address == published


def test_it_listens_on_ipv4_and_ipv6(tmp_path):
    path = tmp_path / "config"
    path.write_text(KUBECONFIG)  # of an API server that is not there: it serves all the same
    port = str(free_port("0.0.0.0"))
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    command = [sys.executable, "-m", "treadle_agent", *flags(kubeconfig=str(path), port=port, address="fd00::7:8000")]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as agent:
        assert agent.stderr is not None
        try:
            assert any("listening on port" in line for line in agent.stderr)
            for host in ("127.0.0.1", "[::1]"):
                with urllib.request.urlopen(f"http://{host}:{port}/v2/health/live", timeout=10) as answer:
                    assert answer.status == 200
        finally:
            agent.kill()


def test_it_explains_itself():
    command = [sys.executable, "-m", "treadle_agent", "--help"]
    said = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    assert re.match(r"usage: python -m treadle_agent ", said)
    for word in ("InferenceReplicas", "SIGTERM", "examples:", "exit codes:", "--leave-seconds", *USUAL):
        assert word in said
