"""Activation functions: short chains of ufuncs that keep their intermediate results in the output where they can."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from treadle_agent.program.ops.launching import call, chain, constant, copy, float_of, given, negated
from treadle_agent.program.ops.reading import FLOAT, SIGNED, number, operands
from treadle_agent.program.ops.registry import (
    Array,
    Attributes,
    Canonical,
    Launch,
    Node,
    UnsupportedError,
    aligned,
    kernel,
    operator,
)
from treadle_agent.program.ops.scratch import per_thread, scratch


@operator("Relu", oldest=6, newest=14)
def _relu(node: Node) -> Canonical:
    """Of float32, int32, int64."""
    return Canonical("Relu", {}, operands(node, SIGNED))


@kernel("Relu")
def _bind_relu(attributes: Attributes, inputs: Sequence[Array | None], outputs: Sequence[Array]) -> Launch:
    del attributes
    return call(np.maximum, given(inputs[0]), constant(0, outputs[0]), out=outputs[0])


@operator("LeakyRelu", oldest=6, newest=16)
def _leaky_relu(node: Node) -> Canonical:
    return Canonical("LeakyRelu", {"alpha": number(node, "alpha", 0.01)}, operands(node, FLOAT))


@kernel("LeakyRelu")
def _bind_leaky_relu(attributes: Attributes, inputs: Sequence[Array | None], outputs: Sequence[Array]) -> Launch:
    source, (out,) = given(inputs[0]), outputs
    alpha = float_of(attributes, "alpha")
    pick = np.maximum if alpha <= 1 else np.minimum
    return chain(call(np.multiply, source, constant(alpha, out), out=out), call(pick, source, out, out=out))


@operator("PRelu", oldest=9, newest=16)
def _prelu(node: Node) -> Canonical:
    return Canonical("PRelu", {}, operands(node, FLOAT))


@kernel("PRelu")
@per_thread
def _bind_prelu(attributes: Attributes, inputs: Sequence[Array | None], outputs: Sequence[Array]) -> Launch:
    del attributes
    (out,) = outputs
    source, slope = (aligned(given(one), out.ndim - 1) for one in inputs)
    (kept,) = scratch(source.shape, dtype="bool")
    return chain(
        call(np.multiply, source, slope, out=out),
        call(np.greater_equal, source, constant(0, out), out=kept),
        partial(np.copyto, out, source, where=kept),
    )


@operator("ThresholdedRelu", oldest=10, newest=22)
def _thresholded_relu(node: Node) -> Canonical:
    return Canonical("ThresholdedRelu", {"alpha": number(node, "alpha", 1.0)}, operands(node, FLOAT))


@kernel("ThresholdedRelu")
@per_thread
def _bind_thresholded_relu(attributes: Attributes, inputs: Sequence[Array | None], outputs: Sequence[Array]) -> Launch:
    source, (out,) = given(inputs[0]), outputs
    (kept,) = scratch(source.shape, dtype="bool")
    return chain(
        call(np.greater, source, constant(float_of(attributes, "alpha"), out), out=kept),
        copy(constant(0, out), out),
        partial(np.copyto, out, source, where=kept),
    )


@operator("Elu", oldest=6, newest=22)
def _elu(node: Node) -> Canonical:
    return Canonical("Elu", {"alpha": number(node, "alpha", 1), "beta": 1.0, "gamma": 1.0}, operands(node, FLOAT))


@operator("Selu", oldest=6, newest=22)
def _selu(node: Node) -> Canonical:
    alpha, gamma = number(node, "alpha", 1.67326319217681884765625), number(node, "gamma", 1.05070102214813232421875)
    return Canonical("Elu", {"alpha": alpha, "beta": 1.0, "gamma": gamma}, operands(node, FLOAT))


@operator("Celu", oldest=12, newest=28)
def _celu(node: Node) -> Canonical:
    """With alpha above zero."""
    alpha = number(node, "alpha", 1)
    if alpha <= 0:
        raise UnsupportedError(f"attribute alpha is {alpha}; supported: above zero")
    return Canonical("Elu", {"alpha": alpha, "beta": alpha, "gamma": 1.0}, operands(node, FLOAT))


@kernel("Elu")
@per_thread
def _bind_elu(attributes: Attributes, inputs: Sequence[Array | None], outputs: Sequence[Array]) -> Launch:
    """``gamma * (alpha * expm1(min(x, 0) / beta) + max(x, 0))``."""
    source, (out,) = given(inputs[0]), outputs
    alpha, beta, gamma = (float_of(attributes, name) for name in ("alpha", "beta", "gamma"))
    zero, (negative,) = constant(0, out), scratch(out.shape)
    steps = [call(np.minimum, source, zero, out=negative)]
    if beta != 1:
        steps.append(call(np.divide, negative, constant(beta, out), out=negative))
    steps.append(call(np.expm1, negative, out=negative))
    if alpha != 1:
        steps.append(call(np.multiply, negative, constant(alpha, out), out=negative))
    steps += (call(np.maximum, source, zero, out=out), call(np.add, out, negative, out=out))
    if gamma != 1:
        steps.append(call(np.multiply, out, constant(gamma, out), out=out))
    return chain(*steps)


def sigmoid(source: Array, out: Array) -> list[Launch]:
    """``1 / (1 + exp(-source))``; exp overflows to infinity below -88, whose reciprocal is the right answer."""
    one = constant(1, out)
    return [
        negated(source, out),
        call(np.exp, out, out=out),
        call(np.add, out, one, out=out),
        call(np.reciprocal, out, out=out),
    ]


@operator("Sigmoid", oldest=6, newest=13)
def _sigmoid(node: Node) -> Canonical:
    return Canonical("Sigmoid", {}, operands(node, FLOAT))


@kernel("Sigmoid")
def _bind_sigmoid(attributes: Attributes, inputs: Sequence[Array | None], outputs: Sequence[Array]) -> Launch:
    del attributes
    return chain(*sigmoid(given(inputs[0]), outputs[0]))


@operator("HardSigmoid", oldest=6, newest=22)
def _hard_sigmoid(node: Node) -> Canonical:
    attributes = {"alpha": number(node, "alpha", 0.2), "beta": number(node, "beta", 0.5)}
    return Canonical("HardSigmoid", attributes, operands(node, FLOAT))


@operator("HardSwish", oldest=14, newest=22)
def _hard_swish(node: Node) -> Canonical:
    return Canonical("HardSwish", {"alpha": 1 / 6, "beta": 0.5}, operands(node, FLOAT))


def _hard_sigmoid_steps(attributes: Attributes, source: Array, out: Array) -> list[Launch]:
    return [
        call(np.multiply, source, constant(float_of(attributes, "alpha"), out), out=out),
        call(np.add, out, constant(float_of(attributes, "beta"), out), out=out),
        call(np.maximum, out, constant(0, out), out=out),
        call(np.minimum, out, constant(1, out), out=out),
    ]


@kernel("HardSigmoid")
def _bind_hard_sigmoid(attributes: Attributes, inputs: Sequence[Array | None], outputs: Sequence[Array]) -> Launch:
    return chain(*_hard_sigmoid_steps(attributes, given(inputs[0]), outputs[0]))


@kernel("HardSwish")
def _bind_hard_swish(attributes: Attributes, inputs: Sequence[Array | None], outputs: Sequence[Array]) -> Launch:
    source, (out,) = given(inputs[0]), outputs
    return chain(*_hard_sigmoid_steps(attributes, source, out), call(np.multiply, out, source, out=out))


@operator("Swish", oldest=24, newest=24)
def _swish(node: Node) -> Canonical:
    return Canonical("Swish", {"alpha": number(node, "alpha", 1)}, operands(node, FLOAT))


@kernel("Swish")
def _bind_swish(attributes: Attributes, inputs: Sequence[Array | None], outputs: Sequence[Array]) -> Launch:
    source, (out,) = given(inputs[0]), outputs
    alpha = constant(float_of(attributes, "alpha"), out)
    return chain(call(np.multiply, source, alpha, out=out), *sigmoid(out, out), call(np.multiply, out, source, out=out))


def softplus(source: Array, out: Array) -> list[Launch]:
    """``max(x, 0) + log1p(exp(-|x|))``, which neither overflows nor cancels."""
    (positive,) = scratch(out.shape)
    return [
        call(np.absolute, source, out=out),
        negated(out, out),
        call(np.exp, out, out=out),
        call(np.log1p, out, out=out),
        call(np.maximum, source, constant(0, out), out=positive),
        call(np.add, out, positive, out=out),
    ]


@operator("Softplus", oldest=1, newest=22)
def _softplus(node: Node) -> Canonical:
    return Canonical("Softplus", {}, operands(node, FLOAT))


@kernel("Softplus")
@per_thread
def _bind_softplus(attributes: Attributes, inputs: Sequence[Array | None], outputs: Sequence[Array]) -> Launch:
    del attributes
    return chain(*softplus(given(inputs[0]), outputs[0]))


@operator("Mish", oldest=18, newest=22)
def _mish(node: Node) -> Canonical:
    return Canonical("Mish", {}, operands(node, FLOAT))


@kernel("Mish")
@per_thread
def _bind_mish(attributes: Attributes, inputs: Sequence[Array | None], outputs: Sequence[Array]) -> Launch:
    del attributes
    source, (out,) = given(inputs[0]), outputs
    return chain(*softplus(source, out), call(np.tanh, out, out=out), call(np.multiply, out, source, out=out))


@operator("Softsign", oldest=1, newest=22)
def _softsign(node: Node) -> Canonical:
    return Canonical("Softsign", {}, operands(node, FLOAT))


@kernel("Softsign")
def _bind_softsign(attributes: Attributes, inputs: Sequence[Array | None], outputs: Sequence[Array]) -> Launch:
    del attributes
    source, (out,) = given(inputs[0]), outputs
    return chain(
        call(np.absolute, source, out=out),
        call(np.add, out, constant(1, out), out=out),
        call(np.divide, source, out, out=out),
    )
