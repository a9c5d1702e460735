"""An index far outside its range costs what any index costs: one tenant's request must not stop the device."""

import time

import numpy as np
import pytest

import treadle_agent.program.ops  # noqa: F401 - fills the table
from treadle_agent.program.ops.registry import BIND


@pytest.mark.parametrize("problems", [1, 3])
def test_gather_takes_wild_indices_modulo_at_once(problems: int) -> None:
    data = np.arange(problems * 50 * 4, dtype=np.float32).reshape(problems, 50, 4)
    index = np.full((problems, 16), np.iinfo(np.int64).max - 7, np.int64)
    index[:, 0], index[:, 1] = -1, np.iinfo(np.int64).min
    out = np.empty((problems, 16, 4), np.float32)
    launch = BIND["Gather"]({"axis": 0}, [data, index], [out])
    begin = time.perf_counter()
    launch()
    assert time.perf_counter() - begin < 1.0
    for problem in range(problems):
        np.testing.assert_array_equal(out[problem], data[problem][index[problem] % 50])
