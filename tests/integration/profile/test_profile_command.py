"""`treadle profile` from files to tables, a plot and JSON, with the real loader."""

import msgspec
import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from treadle.__main__ import main
from treadle.bench import models
from treadle.profile.report import Profile
from treadle_agent.executor.tuner import HostTuner


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    paths = {}
    for name, widths in (("wide", (64, 64, 10)), ("narrow", (64, 60, 10))):
        paths[name] = tmp_path / f"{name}.onnx"
        paths[name].write_bytes(models.mlp(widths, seed=1).SerializeToString())
    return paths


def test_clusters_and_kernels(files, tmp_path, capsys):
    target, plot = tmp_path / "p.json", tmp_path / "c.svg"
    words = [*map(str, files.values()), "--clusters", "--kernels", "--json", str(target), "--plot", str(plot)]
    assert main(["profile", *words]) == 0
    profile = msgspec.json.decode(target.read_bytes(), type=Profile)
    assert profile.simulated
    assert {(one.m, one.n, one.k): len(one.products) for one in profile.clusters} == {(1, 64, 64): 2, (1, 10, 64): 2}
    assert [row.model for row in profile.kernels] == ["wide"] * 3 + ["narrow"] * 3
    assert "2 clusters of at most 25% padding" in plot.read_text()
    shown = capsys.readouterr().out
    assert "1×64×64" in shown
    assert "no GPU code has run" in shown


def test_kernels_measured_on_the_host(files, tmp_path, monkeypatch):
    target = tmp_path / "p.json"
    words = ["profile", str(files["wide"]), "--kernels", "--device", "host", "--json", str(target)]
    assert main(words) == 0
    chosen = {row.implementation for row in msgspec.json.decode(target.read_bytes(), type=Profile).kernels}
    for way in ("merged", "segments"):
        monkeypatch.setattr(HostTuner, way, pytest.fail)  # what serving goes by is kept
    assert main(words) == 0
    profile = msgspec.json.decode(target.read_bytes(), type=Profile)
    assert {row.implementation for row in profile.kernels} == chosen
    assert not profile.simulated
    assert {row.implementation for row in profile.kernels} <= {"merged", "segments"}
    for row in profile.kernels:
        assert 0 < row.shared_seconds <= row.alone_seconds


def test_free_sizes_must_be_given(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    weight = numpy_helper.from_array(np.ones((1, 1, 3, 3), np.float32), "w")
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", 1, "height", "width"])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", 1, "height", "width"])
    node = helper.make_node("Conv", ["x", "w"], ["y"], pads=[1, 1, 1, 1])
    graph = helper.make_graph([node], "g", [x], [y], [weight])
    path = tmp_path / "free.onnx"
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    path.write_bytes(model.SerializeToString())
    assert main(["profile", str(path), "--clusters"]) == 1
    assert "--shape x=1x1xNxN" in capsys.readouterr().err
    assert main(["profile", str(path), "--clusters", "--shape", "x=1x1x8x9"]) == 0
    assert "1×72×9" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ([], 2, "--clusters, --kernels or both"),
        (["--clusters", "--padding", "1"], 2, "--padding 1"),
        (["--kernels", "--device", "tpu"], 2, "tpu"),
        (["--kernels", "--plot", "x.svg"], 2, "--plot draws clusters"),
        (["--clusters"], 1, "missing.onnx"),
    ],
)
def test_wrong_usage(words, code, said, tmp_path, capsys):
    assert main(["profile", str(tmp_path / "missing.onnx"), *words]) == code
    assert said in capsys.readouterr().err
