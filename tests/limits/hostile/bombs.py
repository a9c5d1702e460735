"""Models that are small as files and would be vast, endless or somebody else's once they are read."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from hostile.tenants import WIDTH, manifest

OPSETS = [helper.make_opsetid("", 17), helper.make_opsetid("bomb", 1)]


def port(name: str, *shape: int | str) -> ValueInfoProto:
    """A float tensor going in or out."""
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape or ("N", WIDTH))


def model(nodes: Sequence[NodeProto], *constants: TensorProto) -> ModelProto:
    """From x to y."""
    graph = helper.make_graph(nodes, "bomb", [port("x")], [port("y", "A", "B")], constants)
    return helper.make_model(graph, opset_imports=OPSETS, ir_version=9)


def integers(name: str, *values: int) -> TensorProto:
    """A constant."""
    return numpy_helper.from_array(np.array(values, np.int64), name)


def filled() -> ModelProto:
    """A constant of 400 TB."""
    nodes = [
        helper.make_node("ConstantOfShape", ["shape"], ["zeros"]),
        helper.make_node("ReduceSum", ["zeros"], ["sum"], keepdims=0),
        helper.make_node("Add", ["x", "sum"], ["y"]),
    ]
    return model(nodes, integers("shape", 10**7, 10**7))


def counted() -> ModelProto:
    """All whole numbers up to a trillion."""
    ends = [
        numpy_helper.from_array(np.array(value, np.float32), name)
        for name, value in zip("abc", (0, 1e12, 1), strict=True)
    ]
    nodes = [
        helper.make_node("Range", ["a", "b", "c"], ["range"]),
        helper.make_node("ReduceSum", ["range"], ["sum"], keepdims=0),
        helper.make_node("Add", ["x", "sum"], ["y"]),
    ]
    return model(nodes, *ends)


def doubled() -> ModelProto:
    """A constant that is joined to itself fifty times."""
    nodes = [helper.make_node("Concat", [f"c{i}"] * 2, [f"c{i + 1}"], axis=0) for i in range(50)]
    nodes += [helper.make_node("ReduceSum", ["c50"], ["sum"], keepdims=0), helper.make_node("Add", ["x", "sum"], ["y"])]
    return model(nodes, numpy_helper.from_array(np.ones(1024, np.float32), "c0"))


def padded() -> ModelProto:
    """Rows that are padded to a terabyte."""
    return model([helper.make_node("Pad", ["x", "pads"], ["y"])], integers("pads", 0, 0, 0, 10**12))


def laughing() -> ModelProto:
    """Functions each of which calls the one before twice: a billion nodes."""
    made = model([helper.make_node("f30", ["x"], ["y"], domain="bomb")])
    for level in range(31):
        body = (
            [helper.make_node("Relu", ["a"], ["b"])]
            if not level
            else [
                helper.make_node(f"f{level - 1}", ["a"], ["m"], domain="bomb"),
                helper.make_node(f"f{level - 1}", ["m"], ["b"], domain="bomb"),
            ]
        )
        made.functions.append(helper.make_function("bomb", f"f{level}", ["a"], ["b"], body, OPSETS))
    return made


def round_and_round() -> ModelProto:
    """A function that calls itself."""
    made = model([helper.make_node("f", ["x"], ["y"], domain="bomb")])
    body = [helper.make_node("f", ["a"], ["b"], domain="bomb")]
    made.functions.append(helper.make_function("bomb", "f", ["a"], ["b"], body, OPSETS))
    return made


def sparse() -> ModelProto:
    """One value of a matrix with a trillion."""
    made = model([helper.make_node("MatMul", ["x", "w"], ["y"])])
    tensor = helper.make_sparse_tensor(
        helper.make_tensor("w", TensorProto.FLOAT, [1], [1.0]), integers("i", 0), [WIDTH, 10**12]
    )
    made.graph.sparse_initializer.append(tensor)
    return made


def outside(location: str) -> ModelProto:
    """Weights that are another file."""
    weight = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    for key, value in {"location": location, "length": "16"}.items():
        weight.external_data.add(key=key, value=value)
    return model([helper.make_node("Add", ["x", "w"], ["y"])], weight)


TOO_LARGE = r"at most 1024 MiB are accepted for a tensor \(Limits\.tensor_bytes\)"
ALL: dict[Callable[[], ModelProto], str] = {
    filled: TOO_LARGE,
    counted: TOO_LARGE,
    doubled: TOO_LARGE,
    padded: TOO_LARGE,
    laughing: r"the model has 1073741824 nodes .*\(Limits\.nodes\)",
    round_and_round: "must not be recursive",
    sparse: "not a valid ONNX model",
}
"""With what their owner is told."""


async def load(folder: Path, _: str, __: int, until: float) -> Counter[str]:
    """A tenant for each, and their models, into the folder that a server watches."""
    counts: Counter[str] = Counter()
    if time.monotonic() < until:
        for bomb in ALL:
            name = bomb.__name__.replace("_", "-")
            (folder / f"{name}.onnx").write_bytes(bomb().SerializeToString())
            (folder / f"{name}.yaml").write_text(manifest(name, f"{name}.onnx"))
            counts["laid"] += 1
        await asyncio.sleep(until - time.monotonic())
    return counts
