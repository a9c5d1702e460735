"""`treadle bench kernels --device cuda` without a GPU refuses aloud; what it would measure runs on the stand-in."""

import msgspec
import pytest

from treadle.__main__ import main
from treadle.bench.kernels import cuda
from treadle.bench.kernels.problems import Problem
from treadle_agent.executor.cuda.gpu import Gpu
from treadle_agent.executor.cuda.variants import TILES
from treadle_agent.executor.devices import DeviceError, choose_device
from treadle_agent.executor.gpu_model import Product

SMALL = Problem("small", Product(8, 8, 4), 1.0)


def has_gpu() -> bool:
    try:
        choose_device("cuda")
    except DeviceError:
        return False
    return True


@pytest.mark.skipif(has_gpu(), reason="there is a GPU")
def test_without_a_gpu_nothing_is_written_and_the_reason_is_told(tmp_path, capsys) -> None:
    result = tmp_path / "gpu-kernels.json"
    assert main(["bench", "kernels", "--device", "cuda", "--json", str(result)]) == 2
    assert capsys.readouterr().err.startswith("treadle bench kernels: --device cuda: ")
    assert not result.exists()


def test_each_way_is_timed_and_its_product_checked(gpu: Gpu) -> None:
    found = cuda.timings(gpu, SMALL, (1, 10, 20), TILES[:2])
    assert list(found) == [1, 10, 20]
    for one in found.values():
        assert one.library is not None
        assert min(one.time, one.space, one.merged, one.library) > 0.0


def test_the_table_has_the_form_of_the_other_devices_and_the_librarys_ratio(gpu: Gpu, monkeypatch) -> None:
    monkeypatch.setattr(cuda, "PROBLEMS", (SMALL,))
    monkeypatch.setattr(cuda, "RANGE", (10, 20))
    told: list[str] = []
    rows = list(cuda.table(gpu, told.append))
    assert [(row.problem, row.r) for row in rows] == [("small", "10"), ("small", "20"), ("small", "geomean")]
    assert all((row.over_library or 0.0) > 0.0 for row in rows)
    assert "over_library" in msgspec.to_builtins(rows[0])
    assert told == ["small"]


def test_a_wrong_product_is_no_figure(gpu: Gpu, monkeypatch) -> None:
    operands = cuda._Operands(gpu, SMALL, 2)
    with pytest.raises(ArithmeticError, match="2 products of"):
        operands.seconds(lambda: None)
