"""`treadle bench serving --device cuda`, but for the GPU: real executor processes on the host and on the stand-in for a
GPU, and a control program of MPS that only takes notes.
"""

from __future__ import annotations

import asyncio
import io
import itertools
import os
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import pytest
import stand_in_worker
from rich.console import Console

from treadle.__main__ import main
from treadle.bench import models
from treadle.bench.progress import Progress
from treadle.bench.serving.workload import Workload
from treadle.bench.sharing import mps
from treadle.bench.sharing import run as sharing
from treadle.bench.sharing.measure import run
from treadle.bench.sharing.report import Report
from treadle.bench.sharing.run import Comparison, Suite
from treadle.bench.sharing.table import show
from treadle.bench.sharing.ways import WAYS, Way, seated
from treadle_agent.executor import worker
from treadle_agent.executor.devices import DeviceError, choose_device
from treadle_agent.executor.gateway import FullError
from treadle_agent.executor.supervisor import Supervisor

IN_TURNS = [way.name for way in WAYS if not way.mps]


def tiny(folder: Path, tenants: int) -> Workload:
    """MLPs 4-4-3."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = {f"tiny-{seed}": folder / f"{seed}.onnx" for seed in range(tenants)}
    for seed, path in enumerate(paths.values()):
        onnx.save(models.mlp((4, 4, 3), seed=seed), path)
    inputs = [{models.INPUT: np.random.default_rng(seed).random((1, 4), np.float32)} for seed in range(3)]
    return Workload("tiny", paths, inputs, 0.05)


def compare(folder: Path, device: str = "host", process=worker.main) -> Report:
    async def measure() -> Report:
        with Progress(Console(file=io.StringIO())) as progress:
            comparison = Comparison(device, folder, progress, process)
            return await comparison.run([Suite("tiny", tiny, (2,))], 0.3, 1, "a command")

    return asyncio.run(measure())


@pytest.fixture
def control(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Puts a control program on PATH that answers so, and gives the file in which it notes what it was told."""
    notes = tmp_path / "notes"

    def put(*, starts: bool = True, servers: str = "4711", stays: float = 0.0) -> Path:
        program = tmp_path / "bin" / "nvidia-cuda-mps-control"
        program.parent.mkdir()
        daemon = f"sleep {stays} &" if stays else ""  # it keeps what it was given to write to
        started = f"{daemon} exit 0" if starts else "echo 'you are not root' >&2; exit 1"
        program.write_text(
            f"""#!/bin/sh
            if [ "$1" = -d ]; then echo "start in $CUDA_MPS_PIPE_DIRECTORY" >> {notes}; {started}; fi
            read said; echo "$said" >> {notes}
            if [ "$said" = get_server_list ]; then echo {servers}; fi
            """
        )
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
        return notes

    return put


def test_every_way_is_measured_and_its_figures_make_sense(tmp_path: Path, control) -> None:
    notes = control()
    report = compare(tmp_path / "bench")
    assert report.left_out == ()
    assert [row.way for row in report.rows] == [way.name for way in WAYS]
    for row in report.rows:
        assert (row.suite, row.tenants) == ("tiny", 2)
        assert row.rps > 0.0
        assert 0.0 < row.p50_ms <= row.p99_ms
        assert row.spread >= 1.0
    merged = {row.way: row.merge_factor for row in report.rows}
    assert merged["processes"] == merged["mps"] == merged["time"] == 1.0, "tenants do not share launches"
    assert notes.read_text().splitlines() == [f"start in {tmp_path}/bench", "get_server_list", "quit"]
    assert "CUDA_MPS_PIPE_DIRECTORY" not in os.environ
    assert (report.gpu, report.gpu_code_ran) == (None, False)
    assert msgspec.json.decode(msgspec.json.encode(report), type=Report) == report


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_who_shares_a_process(tmp_path: Path, way: Way) -> None:
    async def seats() -> list[bool]:
        async with seated(way, tiny(tmp_path / "models", 3), "host", tmp_path / "artifacts") as found:
            return [one.supervisor is found[0].supervisor for one in found]

    assert asyncio.run(seats()) == [True, not way.apart, not way.apart]


@pytest.mark.parametrize(
    ("answers", "why", "told"),
    [
        ({"starts": False}, "nvidia-cuda-mps-control -d: you are not root", []),
        ({"servers": ""}, "the daemon runs, but no process uses it", ["get_server_list", "quit"]),
    ],
)
def test_where_mps_is_not_permitted_or_not_used_its_row_says_why(
    tmp_path: Path, control, monkeypatch: pytest.MonkeyPatch, answers: dict, why: str, told: list[str]
) -> None:
    notes = control(**answers)
    monkeypatch.setattr(sharing, "WAYS", [way for way in WAYS if way.name in {"time", "mps"}])
    report = compare(tmp_path / "bench")
    assert [row.way for row in report.rows] == ["time"]
    assert [(one.server, one.reason) for one in report.left_out] == [("mps", why)]
    assert notes.read_text().splitlines()[1:] == told
    output = io.StringIO()
    show(report, Console(file=output, width=120))
    assert f"left out: tiny, 2 tenants: mps: {why}" in output.getvalue()


def test_the_control_program_is_not_waited_for_by_what_its_daemon_keeps_open(tmp_path: Path, control) -> None:
    control(stays=20.0)
    begun = time.monotonic()
    with mps.private_pipes(tmp_path), mps.daemon():
        mps.check_used()
    assert time.monotonic() - begun < 15.0


def test_without_its_control_program_mps_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "WAYS", [way for way in WAYS if way.mps])
    monkeypatch.setattr("treadle.bench.sharing.mps.CONTROL", "no-such-program")
    report = compare(tmp_path)
    assert report.rows == ()
    assert "there is no no-such-program here" in report.left_out[0].reason


def test_it_runs_on_the_stand_in_for_a_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "WAYS", [way for way in WAYS if not way.mps])
    monkeypatch.setattr(sharing, "gpu_facts", lambda: {"device": "a stand-in", "driver": "0"})
    report = compare(tmp_path, "cuda", stand_in_worker.main)
    assert report.left_out == ()
    assert [row.way for row in report.rows] == IN_TURNS
    assert report.gpu == {"device": "a stand-in", "driver": "0"}
    assert not report.gpu_code_ran, "its kernels ran on the processor"


def test_a_wrong_answer_is_no_figure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "WAYS", WAYS[:1])
    monkeypatch.setattr(Workload, "expected", lambda *_: [np.full((1, 3), 9.0, np.float32)])
    report = compare(tmp_path)
    assert report.rows == ()
    assert "tiny-0: an answer is off by" in report.left_out[0].reason


def test_where_one_client_fails_all_end_and_the_way_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sharing, "WAYS", WAYS[:1])
    opened, open_, rest = itertools.count(), Supervisor.open, []

    def refuse(self: Supervisor, *arguments: Any) -> Any:
        if next(opened) == 20:
            raise FullError("10 requests wait already")
        return open_(self, *arguments)

    async def measured(*arguments: Any) -> Any:
        try:
            return await run(*arguments)
        finally:
            rest.extend(task.get_coro().__name__ for task in asyncio.all_tasks())

    monkeypatch.setattr(Supervisor, "open", refuse)
    monkeypatch.setattr(sharing, "run", measured)
    report = compare(tmp_path)
    assert report.rows == ()
    assert [one.reason for one in report.left_out] == ["10 requests wait already"]
    assert rest
    assert "_client" not in rest


def has_gpu() -> bool:
    try:
        choose_device("cuda")
    except DeviceError:
        return False
    return True


@pytest.mark.parametrize(
    ("device", "why"),
    [
        pytest.param("cuda", "--device cuda: ", marks=pytest.mark.skipif(has_gpu(), reason="there is a GPU")),
        ("simulated:V100", "--device simulated:V100: must be host or cuda"),
    ],
)
def test_where_there_is_no_such_gpu_nothing_is_written_and_the_reason_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], device: str, why: str
) -> None:
    result = tmp_path / "gpu-serving.json"
    assert main(["bench", "serving", "--device", device, "--json", str(result)]) == 2
    assert capsys.readouterr().err.startswith(why)
    assert not result.exists()
