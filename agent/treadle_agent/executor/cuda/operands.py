"""Operands in generated C: where they lie, how an element of the result finds theirs, and how they are read."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from treadle_agent.executor.cuda.expressions import C_TYPES
from treadle_agent.executor.cuda.steps import Place
from treadle_agent.program.model import Activation, Constant, Operand, Program, Shape, TensorType, Weight


class Layout:
    """Where a program's operands lie; `halves`: the weights (by number) that are kept as float16."""

    def __init__(
        self,
        program: Program,
        weight_offsets: Sequence[int],
        constant_offsets: Sequence[int],
        halves: Collection[int] = (),
    ) -> None:
        self.program = program
        self.halves = halves
        self._weights = tuple(weight_offsets)
        self._constants = tuple(constant_offsets)

    def place(self, operand: Operand) -> Place:
        """The place of any operand."""
        match operand:
            case Weight(index):
                return Place("row", self._weights[index])
            case Constant(index):
                return Place("constants", self._constants[index])
            case Activation(index):
                return Place("slot", self.program.offsets[index])

    def half(self, operand: Operand | None) -> bool:
        """Whether an operand lies there as float16."""
        return isinstance(operand, Weight) and operand.index in self.halves

    def read(self, operand: Operand, index: str) -> str:
        """Element `index` of an operand, as C."""
        if self.half(operand):
            place = self.place(operand)
            return f"to_float(at<const half_bits>({place.space} + {place.offset}ULL)[{index}])"
        return f"{pointer(self.place(operand), self.program.type_of(operand), const=True)}[{index}]"

    def write(self, value: int, index: str, expression: str) -> str:
        """The statement that stores into a value."""
        type_ = self.program.values[value]
        return f"{pointer(self.place(Activation(value)), type_, const=False)}[{index}] = {expression};"


def pointer(place: Place, type_: TensorType, *, const: bool) -> str:
    """A typed pointer to a place, as C."""
    return f"at<{'const ' if const else ''}{C_TYPES[type_.dtype]}>({place.space} + {place.offset}ULL)"


def strides(shape: Shape) -> tuple[int, ...]:
    """Elements between neighbours along each axis, in C order."""
    result, step = [], 1
    for extent in reversed(shape):
        result.append(step)
        step *= extent
    return tuple(reversed(result))


def coordinate(index: str, shape: Shape, axis: int) -> str:
    """The coordinate along `axis` of flat index `index`."""
    step = strides(shape)[axis]
    divided = f"{index} / {step}" if step > 1 else index
    return f"({divided})" if axis == 0 else f"({divided} % {shape[axis]})"


def broadcast(index: str, shape: Shape, given: Shape) -> str:
    """The flat index into `given`, broadcast as ONNX does, of flat index `index` into `shape`."""
    if given == shape:
        return index
    shift = len(shape) - len(given)
    terms = [
        f"{coordinate(index, shape, axis + shift)} * {step}"
        for axis, (extent, step) in enumerate(zip(given, strides(given), strict=True))
        if extent != 1
    ]
    return " + ".join(terms) or "0"
