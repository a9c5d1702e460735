"""From a static graph to a `Program`: structure that tenants share, apart from one tenant's weights.

Nothing here depends on the names of tensors or nodes, nor on their order in the file: kernels, values, weights and
constants are numbered in the order in which a walk back from the outputs, inputs first, finds them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from treadle_agent.program import arena
from treadle_agent.program.errors import Triple, UnmatchedWeightError, unsupported
from treadle_agent.program.folding import type_of
from treadle_agent.program.graph import GraphNode, StaticGraph, node_of, optional_output
from treadle_agent.program.model import (
    Activation,
    Constant,
    ConstantTensor,
    Kernel,
    Operand,
    Port,
    Program,
    TensorType,
    Weight,
)
from treadle_agent.program.ops import registry
from treadle_agent.program.ops.registry import Array, Canonical

COPY = "Reshape"


@dataclass(frozen=True, slots=True)
class Lowered:
    """A program and the weights of the model it was lowered from, in the order of `Program.weights`."""

    program: Program
    weights: tuple[Array, ...]


def lower(graph: StaticGraph, table: Sequence[Array] | None = None) -> Lowered:
    """Lower a graph; `table` holds the weights of the model's first binding, which all its programs share.

    Raises:
        ModelError: with every unsupported (operator, opset, type).
        UnmatchedWeightError: a weight is not in `table`.
    """
    nodes = _in_order(graph)
    canonicals = _normalised(graph, nodes)
    operands = _Operands(graph, table)
    values = _Values()
    for name in graph.inputs:
        values.add(name, graph.types[name])
    kernels: list[Kernel] = []
    for node, canonical in zip(nodes, canonicals, strict=True):
        taken = [
            node.inputs[index] if index is not None and index < len(node.inputs) else "" for index in canonical.operands
        ]
        attributes, axes = dict(canonical.attributes), dict[int, tuple[int, ...]]()
        layout = registry.LAYOUT.get(canonical.op)
        if layout is not None and all(taken[index] in graph.known for index in layout.operands):
            axes = dict.fromkeys(layout.operands, layout.axes)
            attributes[layout.attribute] = True
        inputs = tuple(
            values.find(name) or operands.find(name, axes.get(index)) if name else None
            for index, name in enumerate(taken)
        )
        if canonical.view:
            source = inputs[0]
            assert isinstance(source, Activation), "a view of what is known at load is folded"
            values.add(node.outputs[0], graph.types[node.outputs[0]], storage=values.storage[source.index])
            continue
        outputs = tuple(values.add(name, graph.types[name]) for name in node.outputs if name)
        kernels.append(Kernel(canonical.op, tuple(sorted(attributes.items())), inputs, outputs))
    for name in graph.outputs:
        if values.find(name) is None:  # the answer is known at load, and still has to be written in each request
            source = operands.find(name)
            kernels.append(Kernel(COPY, (), (source,), (values.add(name, graph.types[name]),)))
    ports = {name: values.find(name) for name in (*graph.inputs, *graph.outputs)}
    inputs_, outputs_ = (
        tuple(Port(name, found.index) for name in names if (found := ports[name]) is not None)
        for names in (graph.inputs, graph.outputs)
    )
    placed = arena.plan(_lives(values, kernels, inputs_, outputs_))
    program = Program(
        inputs=inputs_,
        outputs=outputs_,
        values=tuple(values.types),
        offsets=tuple(placed.offsets[storage] for storage in values.storage),
        arena_bytes=placed.arena_bytes,
        weights=tuple(type_of(one) for one in operands.weights),
        constants=tuple(operands.constants),
        kernels=tuple(kernels),
    )
    return Lowered(program, tuple(operands.weights))


def _in_order(graph: StaticGraph) -> list[GraphNode]:
    """The nodes that the outputs need, each after what it reads: depth first, inputs from the first to the last."""
    producer = {name: node for node in graph.nodes for name in node.outputs if name}
    ordered: list[GraphNode] = []
    done: set[int] = set()
    stack = [(producer[name], False) for name in reversed(graph.outputs) if name in producer]
    while stack:
        node, ready = stack.pop()
        if id(node) in done:
            continue
        if ready:
            done.add(id(node))
            ordered.append(node)
            continue
        stack.append((node, True))
        stack.extend((producer[name], False) for name in reversed(node.inputs) if name in producer)
    needed = set(graph.outputs) | {name for node in ordered for name in node.inputs}
    return [_without_unused_outputs(node, needed) for node in ordered]


def _without_unused_outputs(node: GraphNode, needed: set[str]) -> GraphNode:
    outputs = [
        "" if name not in needed and optional_output(node, position) else name
        for position, name in enumerate(node.outputs)
    ]
    while not outputs[-1]:
        outputs.pop()
    return replace(node, outputs=tuple(outputs))


def _normalised(graph: StaticGraph, nodes: Sequence[GraphNode]) -> list[Canonical]:
    reasons: dict[Triple, str] = {}
    found: list[Canonical] = []
    for node in nodes:
        try:
            found.append(registry.normalise(node_of(node, graph.types, graph.known)))
        except registry.UnsupportedError as error:
            type_ = next(graph.types[name].dtype for name in (*node.inputs, *node.outputs) if name)
            reasons.setdefault(Triple(node.op, node.version, type_), str(error))
    if reasons:
        raise unsupported(reasons)
    return found


@dataclass(slots=True)
class _Values:
    """Activations by name; views share the storage of what they view."""

    types: list[TensorType] = field(default_factory=list)
    storage: list[int] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)  # bytes of each storage
    index: dict[str, int] = field(default_factory=dict)

    def add(self, name: str, type_: TensorType, storage: int | None = None) -> int:
        if storage is None:
            storage = len(self.sizes)
            self.sizes.append(type_.nbytes)
        self.index[name] = len(self.types)
        self.types.append(type_)
        self.storage.append(storage)
        return self.index[name]

    def find(self, name: str) -> Activation | None:
        return Activation(self.index[name]) if name in self.index else None


@dataclass(slots=True)
class _Operands:
    """Weights and constants, numbered as they are met.

    A weight is one tensor of the file, however often it is read; two tensors that happen to be equal stay two, as they
    are two in another tenant's model. Constants are shared by content.
    """

    graph: StaticGraph
    table: Sequence[Array] | None
    weights: list[Array] = field(init=False)
    constants: list[ConstantTensor] = field(default_factory=list)
    places: dict[tuple[str, tuple[int, ...] | None], Operand] = field(default_factory=dict)
    shared: dict[ConstantTensor, Constant] = field(default_factory=dict)
    unmatched: dict[tuple[TensorType, bytes], list[int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.weights = list(self.table or ())
        for index, weight in enumerate(self.weights):
            self.unmatched.setdefault(_content(weight), []).append(index)

    def find(self, name: str, axes: tuple[int, ...] | None = None) -> Operand:
        """The operand of a name; with its axes in another order, it is another operand."""
        if (name, axes) not in self.places:
            value = self.graph.known[name]
            self.places[name, axes] = self._place(name, value if axes is None else value.transpose(axes))
        return self.places[name, axes]

    def _place(self, name: str, value: Array) -> Operand:
        # A float without dimensions is a number of the structure (an exponent, an epsilon), not a tenant's weight.
        if value.dtype != np.float32 or value.ndim == 0 or name in self.graph.structural:
            return self._constant(value)
        if self.table is None:
            self.weights.append(value)
            return Weight(len(self.weights) - 1)
        same = self.unmatched.get(_content(value))
        if same:
            # Equal tensors are met in the same order in every binding; the last one stays for further readers.
            return Weight(same.pop(0) if len(same) > 1 else same[0])
        if value.size and (value == value.flat[0]).all():
            return self._constant(value)
        raise UnmatchedWeightError(
            f"with these shapes the model computes a constant of shape {list(value.shape)} from its weights that it "
            "does not hold with one row, so that its weights would be needed twice; "
            "export the model with this constant expanded at run time, or with this shape fixed"
        )

    def _constant(self, value: Array) -> Constant:
        tensor = ConstantTensor(type_of(value), _little_endian(value))
        if tensor not in self.shared:
            self.shared[tensor] = Constant(len(self.constants))
            self.constants.append(tensor)
        return self.shared[tensor]


def _lives(
    values: _Values, kernels: Sequence[Kernel], inputs: Sequence[Port], outputs: Sequence[Port]
) -> list[arena.Life]:
    first: dict[int, int] = {values.storage[port.value]: -1 for port in inputs}
    last: dict[int, int] = dict(first)
    for moment, kernel in enumerate(kernels):
        read = [one.index for one in kernel.inputs if isinstance(one, Activation)]
        for index in (*read, *kernel.outputs):
            storage = values.storage[index]
            first.setdefault(storage, moment)
            last[storage] = moment
    for port in outputs:
        last[values.storage[port.value]] = len(kernels)
    return [arena.Life(nbytes, first[storage], last[storage]) for storage, nbytes in enumerate(values.sizes)]


def _content(value: Array) -> tuple[TensorType, bytes]:
    return type_of(value), hashlib.sha256(_little_endian(value)).digest()


def _little_endian(value: Array) -> bytes:
    return value.astype(value.dtype.newbyteorder("<"), copy=False).tobytes()
