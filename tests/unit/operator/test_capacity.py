"""What a tenant is reckoned to cost: from profiles, from what an agent measured, or assumed."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import pytest
from operator_objects import (
    CPU,
    GPU,
    MIB,
    digest,
    make_node,
    make_profile,
    make_replica,
    make_snapshot,
    make_tenant,
    view_tenant,
)

from treadle_agent.executor.precision import stored
from treadle_agent.program.artifact import WeightEntry
from treadle_agent.program.model import TensorType
from treadle_api.replica import TierFigures
from treadle_api.tenant import Precision
from treadle_api.units import Bytes, Seconds, TenantName, TierName
from treadle_operator.policy.capacity import (
    FLOAT16_SHARE,
    LIMIT,
    UNKNOWN_LEAST,
    UNKNOWN_MEMORY,
    UNKNOWN_SECONDS,
    Demand,
    Knowledge,
)

MEASURED = TierFigures(TierName("t0"), digest("large"), "arch", "merged", Seconds(0.004), Bytes(7 * MIB))


def demand(snapshot, tenant, model: str = GPU, *, kept: bool = False) -> Demand:
    return Knowledge(snapshot).demand(tenant, model, kept=kept)


def test_a_profile_tells_seconds_latency_memory_and_architecture() -> None:
    profile = make_profile("large", 0.010, p99=0.013, memory=33 * MIB, architecture="a")
    best = demand(make_snapshot(profiles=[profile]), make_tenant(models=["large"])).best
    assert best is not None
    assert (best.seconds, best.p99, best.memory, best.architecture) == (0.010, 0.013, 33 * MIB, "a")


def test_without_a_profile_what_an_agent_measured_counts_on_devices_of_its_model_only() -> None:
    tenant = make_tenant(models=["large"], deadline=1.0)
    view = view_tenant(tenant)
    snapshot = make_snapshot([view], [make_node("n0")], [make_replica(view, "n0/0", tiers=[MEASURED])])
    here, elsewhere = demand(snapshot, tenant).best, demand(snapshot, tenant, CPU).best
    assert here is not None
    assert elsewhere is not None
    assert (here.seconds, here.memory, here.architecture) == (0.004, 7 * MIB, "arch")
    assert elsewhere.seconds == UNKNOWN_SECONDS


@pytest.mark.parametrize(("deadline", "seconds"), [(0.02, 0.002), (10.0, UNKNOWN_SECONDS)])
def test_of_an_unknown_model_a_share_of_the_deadline_is_assumed(deadline: float, seconds: float) -> None:
    best = demand(make_snapshot(), make_tenant(models=["new"], deadline=deadline)).best
    assert best is not None
    assert (best.seconds, best.memory, best.architecture) == (pytest.approx(seconds), UNKNOWN_MEMORY, "")


@pytest.mark.parametrize(("rate", "seconds"), [(1.0, UNKNOWN_SECONDS), (400.0, 0.001), (1e6, UNKNOWN_LEAST)])
def test_an_unknown_model_is_trusted_with_its_load_but_not_with_any(rate: float, seconds: float) -> None:
    best = demand(make_snapshot(), make_tenant(models=["new"], rate=rate)).best
    assert best is not None
    assert best.seconds == pytest.approx(seconds)


def test_memory_and_architecture_are_known_from_another_kind_of_device() -> None:
    profile = make_profile("large", 0.010, device_model=CPU, memory=33 * MIB, architecture="a")
    best = demand(make_snapshot(profiles=[profile]), make_tenant(models=["large"], deadline=1.0)).best
    assert best is not None
    assert (best.seconds, best.memory, best.architecture) == (UNKNOWN_SECONDS, 33 * MIB, "a")


def test_a_model_without_a_digest_is_known_by_what_another_tenant_found_at_its_uri() -> None:
    first = view_tenant(make_tenant("first", ["large"], digests=False))
    second = make_tenant("second", ["large"], digests=False, deadline=1.0)
    snapshot = make_snapshot([first], [make_node("n0")], [make_replica(first, "n0/0", tiers=[MEASURED])])
    found = demand(snapshot, second)
    assert found.memory == ((digest("large"), 7 * MIB),)


def test_only_tiers_above_the_floor_cost_memory_and_only_timely_ones_answer() -> None:
    profiles = [make_profile("large", 0.2, memory=5), make_profile("mid", 0.05, memory=3), make_profile("small", 0.01)]
    tenant = make_tenant(models=["large", "mid", "small"], floor=90.0, deadline=0.1)
    found = demand(make_snapshot(profiles=profiles), tenant)
    assert dict(found.memory) == {digest("large"): 5, digest("mid"): 3}
    assert found.best is not None
    assert found.best.name == "t1"
    assert found.floor == found.best == found.fastest


def test_a_pinned_tier_alone_answers_but_all_are_loaded() -> None:
    profiles = [make_profile("large", 0.02, memory=5), make_profile("small", 0.01, memory=2)]
    found = demand(make_snapshot(profiles=profiles), make_tenant(pinned="t0"))
    assert found.best is not None
    assert found.floor is not None
    assert (found.best.name, found.floor.name) == ("t0", "t0")
    assert len(found.memory) == 2


@pytest.mark.parametrize(("p99", "fresh", "kept"), [(0.089, True, True), (0.095, False, True), (0.101, False, False)])
def test_a_tenant_that_is_served_is_judged_with_some_mercy(p99: float, fresh: bool, kept: bool) -> None:
    snapshot = make_snapshot(profiles=[make_profile("large", 0.05, p99=p99)])
    tenant = make_tenant(models=["large"], deadline=0.1)
    assert (demand(snapshot, tenant).best is not None) == fresh
    assert (demand(snapshot, tenant, kept=True).best is not None) == kept


@pytest.mark.parametrize(
    ("batches", "shares"),
    [
        ((), [1.0, 1.0, 1.0]),
        (((2, 0.010),), [1.0, 0.5, 0.5]),
        (((4, 0.020),), [1.0, 1.0, 1.0, 0.5, 0.5]),  # between sizes nothing is promised
        (((2, 0.030),), [1.0, 1.0]),  # merging that costs more is not done
        (((64, 0.010),), [1.0, 1.0]),  # too bold
    ],
)
def test_merging_saves_what_batches_were_measured_to_save(batches, shares: list[float]) -> None:
    profile = make_profile("large", 0.010, architecture="a", batches=batches)
    best = demand(make_snapshot(profiles=[profile]), make_tenant(models=["large"])).best
    assert best is not None
    assert [best.share(count) for count in range(1, len(shares) + 1)] == pytest.approx(shares)


def test_what_runs_as_segments_merges_with_nobody() -> None:
    tenant = make_tenant(models=["large"])
    view = view_tenant(tenant)
    figures = TierFigures(TierName("t0"), digest("large"), "a", "segments", Seconds(0.01), Bytes(1))
    profile = make_profile("large", 0.010, architecture="a", batches=[(2, 0.010)])
    snapshot = make_snapshot([view], [make_node()], [make_replica(view, tiers=[figures])], [profile])
    best = demand(snapshot, tenant).best
    assert best is not None
    assert (best.architecture, best.share(2)) == ("", 1.0)


@pytest.mark.parametrize(
    ("loads", "seconds"),
    [
        ([(200.0, 0.05)], LIMIT / 200),  # sustained in time: it costs no more than that
        ([(20.0, 0.05)], 0.010),  # says nothing
        ([(20.0, 0.05), (40.0, 0.5)], LIMIT / 40),  # was late: it costs at least that
    ],
)
def test_measured_loads_correct_what_one_request_costs(loads, seconds: float) -> None:
    profile = make_profile("large", 0.010, loads=loads)
    best = demand(make_snapshot(profiles=[profile]), make_tenant(models=["large"], deadline=0.1)).best
    assert best is not None
    assert best.seconds == pytest.approx(seconds)


def test_what_a_measured_load_gained_by_merging_its_own_requests_is_not_gained_again_with_others() -> None:
    batches = [(2, 0.010), (4, 0.012)]  # 0.5 and 0.3 a request
    profile = make_profile("large", 0.010, architecture="a", batches=batches, loads=[(200.0, 0.05)])  # 4 ms a request
    best = demand(make_snapshot(profiles=[profile]), make_tenant(models=["large"], deadline=0.1)).best
    assert best is not None
    assert [best.seconds * best.share(count) for count in (1, 2, 4)] == pytest.approx([0.004, 0.004, 0.003])


@pytest.mark.parametrize("widths", [(784, 256, 128, 10), (64, 512, 512, 40)])
def test_what_is_assumed_of_float16_is_what_agents_keep_of_it(widths: tuple[int, ...]) -> None:
    entries, nbytes = [], 0
    for shape in (one for pair in pairwise(widths) for one in (pair, pair[1:])):  # matrices and biases
        entries.append(WeightEntry(TensorType("float32", shape), nbytes))
        nbytes += -(-entries[-1].type.nbytes // 64) * 64
    _, halved = stored(entries, nbytes, Precision.FLOAT16)
    assert 0.0 <= FLOAT16_SHARE - halved / nbytes < 0.02


@pytest.mark.parametrize("precision", list(Precision))
def test_weights_that_were_loaded_on_another_kind_of_device_take_as_much_here(precision: Precision) -> None:
    tenant = make_tenant(models=["large"], precision=precision)
    view = view_tenant(tenant)
    figures = TierFigures(TierName("t0"), digest("large"), "a", "merged", Seconds(0.004), Bytes(5), precision)
    profile = make_profile("large", 0.010, device_model=GPU, architecture="a", memory=8)
    snapshot = make_snapshot([view], [make_node()], [make_replica(view, tiers=[figures])], [profile])
    best = demand(snapshot, tenant, CPU).best
    assert best is not None
    assert (best.memory, best.measured) == (5, False)


@pytest.mark.parametrize("precision", [Precision.TF32, Precision.FLOAT16])
def test_a_model_at_another_precision_is_another_model(precision: Precision) -> None:
    plain = make_tenant(models=["large"])
    other = replace(plain, name=TenantName("other"), tiers=(replace(plain.tiers[0], precision=precision),))
    views = [view_tenant(plain), view_tenant(other)]
    profile = make_profile("large", 0.010, architecture="a", memory=8)
    assumed = demand(make_snapshot([views[1]], profiles=[profile]), other)
    assert assumed.best is not None
    assert not assumed.best.measured, "profiles are of Float32"
    assert assumed.best.memory == math.ceil(8 * (FLOAT16_SHARE if precision is Precision.FLOAT16 else 1.0))
    figures = TierFigures(TierName("t0"), digest("large"), "a", "merged", Seconds(0.004), Bytes(5), precision)
    snapshot = make_snapshot(views, [make_node()], [make_replica(views[1], tiers=[figures])], [profile])
    first, second = demand(snapshot, plain), demand(snapshot, other)
    assert first.best is not None
    assert second.best is not None
    assert (first.best.seconds, second.best.seconds) == (0.010, 0.004)
    assert sorted(dict([*first.memory, *second.memory]).values()) == [5, 8], "a device holds both"
    assert first.best.architecture != second.best.architecture, "they do not merge"
