"""LSTM, GRU and RNN: how a node of any opset becomes a canonical kernel. `cells` runs it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import cast

from treadle_agent.program.model import Attribute
from treadle_agent.program.ops.cells import gru, lstm, rnn
from treadle_agent.program.ops.launching import chain
from treadle_agent.program.ops.problems import pieces
from treadle_agent.program.ops.recurrence import FRAME_BYTES, Layer, problem_bytes
from treadle_agent.program.ops.recurrent_activations import resolve
from treadle_agent.program.ops.registry import (
    LAYOUT,
    Array,
    Attributes,
    Canonical,
    Launch,
    Layout,
    Node,
    UnsupportedError,
    kernel,
    operator,
)
from treadle_agent.program.ops.scratch import per_thread

Inputs = Sequence[Array | None]

DEFAULTS = {"LSTM": ("Sigmoid", "Tanh", "Tanh"), "GRU": ("Sigmoid", "Tanh"), "RNN": ("Tanh",)}
RESULTS = {"LSTM": ("Y", "Y_h", "Y_c"), "GRU": ("Y", "Y_h"), "RNN": ("Y", "Y_h")}
DIRECTIONS = {"forward": 1, "reverse": 1, "bidirectional": 2}
# Weights with a row for each number that they are multiplied with: products of one or a few rows take less time so.
_BY_INPUT = Layout(operands=(1, 2), axes=(0, 2, 1), attribute="weights_by_input")


@operator("LSTM", "GRU", "RNN", oldest=7, newest=22)
def _normalise(node: Node) -> Canonical:
    given = node.attributes
    data = node.types[0]
    assert data is not None
    if data.dtype != "float32":
        raise UnsupportedError(f"type {data.dtype}")
    direction = _text(given.get("direction", "forward"))
    if direction not in DIRECTIONS:
        raise UnsupportedError(f"direction {direction}")
    names = [_text(name) for name in given.get("activations", ())] or [*DEFAULTS[node.op]] * DIRECTIONS[direction]
    functions = resolve(names, list(given.get("activation_alpha", ())), list(given.get("activation_beta", ())))
    results = RESULTS[node.op]
    present = tuple(name for name, type_ in zip(results, node.outputs, strict=False) if type_ is not None)
    attributes: dict[str, Attribute] = {
        "direction": direction,
        "activations": tuple(name for name, _, _ in functions),
        "alphas": tuple(alpha for _, alpha, _ in functions),
        "betas": tuple(beta for _, _, beta in functions),
        "clip": float(given.get("clip", 0.0)),
        "batch_first": bool(given.get("layout", 0)),
        "results": present,
    }
    if node.op == "GRU":
        attributes["linear_before_reset"] = bool(given.get("linear_before_reset", 0))
    if node.op == "LSTM":
        attributes["input_forget"] = bool(given.get("input_forget", 0))
    inputs = 8 if node.op == "LSTM" else 6
    operands = tuple(i if i < len(node.types) and node.types[i] is not None else None for i in range(inputs))
    return Canonical(node.op, attributes, operands)


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _layer(attributes: Attributes, inputs: Inputs, outputs: Sequence[Array]) -> Layer:
    names = cast("tuple[str, ...]", attributes["activations"])
    alphas = cast("tuple[float, ...]", attributes["alphas"])
    betas = cast("tuple[float, ...]", attributes["betas"])
    data, weight, recurrent, bias, lengths, hidden, cell, peepholes = (*inputs, None, None)[:8]
    assert data is not None
    assert weight is not None
    assert recurrent is not None
    if attributes.get(_BY_INPUT.attribute):  # views in ONNX's order, of which the cells take the transpose again
        weight, recurrent = weight.swapaxes(-1, -2), recurrent.swapaxes(-1, -2)
    return Layer(
        directions=("forward", "reverse")
        if attributes["direction"] == "bidirectional"
        else (str(attributes["direction"]),),
        activations=tuple(zip(names, alphas, betas, strict=True)),
        clip=float(cast("float", attributes["clip"])),
        batch_first=bool(attributes["batch_first"]),
        linear_before_reset=bool(attributes.get("linear_before_reset")),
        input_forget=bool(attributes.get("input_forget")),
        data=data,
        weight=weight,
        recurrent=recurrent,
        bias=bias,
        lengths=lengths,
        hidden=hidden,
        cell=cell,
        peepholes=peepholes,
        outputs=dict(zip(cast("tuple[str, ...]", attributes["results"]), outputs, strict=True)),
    )


def _bind(cell: Callable[[Layer], Launch], attributes: Attributes, inputs: Inputs, outputs: Sequence[Array]) -> Launch:
    whole = _layer(attributes, inputs, outputs)
    if not outputs:
        return lambda: None
    per_direction = len(whole.activations) // len(whole.directions)
    alike = whole.activations == whole.activations[:per_direction] * len(whole.directions)
    layers = [whole] if alike else [whole.of_direction(i) for i in range(len(whole.directions))]
    return chain(
        *[
            cell(layer.of_problems(problems))
            for layer in layers
            for (problems,) in pieces((layer.problems,), problem_bytes(layer), FRAME_BYTES)
        ]
    )


LAYOUT.update(dict.fromkeys(RESULTS, _BY_INPUT))
kernel("RNN")(per_thread(partial(_bind, rnn)))
kernel("GRU")(per_thread(partial(_bind, gru)))
kernel("LSTM")(per_thread(partial(_bind, lstm)))
