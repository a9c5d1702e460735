"""What is measured at load, and what is decided by it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import treadle_agent.program.ops.arithmetic  # noqa: F401 - fills the table
from treadle_agent.executor import tuner
from treadle_agent.executor.slab import Slab
from treadle_agent.executor.tuner import MEASURED, HostTuner, Profile, merging_is_over, merging_wins, profile
from treadle_agent.policy.latency import Correction
from treadle_agent.program.artifact import WeightEntry
from treadle_agent.program.model import Activation, Kernel, Port, Program, TensorType, Weight

ROW = TensorType("float32", (16,))
US = 1e-6

LOSES_AT_64 = Profile(((1, 20 * US), (8, 80 * US), (64, 64 * 40 * US)), (0.0, 1.0))  # 20, 10, 40 us a request
WARM = Profile(((1, 15 * US),), (1.0,))
COLD = Profile(((1, 15 * US), (8, 8 * 15 * US), (64, 64 * 60 * US)), (1.0,))  # 15, 15, 60


@pytest.mark.parametrize(
    ("segments", "tenants", "wins"),
    [(WARM, 1, False), (WARM, 8, True), (WARM, 64, False), (WARM, 1000, False), (COLD, 8, True), (COLD, 64, True)],
)
def test_merging_is_judged_by_what_was_measured_for_so_many_tenants(
    segments: Profile, tenants: int, wins: bool
) -> None:
    assert merging_wins(LOSES_AT_64, segments, tenants) == wins


@pytest.mark.parametrize(
    ("segments", "tenants", "over"), [(WARM, 1, False), (WARM, 8, False), (WARM, 64, True), (COLD, 64, False)]
)
def test_merging_is_over_where_it_loses_for_so_many_and_for_all_more(
    segments: Profile, tenants: int, over: bool
) -> None:
    assert merging_is_over(LOSES_AT_64, segments, tenants) == over


@pytest.mark.parametrize(("loss", "over"), [(0.04, False), (0.06, True)])
def test_merging_is_not_over_for_what_may_be_noise(loss: float, over: bool) -> None:
    assert merging_is_over(WARM, Profile(((1, (1 - loss) * 15 * US),), (1.0,)), 1) == over


def test_who_can_run_in_one_way_only_runs_so() -> None:
    assert not merging_is_over(LOSES_AT_64, None, 64)
    assert merging_wins(LOSES_AT_64, None, 64)
    assert not merging_wins(None, WARM, 8)


def test_costs_lie_on_lines_between_what_was_measured_and_more_problems_never_take_less() -> None:
    made = profile({1: [10 * US, 10 * US], 2: [9 * US, 9 * US], 8: [20 * US, 60 * US], 64: [400 * US, 240 * US]})
    assert dict(made.points) == pytest.approx({1: 20 * US, 2: 20 * US, 8: 80 * US, 64: 640 * US})
    assert made.shares == pytest.approx((0.0, 0.25, 1.0))
    cost = made.cost(Correction(2.0))
    assert [cost.profiled(problems) / US for problems in (1, 2, 5, 8, 36, 64)] == pytest.approx(
        [20, 20, 50, 80, 360, 640]
    )
    assert cost.expected(36) == pytest.approx(720 * US)
    assert cost.profiled(65) == pytest.approx(650 * US)  # at hand
    assert cost.profiled(100) == pytest.approx(1000 * US)  # reckoned
    assert made.per_request(36) == pytest.approx(10 * US)
    assert profile({1: [1 * US], 2: [1.5 * US], 8: [2 * US]}).launch_in_problems() == pytest.approx(1.0)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "weights.bin"
    path.write_bytes(np.ones(16, np.float32).tobytes())
    return path


def merged(weights: Path) -> Profile | None:
    kernel = Kernel("Mul", (), (Activation(0), Weight(0)), (1,))
    program = Program((Port("x", 0),), (Port("y", 1),), (ROW, ROW), (0, 256), 512, (ROW,), (), (kernel,))
    return HostTuner().merged(program, Slab((WeightEntry(ROW, 0),), 64), weights)


def numbers(profile: Profile | None) -> list[int]:
    return [] if profile is None else [number for number, _ in profile.points]


def test_kernels_are_tried_up_to_as_many_problems_as_a_launch_takes(weights: Path) -> None:
    assert numbers(merged(weights)) == [*MEASURED] == [1, 2, 8, 32, 64]


@pytest.mark.parametrize(("nbytes", "tried"), [(64 * 40, [1, 2, 8, 32]), (64 * 8, [1, 2, 8]), (64 * 7, [])])
def test_no_trial_takes_more_weights_than_its_limit(
    weights: Path, monkeypatch: pytest.MonkeyPatch, nbytes: int, tried: list[int]
) -> None:
    monkeypatch.setattr(tuner, "LARGEST_TRIAL", nbytes)
    assert numbers(merged(weights)) == tried


def test_no_run_of_many_takes_longer_than_a_measurement_may(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuner, "fastest", lambda once: [len(once()) * tuner.BUDGET / 3])
    assert numbers(merged(weights)) == [1, 2, 8]


class Chain:
    """A segment chain that takes what it is told."""

    inputs = ("x",)
    length = 1
    weight_bytes = 1 << 10

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def run(self, tensors: dict[str, object], begin: int, end: int, clock: Callable[[], float]) -> list[float]:  # noqa: ARG002
        return [self.seconds]


def test_before_each_run_as_much_is_read_as_the_other_tenants_weights_are(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []

    class Others(np.ndarray):
        def max(self, **_: object) -> None:  # type: ignore[override]
            read.append(self.size)

    ones = np.ones
    monkeypatch.setattr(np, "ones", lambda size, dtype: ones(size, dtype).view(Others))
    monkeypatch.setattr(tuner, "LARGEST_TRIAL", 50 << 10)
    HostTuner().segments(Chain(1e-3), [ROW])  # type: ignore[arg-type]
    assert list(dict.fromkeys(read)) == [0, 7 << 10, 50 << 10]
    assert read.count(7 << 10) == read.count(50 << 10) > 2


@pytest.mark.parametrize(("seconds", "tenants"), [(1e-3, [1, 8, 64]), (3e-3, [1])])
def test_short_segments_are_tried_with_other_tenants_weights_in_the_caches(seconds: float, tenants: list[int]) -> None:
    made = HostTuner().segments(Chain(seconds), [ROW])  # type: ignore[arg-type]
    assert numbers(made) == tenants
    assert made.per_request(tenants[-1]) == pytest.approx(seconds)
