"""Table 1 on the analytic GPU: every R of the paper, no clock."""

from __future__ import annotations

from collections.abc import Iterable

from treadle.bench.kernels.compare import Timing, rows
from treadle.bench.kernels.problems import GEOMEAN, PROBLEMS, RANGE, Problem
from treadle.bench.kernels.report import Ablation, Row
from treadle_agent.executor.gpu_model import Gpu, GpuModel, Rules

ABLATIONS = {
    "issue overlapped": Rules(overlapped_issue=True),
    "no matrix-vector rule": Rules(matrix_vector=False),
    "no traffic term": Rules(traffic=False),
    "32 kernels at once": Rules(at_once=32),
}


def timing(model: GpuModel, problem: Problem, r: int) -> Timing:
    """R problems shared each way."""
    works = [problem.product] * r
    return Timing(model.one_after_another(works), model.at_once(works), model.launch(problem.product, r))


def table(model: GpuModel) -> Iterable[Row]:
    """All rows."""
    for problem in PROBLEMS:
        yield from rows(problem, {r: timing(model, problem, r) for r in RANGE})


def ablations(gpu: Gpu) -> Iterable[Ablation]:
    """The geometric means with one rule changed at a time."""
    for rule, rules in ABLATIONS.items():
        yield Ablation(rule, tuple(row for row in table(GpuModel(gpu, rules)) if row.r == GEOMEAN))
