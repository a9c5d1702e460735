"""What the conformance tests share: running one node, or a whole imported model, through treadle's own kernels."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, get_args

import numpy as np
import onnx
import pytest
from onnx.backend.test.case.test_case import TestCase as Case
from onnx.backend.test.loader import load_model_tests

from treadle_agent.program import ops
from treadle_agent.program.graph import since_version
from treadle_agent.program.model import DType, TensorType
from treadle_agent.program.ops import registry

Array = np.ndarray[Any, Any]
assert ops.__all__  # importing the package fills the table

# Inputs that say what the node does rather than what it works on: known at load in every model that treadle serves.
PLUMBING: Mapping[str, tuple[int, ...]] = {
    "ConstantOfShape": (0,),
    "Dropout": (1, 2),
    "Expand": (1,),
    "If": (0,),
    "Pad": (1, 3),
    "Range": (0, 1, 2),
    "Reshape": (1,),
    "Resize": (1, 2, 3),
    "Slice": (1, 2, 3, 4),
    "Split": (1,),
    "Squeeze": (1,),
    "Tile": (1,),
    "TopK": (1,),
    "Unsqueeze": (1,),
    **dict.fromkeys((f"Reduce{name}" for name in ("Sum", "Mean", "Max", "Min", "Prod", "L1", "L2", "SumSquare")), (1,)),
}


def _type(array: Array) -> TensorType:
    if str(array.dtype) not in get_args(DType):
        raise registry.UnsupportedError(f"element type {array.dtype}")
    return TensorType(str(array.dtype), array.shape)  # type: ignore[arg-type]


POISON = {"f": np.nan, "i": 0x5A, "u": 0x5A, "b": True}  # what an element holds that a launch forgot to write


class NodeRunner:
    """One node, bound for R problems."""

    def __init__(self, model: onnx.ModelProto) -> None:
        (self.proto,) = model.graph.node
        if self.proto.domain not in {"", "ai.onnx"}:
            raise registry.UnsupportedError(f"domain {self.proto.domain}")
        (opset,) = (one.version for one in model.opset_import if one.domain in {"", "ai.onnx"})
        self.version = since_version("", self.proto.op_type, opset)
        self.names = [value.name for value in model.graph.input]
        plumbing = PLUMBING.get(self.proto.op_type, ())
        known = {one.name for one in model.graph.initializer}
        self.fixed = known | {name for index, name in enumerate(self.proto.input) if name and index in plumbing}

    def node(self, feeds: Mapping[str, Array], results: Sequence[Array]) -> registry.Node:
        """`results` only lend their types, as shape inference would."""
        outputs = iter(results)
        inputs = list(self.proto.input)
        return registry.Node(
            op=self.proto.op_type,
            version=self.version,
            attributes={one.name: onnx.helper.get_attribute_value(one) for one in self.proto.attribute},
            types=tuple(_type(feeds[name]) if name else None for name in inputs),
            static=tuple(feeds[name] if name in self.fixed else None for name in inputs),
            outputs=tuple(_type(next(outputs)) if name else None for name in self.proto.output),
        )

    def __call__(self, problems: Sequence[Mapping[str, Array]], results: Sequence[Array]) -> list[list[Array]]:
        """The outputs of each problem, computed in one launch over slots of an arena with unused bytes between them."""
        canonical = registry.normalise(self.node(problems[0], results))
        count = len(problems)
        operands: list[Array | None] = []
        for index in canonical.operands:
            name = self.proto.input[index] if index is not None and index < len(self.proto.input) else ""
            if not name:
                operands.append(None)
            elif name in self.fixed:
                operands.append(problems[0][name][np.newaxis])
            else:
                operands.append(slots([one[name] for one in problems]))
        outputs = [slots([np.full_like(one, POISON[one.dtype.kind])] * count) for one in results]
        if canonical.view:
            assert operands[0] is not None
            outputs = [operands[0].reshape(outputs[0].shape)]
        else:
            with np.errstate(all="ignore"):
                registry.BIND[canonical.op](canonical.attributes, operands, outputs)()
        return [[out[r].copy() for out in outputs] for r in range(count)]


def slots(rows: Sequence[Array]) -> Array:
    """Stack `rows` so that each begins 64 bytes after the end of the one before, as slots of an arena do."""
    first = rows[0]
    pad = 64 // first.dtype.itemsize
    room = np.zeros((len(rows), first.size + pad), first.dtype)
    taken = room[:, : first.size]
    for place, row in zip(taken, rows, strict=True):
        place[...] = row.reshape(-1)
    return taken.reshape(len(rows), *first.shape)


@pytest.fixture(scope="session")
def node_runner() -> type[NodeRunner]:
    return NodeRunner


@pytest.fixture(scope="session")
def plumbing_of() -> Callable[[onnx.ModelProto], set[str]]:
    """Names of a model's inputs that only say what its nodes do."""

    def find(model: onnx.ModelProto) -> set[str]:
        given = {value.name for value in model.graph.input}
        plumbing: set[str] = set()
        for node in model.graph.node:
            for index, name in enumerate(node.input):
                if index in PLUMBING.get(node.op_type, ()):
                    plumbing.add(name)
                else:
                    given.discard(name)
        return given & plumbing

    return find


@pytest.fixture(scope="session")
def onnx_cases() -> dict[str, Case]:
    """ONNX's own node tests by name. Making them takes a dozen seconds: not while tests are collected."""
    with warnings.catch_warnings():  # the generators divide by zero on purpose
        warnings.simplefilter("ignore")
        return {case.name: case for case in load_model_tests(kind="node")}
