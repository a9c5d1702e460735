"""The serving benchmark end to end for seconds: a real server, real load, figures that hang together."""

import asyncio
import io
import sys

import pytest
from rich.console import Console

from treadle.bench.progress import Progress
from treadle.bench.serving import workload
from treadle.bench.serving.deployment import BOUNDED, PLAIN, Deployment, deploy
from treadle.bench.serving.run import Benchmark
from treadle.bench.serving.server import ServerError, free_ports, running
from treadle.bench.serving.suites import MemorySuite, Plan, Suite
from treadle.bench.serving.table import show


def small(folder):
    return workload.mlps(folder, 2)


def measure(plan, folder):
    output = io.StringIO()
    with Progress(Console(file=output)) as progress:
        report = asyncio.run(Benchmark(plan, folder, progress).run(quick=True, command="test"))
    show(report, Console(file=output, width=160))
    return report, output.getvalue()


@pytest.mark.parametrize("encoding", ["binary", "json"])
def test_a_peer_is_measured(tmp_path, encoding):
    servers = (PLAIN, PLAIN + BOUNDED)
    plan = Plan((Suite("mlp", small, encoding, servers, (0.25,)),), (), 0.5, 1, merging=False)
    report, text = measure(plan, tmp_path)
    assert report.left_out == ()
    (saturation,) = report.saturation
    assert saturation.rps > 50
    assert [row.server for row in report.rows] == list(servers)
    for row in report.rows:
        assert row.offered_rps > 0
        # A machine that stands still for a moment fills a bounded queue; each request is answered or refused.
        assert row.answered_rps == row.offered_rps or (row.server == PLAIN + BOUNDED and row.refused > 0)
        assert row.failed == row.unanswered == 0
        assert 0 < row.p50_ms <= row.p99_ms
        assert row.cpu_ms_per_request > 0
        assert row.merge_factor is None
    assert report.limit_rps > saturation.rps
    assert f"{saturation.rps:,.0f}" in text


def test_memory_grows_with_tenants(tmp_path):
    plan = Plan((), (MemorySuite("conv", workload.convolutionals, (PLAIN,), 4),), 0.5, 1, merging=False)
    (memory,) = measure(plan, tmp_path)[0].memory
    assert 30 < memory.weights_mb < 35
    assert memory.growth_mb > memory.weights_mb * 0.9


def test_a_server_that_fails_is_left_out_and_named(tmp_path):
    def broken(folder):
        made = small(folder)
        next(iter(made.models.values())).write_bytes(b"not a model")
        return made

    plan = Plan((Suite("mlp", broken, "binary", (PLAIN,), (0.25,)),), (), 0.5, 1, merging=False)
    report, text = measure(plan, tmp_path)
    assert report.rows == report.saturation == ()
    (left_out,) = report.left_out
    assert "ended with exit status" in left_out.reason
    assert "left out: mlp: aiohttp" in text


def test_a_server_that_answers_wrongly_is_refused(tmp_path):
    async def run():
        one, other = workload.mlps(tmp_path / "a", 1), workload.mlps(tmp_path / "b", 2)
        (tmp_path / "a" / "mlp-0.onnx").write_bytes((tmp_path / "b" / "mlp-1.onnx").read_bytes())
        deployment = deploy(PLAIN, one, tmp_path, free_ports(), None, 0)
        async with running(PLAIN, deployment, tmp_path) as server:
            await server.wait_until_ready(one)  # what it serves is what we expect
            with pytest.raises(ServerError, match="wrongly"):
                await server.wait_until_ready(workload.Workload("mlp", {"mlp-0": other.models["mlp-0"]}, one.inputs, 1))

    asyncio.run(run())


def test_leaving_stops_a_server_that_ignores_signals(tmp_path):
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"

    async def run(monkeypatch):
        monkeypatch.setattr("treadle.bench.serving.server._STOP_SECONDS", 0.3)
        async with running("x", Deployment((sys.executable, "-c", code), {}, 1), tmp_path) as server:
            process = server._process
        return process.returncode

    with pytest.MonkeyPatch.context() as monkeypatch:
        assert asyncio.run(run(monkeypatch)) < 0
