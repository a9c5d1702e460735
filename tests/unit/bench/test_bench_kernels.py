"""`treadle bench kernels` from the command line to its file, and the host's way on a problem small enough to test."""

import msgspec
import pytest

from treadle.__main__ import main
from treadle.bench.kernels import host
from treadle.bench.kernels.compare import rows
from treadle.bench.kernels.problems import GEOMEAN, Problem
from treadle.bench.kernels.report import Report
from treadle_agent.executor.gpu_model import Product


def test_the_simulated_table_as_a_file(tmp_path, capsys):
    target = tmp_path / "new" / "kernels.json"
    assert main(["bench", "kernels", "--json", str(target)]) == 0
    report = msgspec.json.decode(target.read_bytes(), type=Report)
    assert (report.device, report.simulated) == ("simulated:V100", True)
    assert [(row.problem, row.r) for row in report.rows] == [
        (problem, r) for problem in ("rnn", "conv2_2", "square") for r in ("10", "20", GEOMEAN)
    ]
    assert all(check.reached for check in report.checks)
    said = capsys.readouterr()
    assert "simulated, not measured" in said.out
    assert "no GPU code has run" in said.out
    assert f"written: {target}" in said.err


def test_another_gpu_is_not_judged_by_the_papers_figures(tmp_path):
    target = tmp_path / "kernels.json"
    assert main(["bench", "kernels", "--device", "simulated:H100", "--json", str(target)]) == 0
    assert msgspec.json.decode(target.read_bytes(), type=Report).checks == ()


@pytest.mark.parametrize("device", ["simulated:B52", "tpu"])
def test_a_device_that_does_not_exist(device, capsys):
    assert main(["bench", "kernels", "--device", device]) == 2
    assert device in capsys.readouterr().err


def test_the_host_is_timed_each_way():
    problem = Problem("tiny", Product(4, 3, 2), 1.0)
    timings = host.timings(problem, (2, 10, 20))
    assert all(seconds > 0 for one in timings.values() for seconds in (one.time, one.space, one.merged))
    assert timings[20].over_time > 2  # twenty calls of NumPy against one
    assert [row.r for row in rows(problem, timings)] == ["10", "20", GEOMEAN]
