"""`treadle serve`, from manifests to answers, while the manifests are edited under load."""

from __future__ import annotations

import argparse
import json
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import numpy as np
import pytest
import tritonclient.http as triton

from treadle.serve import add_arguments


def until(condition, seconds: float = 60.0) -> None:
    """Poll until a condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.02)


def ordered(values: list) -> list:
    """Values without immediate repetition."""
    return [value for index, value in enumerate(values) if index == 0 or value != values[index - 1]]


def test_manifests_are_edited_under_load_and_no_request_is_dropped(serve, folder, write, load, model):
    (folder / "a.yaml").write_text(write("a", 1, 2))
    (folder / "bc.yaml").write_text(f"{write('b', 3)}---\n{write('c', 4)}")
    it = serve()
    it.wait_until_ready()
    loads = {name: load(it, name) for name in ("a", "b", "c")}
    until(lambda: all(len(one.answers) > 20 for one in loads.values()))

    # An editor that renames a new file over the old one.
    (folder / ".a.tmp").write_text(write("a", 5, 6))
    (folder / ".a.tmp").rename(folder / "a.yaml")
    until(lambda: 5.0 in loads["a"].factors())

    # A broken manifest: what it held goes on.
    mark = len(it.lines)
    (folder / "bc.yaml").write_text("spec: [")
    it.wait_for(r"refused .*bc\.yaml document 1: line", after=mark)

    # A broken model, and tiers that do not fit each other; a manifest that breaks a rule.
    mark = len(it.lines)
    (folder / "broken.onnx").write_bytes(b"not a model")
    model(folder / "wide.onnx", 1, width=7)
    text = write("b", 3).replace("3.onnx", "broken.onnx")
    (folder / "bc.yaml").write_text(f"{text}---\n{write('c', 4, deadline='0s')}")
    it.wait_for(r"refused .*bc\.yaml document 2: spec\.slo\.deadline: must be longer than zero", after=mark)
    it.wait_for(r"refused b\.default: .*bc\.yaml document 1: spec\.tiers\[tier-0\]\.model: .*previous", after=mark)

    # A new tenant beside them, then one that is deleted.
    mark = len(it.lines)
    (folder / "d.yaml").write_text(write("d", 7))
    it.wait_for(r"serving d\.default", after=mark)
    clients = [load(it, "d") for _ in range(6)]
    until(lambda: all(len(one.answers) > 20 for one in clients))
    (folder / "d.yaml").unlink()
    it.wait_for(r"removed d\.default", after=mark)
    assert it.infer("d", [1.0] * 4)[0] == 404
    until(lambda: all(one.answers[-1][0] == 404 for one in clients))
    for one in clients:
        one.stop()
        assert one.errors == []
        assert ordered([status for status, _ in one.answers]) == [200, 404], "what was accepted is answered"
        one.answers = [(status, body) for status, body in one.answers if status == 200]
        assert set(one.factors()) == {7.0}

    # What the executor need not know: the version that serves goes on.
    mark = len(it.lines)
    (folder / "a.yaml").write_text(write("a", 5, 6, load={"requestsPerSecond": "9"}))
    it.wait_for(r"updated a\.default: nothing had to be loaded", after=mark)
    assert not any("serving a.default" in line for line in it.lines[mark:])

    # Repaired: served again, in the new version.
    (folder / "bc.yaml").write_text(f"{write('b', 8)}---\n{write('c', 4, deadline='30s')}")
    until(lambda: 8.0 in loads["b"].factors())
    until(lambda: len(set(loads["c"].versions())) == 2)

    for one in loads.values():
        one.stop()
        assert one.errors == []
    assert set(loads["a"].factors()) <= {1.0, 2.0, 5.0, 6.0}
    assert ordered([factor > 4 for factor in loads["a"].factors()]) == [False, True], "no way back to the old version"
    assert ordered(loads["b"].factors()) == [3.0, 8.0]
    assert set(loads["c"].factors()) == {4.0}
    assert len(ordered(loads["c"].versions())) == 2
    assert it.stop() == 0
    assert not any("Traceback" in line for line in it.lines), it.lines


def test_a_config_maps_swap_is_an_edit(serve, folder, write):
    data = folder.parent / "mount"
    for name, factor in (("..1", 1), ("..2", 2)):
        (data / name).mkdir(parents=True)
        text = write("a", factor).replace(f"{factor}.onnx", f"{folder}/{factor}.onnx")
        (data / name / "a.yaml").write_text(text)
    (data / "..data").symlink_to("..1")
    (data / "a.yaml").symlink_to("..data/a.yaml")
    it = serve("-f", str(data))  # the last -f counts
    it.wait_until_ready()
    assert it.infer("a", [1.0] * 4)[1]["outputs"][0]["data"] == [1.0] * 4
    (data / "..new").symlink_to("..2")
    (data / "..new").rename(data / "..data")
    until(lambda: it.infer("a", [1.0] * 4)[1]["outputs"][0]["data"] == [2.0] * 4)


def test_the_line_it_prints_for_a_shell_works(serve, folder, write):
    (folder / "a.yaml").write_text(write("a", 3))
    it = serve()
    it.wait_until_ready()
    line = it.wait_for(r"try: (curl .*)").group(1)
    answer = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=30, check=True).stdout
    assert '"outputs":[{"name":"y"' in answer


def test_a_model_that_appears_or_is_repaired_is_served_without_an_edit(serve, folder, write, model):
    (folder / "a.yaml").write_text(write("a", 11))
    (folder / "b.yaml").write_text(write("b", 3))
    it = serve()
    it.wait_until_ready()
    it.wait_for(r"refused a\.default: .*spec\.tiers\[tier-0\]\.model\.uri: there is no file .*11\.onnx")
    (folder / "11.onnx").write_bytes(b"the beginning")
    it.wait_for(r"refused a\.default: .*spec\.tiers\[tier-0\]\.model: ")
    model(folder / "11.onnx", 11)
    it.wait_for(r"serving a\.default")
    assert it.infer("a", [1.0] * 4)[1]["outputs"][0]["data"] == [11.0] * 4
    assert sum(line.startswith("serving b") for line in it.lines) == 1, "who is served is left alone"


def test_one_file_is_served_and_watched_alone(serve, folder, write):
    (folder / "a.yaml").write_text(write("a", 3))
    (folder / "b.yaml").write_text(write("b", 4))
    it = serve("-f", str(folder / "a.yaml"))  # the last -f counts
    it.wait_until_ready()
    assert "ready: 1 of 1 tenants" in it.lines[-1]
    assert it.infer("a", [1.0] * 4)[1]["outputs"][0]["data"] == [3.0] * 4
    assert it.infer("b", [1.0] * 4)[0] == 404
    (folder / "a.yaml").write_text(write("a", 5))
    until(lambda: it.infer("a", [1.0] * 4)[1]["outputs"][0]["data"] == [5.0] * 4)


@pytest.mark.parametrize("binary", [False, True], ids=["json", "binary"])
def test_tritonclient_is_answered(serve, folder, write, binary):
    (folder / "a.yaml").write_text(write("a", 3))
    it = serve()
    it.wait_until_ready()
    x = np.arange(8, dtype=np.float32).reshape(2, 4)
    with triton.InferenceServerClient(it.url.removeprefix("http://")) as client:
        given = triton.InferInput("x", x.shape, "FP32")
        given.set_data_from_numpy(x, binary_data=binary)
        wanted = triton.InferRequestedOutput("y", binary_data=binary)
        assert client.is_model_ready("a")
        answer = client.infer("a", [given], outputs=[wanted])
    np.testing.assert_allclose(answer.as_numpy("y"), 3 * x)
    assert answer.get_response()["model_name"] == "a"


def test_no_tenants_yet(serve, folder, write):
    it = serve()
    it.wait_until_ready()
    with urllib.request.urlopen(f"{it.url}/v2/health/ready", timeout=10) as response:
        assert response.status == 200
    (folder / "a.yaml").write_text(write("a", 3))
    it.wait_for(r"serving a\.default")
    assert it.infer("a", [1.0] * 4)[1]["parameters"] == {"tier": "tier-0", "accuracy": 90.0}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_cleanly_even_while_it_loads(serve, folder, write, number):
    for index in range(1, 10):
        (folder / f"{index}.yaml").write_text(write(f"t{index}", index))
    it = serve()
    it.wait_for("serving")
    assert it.stop(number) == 0
    assert it.lines[-1].startswith("stopping"), it.lines
    assert not any("Traceback" in line for line in it.lines), it.lines


def test_stopping_waits_for_no_model_that_is_compiled(serve, folder, write, endless):
    (folder / "a.yaml").write_text(write("a", 1).replace("1.onnx", str(endless)))
    it = serve()
    it.wait_for(r"still loading a\.default: compiling")
    began = time.monotonic()
    assert it.stop() == 0
    assert time.monotonic() - began < 8.0  # `treadle demo` gives it ten seconds; the compiler would have minutes
    assert not any("Traceback" in line for line in it.lines), it.lines


def test_a_timeline_of_launches(serve, folder, write, tmp_path):
    (folder / "a.yaml").write_text(write("a", 3))
    it = serve("--trace", str(tmp_path / "trace.json"))
    it.wait_until_ready()
    assert it.infer("a", [1.0] * 4)[0] == 200
    assert trace(it, tmp_path / "other.json") == (1, "treadle trace: a timeline is being recorded already\n")
    assert it.stop() == 0
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    assert any("a.default" in event["args"].get("tenants", ()) for event in events)


def trace(it, path, *options) -> tuple[int, str]:
    """`treadle trace` beside a server: its exit code, and all it said."""
    command = [sys.executable, "-m", "treadle", "trace", str(path), "--url", it.url, *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout + done.stderr


def test_a_timeline_of_a_running_server(serve, folder, write, load, tmp_path):
    names = ["a", "b", "c"]
    for factor, name in enumerate(names, 1):
        (folder / f"{name}.yaml").write_text(write(name, factor))
    it = serve()
    it.wait_until_ready()
    loads = [load(it, name) for name in names for _ in range(3)]
    code, said = trace(it, tmp_path / "timeline.json", "--seconds", "1")
    assert code == 0, said
    assert "for 3 tenants on 1 streams; open it at https://ui.perfetto.dev" in said
    before = [len(one.answers) for one in loads]
    until(lambda: all(len(one.answers) > count for one, count in zip(loads, before, strict=True)))
    for one in loads:
        one.stop()
        assert one.errors == []

    events = json.loads((tmp_path / "timeline.json").read_text())["traceEvents"]
    called = {(e["name"], e["pid"], e["tid"]): e["args"]["name"] for e in events if e["ph"] == "M"}
    rows: dict[tuple[str, str], list[dict]] = {}
    for event in events:
        if event["ph"] == "X":
            process = called["process_name", event["pid"], 0]
            thread = called["thread_name", event["pid"], event["tid"]]
            rows.setdefault((process, thread), []).append(event)
    tenants = {f"{name}.default" for name in names}
    assert rows.keys() == {("device host", "stream 0"), *(("tenants", tenant) for tenant in tenants)}
    for row in rows.values():
        ends = [event["ts"] + event["dur"] for event in row]
        assert all(after["ts"] >= end - 1.0 for after, end in zip(row[1:], ends, strict=False)), "one after another"
    kernels = rows["device host", "stream 0"]
    assert 0.3e6 < kernels[-1]["ts"] - kernels[0]["ts"] < 3e6, "microseconds"
    assert {tenant for event in kernels for tenant in event["args"]["tenants"]} == tenants
    assert max(len(event["args"]["tenants"]) for event in kernels) > 1, "some are merged"

    code, said = trace(it, tmp_path / "none.json", "--seconds", "100")
    assert (code, said) == (1, "treadle trace: seconds: must be a number above 0, at most 60\n")
    code, said = trace(it, tmp_path / "none.json", "--device", "gpu-7")
    assert (code, said) == (1, "treadle trace: there is no device 'gpu-7' here; there are host\n")
    assert trace(it, "/nowhere/t.json") == (2, "treadle trace: /nowhere/t.json: there is no such folder\n")
    assert it.stop() == 0
    code, said = trace(it, tmp_path / "none.json")
    assert code == 1
    assert said.startswith(f"treadle trace: no server answers at {it.url}: ")
    assert not (tmp_path / "none.json").exists()


def test_a_port_in_use(serve):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        it = serve("--port", str(port))
        assert it.wait() == 1
        assert it.lines == [
            f"treadle serve: 127.0.0.1:{port} is in use by another program: choose another --port, or 0 for any"
        ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-f", "/nowhere"], "-f /nowhere: there is no such file or folder"),
        (["-f", "/tmp", "--port", "70000"], "--port 70000: must be 0 to 65535"),
        (["-f", "/tmp", "--device", "tpu"], "--device tpu: must be auto, host, cuda or simulated:MODEL"),
        (["-f", "/tmp", "--trace", "/nowhere/t.json"], "--trace /nowhere/t.json: there is no such folder"),
        ([], "the following arguments are required: -f"),
        (["-f", "/tmp", "--mode", "fast"], "invalid choice: 'fast'"),
    ],
)
def test_wrong_usage(options, message):
    done = subprocess.run(
        [sys.executable, "-m", "treadle", "serve", *options], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_precision_that_the_host_has_not_is_refused_by_name_and_its_fix_is_taken(serve, folder, write):
    text = write("a", 1)
    (folder / "a.yaml").write_text(text.replace("name: tier-0", "name: tier-0\n    precision: Float16"))
    it = serve()
    it.wait_for(r"refused a\.default: .*spec\.tiers\[tier-0\]: precision: this device computes float32 only: set")
    (folder / "a.yaml").write_text(text.replace("name: tier-0", "name: tier-0\n    precision: Float32"))
    it.wait_for(r"serving a\.default")


def test_a_cache_folder_that_cannot_be_written(serve, tmp_path):
    (tmp_path / "cache").write_text("a file, where root, too, can make no folder")
    it = serve()
    assert it.wait() == 2
    assert "\n".join(it.lines) == (
        f"treadle serve: the cache folder {tmp_path}/cache/treadle cannot be written: Not a directory; make it "
        "writable, or set XDG_CACHE_HOME to a folder that is"
    )


def test_the_port_that_pages_name_is_the_default():
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    assert parser.parse_args(["-f", "."]).port == 8080
    assert "(default 8080)" in " ".join(parser.format_help().split())


@pytest.mark.parametrize("command", [[], ["serve"], ["demo"], ["trace"], ["bench"], ["bench", "serving"], ["doctor"]])
def test_every_command_explains_itself(command):
    done = subprocess.run(
        [sys.executable, "-m", "treadle", *command, "--help"], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.startswith("usage: treadle")
