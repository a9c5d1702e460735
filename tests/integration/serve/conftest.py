"""`treadle serve` as a process, models whose answers say which they are, and a load that never stops."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
import yaml
from onnx import TensorProto, helper, numpy_helper

WIDTH = 4


def write_model(path: Path, factor: float, *, width: int = WIDTH) -> None:
    """y = factor · x, through a hidden layer."""
    first = numpy_helper.from_array(np.eye(width, dtype=np.float32), "first")
    second = numpy_helper.from_array(factor * np.eye(width, dtype=np.float32), "second")
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "first"], ["h"]),
            helper.make_node("Relu", ["h"], ["r"]),
            helper.make_node("MatMul", ["r", "second"], ["y"]),
        ],
        "scale",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", width])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", width])],
        [first, second],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)


def manifest(name: str, *factors: float, deadline: str = "20s", **spec: object) -> str:
    """A tenant with a tier for each factor; the model files are FACTOR.onnx."""
    tiers = [
        {"name": f"tier-{index}", "accuracy": str(90 - 10 * index), "model": {"uri": f"{factor:g}.onnx"}}
        for index, factor in enumerate(factors)
    ]
    document = {
        "apiVersion": "treadle.dev/v1alpha1",
        "kind": "InferenceTenant",
        "metadata": {"name": name},
        "spec": {"slo": {"deadline": deadline}, "tiers": tiers, **spec},
    }
    return yaml.safe_dump(document)


class Serve:
    """The process; its output is read as it comes."""

    def __init__(self, folder: Path, cache: Path, *options: str) -> None:
        environment = {**os.environ, "XDG_CACHE_HOME": str(cache), "PYTHONUNBUFFERED": "1", "COLUMNS": "300"}
        command = [sys.executable, "-m", "treadle", "serve", "-f", str(folder), "--port", "0", *options]
        self.process = subprocess.Popen(
            command,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        self.url = ""

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as output:
            for line in output:
                self.lines.append(line.rstrip("\n"))

    def wait_for(self, pattern: str, seconds: float = 90.0, after: int = 0) -> re.Match[str]:
        """The first line since line `after` that the pattern is found in."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            alive = self.process.poll() is None
            for line in self.lines[after:]:
                if (match := re.search(pattern, line)) is not None:
                    return match
            assert alive, "\n".join([f"the server ended with {self.process.returncode}:", *self.lines])
            time.sleep(0.02)
        raise AssertionError("\n".join([f"no line with {pattern!r}:", *self.lines]))

    def wait_until_ready(self) -> None:
        self.url = self.wait_for(r"^ready: .* at (http://\S+)").group(1)

    def stop(self, number: int = signal.SIGTERM) -> int:
        if number == signal.SIGTERM:
            self.process.terminate()
        else:
            os.killpg(self.process.pid, number)  # as Ctrl-C does: the children get it too
        return self.wait()

    def wait(self) -> int:
        """The exit code, once all output is read."""
        code = self.process.wait(60)
        self._reader.join(10)
        return code

    def infer(self, name: str, x: list[float], seconds: float = 30.0) -> tuple[int, dict]:
        """Status and body of one request over a connection of its own."""
        tensor = {"name": "x", "shape": [len(x) // WIDTH, WIDTH], "datatype": "FP32", "data": x}
        request = urllib.request.Request(
            f"{self.url}/v2/models/{name}/infer", data=json.dumps({"inputs": [tensor]}).encode(), method="POST"
        )
        try:
            with urllib.request.urlopen(request, timeout=seconds) as response:
                return response.status, json.load(response)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)


class Load:
    """Requests to one tenant, back to back, from when it is made to `stop`; every answer is kept."""

    def __init__(self, serve: Serve, name: str) -> None:
        self._serve = serve
        self._name = name
        self._stopping = threading.Event()
        self.answers: list[tuple[int, dict]] = []
        self.errors: list[BaseException] = []
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        x = [float(value) for value in range(1, 3 * WIDTH + 1)]
        while not self._stopping.is_set():
            try:
                self.answers.append(self._serve.infer(self._name, x))
            except OSError as error:
                self.errors.append(error)
            time.sleep(0.005)

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(60)

    def factors(self) -> list[float]:
        """The model that gave each answer; fails on an answer that mixes models, or is none."""
        x = np.arange(1, 3 * WIDTH + 1)
        found = []
        for status, body in self.answers:
            assert status == 200, body
            ratios = np.asarray(body["outputs"][0]["data"]) / x
            assert np.ptp(ratios) < 1e-4, f"an answer of several models: {ratios}"
            found.append(round(float(ratios[0]), 3))
        return found

    def versions(self) -> list[str]:
        return [body["model_version"] for _, body in self.answers]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with models that multiply by 1 to 9."""
    path = tmp_path / "tenants"
    path.mkdir()
    for factor in range(1, 10):
        write_model(path / f"{factor}.onnx", factor)
    return path


@pytest.fixture
def serve(tmp_path: Path, folder: Path) -> Iterator[Callable[..., Serve]]:
    """Start `treadle serve`; what still runs at the end is killed."""
    started: list[Serve] = []

    def start(*options: str) -> Serve:
        started.append(Serve(folder, tmp_path / "cache", *options))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.stop(signal.SIGKILL)


@pytest.fixture
def load() -> Iterator[Callable[[Serve, str], Load]]:
    """Load one tenant; ends with the test."""
    started: list[Load] = []

    def start(serve: Serve, name: str) -> Load:
        started.append(Load(serve, name))
        return started[-1]

    yield start
    for one in started:
        one.stop()


@pytest.fixture
def write() -> Callable[..., str]:
    """The text of a manifest."""
    return manifest


@pytest.fixture
def model() -> Callable[..., None]:
    """Write a model file."""
    return write_model


@pytest.fixture
def resolving(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """``resolving(NAME="ADDRESS")``: the names NAME.anything resolve so, as their owner could have it."""
    inner = socket.getaddrinfo

    def begin(**addresses: str) -> None:
        def look_up(host, port, *args, **kwargs):
            return inner(addresses.get(str(host).partition(".")[0], host), port, *args, **kwargs)

        monkeypatch.setattr(socket, "getaddrinfo", look_up)

    return begin
