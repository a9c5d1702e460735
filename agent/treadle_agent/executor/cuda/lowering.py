"""A program's kernels become launches of a GPU: products, convolutions, and generated kernels, element-wise runs fused.

What cannot run is refused with all its reasons at once; nothing falls back.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import cast

from treadle_agent.executor.cuda.expressions import C_TYPES, EXPRESSIONS, converted
from treadle_agent.executor.cuda.folding import FOLDING, refusal, rows
from treadle_agent.executor.cuda.movement import BODIES
from treadle_agent.executor.cuda.operands import Layout, broadcast, strides
from treadle_agent.executor.cuda.steps import Convolution, Lowered, Points, Product, Step
from treadle_agent.executor.super_kernel import signature
from treadle_agent.program.model import Activation, Kernel, Operand, Program, TensorType
from treadle_agent.program.ops.window import Window

RUN_LIMIT = 8  # element-wise kernels fused into one: beyond it, operands take more registers than they save


class UnsupportedOnGpuError(ValueError):
    """Raised when a program holds kernels that the cuda device cannot run; the message lists them all."""


def lower(
    program: Program, weight_offsets: Sequence[int], constant_offsets: Sequence[int], halves: Collection[int] = ()
) -> tuple[Lowered, ...]:
    """The launches of a program, in order; `halves`: the weights (by number) that are kept as float16.

    Raises:
        UnsupportedOnGpuError: some kernels cannot run.
    """
    layout = Layout(program, weight_offsets, constant_offsets, halves)
    reasons = dict.fromkeys(reason for one in program.kernels if (reason := _refusal(layout, one)))
    if reasons:
        fix = "set precision Float32" if halves else "serve with --device host"
        raise UnsupportedOnGpuError(f"the cuda device cannot run {'; '.join(reasons)}: {fix}")
    lowered, index = [], 0
    for count in runs(program):
        kernels = program.kernels[index : index + count]
        name, last = "+".join(one.op for one in kernels[:-1]), signature(program, kernels[-1], halves)
        text = f"{name}+{last}" if name else last
        empty = all(program.values[value].elements == 0 for value in kernels[-1].outputs)
        step = None if empty else _step(layout, index, kernels)
        lowered.append(Lowered(text, step, count))
        index += count
    return tuple(lowered)


def runs(program: Program) -> list[int]:
    """How many kernels of a program each launch covers, in order."""
    lengths: list[int] = []
    index = 0
    while index < len(program.kernels):
        lengths.append(_run_length(program, index))
        index += lengths[-1]
    return lengths


def _refusal(layout: Layout, kernel: Kernel) -> str:
    types = [layout.program.type_of(one) for one in kernel.inputs if one is not None]
    if kernel.op in FOLDING:
        reason = refusal(layout, kernel)
    elif kernel.op in {"Conv", "MatMul", "Gemm"} and (reason := _half_refusal(layout, kernel)):
        pass
    elif kernel.op == "Conv":
        reason = "" if len(types[0].shape) in {3, 4} else f"{len(types[0].shape) - 2} spatial axes"
    elif kernel.op in {"MatMul", "Gemm"}:
        reason = "" if types[0].dtype == "float32" else f"elements of {types[0].dtype}"
    elif kernel.op in EXPRESSIONS or kernel.op in BODIES:
        reason = ""
    else:
        reason = "no kernel"
    return f"{kernel.op} ({reason})" if reason else ""


def _half_refusal(layout: Layout, kernel: Kernel) -> str:
    """There are kernels for one float16 factor: of a convolution the filters, of a product either one."""
    left, right, *rest = map(layout.half, kernel.inputs)
    if (left and (right or kernel.op == "Conv")) or any(rest):
        return "more of it than one factor is float16"
    return ""


def _step(layout: Layout, index: int, kernels: Sequence[Kernel]) -> Step:
    (kernel, *more) = kernels
    if more or kernel.op in EXPRESSIONS:
        return _points(layout, index, kernels)
    match kernel.op:
        case "Gemm":
            return _gemm(layout, kernel)
        case "MatMul":
            return _matmul(layout, kernel)
        case "Conv":
            return _convolution(layout, kernel)
    if kernel.op in FOLDING:
        return rows(f"rows{index}", layout, kernel)
    elements = layout.program.values[kernel.outputs[0]].elements
    return Points(f"points{index}", elements, BODIES[kernel.op](layout, kernel))


def _points(layout: Layout, index: int, kernels: Sequence[Kernel]) -> Points:
    program = layout.program
    shape = program.values[kernels[-1].outputs[0]].shape
    known: dict[int, str] = {}  # values that this run has computed already, in registers
    lines: list[str] = []
    for place, kernel in enumerate(kernels):
        names = [
            None if operand is None else _operand(layout, kernel, operand, shape, known, lines)
            for operand in kernel.inputs
        ]
        (out,) = kernel.outputs
        dtype = program.values[out].dtype
        first = kernel.inputs[0]
        assert first is not None
        expression = EXPRESSIONS[kernel.op](names, dict(kernel.attributes), program.type_of(first).dtype)
        known[out] = f"v{place}"
        lines.append(f"const {C_TYPES[dtype]} v{place} = {converted(expression, dtype)};")
        if place == len(kernels) - 1 or _needed(program, out, index + len(kernels)):
            lines.append(layout.write(out, "i", known[out]))
    return Points(f"points{index}", program.values[kernels[-1].outputs[0]].elements, "\n".join(lines))


def _operand(
    layout: Layout, kernel: Kernel, operand: Operand, shape: tuple[int, ...], known: dict[int, str], lines: list[str]
) -> str:
    if isinstance(operand, Activation) and operand.index in known:
        return known[operand.index]
    given = layout.program.type_of(operand)
    source = given.shape
    if kernel.op == "BatchNormalization" and operand is not kernel.inputs[0]:
        source = (*source, *(1,) * (len(shape) - 2))  # one number a channel
    if kernel.op == "Reshape":
        source = shape
    name = f"x{len(lines)}"
    lines.append(f"const {C_TYPES[given.dtype]} {name} = {layout.read(operand, broadcast('i', shape, source))};")
    return name


def _run_length(program: Program, begin: int) -> int:
    """How many kernels from `begin` on are one element-wise run."""
    first = program.kernels[begin]
    if first.op not in EXPRESSIONS:
        return 1
    shape = program.values[first.outputs[0]].shape
    end = begin + 1
    while end < len(program.kernels) and end - begin < RUN_LIMIT:
        kernel = program.kernels[end]
        same = kernel.op in EXPRESSIONS and program.values[kernel.outputs[0]].shape == shape
        if not same or not _safe(program, begin, end + 1):
            break
        end += 1
    return end - begin


def _safe(program: Program, begin: int, end: int) -> bool:
    """Whether threads of a fused run cannot disturb each other: nothing written lies over something read elsewhere.

    An element may be written over itself: same place, same shape, same size of element.
    """
    made: set[int] = set()
    read: list[int] = []
    for kernel in program.kernels[begin:end]:
        read += [one.index for one in kernel.inputs if isinstance(one, Activation) and one.index not in made]
        made.update(kernel.outputs)
    for value in made:
        for other in (*read, *made):
            if other == value or not _overlap(program, value, other):
                continue
            one, two = program.values[value], program.values[other]
            alike = one.shape == two.shape and one.nbytes == two.nbytes
            if not alike or program.offsets[value] != program.offsets[other]:
                return False
    # A value that is read from memory must not be a view of one that this run holds in registers.
    return not any(
        _overlap(program, one, two) and _written_before(program, begin, end, one, two) for one in read for two in made
    )


def _written_before(program: Program, begin: int, end: int, read: int, made: int) -> bool:
    """Whether the run computes `made` before it reads `read`."""
    written = next(index for index in range(begin, end) if made in program.kernels[index].outputs)
    return any(Activation(read) in program.kernels[index].inputs for index in range(written + 1, end))


def _needed(program: Program, value: int, begin: int) -> bool:
    """Whether somebody reads `value` from memory at kernel `begin` or later, directly or through a view."""
    for kernel in program.kernels[begin:]:
        for operand in kernel.inputs:
            if isinstance(operand, Activation) and _overlap(program, operand.index, value):
                return True
        if any(program.offsets[out] <= program.offsets[value]
               and _end(program, value) <= _end(program, out) for out in kernel.outputs):  # fmt: skip
            return False  # written over as a whole
    return any(_overlap(program, port.value, value) for port in program.outputs)


def _end(program: Program, value: int) -> int:
    return program.offsets[value] + program.values[value].nbytes


def _overlap(program: Program, one: int, two: int) -> bool:
    return program.offsets[one] < _end(program, two) and program.offsets[two] < _end(program, one)


def _gemm(layout: Layout, kernel: Kernel) -> Product:
    left, right, added = kernel.inputs
    assert left is not None
    assert right is not None
    attributes, program = dict(kernel.attributes), layout.program
    m, n = program.values[kernel.outputs[0]].shape
    a, b = program.type_of(left).shape, program.type_of(right).shape
    trans_a, trans_b = bool(attributes["trans_a"]), bool(attributes["trans_b"])
    bias = (0, 0)
    if added is not None:
        given = program.type_of(added).shape
        steps = [0 if extent == 1 else step for extent, step in zip(given, strides(given), strict=True)]
        bias = cast("tuple[int, int]", tuple([0, 0, *steps][-2:]))
    return Product(
        layout.place(left),
        layout.place(right),
        layout.place(Activation(kernel.outputs[0])),
        None if added is None else layout.place(added),
        (m, n, a[0] if trans_a else a[1]),
        (1, a[1]) if trans_a else (a[1], 1),
        (1, b[1]) if trans_b else (b[1], 1),
        (n, 1),
        bias,
        cast("float", attributes["alpha"]),
        cast("float", attributes["beta"]),
        ((0, 0, 0),),
        (layout.half(left), layout.half(right)),
    )


def _matmul(layout: Layout, kernel: Kernel) -> Product:
    left, right = kernel.inputs
    assert left is not None
    assert right is not None
    a, b = layout.program.type_of(left).shape, layout.program.type_of(right).shape
    a, b = (1, *a) if len(a) == 1 else a, (*b, 1) if len(b) == 1 else b
    m, n, k = a[-2], b[-1], a[-1]
    outer_a, outer_b = a[:-2], b[:-2]
    halves = layout.half(left), layout.half(right)
    if not any(extent != 1 for extent in outer_b):  # one matrix for all rows
        for extent in outer_a:
            m *= extent
        batch: tuple[tuple[int, int, int], ...] = ((0, 0, 0),)
    else:
        left_bytes, right_bytes = (2 if half else 4 for half in halves)
        batch = _batch(outer_a, outer_b, (left_bytes * m * k, right_bytes * k * n, 4 * m * n))
    return Product(
        layout.place(left), layout.place(right), layout.place(Activation(kernel.outputs[0])), None,
        (m, n, k), (k, 1), (n, 1), (n, 1), (0, 0), 1.0, 0.0, batch, halves,
    )  # fmt: skip


def _batch(
    outer_a: tuple[int, ...], outer_b: tuple[int, ...], sizes: tuple[int, int, int]
) -> tuple[tuple[int, int, int], ...]:
    rank = max(len(outer_a), len(outer_b))
    wide_a, wide_b = (1,) * (rank - len(outer_a)) + outer_a, (1,) * (rank - len(outer_b)) + outer_b
    outer = tuple(max(pair) for pair in zip(wide_a, wide_b, strict=True))
    count = TensorType("float32", outer).elements
    result = []
    for flat in range(count):
        places = [0, 0]
        for side, shape in enumerate((wide_a, wide_b)):
            for extent, step, full, own in zip(outer, strides(outer), shape, strides(shape), strict=True):
                places[side] += 0 if full == 1 else flat // step % extent * own
        result.append((places[0] * sizes[0], places[1] * sizes[1], flat * sizes[2]))
    return tuple(result)


def _convolution(layout: Layout, kernel: Kernel) -> Convolution:
    data, weight, bias = kernel.inputs
    assert data is not None
    assert weight is not None
    program, attributes = layout.program, dict(kernel.attributes)
    given, filters = program.type_of(data).shape, program.type_of(weight).shape
    out, window = program.values[kernel.outputs[0]].shape, Window.read(attributes)
    lead = (1,) * (4 - len(given))  # one spatial axis is two, the first of extent 1
    none = (0,) * (4 - len(given))
    shape = (
        given[0], given[1], *lead, *given[2:], filters[0], *lead, *out[2:], cast("int", attributes["group"]),
        *lead, *filters[2:], *lead, *window.strides, *lead, *window.dilations, *none, *window.before,
    )  # fmt: skip
    result = layout.place(Activation(kernel.outputs[0]))
    added = None if bias is None else layout.place(bias)
    return Convolution(layout.place(data), layout.place(weight), added, result, shape, layout.half(weight))


def constant_layout(program: Program) -> tuple[bytes, tuple[int, ...]]:
    """The program's constants one behind the other, each at a multiple of 64 bytes, and their offsets."""
    offsets, parts, size = [], [], 0
    for constant in program.constants:
        offsets.append(size)
        room = -(-max(len(constant.data), 1) // 64) * 64
        parts.append(constant.data.ljust(room, b"\0"))
        size += room
    return b"".join(parts), tuple(offsets)
