"""What a program's kernels are on a GPU: launches with their operands' places, apart from any problem's addresses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from treadle_agent.executor.cuda.tables import SHAPE

Space = Literal["slot", "row", "constants"]


@dataclass(frozen=True, slots=True)
class Place:
    """Where an operand lies: bytes into the problem's arena slot, its slab row, or the program's constants."""

    space: Space
    offset: int


@dataclass(frozen=True, slots=True)
class Product:
    """``C = alpha A B + beta bias`` of each problem, `batch` times; (row, column) strides in elements.

    `batch`: byte offsets of each further matrix behind the first, of a, b, c. `halves`: whether a, and b, are float16.
    """

    a: Place
    b: Place
    c: Place
    bias: Place | None
    extents: tuple[int, int, int]  # m, n, k
    a_strides: tuple[int, int]
    b_strides: tuple[int, int]
    c_strides: tuple[int, int]
    bias_strides: tuple[int, int]
    alpha: float
    beta: float
    batch: tuple[tuple[int, int, int], ...]
    halves: tuple[bool, bool] = (False, False)

    @property
    def matrices(self) -> tuple[int, int, int]:
        """Rows and columns of a matrix of one problem's result, and how many there are."""
        m, n, _ = self.extents
        return m, n, len(self.batch)


@dataclass(frozen=True, slots=True)
class Convolution:
    """A convolution of each problem; `shape` in the order of `tables.SHAPE`; `half`: whether its weight is float16."""

    data: Place
    weight: Place
    bias: Place | None
    result: Place
    shape: tuple[int, ...]
    half: bool = False

    @property
    def matrices(self) -> tuple[int, int, int]:
        """As of a product: filters by places, for each group."""
        shape = dict(zip(SHAPE.names or (), self.shape, strict=True))
        groups = shape["groups"]
        return shape["filters"] // groups, shape["samples"] * shape["out_height"] * shape["out_width"], groups


@dataclass(frozen=True, slots=True)
class Points:
    """A generated kernel that computes `elements` elements of each problem."""

    name: str
    elements: int
    body: str


@dataclass(frozen=True, slots=True)
class Rows:
    """A generated kernel with a block for each of `rows` rows of a problem."""

    name: str
    rows: int
    body: str


Step = Product | Convolution | Points | Rows


@dataclass(frozen=True, slots=True)
class Lowered:
    """One kernel of the GPU: a product, a convolution, or a fused run; `covers`: kernels of the program in it."""

    signature: str
    step: Step | None  # None: nothing to compute, an output has no elements
    covers: int
