"""Random nodes of the compute-heavy operators, run by ONNX Runtime and by treadle over many problems."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from treadle_agent.program import ops
from treadle_agent.program.model import TensorType
from treadle_agent.program.ops import problems, recurrent, registry

Array = np.ndarray[Any, Any]
Draw = Callable[[st.SearchStrategy[Any]], Any]
assert ops.__all__


@dataclass(frozen=True)
class Case:
    """A node: shapes of its float inputs, integer inputs with their bound (exclusive), and inputs known at load."""

    op: str
    opset: int
    inputs: Sequence[tuple[int, ...] | None]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    outputs: Sequence[bool] = (True,)
    known: Mapping[int, Array] = field(default_factory=dict)
    lengths: Mapping[int, int] = field(default_factory=dict)  # input position: the largest length
    positive: Sequence[int] = ()
    scale: float = 1.0
    dtype: str = "float32"
    batch_axes: Mapping[int, int] | None = None  # of inputs that have a batch axis; None: rows may not be split

    @property
    def names(self) -> list[str]:
        return ["" if shape is None else f"x{index}" for index, shape in enumerate(self.inputs)]

    def feeds(self, seed: int) -> dict[str, Array]:
        """Inputs of one problem."""
        random = np.random.default_rng(seed)
        found: dict[str, Array] = {}
        for index, shape in enumerate(self.inputs):
            if shape is None:
                continue
            if index in self.known:
                found[f"x{index}"] = self.known[index]
            elif index in self.lengths:
                found[f"x{index}"] = random.integers(1, self.lengths[index] + 1, shape).astype(np.int32)
            elif self.dtype != "float32":
                found[f"x{index}"] = random.integers(0, 200, shape).astype(self.dtype)
            else:
                values = random.normal(0, self.scale, shape).astype(np.float32)
                found[f"x{index}"] = np.abs(values) + np.float32(0.1) if index in self.positive else values
        return found

    def session(self) -> onnxruntime.InferenceSession:
        names = self.names
        while names and not names[-1]:
            names.pop()
        results = [f"y{index}" if wanted else "" for index, wanted in enumerate(self.outputs)]
        node = helper.make_node(self.op, names, results, **self.attributes)
        feeds = self.feeds(0)
        graph = helper.make_graph(
            [node],
            "case",
            [
                helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
                for name, value in feeds.items()
                if int(name[1:]) not in self.known
            ],
            [onnx.ValueInfoProto(name=name) for name in results if name],
            [numpy_helper.from_array(value, f"x{index}") for index, value in self.known.items()],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=10)
        model = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 4
        return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])

    def expected(self, session: onnxruntime.InferenceSession, feeds: Mapping[str, Array]) -> list[Array]:
        given = {name: value for name, value in feeds.items() if int(name[1:]) not in self.known}
        return list(session.run(None, given))

    def canonical(self, feeds: Mapping[str, Array], results: Sequence[Array]) -> registry.Canonical:
        types = iter(results)
        since = onnx.defs.get_schema(self.op, max_inclusive_version=self.opset).since_version
        attributes = helper.make_node(self.op, [], [], **self.attributes).attribute
        return registry.normalise(
            registry.Node(
                op=self.op,
                version=since,
                attributes={one.name: helper.get_attribute_value(one) for one in attributes},
                types=tuple(_type(feeds[name]) if name else None for name in self.names),
                static=tuple(self.known.get(index) for index in range(len(self.inputs))),
                outputs=tuple(_type(next(types)) if wanted else None for wanted in self.outputs),
            )
        )

    def run(self, given: Sequence[Mapping[str, Array]], results: Sequence[Array], gap: int = 64) -> list[list[Array]]:
        """Outputs of each problem, from one launch; rows lie `gap` bytes apart."""
        canonical = self.canonical(given[0], results)
        names = self.names
        operands = [
            None if index is None or not names[index] else spaced([one[names[index]] for one in given], gap)
            for index in canonical.operands
        ]
        outputs = [spaced([np.full_like(one, 77)] * len(given), gap) for one in results]
        launch = registry.BIND[canonical.op](canonical.attributes, operands, outputs)
        # Whatever else ran on this thread leaves its scratch behind.
        launch()
        first = [out.copy() for out in outputs]
        for out in outputs:
            out[...] = 99
        launch()
        for once, again in zip(first, outputs, strict=True):
            assert once.tobytes() == again.tobytes(), "a launch depends on what the one before left"
        return [[out[r].copy() for out in outputs] for r in range(len(given))]


def _type(array: Array) -> TensorType:
    return TensorType(str(array.dtype), array.shape)  # type: ignore[arg-type]


def spaced(rows: Sequence[Array], gap: int) -> Array:
    """Stack rows 64-byte aligned, `gap` further bytes apart: a slab, or slots of an arena."""
    size = rows[0].nbytes
    stride = -(-size // 64) * 64 + gap
    raw = np.full(stride * len(rows) + 64, 0xA5, np.uint8)
    start = -raw.ctypes.data % 64
    stacked = np.lib.stride_tricks.as_strided(
        raw[start : start + size].view(rows[0].dtype).reshape(rows[0].shape),
        (len(rows), *rows[0].shape),
        (stride, *rows[0].strides),
    )
    for index, row in enumerate(rows):
        stacked[index, ...] = row
    return stacked


Make = Callable[[Draw], Case]
MAKERS: dict[str, Make] = {}


def maker(name: str) -> Callable[[Make], Make]:
    def register(make: Make) -> Make:
        MAKERS[name] = make
        return make

    return register


def small(draw: Draw, low: int = 1, high: int = 5) -> int:
    return draw(st.integers(low, high))


def wide(draw: Draw) -> int:
    """A size around the widths at which BLAS and vector code change their ways."""
    return draw(st.one_of(st.integers(1, 40), st.sampled_from([47, 48, 49, 63, 64, 65, 96, 127, 128, 130, 257])))


@maker("MatMul")
def _matmul(draw: Draw) -> Case:
    m, k, n = small(draw, 1, 9), wide(draw), wide(draw)
    batches = st.sampled_from(
        [((), ()), ((3,), ()), ((), (2,)), ((2, 3), (2, 3)), ((2, 1), (3,)), ((1, 3), (2, 1)), ((4, 2), ())]
    )
    left, right = draw(batches)
    a, b = (*left, m, k), (*right, k, n)
    vector = draw(st.sampled_from(["", "", "left", "right", "both"]))
    if vector in {"left", "both"}:
        a = (k,)
    if vector in {"right", "both"}:
        b = (k,)
    dtype = draw(st.sampled_from(["float32", "float32", "int32", "int64"]))
    rows = {0: 0} if not vector and len(a) > 2 and len(b) == 2 else None
    return Case("MatMul", draw(st.sampled_from([11, 13, 21])), [a, b], dtype=dtype, batch_axes=rows)


@maker("Gemm")
def _gemm(draw: Draw) -> Case:
    m, k, n = small(draw, 1, 9), wide(draw), wide(draw)
    trans_a, trans_b = draw(st.booleans()), draw(st.booleans())
    added = draw(st.sampled_from([None, (), (1,), (n,), (1, n), (m, 1), (m, n)]))
    attributes = {
        "transA": int(trans_a),
        "transB": int(trans_b),
        "alpha": draw(st.sampled_from([1.0, 0.5, -2.0])),
        "beta": draw(st.sampled_from([1.0, 0.25, 0.0, 3.0])),
    }
    shapes = [(k, m) if trans_a else (m, k), (n, k) if trans_b else (k, n), added]
    rows = {0: int(trans_a)} if added in (None, (), (1,), (n,), (1, n)) and added != (m, n) else None
    return Case("Gemm", draw(st.sampled_from([11, 13, 20])), shapes, attributes, batch_axes=rows)


def _window(draw: Draw, axes: int, *, dilated: bool = True) -> tuple[dict[str, Any], tuple[int, ...], tuple[int, ...]]:
    """Attributes, kernel and input axes such that at least one window fits."""
    kernel = tuple(small(draw, 1, 3) for _ in range(axes))
    strides = [small(draw, 1, 3) for _ in range(axes)]
    attributes: dict[str, Any] = {"strides": strides}
    auto = draw(st.sampled_from(["", "", "", "VALID", "SAME_UPPER", "SAME_LOWER"]))
    dilations = [small(draw, 1, 2) if dilated and not auto else 1 for _ in range(axes)]
    if dilated:
        attributes["dilations"] = dilations
    if auto.startswith("SAME"):  # ONNX Runtime's pooling refuses or crops where strides step over elements
        kernel = tuple(max(k, s) for k, s in zip(kernel, strides, strict=True))
    span = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    if auto:
        attributes["auto_pad"] = auto
    else:
        attributes["pads"] = [draw(st.integers(0, k - 1)) for k in kernel * 2]
    spatial = tuple(s + draw(st.integers(0, 7)) for s in span)
    return attributes, kernel, spatial


@maker("Conv")
def _conv(draw: Draw) -> Case:
    attributes, kernel, spatial = _window(draw, draw(st.sampled_from([1, 2, 2, 3])))
    if draw(st.integers(0, 4)) == 0:  # pointwise
        kernel = (1,) * len(kernel)
        attributes = {}
    depthwise = draw(st.booleans())
    groups = draw(st.sampled_from([1, 1, 2, 3]))
    inner, outer = small(draw, 1, 3), small(draw, 1, 3)
    if depthwise:
        groups, inner, outer = small(draw, 1, 5), 1, draw(st.sampled_from([1, 1, 2]))
    shapes: list[tuple[int, ...] | None] = [
        (small(draw, 1, 3), groups * inner, *spatial),
        (groups * outer, inner, *kernel),
        draw(st.sampled_from([None, (groups * outer,)])),
    ]
    attributes["group"] = groups
    return Case("Conv", draw(st.sampled_from([11, 17, 22])), shapes, attributes, batch_axes={0: 0})


@maker("ConvTranspose")
def _conv_transpose(draw: Draw) -> Case:
    axes = draw(st.sampled_from([1, 2, 2, 3]))
    kernel = tuple(small(draw, 1, 3) for _ in range(axes))
    strides = [small(draw, 1, 3) for _ in range(axes)]
    spatial = tuple(small(draw, 2, 6) for _ in range(axes))
    attributes: dict[str, Any] = {"strides": strides}
    dilations = [small(draw, 1, 2) for _ in range(axes)]
    span = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    match draw(st.sampled_from(["pads", "shape", "SAME_UPPER", "SAME_LOWER", "none"])):
        case "pads":
            attributes |= {"dilations": dilations, "pads": [draw(st.integers(0, s // 2)) for s in span * 2]}
            extra = [draw(st.integers(0, s - 1)) for s in strides]
            attributes["output_padding"] = extra
        case "shape":
            attributes["dilations"] = dilations
            full = [(n - 1) * s + w for n, s, w in zip(spatial, strides, span, strict=True)]
            attributes["output_shape"] = [
                max(1, f - draw(st.integers(0, w - 1))) for f, w in zip(full, span, strict=True)
            ]
            if draw(st.booleans()):
                attributes["auto_pad"] = draw(st.sampled_from(["SAME_UPPER", "SAME_LOWER"]))
        case "none":
            attributes["dilations"] = dilations
        case auto:
            attributes["auto_pad"] = auto
            kernel = tuple(max(k, s) for k, s in zip(kernel, strides, strict=True))
    groups, inner, outer = draw(st.sampled_from([1, 1, 2, 3])), small(draw, 1, 3), small(draw, 1, 3)
    attributes["group"] = groups
    shapes: list[tuple[int, ...] | None] = [
        (small(draw, 1, 3), groups * inner, *spatial),
        (groups * inner, outer, *kernel),
        draw(st.sampled_from([None, (groups * outer,)])),
    ]
    return Case("ConvTranspose", draw(st.sampled_from([11, 17, 22])), shapes, attributes, batch_axes={0: 0})


@maker("MaxPool")
def _max_pool(draw: Draw) -> Case:
    attributes, kernel, spatial = _window(draw, draw(st.sampled_from([1, 2, 2, 3])))
    attributes |= {"kernel_shape": kernel, "ceil_mode": int(draw(st.booleans()))}
    dtype = draw(st.sampled_from(["float32", "float32", "uint8"]))
    opset = draw(st.sampled_from([12, 17, 22] if dtype == "uint8" else [11, 12, 17, 22]))
    shape = (small(draw, 1, 3), small(draw, 1, 4), *spatial)
    return Case("MaxPool", opset, [shape], attributes, dtype=dtype, batch_axes={0: 0})


@maker("AveragePool")
def _average_pool(draw: Draw) -> Case:
    opset = draw(st.sampled_from([11, 17, 19, 22]))
    attributes, kernel, spatial = _window(draw, draw(st.sampled_from([1, 2, 2, 3])), dilated=opset >= 19)
    attributes |= {"kernel_shape": kernel, "count_include_pad": int(draw(st.booleans()))}
    attributes["ceil_mode"] = int(draw(st.booleans()))
    shape = (small(draw, 1, 3), small(draw, 1, 4), *spatial)
    return Case("AveragePool", opset, [shape], attributes, batch_axes={0: 0})


@maker("GlobalPool")
def _global(draw: Draw) -> Case:
    op = draw(st.sampled_from(["GlobalAveragePool", "GlobalMaxPool"]))
    spatial = tuple(small(draw, 1, 9) for _ in range(draw(st.integers(1, 3))))
    shape = (small(draw, 1, 3), small(draw, 1, 4), *spatial)
    return Case(op, draw(st.sampled_from([11, 22])), [shape], batch_axes={0: 0})


@maker("BatchNormalization")
def _batch_norm(draw: Draw) -> Case:
    channels = small(draw, 1, 6)
    spatial = tuple(small(draw, 1, 9) for _ in range(draw(st.integers(0, 3))))
    shapes = [(small(draw, 1, 3), channels, *spatial), *[(channels,)] * 4]
    attributes = {"epsilon": draw(st.sampled_from([1e-5, 1e-3]))}
    opset = draw(st.sampled_from([11, 14, 15, 21]))
    return Case("BatchNormalization", opset, shapes, attributes, positive=(4,), batch_axes={0: 0})


@maker("LayerNormalization")
def _layer_norm(draw: Draw) -> Case:
    shape = tuple(small(draw, 1, 9) for _ in range(draw(st.integers(2, 4))))
    axis = draw(st.integers(-len(shape) + 1, len(shape) - 1))
    row = shape[axis:]
    attributes = {"axis": axis, "epsilon": draw(st.sampled_from([1e-5, 1e-2]))}
    outputs = draw(st.sampled_from([(True,), (True, True, True), (True, True), (True, False, True)]))
    shapes = [shape, row, draw(st.sampled_from([None, row]))]
    rows = {0: 0} if axis % len(shape) else None
    return Case("LayerNormalization", 17, shapes, attributes, outputs, batch_axes=rows)


@maker("InstanceNormalization")
def _instance_norm(draw: Draw) -> Case:
    channels = small(draw, 1, 6)
    spatial = tuple(small(draw, 1, 9) for _ in range(draw(st.integers(1, 3))))
    shapes = [(small(draw, 1, 3), channels, *spatial), (channels,), (channels,)]
    attributes = {"epsilon": draw(st.sampled_from([1e-5, 1e-2]))}
    return Case("InstanceNormalization", draw(st.sampled_from([11, 22])), shapes, attributes, batch_axes={0: 0})


@maker("GroupNormalization")
def _group_norm(draw: Draw) -> Case:
    groups, each = small(draw, 1, 3), small(draw, 1, 3)
    opset = draw(st.sampled_from([18, 21]))
    spatial = tuple(small(draw, 1, 6) for _ in range(draw(st.integers(1, 2))))
    scales = (groups,) if opset == 18 else (groups * each,)
    shapes = [(small(draw, 1, 3), groups * each, *spatial), scales, scales]
    return Case("GroupNormalization", opset, shapes, {"num_groups": groups}, batch_axes={0: 0})


@maker("RMSNormalization")
def _rms_norm(draw: Draw) -> Case:
    shape = tuple(small(draw, 1, 9) for _ in range(draw(st.integers(2, 4))))
    axis = draw(st.integers(1, len(shape) - 1))
    return Case("RMSNormalization", 23, [shape, shape[axis:]], {"axis": axis}, batch_axes={0: 0})


GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
FUNCTIONS = {"RNN": 1, "GRU": 2, "LSTM": 3}
WITH_ALPHA = {"LeakyRelu", "ThresholdedRelu", "ScaledTanh", "HardSigmoid", "Elu", "Affine"}
WITH_BETA = {"ScaledTanh", "HardSigmoid", "Affine"}
LISTED = (
    "Relu Tanh Sigmoid Affine LeakyRelu ThresholdedRelu ScaledTanh HardSigmoid Elu Softsign Softplus".split()  # noqa: SIM905
)


def _recurrent(op: str, draw: Draw) -> Case:
    steps, batch, size = small(draw, 1, 6), small(draw, 1, 3), small(draw, 1, 40)
    hidden = draw(st.one_of(st.integers(1, 9), st.sampled_from([15, 16, 17, 31, 32, 33, 64])))
    direction = draw(st.sampled_from(["forward", "reverse", "bidirectional"]))
    ways = 2 if direction == "bidirectional" else 1
    gates = GATES[op]
    attributes: dict[str, Any] = {"hidden_size": hidden, "direction": direction}
    plain = draw(st.booleans())
    if op == "GRU":
        attributes["linear_before_reset"] = int(draw(st.booleans()))
    if not plain:
        if draw(st.booleans()):
            attributes["clip"] = 0.7
        if op == "LSTM" and draw(st.booleans()):
            attributes["input_forget"] = 1
        if draw(st.booleans()):
            names = [draw(st.sampled_from(LISTED)) for _ in range(FUNCTIONS[op] * ways)]
            attributes["activations"] = names
            alphas = [0.3 + 0.1 * i for i, name in enumerate(names) if name in WITH_ALPHA]
            betas = [0.6 + 0.1 * i for i, name in enumerate(names) if name in WITH_BETA]
            attributes |= {"activation_alpha": alphas} if alphas else {}
            attributes |= {"activation_beta": betas} if betas else {}
    state = (ways, batch, hidden)
    optional = st.booleans()
    shapes: list[tuple[int, ...] | None] = [
        (steps, batch, size),
        (ways, gates * hidden, size),
        (ways, gates * hidden, hidden),
        (ways, 2 * gates * hidden) if draw(optional) else None,
        None if plain or not draw(optional) else (batch,),
        state if draw(optional) else None,
    ]
    if op == "LSTM":
        shapes.append(state if draw(optional) else None)
        shapes.append((ways, 3 * hidden) if not plain and draw(optional) else None)
    results = 3 if op == "LSTM" else 2
    wanted = draw(st.lists(optional, min_size=results, max_size=results).filter(any))
    while not wanted[-1]:
        wanted.pop()
    return Case(
        op,
        draw(st.sampled_from([11, 14, 22])),
        shapes,
        attributes,
        tuple(wanted),
        lengths={4: steps},
        scale=0.1 if attributes.get("activations") else 0.6,  # those that are not bounded must not overflow
        batch_axes={0: 1, 4: 0, 5: 1, 6: 1},
    )


for _op in GATES:
    maker(_op)(lambda draw, op=_op: _recurrent(op, draw))


@maker("Resize")
def _resize(draw: Draw) -> Case:
    opset = draw(st.sampled_from([11, 13, 18, 19]))
    mode = draw(st.sampled_from(["nearest", "linear"]))
    coordinates = [
        "half_pixel",
        "pytorch_half_pixel",
        "align_corners",
        "asymmetric",
        *(["half_pixel_symmetric"] if opset == 19 else []),
        *(["tf_crop_and_resize"] if mode == "linear" else []),
        *(["tf_half_pixel_for_nn"] if opset == 11 and mode == "nearest" else []),
    ]
    coordinate = draw(st.sampled_from(coordinates))
    attributes: dict[str, Any] = {"mode": mode, "coordinate_transformation_mode": coordinate}
    if mode == "nearest":
        attributes["nearest_mode"] = draw(st.sampled_from(["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]))
    shape = (small(draw, 1, 2), small(draw, 1, 3), small(draw, 1, 7), small(draw, 1, 7))
    given: list[tuple[int, ...] | None] = [shape, None, None, None]
    known: dict[int, Array] = {}
    axes = [2, 3] if opset >= 18 and draw(st.booleans()) else [0, 1, 2, 3]
    if len(axes) == 2:
        attributes["axes"] = axes
    if coordinate == "tf_crop_and_resize":
        region = [0.0] * (len(axes) - 2) + [0.1, 0.3] + [1.0] * (len(axes) - 2) + [0.8, 1.2]
        known[1] = np.array(region, np.float32)
        attributes["extrapolation_value"] = 2.5
    if coordinate == "align_corners" or draw(st.booleans()):
        sizes = [*shape[: len(axes) - 2], small(draw, 1, 12), small(draw, 1, 12)]
        known[3] = np.array(sizes, np.int64)
        if opset >= 18 and coordinate == "half_pixel" and draw(st.booleans()):
            attributes["keep_aspect_ratio_policy"] = draw(st.sampled_from(["not_larger", "not_smaller"]))
            attributes["axes"], known[3] = [2, 3], known[3][-2:]
    else:
        scale = st.sampled_from([0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 2.25])
        scales = [1.0] * (len(axes) - 2) + [draw(scale), draw(scale)]
        if min(shape[2] * scales[-2], shape[3] * scales[-1]) < 1:
            scales[-2:] = [2.0, 2.0]
        known[2] = np.array(scales, np.float32)
    if opset == 11:
        known = {1: np.zeros(0, np.float32), 2: np.zeros(0, np.float32), **known}
    for position, value in known.items():
        given[position] = value.shape
    return Case("Resize", opset, given, attributes, known=known, batch_axes={0: 0} if 3 not in known else None)


@pytest.fixture(params=["whole", "in pieces"], scope="module")
def budgets(request: pytest.FixtureRequest) -> Iterator[None]:
    """Run once with scratch as it is, once with so little that everything is cut into pieces."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param != "whole":
            patch.setattr(problems, "CACHE_BYTES", 600)
            patch.setattr(recurrent, "FRAME_BYTES", 20_000)
        yield


@pytest.fixture(scope="session")
def makers() -> Mapping[str, Make]:
    return MAKERS
