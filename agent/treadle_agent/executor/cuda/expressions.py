"""Element-wise operators as C expressions. They mean what the host's do (program/ops): NaN wins a maximum, integers
divide towards zero, and what a sigmoid overflows to is right.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from treadle_agent.program.model import Attribute, DType

C_TYPES: dict[DType, str] = {
    "float32": "float",
    "int32": "int",
    "int64": "long long",
    "bool": "byte",
    "uint8": "byte",
}

Attributes = Mapping[str, Attribute]
# The C expression of an operator for its operands' expressions (None: omitted) and the type of the first.
Expression = Callable[[Sequence[str | None], Attributes, DType], str]


def literal(value: float) -> str:
    """A float32 constant in C, bits kept."""
    if value != value:
        return "__int_as_float(0x7fc00000)"
    if value in (float("inf"), float("-inf")):
        return "__int_as_float(0x7f800000)" if value > 0 else "__int_as_float((int)0xff800000)"
    return f"{value!r}f" if "." in repr(value) or "e" in repr(value) else f"{value!r}.0f"


def _unary(template: str) -> Expression:
    def expression(operands: Sequence[str | None], attributes: Attributes, _: DType) -> str:
        numbers = {name: literal(_float(value)) for name, value in attributes.items()}
        return template.format(x=operands[0], **numbers)

    return expression


def _binary(template: str) -> Expression:
    return lambda operands, _, __: template.format(x=operands[0], y=operands[1])


def _fold(template: str) -> Expression:
    def expression(operands: Sequence[str | None], attributes: Attributes, _: DType) -> str:
        result = str(operands[0])
        for one in operands[1:]:
            result = template.format(x=result, y=one)
        return f"({result} / {len(operands)}.0f)" if attributes.get("mean") else result

    return expression


def _float(value: Attribute) -> float:
    assert isinstance(value, int | float)
    return float(value)


_LARGER = "larger({x}, {y})"
_SMALLER = "smaller({x}, {y})"


def _clip(operands: Sequence[str | None], _: Attributes, __: DType) -> str:
    value, low, high = operands
    result = str(value)
    if low is not None:
        result = _LARGER.format(x=result, y=low)
    return result if high is None else _SMALLER.format(x=result, y=high)


def _gelu(operands: Sequence[str | None], attributes: Attributes, _: DType) -> str:
    x = operands[0]
    if attributes["approximate"] == "tanh":
        inner = f"tanhf({x} * (0.7978845608028654f + 0.035677408136300125f * {x} * {x}))"
    else:
        inner = f"erff({x} * 0.7071067811865476f)"
    return f"(0.5f * {x} * (1.0f + {inner}))"


def _div(operands: Sequence[str | None], _: Attributes, dtype: DType) -> str:
    x, y = operands
    return f"({x} / {y})" if dtype == "float32" else f"({y} == 0 ? 0 : {x} / {y})"


def _normalised(operands: Sequence[str | None], attributes: Attributes, _: DType) -> str:
    data, scale, bias, mean, variance = operands
    factor = f"({scale} / sqrtf({variance} + {literal(_float(attributes['epsilon']))}))"
    return f"({data} * {factor} + ({bias} - {mean} * {factor}))"


_SOFTPLUS = "(fmaxf({x}, 0.0f) + log1pf(expf(-fabsf({x}))))"
_HARD_SIGMOID = "smaller(larger({x} * {alpha} + {beta}, 0.0f), 1.0f)"

EXPRESSIONS: dict[str, Expression] = {
    "Abs": _unary("({x} < 0 ? -{x} : {x})"),
    "Add": _binary("({x} + {y})"),
    "And": _binary("({x} && {y})"),
    "BatchNormalization": _normalised,
    "Cast": _unary("{x}"),
    "Ceil": _unary("ceilf({x})"),
    "Clip": _clip,
    "Cos": _unary("cosf({x})"),
    "Div": _div,
    "Elu": _unary("({gamma} * ({x} > 0.0f ? {x} : {alpha} * expm1f({x} / {beta})))"),
    "Equal": _binary("({x} == {y})"),
    "Erf": _unary("erff({x})"),
    "Exp": _unary("expf({x})"),
    "Expand": _unary("{x}"),
    "Floor": _unary("floorf({x})"),
    "Gelu": _gelu,
    "Greater": _binary("({x} > {y})"),
    "GreaterOrEqual": _binary("({x} >= {y})"),
    "HardSigmoid": _unary(_HARD_SIGMOID),
    "HardSwish": _unary("({x} * " + _HARD_SIGMOID + ")"),
    "LeakyRelu": _unary("({x} < 0.0f ? {x} * {alpha} : {x})"),
    "Less": _binary("({x} < {y})"),
    "LessOrEqual": _binary("({x} <= {y})"),
    "Log": _unary("logf({x})"),
    "Max": _fold(_LARGER),
    "Min": _fold(_SMALLER),
    "Mish": _unary("({x} * tanhf(" + _SOFTPLUS + "))"),
    "Mul": _binary("({x} * {y})"),
    "Neg": _unary("(-{x})"),
    "Not": _unary("(!{x})"),
    "Or": _binary("({x} || {y})"),
    "PRelu": _binary("({x} >= 0.0f ? {x} : {x} * {y})"),
    "Reciprocal": _unary("(1.0f / {x})"),
    "Relu": _unary("larger({x}, 0)"),
    "Reshape": _unary("{x}"),
    "Round": _unary("rintf({x})"),
    "Sigmoid": _unary("(1.0f / (1.0f + expf(-{x})))"),
    "Sign": _unary("({x} != {x} ? {x} : ({x} > 0) - ({x} < 0))"),
    "Sin": _unary("sinf({x})"),
    "Softplus": _unary(_SOFTPLUS),
    "Softsign": _unary("({x} / (1.0f + fabsf({x})))"),
    "Sqrt": _unary("sqrtf({x})"),
    "Sub": _binary("({x} - {y})"),
    "Sum": _fold("({x} + {y})"),
    "Swish": _unary("({x} / (1.0f + expf(-({x} * {alpha}))))"),
    "Tanh": _unary("tanhf({x})"),
    "ThresholdedRelu": _unary("({x} > {alpha} ? {x} : 0.0f)"),
    "Where": lambda operands, _, __: f"({operands[0]} ? {operands[1]} : {operands[2]})",
    "Xor": _binary("(!{x} != !{y})"),
}


def converted(expression: str, dtype: DType) -> str:
    """`expression` as a value of a type; what is not zero is true."""
    return f"({expression}) != 0" if dtype == "bool" else f"({C_TYPES[dtype]})({expression})"
