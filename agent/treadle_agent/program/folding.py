"""Static types for every value of a bound graph, and folding of what is still computable at load.

ONNX Runtime folds nearly everything; what it leaves (it declines some shapes) is folded by treadle's own kernels, so
that a value known at load is a value whoever computed it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnx.helper
import onnx.numpy_helper
import onnx.shape_inference
from onnx import AttributeProto, ModelProto, NodeProto, TensorProto, ValueInfoProto

from treadle_agent.program.errors import ModelError
from treadle_agent.program.graph import GraphNode, StaticGraph, node_of, since_version
from treadle_agent.program.model import TensorType
from treadle_agent.program.onnx_import import DTYPES, opset_of
from treadle_agent.program.ops import registry
from treadle_agent.program.ops.registry import Array


def fold(model: ModelProto, structural: frozenset[str]) -> StaticGraph:
    """The static graph of a bound, optimised model; `structural` as in `StaticGraph`. Raises ModelError."""
    opset = opset_of(model)
    state = _State(
        {},
        {one.name: onnx.numpy_helper.to_array(one) for one in model.graph.initializer},
        set(structural),
    )
    nodes = [(proto, _graph_node(proto, opset)) for proto in model.graph.node]
    while True:
        state.types = _infer(model)
        rest = [pair for pair in nodes if not state.fold(pair[1])]
        if len(rest) == len(nodes):
            break
        nodes = rest
        _rewrite(model, [proto for proto, _ in nodes], state.known)
    _refuse_free(model, [node for _, node in nodes], state)
    types = state.types | {name: type_of(value) for name, value in state.known.items()}
    return StaticGraph(
        inputs=tuple(value.name for value in model.graph.input),
        outputs=tuple(value.name for value in model.graph.output),
        nodes=tuple(node for _, node in nodes),
        types=types,
        known=state.known,
        structural=frozenset(state.structural),
    )


def static_type(value: ValueInfoProto) -> TensorType | None:
    """The type of a value, None where treadle has no such element type or a dimension is not a number."""
    tensor = value.type.tensor_type
    dtype = DTYPES.get(tensor.elem_type)
    if dtype is None or not tensor.HasField("shape"):
        return None
    if any(dim.WhichOneof("value") != "dim_value" or dim.dim_value < 0 for dim in tensor.shape.dim):
        return None
    return TensorType(dtype, tuple(dim.dim_value for dim in tensor.shape.dim))


def type_of(array: Array) -> TensorType:
    """The type of a known value."""
    return TensorType(str(array.dtype), array.shape)  # type: ignore[arg-type]  # checked when it was imported


@dataclass(slots=True)
class _State:
    types: dict[str, TensorType]
    known: dict[str, Array]
    structural: set[str]

    def fold(self, node: GraphNode) -> bool:
        """Compute `node` now if all it needs is known; returns whether it did."""
        inputs = [name for name in node.inputs if name]
        if node.op == "Shape" and inputs[0] in self.types:
            shape = self.types[inputs[0]].shape
            begin, end = int(node.attributes.get("start", 0)), node.attributes.get("end")
            results = [np.array(shape[begin:end], dtype=np.int64)]
            self.structural.add(node.outputs[0])
        elif all(name in self.known for name in inputs) and all(name in self.types for name in node.outputs if name):
            computed = self._compute(node)
            if computed is None:
                return False
            results = computed
            if all(name in self.structural for name in inputs):
                self.structural.update(node.outputs)
        else:
            return False
        self.known.update(zip((name for name in node.outputs if name), results, strict=True))
        return True

    def _compute(self, node: GraphNode) -> list[Array] | None:
        try:
            canonical = registry.normalise(node_of(node, self.types, self.known))
        except registry.UnsupportedError:
            return None  # lowering lists it with all others
        operands = [
            None if index is None or not node.inputs[index] else self.known[node.inputs[index]][np.newaxis]
            for index in canonical.operands
        ]
        types = [self.types[name] for name in node.outputs if name]
        if canonical.view:
            source = operands[0]
            assert source is not None
            return [source.reshape(types[0].shape)]
        results = [np.empty((1, *one.shape), dtype=one.dtype) for one in types]
        registry.BIND[canonical.op](canonical.attributes, operands, results)()
        return [result[0] for result in results]


def _infer(model: ModelProto) -> dict[str, TensorType]:
    try:
        inferred = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    except (onnx.shape_inference.InferenceError, ValueError, RuntimeError) as error:
        raise ModelError(f"the model's shapes cannot be inferred: {' '.join(str(error).split())[:400]}") from error
    graph = inferred.graph
    types = {value.name: static_type(value) for value in (*graph.value_info, *graph.input, *graph.output)}
    del model.graph.value_info[:]
    model.graph.value_info.extend(graph.value_info)
    return {name: found for name, found in types.items() if found is not None} | {
        one.name: TensorType(DTYPES[one.data_type], tuple(one.dims))
        for one in model.graph.initializer
        if one.data_type in DTYPES
    }


def _rewrite(model: ModelProto, nodes: list[NodeProto], known: dict[str, Array]) -> None:
    """Leave `nodes` in the graph, and make what was folded an initializer, for the next inference."""
    present = {one.name for one in model.graph.initializer}
    kept = [NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del model.graph.node[:]
    model.graph.node.extend(kept)
    model.graph.initializer.extend(
        onnx.numpy_helper.from_array(np.ascontiguousarray(value).reshape(value.shape), name)
        for name, value in known.items()
        if name not in present
    )


def _refuse_free(model: ModelProto, nodes: list[GraphNode], state: _State) -> None:
    shapes = {value.name: value for value in (*model.graph.value_info, *model.graph.output)}
    for node in nodes:
        for name in node.outputs:
            if not name or name in state.types:
                continue
            dims = shapes[name].type.tensor_type.shape.dim if name in shapes else ()
            shape = [dim.dim_value if dim.WhichOneof("value") == "dim_value" else "?" for dim in dims]
            raise ModelError(
                f"{name}: its shape {shape or 'is unknown and'} is not static after the inputs' shapes are bound; "
                f"{node.op} computes it from the data of {', '.join(filter(None, node.inputs))}"
            )


def _graph_node(node: NodeProto, opset: int) -> GraphNode:
    return GraphNode(
        node.op_type,
        since_version(node.domain, node.op_type, opset),
        {one.name: _attribute(one) for one in node.attribute},
        tuple(node.input),
        tuple(node.output),
    )


def _attribute(attribute: AttributeProto) -> Any:
    value = onnx.helper.get_attribute_value(attribute)
    match value:
        case bytes():
            return value.decode(errors="replace")
        case TensorProto():
            return onnx.numpy_helper.to_array(value)
        case [bytes(), *_]:
            return tuple(item.decode(errors="replace") for item in value)
        case str() | int() | float():
            return value
        case _ if attribute.type in {AttributeProto.INTS, AttributeProto.FLOATS, AttributeProto.STRINGS}:
            return tuple(value)
        case _:
            return value
