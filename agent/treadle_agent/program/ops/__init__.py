"""The operators treadle executes, a module a family, each bound over a leading axis of problems.

Importing this package fills the table of `registry`.
"""

from treadle_agent.program.ops import (
    activations,
    arithmetic,
    casting,
    elementwise,
    error_function,
    generation,
    indexing,
    movement,
    padding,
    reduction,
    selection,
    softmax,
)

__all__ = [
    "activations",
    "arithmetic",
    "casting",
    "elementwise",
    "error_function",
    "generation",
    "indexing",
    "movement",
    "padding",
    "reduction",
    "selection",
    "softmax",
]
