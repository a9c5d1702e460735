"""Table 1 of 2018 on the simulated V100: the committed result is today's, reaches its targets; ablations matter."""

import math

import pytest

from treadle.bench.kernels import simulated
from treadle.bench.kernels.checks import checks
from treadle.bench.kernels.compare import Timing, rows
from treadle.bench.kernels.problems import GEOMEAN, PROBLEMS
from treadle_agent.executor.gpu_model import GPUS, GpuModel

TABLE = list(simulated.table(GpuModel(GPUS["V100"])))
ABLATIONS = {one.rule: {row.problem: row for row in one.rows} for one in simulated.ablations(GPUS["V100"])}
MEANS = {row.problem: row for row in TABLE if row.r == GEOMEAN}


def test_every_target_is_reached():
    assert [check.name for check in checks(TABLE) if not check.reached] == []


def test_a_table_that_misses_is_told():
    spoilt = list(simulated.table(GpuModel(GPUS["V100"], simulated.ABLATIONS["no traffic term"])))
    assert "geomean-rnn" in [check.name for check in checks(spoilt) if not check.reached]
    first = list(simulated.table(GpuModel(GPUS["V100"], simulated.ABLATIONS["32 kernels at once"])))
    assert [check.name for check in checks(first) if not check.reached] == ["order"]


def test_overlapped_issue_takes_from_merging_where_streams_do():
    for problem in ("conv2_2", "square"):
        assert ABLATIONS["issue overlapped"][problem].ratio < 0.8 * MEANS[problem].ratio


def test_without_the_matrix_vector_rule_only_rnn_changes():
    changed = ABLATIONS["no matrix-vector rule"]
    assert changed["rnn"].over_time > 2 * MEANS["rnn"].over_time
    for problem in ("conv2_2", "square"):
        assert changed[problem] == MEANS[problem]


def test_without_traffic_merging_gains_more():
    for problem, row in ABLATIONS["no traffic term"].items():
        assert row.ratio > MEANS[problem].ratio


def test_ratios_of_one_timing():
    timing = Timing(time=8.0, space=4.0, merged=2.0)
    assert (timing.ratio, timing.over_time, timing.next_best) == (2.0, 4.0, "space")
    assert Timing(4.0, 4.0 - 1e-12, 2.0).next_best == "time"  # a tie


def test_the_mean_is_geometric_over_all_counts():
    timings = {10: Timing(4, 2, 1), 20: Timing(9, 8, 1), 40: Timing(3, 6, 3)}
    *single, mean = rows(PROBLEMS[0], timings)
    assert [row.r for row in single] == ["10", "20"]
    assert [row.ratio for row in single] == pytest.approx([2, 8])
    assert mean.ratio == pytest.approx(math.cbrt(2 * 8 * 1))
    assert mean.next_best == "space"
    assert mean.paper == PROBLEMS[0].paper
