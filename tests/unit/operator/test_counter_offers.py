"""Whatever is offered to a tenant that is refused would be admitted, beside all who are there."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
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
    view_tenant,
)

from treadle_api.tenant import Tenant
from treadle_operator.policy.plan import Memory, TenantPlan
from treadle_operator.policy.planning import plan
from treadle_operator.snapshot import NodeView, ReplicaView, TenantView
from treadle_operator.tenant_status import CounterOffer

PROFILES = [
    make_profile(model, seconds * factor, p99=late * factor, memory=memory * MIB, device_model=device)
    for device, factor in ((GPU, 1.0), (CPU, 4.0))
    for model, seconds, late, memory in (
        ("large", 0.040, 0.050, 200),
        ("middle", 0.020, 0.022, 100),
        ("small", 0.008, 0.009, 50),
    )
]
MODELS = ("large", "middle", "small")
_MODELS_OF = {device: make_device(model=device, memory=400 * MIB) for device in (GPU, CPU)}

Others = list[tuple[Tenant, str]]


def ask(tenant: Tenant, nodes: list[NodeView], others: Others, here: list[str]) -> TenantPlan:
    """What is said of a tenant that is served at some places, or of a new one."""
    served: list[tuple[TenantView, str]] = [(view_tenant(other, age=5000.0), place) for other, place in others]
    view = view_tenant(tenant, age=0.0)
    replicas: list[ReplicaView] = [make_replica(one, place) for one, place in served]
    replicas += [make_replica(view, place) for place in here]
    views = {one.tenant.key: one for one, _ in served} | {tenant.key: view}
    return plan(make_snapshot(views.values(), nodes, replicas, PROFILES), Memory(), NOW).tenants[tenant.key]


def taken_up(tenant: Tenant, offer: CounterOffer) -> list[Tenant]:
    """The tenant with each part of an offer, one at a time."""
    changed = []
    if offer.deadline is not None:
        assert offer.deadline > tenant.slo.deadline
        changed.append(replace(tenant, slo=replace(tenant.slo, deadline=offer.deadline)))
    if offer.min_accuracy is not None:
        assert offer.min_accuracy < tenant.slo.min_accuracy
        changed.append(replace(tenant, slo=replace(tenant.slo, min_accuracy=offer.min_accuracy)))
    if offer.requests_per_second is not None:
        assert tenant.requests_per_second is None or offer.requests_per_second < tenant.requests_per_second
        changed.append(replace(tenant, requests_per_second=offer.requests_per_second))
    return changed


@st.composite
def clusters(draw: st.DrawFn) -> tuple[list[NodeView], Others]:
    kinds = draw(st.lists(st.sampled_from([GPU, CPU]), min_size=1, max_size=5))
    nodes = [make_node(f"n{i}", [_MODELS_OF[kind]]) for i, kind in enumerate(kinds)]
    others = [
        (
            make_tenant(f"o{i}", draw(st.sampled_from([("small",), ("large", "small")])), deadline=1.0, rate=rate),
            f"n{at}/0",
        )
        for i, (at, rate) in enumerate(
            draw(st.lists(st.tuples(st.integers(0, len(kinds) - 1), st.floats(0.5, 60.0)), max_size=6))
        )
    ]
    return nodes, others


@st.composite
def tenants(draw: st.DrawFn) -> Tenant:
    least = draw(st.integers(1, 2))
    return make_tenant(
        "new",
        MODELS,
        deadline=draw(st.sampled_from([0.005, 0.02, 0.05, 0.1, 0.5])),
        floor=draw(st.sampled_from([0.0, 86.0, 92.0])),
        rate=draw(st.none() | st.floats(0.5, 500.0).map(lambda rate: round(rate, 3))),
        replicas=(least, draw(st.integers(least, 4))),
    )


@given(clusters(), tenants(), st.data())
def test_what_is_offered_is_admitted(
    cluster: tuple[list[NodeView], Others], tenant: Tenant, data: st.DataObject
) -> None:
    nodes, others = cluster
    here = data.draw(st.just([]) | st.just(["n0/0"]), label="served at")
    found = ask(tenant, nodes, others, here)
    offer = found.verdict.counter_offer
    if offer is None:
        return
    assert not found.verdict.admitted
    for changed in taken_up(tenant, offer):
        said = ask(changed, nodes, others, here)
        assert said.verdict.admitted, (changed, said.verdict)


def test_unequal_devices_are_not_added_up() -> None:
    nodes = [make_node("n0", [_MODELS_OF[GPU]]), make_node("n1", [_MODELS_OF[CPU]])]
    tenant = make_tenant("new", ["small"], rate=200.0, replicas=(1, 2))  # 100 on the GPU, 25 on the CPU
    found = ask(tenant, nodes, [], [])
    assert found.verdict.counter_offer == CounterOffer(requests_per_second=80.0), "not 100: each would get a half"


def test_to_who_is_on_a_device_too_slow_for_it_no_load_is_offered() -> None:
    nodes = [make_node("n0", [_MODELS_OF[CPU]]), make_node("n1", [_MODELS_OF[GPU]])]
    tenant = make_tenant("new", MODELS, deadline=0.02, rate=201.0, replicas=(1, 2))
    found = ask(tenant, nodes, [], ["n0/0"])
    offer = found.verdict.counter_offer
    assert not found.verdict.admitted
    assert offer is None or offer.requests_per_second is None


def test_an_offered_deadline_reckons_with_who_is_there() -> None:
    other = make_tenant("other", ["small"], rate=90.0)  # 0.72 of the device
    tenant = make_tenant("new", ["small"], deadline=0.005, rate=30.0)
    assert ask(tenant, [make_node()], [], []).verdict.counter_offer == CounterOffer(deadline=0.013)
    beside = ask(tenant, [make_node()], [(other, "n0/0")], [])
    assert (beside.verdict.reason, beside.verdict.counter_offer) == ("DeadlineInfeasible", None)
    assert "possible" not in beside.verdict.message
    assert beside.verdict.message.endswith("load.requestsPerSecond alone would surely do")


def test_nothing_is_offered_that_no_manifest_may_have() -> None:
    slow = [make_profile("slow", 4000.0)]  # longer than any deadline
    view = view_tenant(make_tenant("new", ["slow"], deadline=3600.0))
    found = plan(make_snapshot([view], [make_node()], [], slow), Memory(), NOW).tenants[view.tenant.key]
    assert (found.verdict.reason, found.verdict.counter_offer) == ("DeadlineInfeasible", None)
