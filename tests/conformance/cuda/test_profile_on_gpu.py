"""`treadle profile --kernels --device cuda` tells what the tuner found: what serving here would keep and launch."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from treadle.__main__ import main
from treadle.bench import models
from treadle.profile import command
from treadle.profile.report import Profile
from treadle_agent.executor.cuda import opening
from treadle_agent.executor.cuda.gpu import Gpu
from treadle_agent.executor.cuda.trial import Trial
from treadle_agent.executor.cuda.tuner import GpuTuner


@pytest.fixture(name="on_gpu")
def _on_gpu(gpu: Gpu, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model's file, with the device that the tests run on."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(opening, "open_gpu", lambda: gpu)
    monkeypatch.setattr(command, "choose_device", lambda _: "cuda")
    path = tmp_path / "wide.onnx"
    path.write_bytes(models.mlp((64, 48, 10), seed=1).SerializeToString())
    return path


def profiled(path: Path) -> Profile:
    target = path.with_suffix(".json")
    assert main(["profile", str(path), "--kernels", "--device", "cuda", "--json", str(target)]) == 0
    return msgspec.json.decode(target.read_bytes(), type=Profile)


def test_what_the_tuner_found_is_shown_and_kept(
    on_gpu: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    merged, found = GpuTuner.merged, []
    monkeypatch.setattr(GpuTuner, "merged", lambda *given: found.append(merged(*given)) or found[-1])
    first, again = profiled(on_gpu), profiled(on_gpu)
    assert len(found) == 1, "the second time it was known"
    assert first.kernels == again.kernels
    assert (first.device, first.simulated) == ("cuda", False)
    (profile,) = found
    tiles = {(greedy.replace("x", "×"), merged.replace("x", "×")) for _, greedy, merged in profile.tiles}
    assert {(row.greedy_tile, row.collaborative_tile) for row in first.kernels if "Gemm" in row.signature} <= tiles
    assert sum(row.count for row in first.kernels) == len(profile.shares) - 1
    alone = sum(row.count * row.alone_seconds for row in first.kernels)
    assert alone == pytest.approx(profile.points[0][1])
    shown = capsys.readouterr().out
    assert "Kernels on cuda (measured)" in shown
    assert "no GPU code has run" not in shown


def test_tiles_and_the_number_of_problems_are_those_of_the_measurement(
    on_gpu: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    each = {1: 8e-6, 2: 4e-6, 8: 1.04e-6, 32: 1e-6, 64: 1e-6}

    def told(_: Trial, body, problems: int) -> list[float]:
        return [problems * each[problems]] * body.length

    monkeypatch.setattr(Trial, "_seconds", told)
    for row in profiled(on_gpu).kernels:
        assert row.problems == 8
        assert row.alone_seconds == pytest.approx(8e-6)
        assert row.shared_seconds == pytest.approx(1.04e-6)
        if "Gemm" in row.signature:
            assert (row.implementation, row.greedy_tile, row.collaborative_tile) == ("own", "16×16", "16×16")
        else:
            assert (row.implementation, row.greedy_tile) == ("own", "–")


def test_a_model_that_the_gpu_cannot_run_is_refused_by_name(
    on_gpu: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "recurrent.onnx"
    path.write_bytes(models.gru(4, 8, 3, 2, seed=1).SerializeToString())
    assert main(["profile", str(path), "--kernels", "--device", "cuda"]) == 1
    assert "recurrent: the cuda device cannot run GRU" in capsys.readouterr().err
