"""The images run with nothing to write but what is mounted, no capability and an unknown user; and end when asked."""

from __future__ import annotations

import json
import re
import shlex
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
import yaml
from scaling_model import scaling_model

from bed.program import Program
from images import container, store
from images.recipe import IMAGES, TREE, Image

pytestmark = pytest.mark.images

Containers = Callable[..., Program]
FOLDERS = ("/tmp", "/var/cache/treadle")  # that the agent writes to
AGENT = ("--node-name=lab", "--port=8000", "--address=10.0.0.7:8000", "--device=host")
SERVE = ("--", "treadle", "serve", "-f", "/tenants")
SERVING: dict[str, Any] = {"entrypoint": "/usr/bin/tini", "network": "host", "writable": FOLDERS}
ENDING = 10.0  # seconds; less than a Pod is given


@pytest.fixture
def nowhere(tmp_path: Path) -> dict[Path, str]:
    """A kubeconfig, mounted: of an API server that does not answer."""
    path = tmp_path / "config.yaml"
    context = {"cluster": "nowhere", "user": "nobody"}
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "nowhere",
        "clusters": [{"name": "nowhere", "cluster": {"server": "http://127.0.0.1:9"}}],
        "users": [{"name": "nobody", "user": {"token": "none"}}],
        "contexts": [{"name": "nowhere", "context": context}],
    }
    path.write_text(yaml.safe_dump(document))
    return {path: "/config.yaml"}


@pytest.fixture
def tenants(tmp_path: Path) -> dict[Path, str]:
    """A folder, mounted: a tenant that doubles, and its model."""
    folder = tmp_path / "tenants"
    folder.mkdir()
    onnx.save(scaling_model(2.0, 4), folder / "double.onnx")
    document = {
        "apiVersion": "treadle.dev/v1alpha1",
        "kind": "InferenceTenant",
        "metadata": {"name": "double"},
        "spec": {
            "slo": {"deadline": "20s"},
            "tiers": [{"name": "only", "accuracy": "90", "model": {"uri": "double.onnx"}}],
        },
    }
    (folder / "double.yaml").write_text(yaml.safe_dump(document))
    return {folder: "/tenants"}


def test_a_container_has_no_rights_and_writes_nothing(image: Image, said: Callable[[Image, str], str]) -> None:
    status = said(image, "grep -E '^(CapEff|CapBnd|NoNewPrivs|Uid)' /proc/self/status")
    assert dict(line.split(":\t") for line in status.splitlines()) == {
        "Uid": "\t".join(["65532"] * 4),
        "CapEff": "0" * 16,
        "CapBnd": "0" * 16,
        "NoNewPrivs": "1",
    }
    for folder in ("/tmp", "/opt/treadle", "/var/cache"):
        assert "Read-only file system" in said(image, f"touch {folder}/file")


def test_help(image: Image, contained: Containers) -> None:
    program = contained(image, "--help")
    assert program.wait() == 0
    assert f"treadle_{image.program}" in program.output
    assert "usage: " in program.output


def test_an_unknown_option_is_named(image: Image, contained: Containers) -> None:
    program = contained(image, *(AGENT if image.program == "agent" else ()), "--wrong")
    assert program.wait() == 2
    assert program.output.endswith("error: unrecognized arguments: --wrong\n")


def test_where_there_is_no_cluster_it_says_what_it_lacks(image: Image, contained: Containers) -> None:
    program = contained(image, *(AGENT if image.program == "agent" else ()))
    assert program.wait() == 2
    looked_at = rf"treadle_{image.program}: kubeconfig \S*/\.kube/config, which is the default, cannot be used: "
    assert re.search(looked_at, program.output)
    assert "there is no such file; set KUBECONFIG to " in program.output


def test_the_operator_lives_without_an_api_server_says_so_and_ends_when_asked(
    operator_image: Image, contained: Containers, nowhere: dict[Path, str]
) -> None:
    program = contained(operator_image, "--kubeconfig=/config.yaml", mounted=nowhere)
    program.wait_for(r"waiting: http://127.0.0.1:9: Cannot connect to host .*; trying again at least every 15 s")
    assert container.check_health(operator_image, program.name)
    assert program.stop(ENDING) == 0


def test_the_agent_lives_without_an_api_server_says_so_and_ends_when_asked(
    agent_image: Image, contained: Containers, nowhere: dict[Path, str]
) -> None:
    program = contained(agent_image, *AGENT, "--kubeconfig=/config.yaml", mounted=nowhere, writable=FOLDERS)
    program.wait_for(r"waiting for the API server, next try in .*: Cannot connect to host")
    assert container.check_health(agent_image, program.name)
    assert program.stop(ENDING) == 0


def test_the_health_check_fails_where_nobody_listens(image: Image, contained: Containers) -> None:
    program = contained(image, "-c", "echo up; exec sleep 60", entrypoint="/bin/sh")
    program.wait_for("^up$")
    assert not container.check_health(image, program.name)


def test_the_agents_image_serves_a_model(agent_image: Image, contained: Containers, tenants: dict[Path, str]) -> None:
    program = contained(agent_image, *SERVE, "--port=0", "--device=host", **SERVING, mounted=tenants)
    url = program.wait_for(r"^ready: .*\bat (http://\S+)", 60.0)[1]
    with urllib.request.urlopen(f"{url}/v2/health/ready", timeout=10.0) as answer:
        assert answer.status == 200
    tensor = {"name": "x", "shape": [2, 4], "datatype": "FP32", "data": [1, 2, 3, 4, 5, 6, 7, 8]}
    request = urllib.request.Request(f"{url}/v2/models/double/infer", json.dumps({"inputs": [tensor]}).encode())
    with urllib.request.urlopen(request, timeout=30.0) as answer:
        [output] = json.load(answer)["outputs"]
    assert output["data"] == [2, 4, 6, 8, 10, 12, 14, 16]
    assert program.stop(ENDING) == 0


def test_what_the_page_runs_is_what_was_just_tested() -> None:
    image = IMAGES["agent"]
    page = (TREE / "docs" / "images.md").read_text().partition("## Without a cluster")[2]
    (command,) = re.findall(r"^\$ docker run ((?:.*\\\n)*.*)$", page, re.MULTILINE)
    reference = image.reference.replace("localhost/", "registry.example/")
    words = [store.local(image) if word == reference else word for word in shlex.split(command.replace("\\\n", ""))]
    mounted = {Path("$PWD/tenants"): "/tenants"}
    assert set(words) <= set(container.run(image, "name", *SERVE, **SERVING, mounted=mounted))
    assert words[-len(SERVE) :] == list(SERVE)
