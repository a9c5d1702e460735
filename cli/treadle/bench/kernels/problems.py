"""The three products of Jain et al. 2018, Table 1, and what the paper says of them."""

from __future__ import annotations

from dataclasses import dataclass

from treadle_agent.executor.gpu_model import Product

GEOMEAN = "geomean"
SHOWN = (10, 20)  # R, the number of problems, of the table's rows
RANGE = range(2, 121)  # R of its geometric means
OVER_TIME = 7.71  # text of §4: conv2_2 against sharing by time, geometric mean


@dataclass(frozen=True, slots=True)
class Problem:
    """A product, and the paper's geometric mean of its super-kernel's speed over the next best of time and space.

    The paper itself was not at hand: 3.23 and the figure over time stand in its abstract and in that of Jain et al.
    2019, 2.48 and 4.93 are quoted from memory, and its rows for single R are not quoted at all.
    """

    name: str
    product: Product
    paper: float


PROBLEMS = (
    Problem("rnn", Product(512, 1, 512), 2.48),
    Problem("conv2_2", Product(256, 128, 1152), 3.23),
    Problem("square", Product(256, 256, 256), 4.93),
)
