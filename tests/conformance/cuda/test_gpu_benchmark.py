"""`make gpu` on a machine without one refuses aloud; what it would measure runs on the stand-in."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from treadle_agent.executor.cuda.gpu import Gpu
from treadle_agent.executor.cuda.variants import TILES
from treadle_agent.executor.devices import DeviceError, choose_device

SCRIPT = Path(__file__).parents[3] / "benchmarks" / "gpu.py"


def has_gpu() -> bool:
    try:
        choose_device("cuda")
    except DeviceError:
        return False
    return True


@pytest.mark.skipif(has_gpu(), reason="there is a GPU")
def test_without_a_gpu_nothing_is_written_and_the_reason_is_told(tmp_path: Path) -> None:
    result = tmp_path / "gpu-kernels.json"
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--json", str(result)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith("nothing was run on a GPU: --device cuda: ")
    assert not result.exists()


def test_each_way_gives_the_right_product(gpu: Gpu) -> None:
    spec = importlib.util.spec_from_file_location("gpu_benchmark", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    (row,) = module.measure(gpu, {"small": (6, 5, 4)}, (3,), TILES[:1])
    assert (row.problem, row.r, row.tile) == ("small", 3, TILES[0].name)
    assert row.largest_error < 1e-5
    assert min(row.merged, row.library, row.in_turns) > 0.0
