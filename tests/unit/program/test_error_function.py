from __future__ import annotations

import math

import numpy as np

from treadle_agent.program import ops
from treadle_agent.program.ops.registry import BIND

assert ops.__all__  # importing the package fills the table


def test_erf_is_accurate_to_a_millionth_everywhere() -> None:
    numbers = np.concatenate(
        [np.linspace(-6, 6, 40_001), np.geomspace(1e-38, 1, 10_001), [0.0, 3.4e38, -3.4e38, np.inf, -np.inf]]
    ).astype(np.float32)[np.newaxis]
    out = np.full_like(numbers, np.nan)
    BIND["Erf"]({}, [numbers], [out])()
    exact = np.asarray([math.erf(one) for one in numbers[0].tolist()])
    assert np.abs(out[0] - exact).max() < 1e-6
    near = np.abs(exact) > 1e-37  # relative error, also where erf is tiny
    assert np.abs(out[0][near] / exact[near] - 1).max() < 1e-6


def test_erf_of_nan_is_nan() -> None:
    out = np.zeros((1, 1), np.float32)
    BIND["Erf"]({}, [np.full((1, 1), np.nan, np.float32)], [out])()
    assert np.isnan(out).all()
