"""The steps of LSTM, GRU and RNN cells over frames of problems.

The hot path is the plain cell: per step one batched GEMM and about ten element-wise calls, each over all problems and
contiguous, none of which allocates. There a sigmoid's denominator 1 + exp(−x) is kept instead of the sigmoid, and
products with it become divisions: two calls fewer a gate. (An infinite denominator is a gate that is exactly 0.)
Where no first state is given it is zeros, whose products are not computed.
"""

from __future__ import annotations

import numpy as np

from treadle_agent.program.ops.recurrence import Frame, Gate, Layer
from treadle_agent.program.ops.registry import Array, Launch

_ONE = np.asarray(1, np.float32)  # an array: ufuncs take it faster than a scalar
_MINUS_ONE = np.asarray(-1, np.float32)


def rnn(layer: Layer) -> Launch:
    """H' = f(Wx + Rh + b)."""
    frame = Frame(layer, [Gate(0, 1, 0)], slots=1, recurrent_gates=1, work=1)
    function, limit = layer.functions()[0], _limit(layer)
    weight, product, spare = layer.recurrent.swapaxes(-1, -2), frame.product, frame.work[0]
    rows = list(zip(frame.inputs[:, 0], frame.states, frame.states[1:], frame.ended, strict=False))

    def launch() -> None:
        frame.begin()
        for given, state, following, ended in rows:
            np.matmul(state, weight, product)
            np.add(given, product, following)
            limit(following)
            function(following, spare)
            if layer.lengths is not None:
                np.copyto(following, state, where=ended)
        frame.finish()

    return launch


def gru(layer: Layer) -> Launch:
    """Gates z, r, n: h' = (1 − z) n + z h, where r acts before or after the recurrent product of n."""
    return _plain_gru(layer) if layer.plain else _general_gru(layer)


def _gru_frame(layer: Layer, *, negated: bool) -> Frame:
    """Slots: z, r, then (r after the product) the recurrent bias of n, then the projection of n."""
    after = layer.linear_before_reset
    gates = [Gate(0, 2, 0, negated=negated), Gate(2, 3, 3 if after else 2, both=not after)]
    return Frame(layer, gates, slots=4 if after else 3, recurrent_gates=3 if after else 2, work=3)


def _plain_gru(layer: Layer) -> Launch:
    frame = _gru_frame(layer, negated=True)
    after, hidden = layer.linear_before_reset, layer.recurrent.shape[3]
    weight = layer.recurrent.swapaxes(-1, -2)
    gated, last = (weight, weight) if after else (weight[..., : 2 * hidden], weight[..., 2 * hidden :])
    product, by_gate, sums = frame.product, frame.by_gate, frame.sums
    opened, update, reset = sums[:2], sums[0], sums[1]
    new, difference = frame.work[:2]
    count = sums.shape[0]
    biases = frame.inputs[:, 2]
    rows = [
        (each[:count], each[count], state, following)
        for each, state, following in zip(frame.inputs, frame.before, frame.states[1:], strict=True)
    ]
    zeros = frame.zeros
    matmul, subtract, add, divide, exp, tanh = np.matmul, np.subtract, np.add, np.divide, np.exp, np.tanh

    def launch_after() -> None:
        frame.begin()
        np.multiply(frame.recurrent_bias[2], _MINUS_ONE, biases)  # np.negative: see launching.negated
        with np.errstate(over="ignore"):
            for given, projected, state, following in rows:
                if state is zeros:
                    np.copyto(sums, given)
                else:
                    matmul(state, gated, product)
                    subtract(given, by_gate, sums)
                exp(opened, opened)
                add(opened, _ONE, opened)
                divide(sums[2], reset, new)
                subtract(projected, new, new)
                tanh(new, new)
                subtract(state, new, difference)
                divide(difference, update, difference)
                add(difference, new, following)
        frame.finish()

    def launch_before() -> None:
        frame.begin()
        with np.errstate(over="ignore"):
            for given, projected, state, following in rows:
                if state is zeros:
                    exp(given, sums)
                    add(sums, _ONE, sums)
                    tanh(projected, new)
                else:
                    matmul(state, gated, product)
                    subtract(given, by_gate, sums)
                    exp(sums, sums)
                    add(sums, _ONE, sums)
                    divide(state, reset, difference)
                    matmul(difference, last, new)
                    add(new, projected, new)
                    tanh(new, new)
                subtract(state, new, difference)
                divide(difference, update, difference)
                add(difference, new, following)
        frame.finish()

    return launch_after if after else launch_before


def _general_gru(layer: Layer) -> Launch:
    frame = _gru_frame(layer, negated=False)
    after, hidden = layer.linear_before_reset, layer.recurrent.shape[3]
    weight = layer.recurrent.swapaxes(-1, -2)
    gated, last = (weight, weight) if after else (weight[..., : 2 * hidden], weight[..., 2 * hidden :])
    (gate_function, new_function), limit = layer.functions(), _limit(layer)
    product, by_gate, sums = frame.product, frame.by_gate, frame.sums
    new, difference, spare = frame.work
    count = sums.shape[0]
    rows = list(zip(frame.inputs, frame.states, frame.states[1:], frame.ended, strict=False))

    def launch() -> None:
        frame.begin()
        if after:
            np.copyto(frame.inputs[:, 2], frame.recurrent_bias[2])
        for given, state, following, ended in rows:
            np.matmul(state, gated, product)
            np.add(given[:count], by_gate, sums)
            limit(sums[:2])
            for gate in sums[:2]:
                gate_function(gate, spare)
            if after:
                np.multiply(sums[2], sums[1], new)
            else:
                np.multiply(state, sums[1], difference)
                np.matmul(difference, last, new)
            np.add(new, given[count], new)
            limit(new)
            new_function(new, spare)
            np.subtract(state, new, difference)
            np.multiply(difference, sums[0], difference)
            np.add(difference, new, following)
            if layer.lengths is not None:
                np.copyto(following, state, where=ended)
        frame.finish()

    return launch


def lstm(layer: Layer) -> Launch:
    """Gates i, o, f, c: c' = f c + i g, h' = o tanh(c'), with peepholes from c to i and f and from c' to o."""
    return _plain_lstm(layer) if layer.plain else _general_lstm(layer)


def _plain_lstm(layer: Layer) -> Launch:
    frame = Frame(layer, [Gate(0, 4, 0, negated=True)], slots=4, recurrent_gates=4, work=2)
    weight, product, by_gate, sums = layer.recurrent.swapaxes(-1, -2), frame.product, frame.by_gate, frame.sums
    opened, (admit, emit, keep, candidate) = sums[:3], sums
    cell, squashed = frame.work
    rows = list(zip(frame.inputs, frame.before, frame.states[1:], strict=True))
    zeros = frame.zeros
    matmul, subtract, add, divide, exp, tanh = np.matmul, np.subtract, np.add, np.divide, np.exp, np.tanh

    def launch() -> None:
        frame.begin()
        frame.start(cell, layer.cell)
        with np.errstate(over="ignore"):
            for given, state, following in rows:
                if state is zeros:
                    np.copyto(sums, given)
                else:
                    matmul(state, weight, product)
                    subtract(given, by_gate, sums)
                exp(opened, opened)
                add(opened, _ONE, opened)
                tanh(candidate, candidate)  # of the negated sum: −g
                divide(candidate, admit, candidate)
                divide(cell, keep, cell)
                subtract(cell, candidate, cell)
                tanh(cell, squashed)
                divide(squashed, emit, following)
        frame.finish(cell)

    return launch


def _general_lstm(layer: Layer) -> Launch:
    frame = Frame(layer, [Gate(0, 4, 0)], slots=4, recurrent_gates=4, work=4)
    weight, product, by_gate, sums = layer.recurrent.swapaxes(-1, -2), frame.product, frame.by_gate, frame.sums
    (gate_function, new_function, out_function), limit = layer.functions(), _limit(layer)
    admit, emit, keep, candidate = sums
    cell, fresh, spare, peeped = frame.work
    peepholes: Array | None = None
    if layer.peepholes is not None:  # (R, D, 3H) as (3, R, D, 1, H): i, o, f
        lead, hidden = layer.peepholes.shape[:2], layer.recurrent.shape[3]
        peepholes = layer.peepholes.reshape(*lead, 3, hidden).transpose(2, 0, 1, 3)[:, :, :, None]
    rows = list(zip(frame.inputs, frame.states, frame.states[1:], frame.ended, strict=False))

    def peep(gate: int, at: Array) -> None:
        if peepholes is not None:
            np.add(sums[gate], np.multiply(peepholes[gate], at, peeped), sums[gate])

    def launch() -> None:
        frame.begin()
        frame.start(cell, layer.cell)
        for given, state, following, ended in rows:
            np.matmul(state, weight, product)
            np.add(given, by_gate, sums)
            peep(0, cell)
            peep(2, cell)
            limit(admit)
            gate_function(admit, spare)
            if layer.input_forget:
                np.subtract(_ONE, admit, keep)
            else:
                limit(keep)
                gate_function(keep, spare)
            limit(candidate)
            new_function(candidate, spare)
            np.multiply(cell, keep, fresh)
            np.add(fresh, np.multiply(admit, candidate, spare), fresh)
            peep(1, fresh)
            limit(emit)
            gate_function(emit, spare)
            if layer.lengths is not None:
                np.copyto(fresh, cell, where=ended)
            np.copyto(cell, fresh)
            out_function(fresh, spare)
            np.multiply(fresh, emit, following)
            if layer.lengths is not None:
                np.copyto(following, state, where=ended)
        frame.finish(cell)

    return launch


class _Limit:
    """Clips in place to ± `bound`; 0 clips nothing."""

    def __init__(self, bound: float) -> None:
        self._bound = np.float32(bound)

    def __call__(self, array: Array) -> None:
        if self._bound:
            np.minimum(array, self._bound, out=array)
            np.maximum(array, -self._bound, out=array)


def _limit(layer: Layer) -> _Limit:
    return _Limit(layer.clip)
