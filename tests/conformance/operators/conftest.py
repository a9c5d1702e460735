"""Examples of every promised operator, for every version of it and every element type that treadle knows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

Array = np.ndarray[Any, Any]
DTYPES = ("float32", "int32", "int64", "uint8", "bool")
OLDEST_OPSET = 11


@dataclass(frozen=True, slots=True)
class Example:
    """A node with inputs: `plumbing` are the positions whose values are known at load."""

    inputs: tuple[Array | None, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    plumbing: tuple[int, ...] = ()
    outputs: int = 1
    untyped: bool = False  # ONNX infers no type for the output, which is input 0's

    def model(self, operator: str, version: int) -> onnx.ModelProto:
        """A model of this node alone, for the oldest opset in which the operator's version is in force."""
        names = ["" if one is None else f"x{index}" for index, one in enumerate(self.inputs)]
        while names and not names[-1]:
            names.pop()
        node = helper.make_node(operator, names, [f"y{i}" for i in range(self.outputs)], **self.attributes)
        given = {name: one for name, one in zip(names, self.inputs, strict=False) if one is not None}
        known = {f"x{index}" for index in self.plumbing}
        graph = helper.make_graph(
            [node],
            "example",
            [_typed(name, one) for name, one in given.items() if name not in known],
            [_typed(name, self.inputs[0]) if self.untyped else onnx.ValueInfoProto(name=name) for name in node.output],
            [numpy_helper.from_array(one, name) for name, one in given.items() if name in known],
        )
        opset = max(version, OLDEST_OPSET)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
        inferred = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
        onnx.checker.check_model(inferred)
        return inferred

    @property
    def feeds(self) -> dict[str, Array]:
        """All inputs by name."""
        return {f"x{index}": one for index, one in enumerate(self.inputs) if one is not None}


def _typed(name: str, array: Array) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)


class Numbers:
    """Seeded inputs of one element type."""

    def __init__(self, dtype: str, seed: int = 0) -> None:
        self.dtype = np.dtype(dtype)
        self._generator = np.random.default_rng(seed)

    def __call__(self, *shape: int) -> Array:
        if self.dtype == np.float32:
            numbers = self._generator.standard_normal(shape)
        elif self.dtype == np.bool_:
            numbers = self._generator.integers(0, 2, shape)
        else:
            numbers = self._generator.integers(0 if self.dtype == np.uint8 else -9, 10, shape)
        return np.asarray(numbers, self.dtype)  # also where there is no dimension

    def positive(self, *shape: int) -> Array:
        """Numbers above zero."""
        return np.asarray(np.abs(self(*shape).astype(np.float64)) + 1, self.dtype)

    def one(self, value: float) -> Array:
        """A tensor without dimensions."""
        return np.asarray(value, self.dtype)


def ints(*values: int) -> Array:
    return np.asarray(values, np.int64)


Examples = Callable[[Numbers, int], Iterator[Example]]
_EXAMPLES: dict[str, Examples] = {}


def examples(*operators: str) -> Callable[[Examples], Examples]:
    def register(function: Examples) -> Examples:
        _EXAMPLES.update(dict.fromkeys(operators, function))
        return function

    return register


def _unary(*variants: Mapping[str, Any], positive: bool = False) -> Examples:
    def produce(n: Numbers, version: int) -> Iterator[Example]:
        for attributes in variants or ({},):
            for shape in ((2, 3, 5), (7,), ()):
                yield Example(((n.positive if positive else n)(*shape),), attributes)

    return produce


examples("Relu", "Sigmoid", "HardSwish", "Tanh", "Erf", "Softplus", "Exp", "Abs", "Neg", "Floor", "Ceil")(_unary())
examples("Not", "Mish", "Softsign", "Sign", "Round", "Sin", "Cos", "Identity")(_unary())
for _name in ("Log", "Sqrt", "Reciprocal"):
    examples(_name)(_unary(positive=True))
for _name in ("LeakyRelu", "Elu", "ThresholdedRelu", "Swish"):
    examples(_name)(_unary({}, {"alpha": 0.3}, {"alpha": 1.7}))
examples("Celu")(_unary({}, {"alpha": 0.3}))
examples("Selu")(_unary({}, {"alpha": 0.5, "gamma": 2.0}))
examples("HardSigmoid")(_unary({}, {"alpha": 0.4, "beta": 0.3}))
examples("Gelu")(_unary({}, {"approximate": "tanh"}, {"approximate": "none"}))


@examples("Add", "Sub", "Mul", "And", "Or", "Xor", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "PRelu")
def _binary(n: Numbers, version: int) -> Iterator[Example]:
    for left, right in (((2, 3, 4), (2, 3, 4)), ((2, 3, 4), (4,)), ((2, 3, 4), (3, 1)), ((5,), ()), ((), ())):
        yield Example((n(*left), n(*right)))


@examples("Div")
def _div(n: Numbers, version: int) -> Iterator[Example]:
    for left, right in (((2, 3, 4), (2, 3, 4)), ((2, 3, 4), (3, 1)), ((), ())):
        divisor = n.positive(*right)
        yield Example((n(*left), divisor))
        if n.dtype.kind != "u":
            yield Example((n(*left), np.asarray(-divisor, n.dtype)))


@examples("Pow")
def _pow(n: Numbers, version: int) -> Iterator[Example]:
    for right in ((3, 4), (4,), ()):
        yield Example((n.positive(3, 4), np.asarray(n(*right) % 4, n.dtype)))
    for value in (2, 3, 0):
        yield Example((n(3, 4), n.one(value)))
        yield Example((n(3, 4), n.one(value)), {}, (1,))
    yield Example((n.positive(), n.one(2)))
    if version >= 12:
        for dtype in ("int32", "int64", "float32"):
            yield Example((n.positive(3, 4), np.asarray(2, dtype)))


@examples("Min", "Max", "Sum", "Mean")
def _variadic(n: Numbers, version: int) -> Iterator[Example]:
    yield Example((n(2, 3),))
    yield Example((n(2, 3), n(3)))
    yield Example((n(2, 3), n(3), n(1, 1), n()))


@examples("Clip")
def _clip(n: Numbers, version: int) -> Iterator[Example]:
    low, high = n.one(1), n.one(5)
    for bounds in ((low, high), (low,), (None, high), (high, low), ()):
        yield Example((n(3, 4), *bounds))


@examples("Where")
def _where(n: Numbers, version: int) -> Iterator[Example]:
    yield Example((Numbers("bool", 1)(2, 3), n(2, 3), n(2, 3)))
    yield Example((Numbers("bool", 2)(3), n(2, 1), n(4, 1, 1)))


@examples("Cast")
def _cast(n: Numbers, version: int) -> Iterator[Example]:
    for target in DTYPES:
        source = n.positive(2, 3) if target == "uint8" and n.dtype != np.bool_ else n(2, 3)
        yield Example((source,), {"to": helper.np_dtype_to_tensor_dtype(np.dtype(target))})


@examples("CastLike")
def _cast_like(n: Numbers, version: int) -> Iterator[Example]:
    yield Example((n(2, 3), np.zeros(1, np.int32)))
    yield Example((n(2, 3), np.zeros(1, np.float32)))


@examples("Softmax", "LogSoftmax")
def _softmax(n: Numbers, version: int) -> Iterator[Example]:
    for attributes in ({}, {"axis": 0}, {"axis": 1}, {"axis": 2}, {"axis": -1}, {"axis": -2}):
        yield Example((n(2, 3, 40),), attributes)


def _reduce(axes_input_since: int) -> Examples:
    def produce(n: Numbers, version: int) -> Iterator[Example]:
        for axes in ((1,), (-1, 0), (0, 1, 2), None):
            for keepdims in (0, 1):
                attributes = {"keepdims": keepdims}
                if version >= axes_input_since:
                    yield Example((n(2, 3, 37), None if axes is None else ints(*axes)), attributes, (1,))
                else:
                    yield Example((n(2, 3, 37),), attributes if axes is None else {"axes": axes, **attributes})
        if version >= axes_input_since:
            yield Example((n(2, 3, 37),), {"noop_with_empty_axes": 1})

    return produce


examples("ReduceSum")(_reduce(13))
for _name in ("Mean", "Max", "Min", "Prod", "L1", "L2", "SumSquare"):
    examples(f"Reduce{_name}")(_reduce(18))


@examples("ArgMax", "ArgMin")
def _arg(n: Numbers, version: int) -> Iterator[Example]:
    for attributes in ({}, {"axis": 1}, {"axis": -1, "keepdims": 0}):
        yield Example((n(2, 3, 7),), attributes)
        if version >= 12:
            yield Example((n(2, 3, 7),), {**attributes, "select_last_index": 1})


@examples("TopK")
def _topk(n: Numbers, version: int) -> Iterator[Example]:
    for attributes in ({}, {"axis": 0, "largest": 0}, {"axis": 1, "sorted": 1}):
        yield Example((n(4, 5, 6), ints(3)), attributes, (1,), outputs=2)


@examples("Reshape")
def _reshape(n: Numbers, version: int) -> Iterator[Example]:
    for shape in ((6, 4), (-1,), (0, -1), (2, 0, 1, 4)):
        yield Example((n(2, 3, 4), ints(*shape)), {}, (1,))
    if version >= 14:
        yield Example((n(2, 0, 4), ints(4, 0, 7)), {"allowzero": 1}, (1,))


@examples("Flatten")
def _flatten(n: Numbers, version: int) -> Iterator[Example]:
    for axis in (0, 1, 2, 3, -1):
        yield Example((n(2, 3, 4),), {"axis": axis})


@examples("Transpose")
def _transpose(n: Numbers, version: int) -> Iterator[Example]:
    yield Example((n(2, 3, 4),))
    for perm in ((0, 2, 1), (2, 0, 1), (0, 1, 2)):
        yield Example((n(2, 3, 4),), {"perm": perm})
    yield Example((n(1, 3, 1, 4),), {"perm": (2, 1, 0, 3)})


@examples("Squeeze", "Unsqueeze")
def _squeeze(n: Numbers, version: int) -> Iterator[Example]:
    for axes in ((0,), (0, -1), (-2,)):
        if version < 13:
            yield Example((n(1, 3, 1, 1),), {"axes": axes})
        else:
            yield Example((n(1, 3, 1, 1), ints(*axes)), {}, (1,))


@examples("Concat")
def _concat(n: Numbers, version: int) -> Iterator[Example]:
    yield Example((n(2, 3), n(2, 1), n(2, 0)), {"axis": 1})
    yield Example((n(2, 3, 1), n(1, 3, 1)), {"axis": -3})
    yield Example((n(2, 3),), {"axis": 0})


@examples("Split")
def _split(n: Numbers, version: int) -> Iterator[Example]:
    if version < 13:
        yield Example((n(4, 6),), {"axis": 1, "split": (1, 2, 3)}, outputs=3)
    else:
        yield Example((n(4, 6), ints(1, 2, 3)), {"axis": 1}, (1,), outputs=3)
    equal = {"num_outputs": 2} if version >= 18 else {}
    yield Example((n(4, 6),), {"axis": -2, **equal}, outputs=2)
    if version >= 18:
        yield Example((n(5, 6),), {"num_outputs": 3}, outputs=3)


@examples("Slice")
def _slice(n: Numbers, version: int) -> Iterator[Example]:
    for start, end, axes, steps in (
        ((1, 0), (2, 99), None, None),
        ((-1,), (-99,), (1,), (-2,)),
        ((4, 1), (0, -1), (2, 0), (-1, 1)),
        ((2**62,), (-(2**62),), (-1,), (-3,)),
        ((3,), (1,), (1,), (1,)),
    ):
        optional = [None if one is None else ints(*one) for one in (axes, steps)]
        yield Example((n(3, 4, 5), ints(*start), ints(*end), *optional), {}, (1, 2, 3, 4))


@examples("Gather")
def _gather(n: Numbers, version: int) -> Iterator[Example]:
    for axis in (0, 1, -1):
        yield Example((n(3, 4, 3), ints(0, -1, 2).reshape(3, 1)), {"axis": axis})
    yield Example((n(5, 2), np.asarray(3, np.int32)))


@examples("Expand")
def _expand(n: Numbers, version: int) -> Iterator[Example]:
    for shape in ((2, 3, 4), (3, 1), (1,)):
        yield Example((n(3, 1), ints(*shape)), {}, (1,))


@examples("Tile")
def _tile(n: Numbers, version: int) -> Iterator[Example]:
    for repeats in ((2, 1, 3), (1, 1, 1), (1, 4, 1), (0, 2, 2)):
        yield Example((n(2, 3, 4), ints(*repeats)), {}, (1,))


@examples("Pad")
def _pad(n: Numbers, version: int) -> Iterator[Example]:
    for mode in ("constant", "reflect", "edge", *(("wrap",) if version >= 19 else ())):
        for pads in ((0, 1, 2, 0, 2, 1), (1, 0, 0, 1, 0, 0), (0, -1, 1, 0, 1, -1)):
            yield Example((n(3, 4, 5), ints(*pads)), {"mode": mode}, (1,))
    yield Example((n(3, 4), ints(1, 0, 0, 2), n.one(1)), {}, (1,))
    if version >= 18:
        yield Example((n(3, 4, 5), ints(1, 2), None, ints(-1)), {}, (1, 3))


@examples("Shape")
def _shape(n: Numbers, version: int) -> Iterator[Example]:
    yield Example((n(2, 3, 4),))
    if version >= 15:
        yield Example((n(2, 3, 4),), {"start": -2})
        yield Example((n(2, 3, 4),), {"start": 0, "end": -1})


@examples("Size")
def _size(n: Numbers, version: int) -> Iterator[Example]:
    yield Example((n(2, 3, 4),))


@examples("ConstantOfShape")
def _constant_of_shape(n: Numbers, version: int) -> Iterator[Example]:
    yield Example((ints(2, 3),), {}, (0,))
    for dtype in DTYPES:
        yield Example((ints(2, 3),), {"value": numpy_helper.from_array(np.ones(1, dtype))}, (0,))


@examples("Range")
def _range(n: Numbers, version: int) -> Iterator[Example]:
    for start, limit, delta in ((1, 7, 2), (7, 0, -3), (3, 3, 1)):
        yield Example((n.one(start), n.one(limit), n.one(delta)), {}, (0, 1, 2))


@examples("Dropout")
def _dropout(n: Numbers, version: int) -> Iterator[Example]:
    yield Example((n(2, 3),))
    yield Example((n(2, 3),), outputs=2)
    if version >= 12:
        yield Example((n(2, 3), np.asarray(0.3, np.float32), np.asarray(False)), {}, (1, 2), outputs=2)


@examples("MatMul")
def _matmul(n: Numbers, version: int) -> Iterator[Example]:
    for left, right in (((3, 4), (4, 5)), ((4,), (4, 5)), ((3, 4), (4,)), ((2, 1, 3, 4), (5, 4, 2)), ((4,), (4,))):
        yield Example((n(*left), n(*right)))


@examples("Gemm")
def _gemm(n: Numbers, version: int) -> Iterator[Example]:
    yield Example((n(3, 4), n(4, 5)))
    yield Example((n(3, 4), n(4, 5), n(5)), {"alpha": 0.5, "beta": 2.0})
    yield Example((n(4, 3), n(5, 4), n(3, 1)), {"transA": 1, "transB": 1})


@examples("Conv")
def _conv(n: Numbers, version: int) -> Iterator[Example]:
    yield Example((n(2, 3, 9), n(4, 3, 3), n(4)), {"pads": (1, 0)})
    yield Example((n(1, 4, 7, 8), n(6, 2, 3, 2)), {"group": 2, "dilations": (2, 1), "strides": (1, 2)})
    yield Example((n(1, 3, 7, 8), n(2, 3, 3, 3), n(2)), {"auto_pad": "SAME_UPPER", "strides": (2, 2)})
    yield Example((n(1, 3, 7, 8), n(2, 3, 3, 3), n(2)), {"auto_pad": "SAME_LOWER", "strides": (2, 2)})


@examples("ConvTranspose")
def _conv_transpose(n: Numbers, version: int) -> Iterator[Example]:
    yield Example((n(1, 3, 4, 5), n(3, 2, 3, 3), n(2)), {"strides": (2, 2), "pads": (1, 0, 1, 1)})
    yield Example((n(1, 4, 5), n(4, 1, 3)), {"group": 2, "output_padding": (1,), "strides": (2,)})


@examples("MaxPool", "AveragePool")
def _pool(n: Numbers, version: int) -> Iterator[Example]:
    yield Example((n.positive(1, 2, 9),), {"kernel_shape": (3,), "strides": (2,)})
    yield Example((n.positive(1, 2, 7, 8),), {"kernel_shape": (3, 2), "pads": (1, 0, 1, 1), "strides": (2, 1)})
    yield Example((n.positive(1, 2, 7, 8),), {"kernel_shape": (3, 3), "strides": (2, 2), "ceil_mode": 1})
    yield Example((n.positive(1, 2, 7, 8),), {"kernel_shape": (3, 3), "auto_pad": "SAME_UPPER"})


@examples("GlobalAveragePool", "GlobalMaxPool")
def _global_pool(n: Numbers, version: int) -> Iterator[Example]:
    yield Example((n(2, 3, 5),))
    yield Example((n(2, 3, 4, 5),))


@examples("BatchNormalization")
def _batch_normalization(n: Numbers, version: int) -> Iterator[Example]:
    for shape in ((2, 3, 4, 5), (4, 3)):
        yield Example((n(*shape), n(3), n(3), n(3), n.positive(3)), {"epsilon": 1e-3})


@examples("InstanceNormalization")
def _instance_normalization(n: Numbers, version: int) -> Iterator[Example]:
    yield Example((n(2, 3, 4, 5), n(3), n(3)))


@examples("LayerNormalization")
def _layer_normalization(n: Numbers, version: int) -> Iterator[Example]:
    yield Example((n(2, 3, 8), n(8), n(8)))
    yield Example((n(2, 3, 8), n(3, 8)), {"axis": 1, "epsilon": 1e-3})


@examples("RMSNormalization")
def _rms_normalization(n: Numbers, version: int) -> Iterator[Example]:
    yield Example((n(2, 3, 8), n(8)))
    yield Example((n(2, 3, 8), n(3, 8)), {"axis": 1, "epsilon": 1e-3})


@examples("GroupNormalization")
def _group_normalization(n: Numbers, version: int) -> Iterator[Example]:
    each = 2 if version < 21 else 4  # a scale and a bias for each group, later for each channel
    yield Example((n(2, 4, 3, 5), n(each), n(each)), {"num_groups": 2, "epsilon": 1e-3}, untyped=True)


def _recurrent(gates: int, *variants: Mapping[str, Any]) -> Examples:
    def produce(n: Numbers, version: int) -> Iterator[Example]:
        steps, rows, width, hidden = 4, 2, 3, 5
        for attributes in variants:
            d = 2 if attributes.get("direction") == "bidirectional" else 1
            weights = (n(d, gates * hidden, width), n(d, gates * hidden, hidden), n(d, 2 * gates * hidden))
            states = (n(d, rows, hidden),) * (2 if gates == 4 else 1)
            known = {**attributes, "hidden_size": hidden}
            yield Example((n(steps, rows, width), *weights), known, outputs=3 if gates == 4 else 2)
            lengths = np.asarray([steps, steps - 1], np.int32)
            yield Example((n(steps, rows, width), *weights, lengths, *states), known, (4,), 3 if gates == 4 else 2)

    return produce


_DIRECTIONS: Sequence[Mapping[str, Any]] = tuple({"direction": d} for d in ("forward", "reverse", "bidirectional"))
examples("RNN")(_recurrent(1, *_DIRECTIONS, {"activations": ["Relu"]}))
examples("GRU")(_recurrent(3, *_DIRECTIONS, {"linear_before_reset": 1}))
examples("LSTM")(_recurrent(4, *_DIRECTIONS, {"clip": 0.5}))


@examples("Resize")
def _resize(n: Numbers, version: int) -> Iterator[Example]:
    for mode in ("nearest", "linear") if n.dtype == np.float32 else ("nearest",):
        for way in ("half_pixel", "asymmetric", "align_corners"):
            attributes = {"mode": mode, "coordinate_transformation_mode": way}
            scales = np.asarray([1, 1, 2, 1.5], np.float32)
            empty = np.zeros(0, np.float32)
            yield Example((n(1, 2, 4, 6), empty, scales), attributes, (1, 2))
            yield Example((n(1, 2, 4, 6), empty, empty, ints(1, 2, 3, 9)), attributes, (1, 2, 3))


@pytest.fixture(scope="session")
def examples_of() -> Callable[[str, int, str], list[Example]]:
    """Examples of (operator, since-version, element type of the numbers)."""

    def find(operator: str, version: int, dtype: str) -> list[Example]:
        return list(_EXAMPLES[operator](Numbers(dtype), version))

    return find
