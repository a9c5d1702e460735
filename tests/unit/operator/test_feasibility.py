"""What is refused, why, and what is offered instead."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest
from operator_objects import (
    CPU,
    GPU,
    MIB,
    NOW,
    make_device,
    make_node,
    make_profile,
    make_replica,
    make_snapshot,
    make_tenant,
    said,
    view_tenant,
)

from treadle_api.profile import Profile
from treadle_api.replica import LoadedReason
from treadle_api.tenant import Precision, Tenant
from treadle_operator.policy.observation import DEVICE_FAULTS
from treadle_operator.policy.plan import Memory, TenantPlan
from treadle_operator.policy.planning import plan
from treadle_operator.snapshot import Cause, NodeView, ReplicaView
from treadle_operator.tenant_status import CounterOffer

HALF = make_tenant(precision=Precision.FLOAT16)
PROFILES = [
    make_profile("large", 0.040, p99=0.050, memory=200 * MIB),
    make_profile("small", 0.008, p99=0.009, memory=50 * MIB),
]


def judge(
    tenant: Tenant,
    nodes: Iterable[NodeView] | None = None,
    others: Iterable[Tenant] = (),
    profiles: Iterable[Profile] = PROFILES,
    replicas: Iterable[ReplicaView] = (),
) -> TenantPlan:
    """The plan for a new tenant, where the others are already served on n0/0."""
    views = [view_tenant(other, age=5000.0) for other in others]
    served = [make_replica(view) for view in views]
    snapshot = make_snapshot(
        [*views, view_tenant(tenant, age=0.0)],
        [make_node()] if nodes is None else nodes,
        [*served, *replicas],
        profiles,
    )
    return plan(snapshot, Memory(), NOW).tenants[tenant.key]


def test_what_fits_is_admitted() -> None:
    found = judge(make_tenant(rate=10.0))
    assert (found.verdict.admitted, found.verdict.reason, found.verdict.counter_offer) == (True, "Placed", None)
    assert [placement.place for placement in found.placements] == ["n0/0"]


@pytest.mark.parametrize(
    ("tenant", "nodes", "reason", "offer", "words"),
    [
        (make_tenant(), [], "NoNodeMatches", None, "is an agent running"),
        (make_tenant(selector=[("gpu", "h100")]), None, "NoNodeMatches", None, "lacks label gpu=h100"),
        (HALF, None, "NoNodeMatches", None, "does not compute Float16"),
        (make_tenant(deadline=0.005), None, "DeadlineInfeasible", CounterOffer(deadline=0.013), "tier t1"),
        (
            make_tenant(deadline=0.020, floor=95.0),
            None,
            "AccuracyInfeasible",
            CounterOffer(deadline=0.070, min_accuracy=90.0),
            "slo.deadline 70ms or slo.minAccuracy 90",
        ),
        (make_tenant(deadline=0.020, pinned="t0"), None, "DeadlineInfeasible", CounterOffer(deadline=0.070), "tier t0"),
        (
            make_tenant(rate=250.0),
            None,
            "InsufficientCapacity",
            CounterOffer(requests_per_second=80.0),
            "250 requests/s are too much for 1 device (replicas.max is 1)",
        ),
        (
            make_tenant(rate=50.0, floor=95.0),
            None,
            "InsufficientCapacity",
            CounterOffer(min_accuracy=90.0, requests_per_second=16.0),
            "slo.minAccuracy 90 or load.requestsPerSecond 16",
        ),
        (
            make_tenant(rate=250.0, replicas=(1, 3)),
            None,
            "InsufficientCapacity",
            CounterOffer(requests_per_second=80.0),
            "1 device (replicas.max is 3)",
        ),
        (
            make_tenant(rate=1e6),
            None,
            "InsufficientCapacity",
            CounterOffer(requests_per_second=80.0),
            "1000000 requests/s are too much for 1 device",
        ),
        (
            make_tenant(),
            [make_node(devices=[make_device(memory=100 * MIB)])],
            "InsufficientMemory",
            None,
            "its tiers take 250 MiB, and the largest device that is fast enough, n0/0, has 100 MiB",
        ),
    ],
)
def test_what_cannot_be_promised_is_refused(
    tenant: Tenant, nodes: list[NodeView] | None, reason: str, offer: CounterOffer | None, words: str
) -> None:
    found = judge(tenant, nodes)
    assert (found.verdict.admitted, found.verdict.reason) == (False, reason)
    assert found.verdict.counter_offer == offer
    assert words in found.verdict.message
    assert found.placements == ()


def apply_offer(tenant: Tenant, offer: CounterOffer) -> list[Tenant]:
    """The tenant with each member of an offer taken up, one at a time."""
    options = {
        "name": tenant.name,
        "deadline": tenant.slo.deadline,
        "floor": tenant.slo.min_accuracy,
        "rate": tenant.requests_per_second,
        "replicas": (tenant.replicas.minimum, tenant.replicas.maximum),
    }
    changes = {"deadline": offer.deadline, "floor": offer.min_accuracy, "rate": offer.requests_per_second}
    return [make_tenant(**{**options, key: value}) for key, value in changes.items() if value is not None]


@pytest.mark.parametrize(
    "tenant",
    [
        make_tenant(deadline=0.005),
        make_tenant(deadline=0.020, floor=95.0),
        make_tenant(rate=250.0),
        make_tenant(rate=50.0, floor=95.0),
        make_tenant(rate=80.0, floor=92.0),
    ],
)
def test_each_part_of_an_offer_alone_makes_it_feasible(tenant: Tenant) -> None:
    others = [make_tenant("other", ["small"], rate=30.0)]
    offer = judge(tenant, others=others).verdict.counter_offer
    assert offer is not None
    changed = apply_offer(tenant, offer)
    assert changed
    for one in changed:
        found = judge(one, others=others)
        alone = judge(one)
        assert alone.verdict.admitted, alone.verdict
        if one.requests_per_second == tenant.requests_per_second:
            assert found.verdict.admitted or found.verdict.reason == "InsufficientCapacity", (
                "others are there meanwhile"
            )
        else:
            assert found.verdict.admitted, found.verdict


def test_a_model_that_nobody_has_measured_is_admitted_with_its_load_and_judged_once_it_is_known() -> None:
    tenant = make_tenant("new", ["unseen"], rate=200.0, deadline=0.05)
    assert judge(tenant).verdict.reason == "Placed"
    view = view_tenant(tenant, age=0.0)
    slow = [make_profile("unseen", 0.012, p99=0.013)]
    known = judge(tenant, profiles=slow, replicas=[make_replica(view)])
    assert (known.verdict.reason, len(known.placements)) == ("InsufficientCapacity", 1)
    assert known.verdict.counter_offer == CounterOffer(requests_per_second=53.3)


def test_what_would_break_others_promises_is_refused_with_what_is_left() -> None:
    others = [make_tenant("other", ["small"], rate=60.0)]  # 0.48 of the device
    found = judge(make_tenant(rate=60.0), others=others)
    assert (found.verdict.admitted, found.verdict.reason) == (False, "InsufficientCapacity")
    assert found.verdict.counter_offer == CounterOffer(requests_per_second=32.0)
    assert "would break what is promised to other tenants" in found.verdict.message
    assert judge(make_tenant(rate=40.0), others=others).verdict.admitted


def test_others_may_be_made_less_accurate_but_not_below_their_floor() -> None:
    relaxed = [make_tenant("other", rate=19.0)]  # 0.76 at its best, 0.152 at its cheapest
    strict = [make_tenant("other", rate=19.0, floor=95.0)]
    assert judge(make_tenant(rate=50.0), others=relaxed).verdict.admitted
    assert not judge(make_tenant(rate=50.0), others=strict).verdict.admitted


def test_memory_that_others_hold_is_not_there() -> None:
    profiles = [make_profile("huge", 0.001, memory=900 * MIB), *PROFILES]
    found = judge(make_tenant(), others=[make_tenant("other", ["huge"])], profiles=profiles)
    assert (found.verdict.admitted, found.verdict.reason) == (False, "InsufficientMemory")
    assert "it needs 250 MiB more on a device" in found.verdict.message
    assert "n0/0, has 124 MiB" in found.verdict.message


def test_a_tenant_that_is_served_is_told_but_not_put_out() -> None:
    tenant = make_tenant(deadline=0.005)
    view = view_tenant(tenant)
    found = plan(make_snapshot([view], [make_node()], [make_replica(view)], PROFILES), Memory(), NOW)
    verdict, placements = found.tenants[tenant.key].verdict, found.tenants[tenant.key].placements
    assert (verdict.admitted, verdict.reason) == (False, "DeadlineInfeasible")
    assert [placement.place for placement in placements] == ["n0/0"]


def test_on_a_node_that_takes_no_new_ones_the_served_stay_admitted() -> None:
    view = view_tenant(make_tenant())
    found = plan(make_snapshot([view], [make_node(core_cordoned=True)], [make_replica(view)], PROFILES), Memory(), NOW)
    assert found.tenants[view.tenant.key].verdict.reason == "Placed"


@pytest.mark.parametrize("reason", ["ModelNotFound", "DigestMismatch", "ModelUnsupported", "ExecutorFailed"])
def test_what_agents_refuse_is_refused_with_their_reason(reason: str) -> None:
    view = view_tenant(make_tenant())
    refused = make_replica(view, serving=False, conditions=[said("Loaded", reason, message="tier t0: no such file")])
    found = plan(make_snapshot([view], [make_node(), make_node("n1")], [refused], PROFILES), Memory(), NOW)
    verdict = found.tenants[view.tenant.key].verdict
    assert (verdict.admitted, verdict.reason, verdict.message) == (False, reason, "n0/0: tier t0: no such file")
    assert [placement.place for placement in found.tenants[view.tenant.key].placements] == ["n0/0"], "not elsewhere"


@pytest.mark.parametrize("reason", ["LoadFailed", "StorageFailed", "DeviceNotFound", "InternalError"])
def test_what_lies_in_the_device_is_tried_on_another(reason: str) -> None:
    view = view_tenant(make_tenant())
    refused = make_replica(view, serving=False, conditions=[said("Loaded", reason, message="no memory is left")])
    found = plan(make_snapshot([view], [make_node(), make_node("n1")], [refused], PROFILES), Memory(), NOW)
    assert found.tenants[view.tenant.key].verdict.admitted
    tried = [placement.place for placement in found.tenants[view.tenant.key].placements]
    assert tried == ["n1/0", "n0/0"], "the failed one is remembered"


def test_only_what_agents_say_is_told_apart() -> None:
    assert {*DEVICE_FAULTS} <= {*LoadedReason}


def test_a_refusal_of_an_earlier_spec_says_nothing_of_this_one() -> None:
    view = view_tenant(make_tenant())
    refused = make_replica(view, serving=False, conditions=[said("Loaded", "ModelNotFound")])
    later = replace(refused, replica=replace(refused.replica, generation=2))
    found = plan(make_snapshot([view], [make_node()], [later], PROFILES), Memory(), NOW)
    assert found.tenants[view.tenant.key].verdict.admitted


def test_the_best_kind_of_device_decides_what_is_feasible() -> None:
    nodes = [make_node("n0", [make_device(model=CPU)]), make_node("n1", [make_device(model=GPU)])]
    profiles = [make_profile("m", 0.300, device_model=CPU), make_profile("m", 0.010)]
    found = judge(make_tenant(models=["m"], deadline=0.05), nodes, profiles=profiles)
    assert [placement.place for placement in found.placements] == ["n1/0"]
    late = judge(make_tenant(models=["m"], deadline=0.005), nodes, profiles=profiles)
    assert late.verdict.counter_offer == CounterOffer(deadline=0.014)


def test_of_two_devices_the_one_that_computes_so_is_chosen_however_full() -> None:
    gpu = make_node("n1", [make_device(precisions=tuple(Precision))])
    found = judge(HALF, [make_node("n0"), gpu], profiles=())
    assert [placement.place for placement in found.placements] == ["n1/0"]


def test_an_edit_that_a_device_does_not_compute_moves_the_tenant() -> None:
    gpu = make_node("n1", [make_device(precisions=tuple(Precision))])
    served = make_replica(view_tenant(HALF, age=5000.0), "n0/0", tenant=make_tenant())
    snapshot = make_snapshot([view_tenant(HALF, age=5000.0)], [make_node("n0"), gpu], [served])
    found = plan(snapshot, Memory(), NOW).tenants[HALF.key]
    assert [(one.place, one.cause) for one in found.placements] == [("n1/0", Cause.NODE_UNFIT)]
