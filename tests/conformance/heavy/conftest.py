"""Random nodes of the compute-heavy operators, run by ONNX Runtime and by treadle over many problems."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import HealthCheck, assume, given, note, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from treadle_agent.program import ops
from treadle_agent.program.model import TensorType
from treadle_agent.program.ops import problems, recurrent, registry

Array = np.ndarray[Any, Any]
Draw = Callable[[st.SearchStrategy[Any]], Any]
assert ops.__all__
BOUNDED = settings(
    max_examples=60,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


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

    def run(
        self,
        given: Sequence[Mapping[str, Array]],
        results: Sequence[Array],
        gap: int = 64,
        constants: Collection[str] = (),
    ) -> list[list[Array]]:
        """Outputs of each problem, from one launch; rows lie `gap` bytes apart, `constants` are the same for all."""
        canonical = self.canonical(given[0], results)
        names = self.names
        operands = [
            None
            if index is None or not names[index]
            else spaced([one[names[index]] for one in (given[:1] if names[index] in constants else given)], gap)
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


Make = Callable[[type[Case], Draw], Case]


def agreement(make: Make) -> None:
    """Every version agrees with ONNX Runtime."""

    @BOUNDED
    @given(st.data())
    def check(data: st.DataObject) -> None:
        case = make(Case, data.draw)
        note(str(case))
        session = case.session()
        given_ = [case.feeds(seed) for seed in (1, 2)]
        expected = [case.expected(session, feeds) for feeds in given_]
        for found, wanted in zip(case.run(given_, expected[0]), expected, strict=True):
            for ours, theirs in zip(found, wanted, strict=True):
                np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=2e-5)

    check()


def isolation(make: Make) -> None:
    """The bits of a problem depend neither on the others, nor on how many they are, nor on strides."""

    @BOUNDED
    @given(st.data(), st.integers(1, 32), st.integers(0, 7), st.integers(0, 7))
    def check(data: st.DataObject, count: int, gap: int, other: int) -> None:
        case = make(Case, data.draw)
        note(str(case))
        given_ = [case.feeds(seed) for seed in range(count)]
        constants = data.draw(st.sets(st.sampled_from(sorted(given_[0]))))
        given_ = [{**one, **{name: given_[0][name] for name in constants}} for one in given_]
        results = case.expected(case.session(), given_[0])
        together = case.run(given_, results, 64 * gap, constants)
        chosen = data.draw(st.lists(st.integers(0, count - 1), min_size=1, max_size=4, unique=True))
        for group in (chosen, *([r] for r in range(0, count, max(1, count // 6)))):
            apart = case.run([given_[r] for r in group], results, 64 * other)
            for r, found in zip(group, apart, strict=True):
                assert [a.tobytes() for a in found] == [a.tobytes() for a in together[r]]

    check()


def batching(make: Make) -> None:
    """Rows of a batch agree with the same rows alone."""

    @settings(BOUNDED, max_examples=30)
    @given(st.data())
    def check(data: st.DataObject) -> None:
        case = make(Case, data.draw)
        assume(case.batch_axes is not None and case.dtype == "float32")
        note(str(case))
        feeds = case.feeds(3)
        (together,) = case.run([feeds], case.expected(case.session(), feeds))
        axes = {f"x{index}": axis for index, axis in (case.batch_axes or {}).items() if f"x{index}" in feeds}
        rows = feeds["x0"].shape[axes["x0"]]
        alone = []
        for row in range(rows):
            one = {n: v.take([row], axes[n]) if n in axes else v for n, v in feeds.items()}
            single = replace(case, inputs=[one[n].shape if n else None for n in case.names])
            alone += single.run([one], single.expected(single.session(), one))
        for position, whole in enumerate(together):
            parts = [found[position] for found in alone]
            axis = next(
                a
                for a in range(whole.ndim)
                if parts[0].shape == (*whole.shape[:a], whole.shape[a] // rows, *whole.shape[a + 1 :])
            )
            np.testing.assert_allclose(np.concatenate(parts, axis), whole, rtol=1e-5, atol=1e-5)

    check()


@pytest.fixture(params=[agreement, isolation, batching], ids=lambda one: one.__name__)
def promise(request: pytest.FixtureRequest) -> Callable[[Make], None]:
    """What every operator is held to, for random nodes that the given function makes."""
    return request.param


@pytest.fixture(params=["whole", "in pieces"], scope="module")
def budget(request: pytest.FixtureRequest) -> Iterator[None]:
    """Run once with scratch as it is, once with so little that everything is cut into pieces."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param != "whole":
            patch.setattr(problems, "CACHE_BYTES", 600)
            patch.setattr(recurrent, "FRAME_BYTES", 20_000)
        yield
