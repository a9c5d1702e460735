"""A checked ONNX graph with static shapes, free of protobuf: what lowering reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import onnx.defs

from treadle_agent.program.model import TensorType
from treadle_agent.program.ops.registry import Array, Node


@dataclass(frozen=True, slots=True)
class GraphNode:
    """One node. `version` is the operator's since-version; an omitted input or output is the empty name."""

    op: str
    version: int
    attributes: Mapping[str, Any]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StaticGraph:
    """Nodes in a topological order, every value's static type, and the values known at load.

    `structural` names the known values that are computed from shapes alone: equal for all tenants of an architecture,
    whatever their type.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    nodes: tuple[GraphNode, ...]
    types: Mapping[str, TensorType]
    known: Mapping[str, Array]
    structural: frozenset[str]


def node_of(node: GraphNode, types: Mapping[str, TensorType], known: Mapping[str, Array]) -> Node:
    """What an operator's `normalise` reads."""
    return Node(
        op=node.op,
        version=node.version,
        attributes=node.attributes,
        types=tuple(types.get(name) if name else None for name in node.inputs),
        static=tuple(known.get(name) if name else None for name in node.inputs),
        outputs=tuple(types.get(name) if name else None for name in node.outputs),
    )


def since_version(domain: str, operator: str, opset: int) -> int:
    """The since-version of an operator in ONNX's `opset`; 0 where ONNX has no such operator."""
    if domain not in {"", "ai.onnx"}:
        return 0
    try:
        return onnx.defs.get_schema(operator, opset, "").since_version
    except onnx.defs.SchemaError:
        return 0


def optional_output(node: GraphNode, position: int) -> bool:
    """Whether ONNX lets the output at `position` be left out."""
    declared = onnx.defs.get_schema(node.op, node.version, "").outputs
    return position < len(declared) and declared[position].option == onnx.defs.OpSchema.FormalParameterOption.Optional
