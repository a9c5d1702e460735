"""What can be wrong with a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Triple(NamedTuple):
    """What treadle lacks to run a model: an operator, the operator's opset version, the element type it is used on."""

    operator: str
    opset: int
    type: str


class ModelError(Exception):
    """Raised when a model cannot be served; the message is for its owner, and says what to change.

    Attributes:
        unsupported: every (operator, opset, type) that treadle does not execute, when that is the reason.
    """

    def __init__(self, message: str, unsupported: tuple[Triple, ...] = ()) -> None:
        super().__init__(message)
        self.unsupported = unsupported


class UnmatchedWeightError(ModelError):
    """Raised when a binding needs a weight that the model's first program does not have."""


def unsupported(reasons: Mapping[Triple, str]) -> ModelError:
    """The error that lists all unsupported triples, each with its reason."""
    listed = "; ".join(f"{one.operator} (opset {one.opset}, {one.type}): {reason}" for one, reason in reasons.items())
    return ModelError(f"the model uses what treadle does not execute: {listed}", tuple(reasons))
