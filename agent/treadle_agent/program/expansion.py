"""How many nodes a model has once its functions are put in the places where they are called.

A function may call others, and these others again: each calling the one before twice, thirty make a billion nodes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from onnx import AttributeProto, FunctionProto, ModelProto, NodeProto

Key = tuple[str, str, str]  # domain, name, overload


def expanded_nodes(model: ModelProto) -> int:
    """The count; what calls itself, which ONNX's checker refuses, counts once."""
    functions = {(one.domain, one.name, one.overload): one for one in model.functions}
    return _count(model.graph.node, functions, {})


def _count(nodes: Iterable[NodeProto], functions: Mapping[Key, FunctionProto], counted: dict[Key, int]) -> int:
    total = 0
    for node in nodes:
        key = (node.domain, node.op_type, node.overload)
        called = functions.get(key)
        if called is None:
            total += 1
        else:
            if key not in counted:
                counted[key] = 1  # while it is being counted
                counted[key] = _count(called.node, functions, counted)
            total += counted[key]
        for attribute in node.attribute:
            graphs = [attribute.g] if attribute.type == AttributeProto.GRAPH else attribute.graphs
            total += sum(_count(graph.node, functions, counted) for graph in graphs)
    return total
