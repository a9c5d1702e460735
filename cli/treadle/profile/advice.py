"""Which tile and how many problems a kernel wants on a simulated GPU: alone, and in company (2019, Table 1). Pure."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import takewhile

from treadle.profile.report import KernelRow
from treadle_agent.executor.gpu_model import GpuModel, Product
from treadle_agent.executor.gpu_work import Step, kernel_seconds, steps
from treadle_agent.executor.super_kernel import signature
from treadle_agent.program.model import Kernel, Program

PROBLEMS = 64  # merged at most: the executor's own limit
ENOUGH = 1.05  # times the best seconds a problem: more problems gain little beyond


def rows(model: GpuModel, name: str, program: Program) -> Iterator[KernelRow]:
    """One row for each distinct signature of a program, in order of first use."""
    counts: dict[str, int] = {}
    firsts: dict[str, Kernel] = {}
    for kernel in program.kernels:
        text = signature(program, kernel)
        counts[text] = counts.get(text, 0) + 1
        firsts.setdefault(text, kernel)
    for text, kernel in firsts.items():
        each = {r: kernel_seconds(model, program, kernel, r) / r for r in _powers()}
        problems = next(r for r in _powers() if each[r] <= ENOUGH * min(each.values()))
        largest = max(steps(program, kernel), key=_flops)
        greedy, collaborative = _tiles(model, largest, problems)
        yield KernelRow(
            model=name, signature=text, count=counts[text], implementation="merged", greedy_tile=greedy,
            collaborative_tile=collaborative, problems=problems, alone_seconds=each[1], shared_seconds=each[problems],
        )  # fmt: skip


def _powers() -> Iterator[int]:
    return takewhile(lambda r: r <= PROBLEMS, (1 << power for power in range(32)))


def _flops(step: Step) -> float:
    return step.work.flops * step.problems if isinstance(step.work, Product) else 0.0


def _tiles(model: GpuModel, step: Step, problems: int) -> tuple[str, str]:
    """Of the launch with the most arithmetic; none where it is a pass over memory."""
    if not isinstance(step.work, Product):
        return "–", "–"
    alone = step.problems == 1 and step.work.is_matrix_vector and model.rules.matrix_vector
    both = (model.best_tile(step.work, count * step.problems) for count in (1, problems))
    first, second = (f"{tile.rows}×{tile.columns}" for tile in both)
    return "matrix-vector" if alone else first, "matrix-vector" if alone and problems == 1 else second
