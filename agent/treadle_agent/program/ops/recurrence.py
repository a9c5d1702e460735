"""What LSTM, GRU and RNN have in common: both directions as one axis, the input projected for all steps in one GEMM.

Axes: S steps, G gates, R problems, D directions, B rows of a batch, H hidden units. In scratch the gates come before
the problems and a step's tensors are contiguous, so that a step of all problems is a few element-wise calls.
A reverse direction is laid out in the order it is computed: step k is time S − 1 − k.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from treadle_agent.program.ops.launching import shaped
from treadle_agent.program.ops.problems import part
from treadle_agent.program.ops.recurrent_activations import InPlace, activation
from treadle_agent.program.ops.registry import Array
from treadle_agent.program.ops.scratch import scratch

FRAME_BYTES = 8 << 20  # scratch of the problems that step together
_MINUS_ONE = np.asarray(-1, np.float32)


@dataclass(frozen=True, slots=True)
class Layer:
    """A bound recurrent kernel; arrays have the leading axis of problems, optional ones may be None.

    `activations` are (name, alpha, beta), those of the first direction before those of the second.
    """

    directions: tuple[str, ...]
    activations: tuple[tuple[str, float, float], ...]
    clip: float
    batch_first: bool
    linear_before_reset: bool
    input_forget: bool
    data: Array
    weight: Array
    recurrent: Array
    bias: Array | None
    lengths: Array | None
    hidden: Array | None
    cell: Array | None
    peepholes: Array | None
    outputs: Mapping[str, Array]

    @property
    def problems(self) -> int:
        """R."""
        return len(next(iter(self.outputs.values())))

    @property
    def gates(self) -> int:
        """Gates in the weights."""
        count: int = self.weight.shape[2] // self.recurrent.shape[3]
        return count

    def of_problems(self, chosen: slice) -> Layer:
        """The same layer for some of the problems."""

        def cut(array: Array | None) -> Array | None:
            return None if array is None else part(array, chosen)

        return replace(
            self,
            data=part(self.data, chosen),
            weight=part(self.weight, chosen),
            recurrent=part(self.recurrent, chosen),
            bias=cut(self.bias),
            lengths=cut(self.lengths),
            hidden=cut(self.hidden),
            cell=cut(self.cell),
            peepholes=cut(self.peepholes),
            outputs={name: out[chosen] for name, out in self.outputs.items()},
        )

    def of_direction(self, index: int) -> Layer:
        """The same layer for one of its directions."""
        chosen = slice(index, index + 1)
        count = len(self.activations) // len(self.directions)

        def cut(array: Array | None) -> Array | None:
            return None if array is None else array[:, chosen]

        def state(array: Array | None) -> Array | None:
            return None if array is None else (array[:, :, chosen] if self.batch_first else array[:, chosen])

        outputs = {
            name: out[:, :, :, chosen]
            if name == "Y" and self.batch_first
            else out[:, :, chosen]
            if name == "Y" or self.batch_first
            else out[:, chosen]
            for name, out in self.outputs.items()
        }
        return replace(
            self,
            directions=self.directions[chosen],
            activations=self.activations[index * count : (index + 1) * count],
            weight=self.weight[:, chosen],
            recurrent=self.recurrent[:, chosen],
            bias=cut(self.bias),
            hidden=state(self.hidden),
            cell=state(self.cell),
            peepholes=cut(self.peepholes),
            outputs=outputs,
        )

    def functions(self) -> list[InPlace]:
        """The activation functions, which all directions share."""
        count = len(self.activations) // len(self.directions)
        assert self.activations == self.activations[:count] * len(self.directions)
        return [activation(*each) for each in self.activations[:count]]

    @property
    def plain(self) -> bool:
        """Whether nothing but the default mathematics is asked for: the fast path of a cell."""
        names = [name for name, _, _ in self.activations]
        common = not self.clip and self.lengths is None and self.peepholes is None and not self.input_forget
        per_direction = len(names) // len(self.directions)
        return common and all(name == ("tanh" if i % per_direction else "sigmoid") for i, name in enumerate(names))


def problem_bytes(layer: Layer) -> int:
    """About what one problem takes of a frame: its projected inputs twice, its states once."""
    elements = math.prod(layer.data.shape[1:3]) * len(layer.directions) * layer.recurrent.shape[3]
    return int(elements * (2 * layer.gates + 2) * 4)


@dataclass(frozen=True, slots=True)
class Gate:
    """Where the projection of weight gates `[first, last)` goes: to slot `slot` on, negated or not, with both biases
    or with that of the input alone.
    """

    first: int
    last: int
    slot: int
    negated: bool = False
    both: bool = True


class Frame:
    """Scratch of one layer, and what runs before and after its steps.

    `inputs` (S, slots, R, D, B, H): the projected input; `states` (S + 1, R, D, B, H): the hidden state before each
    step and after the last; `before`: those before each step; `zeros`: the first one, where no state is given; `ended`
    (S, R, D, B, 1): whether the row's sequence is over, when lengths are given; `work`: arrays (R, D, B, H); `product`
    (R, D, B, gates × H) for the recurrent GEMM of `recurrent_gates` gates and `by_gate`, its view (gates, R, D, B, H);
    `sums` has the shape of `by_gate` and is contiguous.
    """

    def __init__(self, layer: Layer, gates: Sequence[Gate], *, slots: int, recurrent_gates: int, work: int) -> None:
        self.layer, self._gates = layer, gates
        data = layer.data.swapaxes(1, 2) if layer.batch_first else layer.data
        steps, rows = data.shape[1:3]
        hidden, count = layer.recurrent.shape[3], layer.gates
        problems, directions = layer.problems, len(layer.directions)
        self.steps = steps
        lead = (problems, directions, rows)
        self._biases = 1 if layer.bias is None else layer.bias.shape[0]
        small = (count, self._biases, directions, 1, hidden)
        shapes = [
            (problems, directions, steps * rows, count * hidden),
            (steps, slots, *lead, hidden),
            (steps + 1, *lead, hidden),
            (*lead, recurrent_gates * hidden),
            (recurrent_gates, *lead, hidden),
            (-(-steps * math.prod(lead) // 4),),  # `ended`, a byte each
            *[small] * 2,
            *[(*lead, hidden)] * work,
        ]
        arrays = scratch(*shapes)
        self._projected, self.inputs, self.states, self.product, self.sums, mask, self._sum, self._negative = arrays[:8]
        self.before = list(self.states[:-1])
        self.zeros = self.before[0] if layer.hidden is None and self.before else None
        self.work = arrays[8:]
        self.by_gate = self.product.reshape(*lead, recurrent_gates, hidden).transpose(3, 0, 1, 2, 4)
        self.ended = mask.view(np.bool_)[: steps * math.prod(lead)].reshape(steps, *lead, 1)
        self._flat = shaped(layer.data, (1, steps * rows, layer.data.shape[3]))
        self._projection = layer.weight.swapaxes(-1, -2)
        axes = layer.data.shape[1:3]
        by_time = self._projected.reshape(problems, directions, *axes, count, hidden)
        self._by_time = (
            by_time.transpose(3, 4, 0, 1, 2, 5) if layer.batch_first else by_time.transpose(2, 4, 0, 1, 3, 5)
        )
        bias = np.zeros((1, directions, 2 * count * hidden), np.float32) if layer.bias is None else layer.bias
        split = bias.reshape(self._biases, directions, 2, count, hidden).transpose(2, 3, 0, 1, 4)[:, :, :, :, None]
        self.input_bias, self.recurrent_bias = split  # (G, R, D, 1, H), read at each launch
        times = [range(steps) if d == "forward" else range(steps - 1, -1, -1) for d in layer.directions]
        self._times = np.array(times, np.int32).T.reshape(steps, 1, directions, 1, 1)
        self._transfers = [*self._moves()]

    def _moves(self) -> Iterator[tuple[Callable[[Array, Array, Array], object], Array, Array, Array]]:
        """(operation, bias, projection, place) for each group of gates and direction."""
        for gate in self._gates:
            chosen = slice(gate.first, gate.last)
            bias = (self._negative if gate.negated else self._sum if gate.both else self.input_bias)[chosen]
            operation = np.subtract if gate.negated else np.add
            place = self.inputs[:, gate.slot : gate.slot + gate.last - gate.first]
            for d, direction in enumerate(self.layer.directions):
                ordered = self._by_time if direction == "forward" else self._by_time[::-1]
                yield operation, bias[:, :, d], ordered[:, chosen, :, d], place[:, :, :, d]

    def begin(self) -> None:
        """Project the input for all steps; set the state before the first; find where sequences end."""
        layer = self.layer
        np.matmul(self._flat, self._projection, self._projected)
        np.add(self.input_bias, self.recurrent_bias, self._sum)
        np.multiply(self._sum, _MINUS_ONE, self._negative)  # np.negative: see launching.negated
        for operation, bias, projection, place in self._transfers:
            operation(bias, projection, place)
        self.start(self.states[0], layer.hidden)
        if layer.lengths is not None:
            np.greater_equal(self._times, layer.lengths[None, :, None, :, None], self.ended)

    def start(self, state: Array, given: Array | None) -> None:
        """Set a state (R, D, B, H) to the given one, or to zero."""
        if given is None:
            state.fill(0)
        else:
            np.copyto(state, given.swapaxes(1, 2) if self.layer.batch_first else given)

    def finish(self, cell: Array | None = None) -> None:
        """Write the outputs that are asked for: Y with zeros after a sequence's end, the last states."""
        layer, outputs = self.layer, self.layer.outputs
        if "Y" in outputs:
            every = outputs["Y"]  # (R, S, D, B, H), or (R, B, S, D, H)
            every = every.transpose(2, 0, 3, 1, 4) if layer.batch_first else every.transpose(1, 0, 2, 3, 4)
            for d, direction in enumerate(layer.directions):
                forward = direction == "forward"
                np.copyto(every[:, :, d] if forward else every[::-1, :, d], self.states[1:, :, d])
                if layer.lengths is not None:
                    place = every[:, :, d] if forward else every[::-1, :, d]
                    np.copyto(place, 0, where=self.ended[:, :, d])
        for name, state in (("Y_h", self.states[-1]), ("Y_c", cell)):
            if name in outputs:
                assert state is not None
                np.copyto(outputs[name].swapaxes(1, 2) if layer.batch_first else outputs[name], state)
