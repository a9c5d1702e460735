"""Advice for a simulated GPU: tiles and problems that the model itself cannot better."""

import pytest

from treadle.profile import advice
from treadle_agent.executor.gpu_model import GPUS, GpuModel
from treadle_agent.executor.gpu_work import kernel_seconds
from treadle_agent.program.model import Activation, Kernel, Program, TensorType, Weight

MODEL = GpuModel(GPUS["V100"])
SHAPES = [((1, 512), (512, 512)), ((256, 256), (256, 256)), ((4096, 4096), (4096, 4096))]


def program(shapes):
    """MatMuls beside each other, the first one twice."""
    values, weights, kernels = [], [], []
    for data, weight in [*shapes, shapes[0]]:
        at = len(values)
        values += [TensorType("float32", data), TensorType("float32", (data[0], weight[1]))]
        kernels.append(Kernel("MatMul", (), (Activation(at), Weight(len(weights))), (at + 1,)))
        weights.append(TensorType("float32", weight))
    return Program((), (), tuple(values), (0,) * len(values), 0, tuple(weights), (), tuple(kernels))


def test_equal_signatures_are_one_row():
    rows = list(advice.rows(MODEL, "m", program(SHAPES)))
    assert [row.count for row in rows] == [2, 1, 1]
    assert rows[0].signature == "MatMul[f32 1x512, f32 512x512 -> f32 1x512]"


def test_tiles_alone_and_in_company():
    vector, square, large = advice.rows(MODEL, "m", program(SHAPES))
    assert vector.greedy_tile == "matrix-vector"
    assert vector.collaborative_tile != "matrix-vector"
    assert square.greedy_tile == "64×64" != square.collaborative_tile
    assert large.greedy_tile == large.collaborative_tile == "128×128"
    assert large.problems == 1  # fills the device alone
    assert vector.problems > 8


@pytest.mark.parametrize("index", range(3))
def test_fewer_problems_would_cost_more_and_more_gain_little(index):
    made = program(SHAPES)
    row = list(advice.rows(MODEL, "m", made))[index]
    each = {r: kernel_seconds(MODEL, made, made.kernels[index], r) / r for r in (1, 2, 4, 8, 16, 32, 64)}
    assert row.alone_seconds == each[1]
    assert row.shared_seconds == each[row.problems] <= advice.ENOUGH * min(each.values())
    assert all(each[r] > advice.ENOUGH * min(each.values()) for r in each if r < row.problems)
