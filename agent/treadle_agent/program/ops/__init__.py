"""The operators treadle executes, a module a family, each bound over a leading axis of problems.

Importing this package fills the table of `registry`.
"""

from treadle_agent.program.ops import (
    activations,
    arithmetic,
    casting,
    convolution,
    elementwise,
    error_function,
    generation,
    indexing,
    matmul,
    movement,
    normalization,
    padding,
    pooling,
    recurrent,
    reduction,
    resize,
    selection,
    softmax,
)

__all__ = [
    "activations",
    "arithmetic",
    "casting",
    "convolution",
    "elementwise",
    "error_function",
    "generation",
    "indexing",
    "matmul",
    "movement",
    "normalization",
    "padding",
    "pooling",
    "recurrent",
    "reduction",
    "resize",
    "selection",
    "softmax",
]
