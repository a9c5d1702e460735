"""What a program's kernels ask of a simulated GPU: each is a few launches of products or passes. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from treadle_agent.executor.gpu_model import GpuModel, Pass, Product, Work
from treadle_agent.program.model import Kernel, Program, TensorType


@dataclass(frozen=True, slots=True)
class Step:
    """A launch of `problems` problems for one request, `repeats` times one after another."""

    work: Work
    problems: int = 1
    repeats: int = 1


def kernel_seconds(model: GpuModel, program: Program, kernel: Kernel, problems: int) -> float:
    """Seconds of a kernel of `problems` requests merged, launches issued one after another."""
    return sum(one.repeats * model.launch(one.work, problems * one.problems) for one in steps(program, kernel))


def steps(program: Program, kernel: Kernel) -> tuple[Step, ...]:
    """The launches of one kernel for one request."""
    inputs = [program.type_of(one) for one in kernel.inputs if one is not None]
    outputs = [program.values[index] for index in kernel.outputs]
    moved = Step(Pass(float(sum(one.nbytes for one in (*inputs, *outputs)))))
    attributes = dict(kernel.attributes)
    if not all(one.elements for one in (*inputs, *outputs)):
        return (moved,)
    match kernel.op:
        case "MatMul":
            return (_matmul(inputs[0], inputs[1], outputs[0]),)
        case "Gemm":
            rows, columns = outputs[0].shape
            return (Step(Product(rows, columns, inputs[0].elements // rows)),)
        case "Conv":
            filters, groups = inputs[1].shape[0], cast("int", attributes["group"])
            if filters == groups > 1:  # depthwise: no reuse that a tile would gain from
                return (moved,)
            windows = outputs[0].elements // filters
            return (Step(Product(filters // groups, windows, inputs[1].elements // filters), groups),)
        case "ConvTranspose":
            channels, groups = inputs[1].shape[0], cast("int", attributes["group"])
            windows = inputs[0].elements // channels
            return (Step(Product(inputs[1].elements // channels, windows, channels // groups), groups),)
        case "LSTM" | "GRU" | "RNN":
            return _recurrent(inputs[0], inputs[1], inputs[2], batch_first=bool(attributes["batch_first"]))
        case _:
            return (moved,)


def _matmul(left: TensorType, right: TensorType, result: TensorType) -> Step:
    shared = left.shape[-1]
    columns = right.shape[-1] if len(right.shape) > 1 else 1
    if len(right.shape) <= 2:  # one matrix for all rows
        return Step(Product(result.elements // columns, columns, shared))
    rows = left.shape[-2] if len(left.shape) > 1 else 1
    return Step(Product(rows, columns, shared), result.elements // (rows * columns))


def _recurrent(data: TensorType, weight: TensorType, recurrent: TensorType, *, batch_first: bool) -> tuple[Step, ...]:
    """All inputs projected at once, then a product a time step; directions are problems."""
    batch, length = data.shape[:2] if batch_first else data.shape[1::-1]
    directions, gates, size = weight.shape
    hidden = recurrent.elements // (directions * gates)
    return (
        Step(Product(gates, batch * length, size), directions),
        Step(Product(gates, batch, hidden), directions, length),
    )
