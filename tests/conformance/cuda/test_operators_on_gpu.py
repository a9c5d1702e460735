"""Every operator that the cuda device promises, against the host's: one program holds them all, side by side."""

import numpy as np
import pytest
from strict_world import World

from treadle_agent.executor.cuda.expressions import EXPRESSIONS
from treadle_agent.executor.cuda.folding import FOLDING
from treadle_agent.executor.cuda.gpu import Gpu
from treadle_agent.executor.cuda.lowering import UnsupportedOnGpuError, constant_layout, lower
from treadle_agent.executor.cuda.movement import BODIES
from treadle_agent.executor.cuda.program import GpuProgram, source_of
from treadle_agent.executor.cuda.slab import GpuSlab
from treadle_agent.executor.cuda.variants import ARCHITECTURES, POINT_STEPS, REGISTERS, ROW_THREADS
from treadle_agent.program import ops
from treadle_agent.program.interpreter import Interpreter
from treadle_agent.program.model import Activation, Constant, ConstantTensor, Kernel, Port, Program, TensorType

assert ops.__all__  # importing the package fills the table

DATA, ROWLIKE, POSITIVE, FLAGS, INDEX, WIDE, COUNTS = range(7)
INPUTS = (
    TensorType("float32", (2, 3, 5, 4)),
    TensorType("float32", (3, 1, 4)),  # broadcast over the data
    TensorType("float32", (2, 3, 5, 4)),
    TensorType("bool", (2, 3, 5, 4)),
    TensorType("int64", (4,)),
    TensorType("float32", (2, 3, 5, 4)),
    TensorType("int32", (2, 3, 5, 4)),
)
RESIDENT_THREADS = 2048  # of a multiprocessor at most: generated kernels wait for memory, and need company for that
WINDOW = {"kernel": (3, 2), "strides": (2, 1), "dilations": (1, 2), "before": (1, 0), "after": (1, 1)}
PLAIN = {
    "Elu": {"alpha": 1.5, "beta": 0.5, "gamma": 2.0},
    "Gelu": {"approximate": "none"},
    "HardSigmoid": {"alpha": 0.2, "beta": 0.5},
    "HardSwish": {"alpha": 1 / 6, "beta": 0.5},
    "LeakyRelu": {"alpha": 0.1},
    "Swish": {"alpha": 1.25},
    "ThresholdedRelu": {"alpha": 0.3},
}
FLOAT_UNARY = (
    *("Abs", "Ceil", "Cos", "Elu", "Erf", "Exp", "Floor", "Gelu", "HardSigmoid", "HardSwish", "LeakyRelu", "Mish"),
    *("Neg", "Reciprocal", "Relu", "Round", "Sigmoid", "Sign", "Sin", "Softplus", "Softsign", "Swish", "Tanh"),
    "ThresholdedRelu",
)
ARITHMETIC = ["Add", "Div", "Max", "Min", "Mul", "Sub"]
COMPARISONS = ["Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"]
SAME = (2, 3, 5, 4)
REDUCED = {"axes": (1, 3)}


def cases() -> list[tuple[str, dict, tuple[int | None, ...], str, tuple[int, ...]]]:
    """(operator, attributes, inputs, element type and shape of the result)."""
    found: list[tuple[str, dict, tuple[int | None, ...], str, tuple[int, ...]]] = [
        *((name, PLAIN.get(name, {}), (DATA,), "float32", SAME) for name in FLOAT_UNARY),
        *((name, {}, (POSITIVE,), "float32", SAME) for name in ("Log", "Sqrt")),
        *((name, {}, (DATA, ROWLIKE), "float32", SAME) for name in ARITHMETIC),
        *((name, {}, (COUNTS, COUNTS), "int32", SAME) for name in ARITHMETIC),
        *((name, {}, (DATA, ROWLIKE), "bool", SAME) for name in COMPARISONS),
        *((name, {}, (FLAGS, FLAGS), "bool", SAME) for name in ("And", "Or", "Xor")),
        ("Not", {}, (FLAGS,), "bool", SAME),
        ("Gelu", {"approximate": "tanh"}, (DATA,), "float32", SAME),
        ("PRelu", {}, (DATA, ROWLIKE), "float32", SAME),
        ("Sum", {"mean": True}, (DATA, ROWLIKE, POSITIVE), "float32", SAME),
        ("Clip", {}, (DATA, None, ROWLIKE), "float32", SAME),
        ("Where", {}, (FLAGS, DATA, ROWLIKE), "float32", SAME),
        ("Cast", {}, (DATA,), "bool", SAME),
        ("Cast", {}, (COUNTS,), "float32", SAME),
        ("Cast", {}, (FLAGS,), "int64", SAME),
        ("Reshape", {}, (DATA,), "float32", (6, 20)),
        ("Expand", {}, (ROWLIKE,), "float32", (2, 3, 5, 4)),
        ("Tile", {}, (ROWLIKE,), "float32", (6, 3, 8)),
        ("Transpose", {"perm": (2, 0, 3, 1)}, (DATA,), "float32", (5, 2, 4, 3)),
        ("Slice", {"starts": (0, 2, 1, 3), "steps": (1, -1, 2, -2)}, (DATA,), "float32", (2, 3, 2, 2)),
        ("Concat", {"axis": 1}, (DATA, POSITIVE, WIDE), "float32", (2, 9, 5, 4)),
        ("Gather", {"axis": 2}, (DATA, INDEX), "float32", (2, 3, 4, 4)),
        ("MaxPool", WINDOW, (DATA,), "float32", (2, 3, 3, 3)),
        (
            "AveragePool",
            {**WINDOW, "declared_after": (1, 1), "count_include_pad": False},
            (DATA,),
            "float32",
            (2, 3, 3, 3),
        ),
        (
            "AveragePool",
            {**WINDOW, "declared_after": (1, 0), "count_include_pad": True},
            (DATA,),
            "float32",
            (2, 3, 3, 3),
        ),
        *((name, REDUCED, (DATA,), "float32", (2, 5)) for name in sorted(FOLDING) if name.startswith("Reduce")),
        ("GlobalAveragePool", {}, (DATA,), "float32", (2, 3, 1, 1)),
        ("GlobalMaxPool", {}, (DATA,), "float32", (2, 3, 1, 1)),
        ("Softmax", {"axes": (3,)}, (DATA,), "float32", SAME),
        ("Softmax", {"axes": (1, 2, 3)}, (DATA,), "float32", SAME),
        ("LogSoftmax", {"axes": (1,)}, (DATA,), "float32", SAME),
        ("LayerNormalization", {"axis": 2, "epsilon": 1e-5, "results": ("Y",)}, (DATA, -1, -2), "float32", SAME),
        ("BatchNormalization", {"epsilon": 1e-5}, (DATA, -3, -4, -3, -5), "float32", SAME),
        ("Pow", {}, (POSITIVE, ROWLIKE), "float32", SAME),
    ]
    return found


CONSTANTS = (
    np.linspace(0.5, 1.5, 20, dtype=np.float32).reshape(5, 4),
    np.linspace(-1, 1, 20, dtype=np.float32).reshape(5, 4),
    np.array([1.5, -0.5, 2.0], np.float32),
    np.array([0.25, 1.0, -3.0], np.float32),
    np.array([0.5, 2.0, 1.25], np.float32),
)


def program_of(chosen: list[tuple[str, dict, tuple[int | None, ...], str, tuple[int, ...]]]) -> Program:
    values, offsets, kernels, size = list(INPUTS), [], [], 0
    for name, attributes, inputs, dtype, shape in chosen:
        operands = tuple(None if one is None else Constant(-1 - one) if one < 0 else Activation(one) for one in inputs)
        kernels.append(Kernel(name, tuple(sorted(attributes.items())), operands, (len(values),)))
        values.append(TensorType(dtype, shape))
    for one in values:
        offsets.append(size)
        size += -(-one.nbytes // 64) * 64
    constants = tuple(ConstantTensor(TensorType("float32", one.shape), one.tobytes()) for one in CONSTANTS)
    inputs = tuple(Port(str(index), index) for index in range(len(INPUTS)))
    outputs = tuple(Port(f"y{index}", len(INPUTS) + index) for index in range(len(chosen)))
    return Program(inputs, outputs, tuple(values), tuple(offsets), size, (), constants, tuple(kernels))


def feeds(seed: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    made = {}
    for index, type_ in enumerate(INPUTS):
        if index == POSITIVE:
            array = random.uniform(0.1, 2, type_.shape)
        elif type_.dtype == "int64":
            array = np.array([0, -1, 7, 3])
        elif type_.dtype == "float32":
            array = random.standard_normal(type_.shape) * 2
        else:
            array = random.integers(0 if type_.dtype == "bool" else -5, 2 if type_.dtype == "bool" else 6, type_.shape)
        made[str(index)] = array.astype(type_.dtype)
    made[str(DATA)].flat[3] = np.nan
    return made


def run(gpu: Gpu, slot_of, program: Program, problems: dict[int, dict[str, np.ndarray]], capacity: int, fused: bool):
    body = GpuProgram(gpu, program, GpuSlab(gpu, (), 0), capacity)
    assert body.length < len(program.kernels) or not fused
    slot = slot_of(gpu, body)
    for place, one in problems.items():
        for port in program.inputs:
            slot.write(place, port.value, one[port.name])
    with gpu.stream() as stream:
        bound = body.compose([(place, -1) for place in problems], stream)
        for launches in bound.launches:
            for launch in launches:
                launch()
        stream.synchronize()
    return {place: {port.name: slot.read(place, port.value) for port in program.outputs} for place in problems}


def test_each_operator_gives_what_the_host_gives(gpu: Gpu, slot_of) -> None:
    chosen = [one for one in cases() if one[0] != "Pow"]
    program = program_of(chosen)
    problems = {1: feeds(1), 3: feeds(3)}
    got = run(gpu, slot_of, program, problems, 4, fused=True)
    for place, given in problems.items():
        with np.errstate(all="ignore"):
            wanted = Interpreter(program, ()).run(given)
        for case, port in zip(chosen, program.outputs, strict=True):
            np.testing.assert_allclose(
                got[place][port.name], wanted[port.name], rtol=2e-5, atol=2e-5, err_msg=f"{case[:3]}"
            )


def test_what_is_promised_is_what_is_tested() -> None:
    tested = {name for name, *_ in cases()}
    assert tested - {"Pow"} == {*EXPRESSIONS, *FOLDING, *BODIES}


def test_all_that_cannot_run_is_listed_at_once(gpu: Gpu, world: World) -> None:
    with pytest.raises(UnsupportedOnGpuError, match=r"Pow \(no kernel\)"):
        GpuProgram(gpu, program_of([one for one in cases() if one[0] == "Pow"]), GpuSlab(gpu, (), 0), 1)
    assert world.used == 0


@pytest.mark.parametrize("per_thread", POINT_STEPS)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_generated_kernels_compile_for_every_architecture_without_spills(
    nvrtc, architecture: int, per_thread: int
) -> None:
    program = program_of([one for one in cases() if one[0] != "Pow"])
    lowered = lower(program, (), constant_layout(program)[1])
    used = nvrtc(source_of(lowered, per_thread=per_thread), architecture)
    assert len(used) == len(lowered)
    for name, kernel in used.items():
        assert kernel.spilled == 0, name
        assert kernel.registers <= REGISTERS // RESIDENT_THREADS, name
        assert kernel.shared <= 4 * ROW_THREADS + 1024, name  # 1 KiB is the system's, on sm_90 and later
