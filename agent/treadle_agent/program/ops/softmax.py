"""Softmax and LogSoftmax, in five or six ufuncs with their intermediate results allocated at bind."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from treadle_agent.program.ops.launching import call, chain, given, ints, once
from treadle_agent.program.ops.reading import FLOAT, axis_of, integer, operand
from treadle_agent.program.ops.reduction import fold
from treadle_agent.program.ops.registry import Array, Attributes, Canonical, Launch, Node, kernel, operator
from treadle_agent.program.ops.scratch import per_thread, scratch


@operator("Softmax", "LogSoftmax", oldest=11, newest=13)
def _softmax(node: Node) -> Canonical:
    """Before version 13 the tensor counts as two-dimensional: all axes from `axis` on are one."""
    rank = len(operand(node, 0, FLOAT).shape)
    if node.version >= 13:
        return Canonical(node.op, {"axes": (axis_of(integer(node, "axis", -1), rank),)}, (0,))
    return Canonical(node.op, {"axes": tuple(range(axis_of(integer(node, "axis", 1), rank), rank))}, (0,))


def _shifted(attributes: Attributes, source: Array, out: Array) -> tuple[list[Launch], Array, tuple[int, ...]]:
    """Write ``source - max(source)`` to `out`; also returns room for one number a row, and the axes."""
    places = ints(attributes, "axes")
    room = np.empty([1 if axis - 1 in places else extent for axis, extent in enumerate(out.shape)], out.dtype)
    return [fold(np.maximum, source, places, room), call(np.subtract, source, room, out=out)], room, places


@kernel("Softmax")
@once
def _bind_softmax(attributes: Attributes, inputs: Sequence[Array | None], outputs: Sequence[Array]) -> Launch:
    (out,) = outputs
    steps, room, axes = _shifted(attributes, given(inputs[0]), out)
    return chain(*steps, call(np.exp, out, out=out), fold(np.add, out, axes, room), call(np.divide, out, room, out=out))


@kernel("LogSoftmax")
@once
@per_thread
def _bind_log_softmax(attributes: Attributes, inputs: Sequence[Array | None], outputs: Sequence[Array]) -> Launch:
    (out,) = outputs
    steps, room, axes = _shifted(attributes, given(inputs[0]), out)
    (powers,) = scratch(out.shape)
    return chain(
        *steps,
        call(np.exp, out, out=powers),
        fold(np.add, powers, axes, room),
        call(np.log, room, out=room),
        call(np.subtract, out, room, out=out),
    )
