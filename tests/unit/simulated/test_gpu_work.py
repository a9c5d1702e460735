"""A program's kernels as launches: shapes become products, and arithmetic is what the operator does."""

import pytest

from treadle_agent.executor.gpu_model import GPUS, GpuModel, Pass, Product
from treadle_agent.executor.gpu_work import Step, kernel_seconds, steps
from treadle_agent.program.model import Activation, Kernel, Program, TensorType, Weight

MODEL = GpuModel(GPUS["V100"])


def program(op, data, weights, result, **attributes):
    """One kernel: value 0 in, value 1 out."""
    values = (TensorType("float32", data), TensorType("float32", result))
    tensors = tuple(TensorType("float32", shape) for shape in weights)
    operands = (Activation(0), *map(Weight, range(len(weights))))
    kernel = Kernel(op, tuple(sorted(attributes.items())), operands, (1,))
    return Program((), (), values, (0, 0), 0, tensors, (), (kernel,)), kernel


@pytest.mark.parametrize(
    ("built", "expected"),
    [
        (program("Gemm", (8, 784), [(256, 784)], (8, 256), trans_b=True), Step(Product(8, 256, 784))),
        (program("MatMul", (8, 16, 32), [(32, 64)], (8, 16, 64)), Step(Product(128, 64, 32))),
        (program("MatMul", (8, 16, 32), [(8, 32, 64)], (8, 16, 64)), Step(Product(16, 64, 32), 8)),
        (program("MatMul", (8, 32), [(32,)], (8,)), Step(Product(8, 1, 32))),
        (program("Conv", (2, 64, 8, 8), [(128, 64, 3, 3)], (2, 128, 8, 8), group=1), Step(Product(128, 128, 576))),
        (program("Conv", (1, 64, 8, 8), [(128, 32, 3, 3)], (1, 128, 8, 8), group=2), Step(Product(64, 64, 288), 2)),
        (program("ConvTranspose", (1, 64, 4, 4), [(64, 8, 2, 2)], (1, 8, 8, 8), group=1), Step(Product(32, 16, 64))),
        (program("Relu", (2, 50), [], (2, 50)), Step(Pass(800.0))),
    ],
)
def test_one_launch(built, expected):
    assert steps(*built) == (expected,)


def test_a_depthwise_convolution_is_a_pass():
    built = program("Conv", (1, 32, 8, 8), [(32, 1, 3, 3)], (1, 32, 8, 8), group=32)
    assert steps(*built) == (Step(Pass(4.0 * (2 * 2048 + 288))),)


@pytest.mark.parametrize(("data", "batch_first"), [((9, 4, 16), False), ((4, 9, 16), True)])
def test_a_recurrent_layer_is_a_projection_and_a_product_a_step(data, batch_first):
    built = program("GRU", data, [(2, 96, 16), (2, 96, 32)], (9, 2, 4, 32), batch_first=batch_first)
    assert steps(*built) == (Step(Product(96, 36, 16), 2), Step(Product(96, 4, 32), 2, 9))


def test_nothing_to_compute_moves_nothing():
    assert steps(*program("MatMul", (0, 16), [(16, 4)], (0, 4))) == (Step(Pass(256.0)),)


def test_steps_are_issued_and_merged_one_by_one():
    built = program("GRU", (9, 1, 16), [(1, 96, 16), (1, 96, 32)], (9, 1, 1, 32), batch_first=False)
    projection, step = steps(*built)
    assert kernel_seconds(MODEL, *built, 8) == MODEL.launch(projection.work, 8) + 9 * MODEL.launch(step.work, 8)
