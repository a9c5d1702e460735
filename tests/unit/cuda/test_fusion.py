"""Which element-wise kernels become one, what it stores, and where a run must be cut."""

from treadle_agent.executor.cuda.lowering import lower
from treadle_agent.executor.cuda.steps import Points
from treadle_agent.program.model import Activation, Kernel, Port, Program, TensorType

WIDE, ROW = TensorType("float32", (4, 16)), TensorType("float32", (16,))
SIZE = 256


def program(
    kernels: list[tuple[str, tuple[int, ...], int]], offsets: list[int], *outputs: int, row: int = -1
) -> Program:
    types = tuple(ROW if index == row else WIDE for index in range(len(offsets)))
    made = tuple(Kernel(op, (), tuple(map(Activation, inputs)), (out,)) for op, inputs, out in kernels)
    ports = tuple(Port(f"y{index}", index) for index in outputs)
    return Program((Port("x", 0),), ports, types, tuple(offsets), max(offsets) + SIZE, (), (), made)


def bodies(given: Program) -> list[tuple[int, str]]:
    found = []
    for one in lower(given, (), ()):
        assert isinstance(one.step, Points)
        found.append((one.covers, one.step.body))
    return found


def stores(body: str) -> list[int]:
    """The offsets that a body writes to."""
    lines = [line for line in body.splitlines() if line.startswith("at<float>")]
    return [int(line.split("slot + ")[1].split("ULL")[0]) for line in lines]


def test_a_run_is_one_kernel_that_stores_only_what_is_read_later() -> None:
    chain = [("Relu", (0,), 1), ("Tanh", (1,), 2), ("Add", (2, 0), 3)]
    ((covers, body),) = bodies(program(chain, [0, 256, 512, 768], 3))
    assert covers == 3
    assert stores(body) == [768]


def test_an_intermediate_value_that_is_an_output_is_stored() -> None:
    chain = [("Relu", (0,), 1), ("Tanh", (1,), 2)]
    ((_, body),) = bodies(program(chain, [0, 256, 512], 1, 2))
    assert stores(body) == [256, 512]


def test_an_intermediate_value_that_a_later_kernel_reads_through_a_view_is_stored() -> None:
    kernels = [("Relu", (0,), 1), ("Tanh", (1,), 2), ("Softplus", (3,), 4)]
    given = program(kernels, [0, 256, 512, 256, 1024], 2, 4)  # value 3 is a view of value 1
    found = bodies(given)
    assert [covers for covers, _ in found] == [2, 1]  # the view is not in registers
    assert stores(found[0][1]) == [256, 512]


def test_a_result_over_its_own_input_may_be_fused_element_for_element() -> None:
    chain = [("Relu", (0,), 1), ("Tanh", (1,), 2)]
    ((covers, _),) = bodies(program(chain, [0, 256, 0], 2))
    assert covers == 2


def test_a_result_over_what_other_threads_still_read_is_not_fused() -> None:
    # Value 1 is broadcast: every thread reads it, and value 3 would be written over it.
    chain = [("Add", (0, 1), 2), ("Tanh", (2,), 3)]
    assert [covers for covers, _ in bodies(program(chain, [0, 256, 512, 256], 3, row=1))] == [1, 1]


def test_a_result_half_over_an_input_is_not_fused() -> None:
    chain = [("Relu", (0,), 1), ("Tanh", (1,), 2)]
    assert [covers for covers, _ in bodies(program(chain, [0, 512, 128], 2))] == [1, 1]


def test_kernels_of_another_shape_are_not_fused() -> None:
    chain = [("Relu", (0,), 1), ("Tanh", (2,), 2)]
    assert [covers for covers, _ in bodies(program(chain, [0, 256, 512], 1, 2, row=2))] == [1, 1]
