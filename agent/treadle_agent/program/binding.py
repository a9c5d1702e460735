"""Bind a model's free dimensions, and simplify it until every shape is a number.

Three steps: ONNX Runtime's basic optimisation folds and fuses what the bound shapes allow, ONNX's own shape inference
types every value, and what is still computable at load is folded by the very kernels that would run it.
"""

from __future__ import annotations

from collections.abc import Mapping

import onnx
import onnx.shape_inference
from onnx import AttributeProto, GraphProto, ModelProto, TensorProto

from treadle_agent.program import folding
from treadle_agent.program.errors import ModelError, Triple, unsupported
from treadle_agent.program.graph import StaticGraph, since_version
from treadle_agent.program.limits import MIB, OUT_OF_MEMORY, Limits
from treadle_agent.program.model import Shape
from treadle_agent.program.onnx_import import DTYPES, FREE, Source, opset_of, type_name
from treadle_agent.program.onnx_runtime import optimise
from treadle_agent.program.ops import registry


def bind(source: Source, shapes: Mapping[str, Shape], limits: Limits) -> StaticGraph:
    """The graph of `source` with its inputs' shapes bound; raises ModelError."""
    _check_binding(source, shapes)
    model = with_shapes(source.model, shapes)
    refuse_huge(model, limits)
    try:
        optimised = optimise(model)
    except ModelError as error:
        if not OUT_OF_MEMORY.search(str(error)):
            refuse_unknown_operators(source.model)
        raise
    refuse_unknown_operators(optimised)
    return folding.fold(optimised, structural_values(model.graph))


def refuse_unknown_operators(model: ModelProto) -> None:
    """Raise ModelError with every operator and element type in `model` that treadle has no kernel for."""
    triples = _unknown(model)
    if triples:
        raise unsupported(dict.fromkeys(triples, "not known"))


def _check_binding(source: Source, shapes: Mapping[str, Shape]) -> None:
    names = {one.name for one in source.inputs}
    if set(shapes) != names:
        raise ModelError(
            f"a binding must give the shape of each of the inputs {sorted(names)}, not of {sorted(shapes)}"
        )
    for one in source.inputs:
        shape = shapes[one.name]
        fits = len(shape) == len(one.shape) and all(
            want in {FREE, got} and got >= 1 for want, got in zip(one.shape, shape, strict=True)
        )
        if not fits:
            raise ModelError(f"{one.name}: shape {list(shape)} does not fit the declared {list(one.shape)} (-1: any)")


def with_shapes(model: ModelProto, shapes: Mapping[str, Shape]) -> ModelProto:
    """`model` with its inputs' shapes bound, and without what it declared of all others."""
    bound = ModelProto()
    bound.CopyFrom(model)
    for value in bound.graph.input:
        dims = value.type.tensor_type.shape.dim
        for dim, size in zip(dims, shapes[value.name], strict=True):
            dim.dim_value = size
    # What was declared for the free model no longer says anything, and contradicts where it was wrong.
    for value in bound.graph.output:
        value.type.tensor_type.ClearField("shape")
    del bound.graph.value_info[:]
    return bound


def refuse_huge(model: ModelProto, limits: Limits) -> None:
    """Raise ModelError before anything allocates what the model merely declares."""
    if len(model.graph.node) > limits.nodes:
        raise ModelError(
            f"the model has {len(model.graph.node)} nodes; at most {limits.nodes} are accepted (Limits.nodes)"
        )
    # Data propagation itself would allocate a huge constant, so it comes second.
    for propagate in (False, True):
        _refuse_huge_tensors(infer(model, propagate=propagate).graph, limits)


def _refuse_huge_tensors(graph: GraphProto, limits: Limits) -> None:
    for value in (*graph.value_info, *graph.input, *graph.output):
        type_ = folding.static_type(value)
        if type_ is not None and type_.nbytes > limits.tensor_bytes:
            raise ModelError(
                f"{value.name}: shape {list(type_.shape)} takes {type_.nbytes // MIB} MiB; "
                f"at most {limits.tensor_bytes // MIB} MiB are accepted for a tensor (Limits.tensor_bytes)"
            )


def infer(model: ModelProto, *, propagate: bool = True) -> ModelProto:
    """`model` with what can be said of its values' types, unknown operators skipped; raises ModelError."""
    try:
        return onnx.shape_inference.infer_shapes(model, data_prop=propagate)
    except (onnx.shape_inference.InferenceError, ValueError, RuntimeError) as error:
        raise ModelError(f"the model's shapes contradict each other: {' '.join(str(error).split())[:400]}") from error


def structural_values(graph: GraphProto) -> frozenset[str]:
    """Names of values that depend on shapes and on numbers of the structure only, never on a tenant's weights.

    A Shape node forgets the data of its input. An operator with a subgraph is taken to depend on weights.
    """
    tenants = {one.name for one in graph.initializer if one.data_type == TensorProto.FLOAT and one.dims}
    tenants |= {one.name for one in graph.input}
    structural = {one.name for one in graph.initializer} - tenants
    for node in graph.node:
        if node.op_type == "Constant":
            depends = any(
                a.type == AttributeProto.TENSOR and a.t.data_type == TensorProto.FLOAT and a.t.dims
                for a in node.attribute
            )
        elif node.op_type in {"Shape", "Size"}:
            depends = False
        elif any(a.type in {AttributeProto.GRAPH, AttributeProto.GRAPHS} for a in node.attribute):
            depends = True
        else:
            depends = any(name not in structural for name in node.input if name)
        if not depends:
            structural.update(node.output)
    return frozenset(structural)


def _unknown(model: ModelProto) -> list[Triple]:
    opset = opset_of(model)
    model = infer(model)
    types = {
        value.name: value.type.tensor_type.elem_type
        for value in (*model.graph.value_info, *model.graph.input, *model.graph.output)
    }
    types.update((tensor.name, tensor.data_type) for tensor in model.graph.initializer)
    found: dict[Triple, None] = {}
    for node in model.graph.node:
        version = since_version(node.domain, node.op_type, opset)
        operator = f"{node.domain}.{node.op_type}" if node.domain not in {"", "ai.onnx"} else node.op_type
        elements = [types[name] for name in (*node.input, *node.output) if types.get(name)]
        odd = [element for element in elements if element not in DTYPES]
        if version and _dissolves(node.op_type, version):
            continue
        entry = registry.NORMALISE.get(node.op_type) if version else None
        if entry is None or version not in entry.versions or odd:
            found[Triple(operator, version, type_name((odd or elements or [0])[0]))] = None
    return list(found)


def _dissolves(operator: str, version: int) -> bool:
    """Whether ONNX Runtime resolves an operator without a kernel: a constant, or a function of other operators."""
    if operator == "Constant":
        return True
    if operator in registry.NORMALISE:
        return False
    schema = onnx.defs.get_schema(operator, version, "")
    # The type stub leaves these two out.
    return bool(getattr(schema, "has_function", False) or getattr(schema, "has_context_dependent_function", False))
