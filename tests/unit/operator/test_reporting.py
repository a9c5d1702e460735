"""What is written of a tenant, and when."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest
from operator_objects import (
    NOW,
    digest,
    make_device,
    make_figures,
    make_node,
    make_profile,
    make_replica,
    make_snapshot,
    make_tenant,
    said,
    stamp,
    view_tenant,
)

from treadle_api.conditions import Condition, find_condition
from treadle_api.replica import Figures, TierFigures
from treadle_api.tenant import Tenant
from treadle_api.units import Bytes, Seconds
from treadle_operator.policy.conditions import IDLE_AFTER
from treadle_operator.policy.plan import Memory, Plan
from treadle_operator.policy.planning import plan
from treadle_operator.policy.reporting import FIGURES_EVERY, QUIET
from treadle_operator.snapshot import (
    AddressType,
    Cause,
    EndpointSliceView,
    ReplicaView,
    ServiceView,
    Snapshot,
    TenantView,
)
from treadle_operator.tenant_status import TenantStatus

PROFILES = [make_profile("large", 0.001), make_profile("small", 0.0005)]
NODES = [make_node(f"n{i}") for i in range(3)]


def planned(
    view: TenantView, replicas: Iterable[ReplicaView] = (), memory: Memory | None = None, now: float = NOW
) -> Plan:
    return plan(make_snapshot([view], NODES, replicas, PROFILES), memory or Memory(), now)


def status_of(view: TenantView, *replicas: ReplicaView, now: float = NOW) -> TenantStatus:
    """The status that comes to be written, when what is held back is waited for."""
    return in_the_end(make_snapshot([view], NODES, replicas, PROFILES), view, now)


def in_the_end(snapshot: Snapshot, view: TenantView, now: float = NOW) -> TenantStatus:
    found = plan(snapshot, Memory(), now)
    return plan(snapshot, found.memory, now + FIGURES_EVERY).tenants[view.tenant.key].status


def condition(status: TenantStatus, type_: str) -> Condition:
    found = find_condition(status.conditions, type_)
    assert found is not None
    return found


def served(
    figures: Figures | None = None, tenant: Tenant | None = None, **options: object
) -> tuple[TenantView, ReplicaView]:
    """A tenant that is served by one replica, and whose status says so."""
    view = view_tenant(tenant or make_tenant())
    replica = make_replica(view, figures=figures or make_figures(), tier="t0", **options)  # type: ignore[arg-type]
    return replace(view, status=status_of(view, replica)), replica


def test_a_served_tenant_is_told_of_in_full() -> None:
    view = view_tenant(make_tenant())
    status = status_of(view, make_replica(view, figures=make_figures(6000, bucket=10), tier="t0"))
    assert {one.type: (str(one.status), one.reason) for one in status.conditions} == {
        "Admitted": ("True", "Placed"),
        "Ready": ("True", "Serving"),
        "SLOMet": ("True", "InTime"),
        "AccuracyMet": ("True", "FloorKept"),
        "Straggling": ("False", "AsExpected"),
    }
    assert all(one.observed_generation == 1 for one in status.conditions)
    assert (status.replicas_desired, status.replicas_ready, status.active_tier) == (1, 1, "t0")
    assert (status.requests_per_second, status.effective_accuracy) == (100.0, 95.0)
    assert status.p99 == 0.010  # the tenth bound, in whole milliseconds
    assert status.url == "http://digits-treadle.default.svc"


def test_the_url_says_how_agents_answer() -> None:
    view = view_tenant(make_tenant())
    snapshot = make_snapshot([view], NODES, [make_replica(view)], PROFILES, tls=True)
    status = plan(snapshot, Memory(), NOW).tenants[view.tenant.key].status
    assert status.url == "https://digits-treadle.default.svc:80"


def test_figures_of_replicas_add_up() -> None:
    view = view_tenant(make_tenant(replicas=(2, 2)))
    one = make_replica(view, "n0/0", figures=make_figures(990, accuracy=95.0, bucket=5), tier="t0")
    two = make_replica(view, "n1/0", figures=make_figures(5, shed=5, accuracy=90.0, bucket=15), tier="t1")
    status = status_of(view, one, two)
    assert status.effective_accuracy == round((990 * 95.0 + 5 * 90.0) / 1000, 2)
    assert status.requests_per_second == 16.7
    assert status.p99 == 0.001, "99 of 100 are that fast: quantiles of replicas would not add up to that"
    assert status.active_tier == "t0", "that of the most requests"


def test_a_lost_node_s_figures_do_not_count() -> None:
    view = view_tenant(make_tenant(replicas=(2, 2)))
    gone = make_replica(view, "n7/0", figures=make_figures(6000))
    status = status_of(view, make_replica(view, "n0/0", figures=make_figures(60)), gone)
    assert status.requests_per_second == 1.0
    assert status.replicas_ready == 1


def test_a_device_that_has_failed_is_left_and_does_not_refuse_the_tenant() -> None:
    view = view_tenant(make_tenant())
    replica = make_replica(view, conditions=[said("Serving", "DeviceFailed")])
    failed = make_node("n0", [make_device(healthy=False, reason="its executor process does not answer")])
    alone = plan(make_snapshot([view], [failed], [replica], PROFILES), Memory(), NOW).tenants[view.tenant.key]
    assert condition(alone.status, "Admitted").holds
    ready = condition(alone.status, "Ready")
    assert (ready.holds, ready.reason) == (False, "DeviceLost")
    assert "does not answer, and no other device has room" in ready.message
    moved = plan(make_snapshot([view], [failed, NODES[1]], [replica], PROFILES), Memory(), NOW)
    assert [(one.place, one.cause) for one in moved.tenants[view.tenant.key].placements] == [
        ("n1/0", Cause.DEVICE_LOST)
    ]


@pytest.mark.parametrize(
    ("figures", "before", "status", "reason"),
    [
        (make_figures(), None, "Unknown", "NoRequests"),
        (make_figures(1000), None, "True", "InTime"),
        (make_figures(990, late=10), None, "True", "InTime"),
        (make_figures(985, late=15), None, "True", "InTime"),  # 1.5 % of 1000 happens by chance at 1 %
        (make_figures(970, late=30), None, "False", "RequestsLate"),
        (make_figures(970, shed=20, late=10), None, "False", "RequestsShed"),
        (make_figures(970, error=30), None, "False", "RequestsFailed"),
        (make_figures(1, late=1), None, "True", "InTime"),
        (make_figures(985, late=15), make_figures(900, late=100), "False", "RequestsLate"),  # broken until it is kept
        (make_figures(991, late=9), make_figures(900, late=100), "True", "InTime"),
        (make_figures(900, shed=100), make_figures(900, late=100), "False", "RequestsLate"),  # the reason is steady
        (make_figures(), make_figures(1000), "True", "InTime"),  # nobody asks, for a moment: nothing is unsaid
        (make_figures(), make_figures(900, late=100), "False", "RequestsLate"),
    ],
)
def test_whether_the_objective_is_met(figures: Figures, before: Figures | None, status: str, reason: str) -> None:
    view, replica = served(before)
    again = replace(replica, replica=replace(replica.replica, status=replace(replica.replica.status, figures=figures)))
    found = condition(status_of(view, again), "SLOMet")
    assert (found.status, found.reason) == (status, reason)


@pytest.mark.parametrize(
    ("figures", "floor", "before", "status"),
    [
        (make_figures(1000, accuracy=95.0), 90.0, "True", "True"),
        (make_figures(990, shed=10, accuracy=90.0), 90.0, "True", "True"),  # the error budget is for that
        (make_figures(988, shed=12, accuracy=90.0), 90.0, "True", "True"),  # so many happen by chance
        (make_figures(988, shed=12, accuracy=90.0), 90.0, "False", "False"),  # broken until it is kept
        (make_figures(990, shed=10, accuracy=90.0), 90.0, "False", "True"),
        (make_figures(800, shed=200, accuracy=95.0), 90.0, "True", "False"),
        (make_figures(1000, accuracy=95.0), 0.0, "True", "True"),
        (make_figures(9, shed=1, accuracy=95.0), 90.0, "True", "True"),  # too few to say
    ],
)
def test_whether_the_accuracy_floor_is_kept(figures: Figures, floor: float, before: str, status: str) -> None:
    view = view_tenant(make_tenant(floor=floor))
    view = replace(
        view, status=replace(view.status, conditions=(said("AccuracyMet", "Before", holds=before == "True"),))
    )
    assert condition(status_of(view, make_replica(view, figures=figures)), "AccuracyMet").status == status


def test_a_promise_that_chance_may_have_missed_says_so() -> None:
    view = view_tenant(make_tenant(floor=90.0))
    few = status_of(view, make_replica(view, figures=make_figures(19, late=1, accuracy=90.0)))
    chance = ", which so few requests miss by chance"
    assert condition(few, "SLOMet").message == (
        f"95.00% of the latest 20 requests, within 60 s, were in time; the objective is 99%{chance}"
    )
    assert condition(few, "AccuracyMet").message == (
        "effective accuracy of the latest 20 requests, within 60 s, was 85.50; "
        f"90 for 99% of the requests is 89.10{chance}"
    )
    kept = status_of(view, make_replica(view, figures=make_figures(20, accuracy=90.0)))
    assert not any(chance in one.message for one in kept.conditions)


def not_loaded(view: TenantView, place: str, reason: str) -> ReplicaView:
    return make_replica(view, place, serving=False, conditions=[said("Loaded", reason, message="because")])


@pytest.mark.parametrize(
    ("least", "replicas", "status", "reason"),
    [
        (1, lambda view: [make_replica(view)], "True", "Serving"),
        (1, lambda view: [make_replica(view, serving=False)], "False", "Loading"),
        (2, lambda view: [make_replica(view), make_replica(view, "n1/0", serving=False)], "False", "Loading"),
        (1, lambda view: [not_loaded(view, "n0/0", "ModelNotFound")], "False", "ModelNotFound"),
        (1, lambda view: [make_replica(view, conditions=[said("Loaded", "ModelNotFound")])], "True", "PreviousVersion"),
        (5, lambda view: [make_replica(view, f"n{i}/0") for i in range(3)], "False", "TooFewDevices"),
    ],
)
def test_whether_it_is_ready(least: int, replicas, status: str, reason: str) -> None:
    view = view_tenant(make_tenant(replicas=(least, 5)))
    found = condition(status_of(view, *replicas(view)), "Ready")
    assert (found.status, found.reason) == (status, reason)


def test_a_tenant_that_is_not_admitted_is_not_ready_and_has_no_url() -> None:
    view = view_tenant(make_tenant(selector=[("no", "such")]))
    status = status_of(view)
    assert condition(status, "Ready").reason == "NotAdmitted"
    assert (status.url, status.replicas_desired) == ("", 0)


def test_of_what_is_served_nowhere_nobody_says_how_fast_it_is() -> None:
    view = view_tenant(make_tenant())
    for found in (status_of(view), status_of(view, not_loaded(view, "n0/0", "ModelNotFound"))):
        one = condition(found, "Straggling")
        assert (one.status, one.message) == ("Unknown", "not judged: it is served nowhere")
    assert condition(status_of(view, make_replica(view)), "Straggling").status == "False"


def test_somebody_else_s_service_is_told() -> None:
    view = view_tenant(make_tenant())
    taken = ServiceView("default", "digits-treadle", "somebody", in_order=True)
    snapshot = make_snapshot([view], NODES, [make_replica(view)], PROFILES, services={"default/digits-treadle": taken})
    ready = condition(plan(snapshot, Memory(), NOW).tenants[view.tenant.key].status, "Ready")
    assert (ready.holds, ready.reason) == (False, "ServiceTaken")


def test_a_service_that_sends_requests_elsewhere_is_told() -> None:
    view = view_tenant(make_tenant())
    selects = ServiceView("default", "digits-treadle", view.uid, in_order=True, selects=True)
    services = {"default/digits-treadle": selects}
    snapshot = make_snapshot([view], NODES, [make_replica(view)], PROFILES, services=services)
    ready = condition(plan(snapshot, Memory(), NOW).tenants[view.tenant.key].status, "Ready")
    assert (ready.holds, ready.reason) == (False, "ServiceSelectsPods")


@pytest.mark.parametrize("before", [make_figures(1000), make_figures(900, late=100)], ids=["kept", "missed"])
def test_what_was_found_is_no_answer_any_more_when_nobody_has_asked_for_long(before: Figures) -> None:
    view, replica = served(before)
    idle = replace(
        replica, replica=replace(replica.replica, status=replace(replica.replica.status, figures=make_figures()))
    )
    first = planned(view, [idle])
    assert first.wake == NOW + IDLE_AFTER
    until = planned(view, [idle], first.memory, NOW + IDLE_AFTER - 1)
    waiting = until.tenants[view.tenant.key].status
    assert (waiting.conditions, waiting.p99) == (view.status.conditions, view.status.p99)
    assert waiting.effective_accuracy == view.status.effective_accuracy is not None
    then = planned(view, [idle], until.memory, NOW + IDLE_AFTER).tenants[view.tenant.key].status
    for type_ in ("SLOMet", "AccuracyMet"):
        assert (condition(then, type_).status, condition(then, type_).reason) == ("Unknown", "NoRequests")
    assert (then.effective_accuracy, then.p99) == (None, None)
    asleep = planned(replace(view, status=then), [idle], until.memory, NOW + IDLE_AFTER)
    assert (asleep.tenants[view.tenant.key].status, asleep.wake) == (then, None)


def slice_of(uid: str, *, managed: bool) -> EndpointSliceView:
    name = "digits-treadle-8000"
    return EndpointSliceView("default", name, "u", "1", uid, AddressType.IPV4, 8000, (), managed=managed)


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (slice_of("", managed=False), "EndpointSliceTaken"),
        (slice_of("somebody", managed=False), "EndpointSliceTaken"),
        (slice_of("uid-earlier", managed=True), "Waiting"),  # until it is collected
        (slice_of("uid-digits", managed=True), "Serving"),
    ],
)
def test_somebody_else_s_endpointslice_is_told(found: EndpointSliceView, reason: str) -> None:
    view = view_tenant(make_tenant())
    slices = {f"default/{found.name}": found}
    snapshot = make_snapshot([view], NODES, [make_replica(view)], PROFILES, slices=slices)
    ready = condition(in_the_end(snapshot, view), "Ready")
    assert (ready.holds, ready.reason) == (reason == "Serving", reason)


def test_a_replica_that_somebody_else_owns_is_told_of_while_it_is_missed() -> None:
    view = view_tenant(make_tenant())
    strange = replace(make_replica(view), tenant_uid="somebody")
    ready = condition(in_the_end(make_snapshot([view], NODES[:1], [strange], PROFILES), view), "Ready")
    assert (ready.holds, ready.reason) == (False, "Waiting")
    assert f"InferenceReplica {strange.replica.name} is not this tenant's" in ready.message


def test_times_are_those_of_the_last_change_of_status() -> None:
    view, replica = served()
    early = {one.type: one.last_transition_time for one in view.status.conditions}
    gone = replace(replica, replica=replace(replica.replica, node="n9"))
    lost = planned(view, [gone], now=NOW + 100.0).tenants[view.tenant.key].status
    times = {one.type: one.last_transition_time for one in lost.conditions}
    assert times["Ready"] == stamp(NOW + 100.0)
    assert times["Admitted"] == early["Admitted"]


def test_what_passes_by_itself_is_held_back_a_moment() -> None:
    view = view_tenant(make_tenant(), age=0.0)
    first = planned(view)
    assert first.tenants[view.tenant.key].status == TenantStatus()
    assert first.wake == NOW + QUIET
    late = planned(view, (), first.memory, NOW + QUIET)
    assert condition(late.tenants[view.tenant.key].status, "Ready").reason == "Loading", "nothing came of it"
    loading = make_replica(view, serving=False, age=0.0)
    begun = planned(view, [loading], first.memory, NOW + QUIET)
    assert begun.tenants[view.tenant.key].status == TenantStatus(), "it took its time to be created, and loads only now"
    assert begun.wake == NOW + 2 * QUIET
    told = planned(view, [loading], begun.memory, NOW + 2 * QUIET)
    assert condition(told.tenants[view.tenant.key].status, "Ready").reason == "Loading"
    served_ = planned(view, [make_replica(view, age=0.0)], begun.memory, NOW + QUIET + 0.1)
    assert condition(served_.tenants[view.tenant.key].status, "Ready").holds, "what has become good is told at once"


def test_what_is_worse_is_told_at_once() -> None:
    view, _ = served()
    down = make_replica(view, serving=False)
    assert condition(planned(view, [down]).tenants[view.tenant.key].status, "Ready").reason == "Loading"
    refused = view_tenant(make_tenant(selector=[("no", "such")]), age=0.0)
    assert condition(planned(refused).tenants[refused.tenant.key].status, "Admitted").reason == "NoNodeMatches"


def test_that_a_refused_tenant_is_admitted_is_told_at_once() -> None:
    refused = view_tenant(make_tenant(selector=[("no", "such")]), age=0.0)
    told = planned(refused).tenants[refused.tenant.key].status
    edited = replace(refused, tenant=make_tenant(), generation=2, status=told)
    assert condition(planned(edited).tenants[edited.tenant.key].status, "Admitted").holds


def test_answers_are_of_the_tiers_that_there_were() -> None:
    """The best tier goes, requests are answered by the next, and it comes back: nobody has given anything up."""

    def replica_of(view: TenantView, tier: str | None, loaded: Tenant) -> ReplicaView:
        tiers = [
            TierFigures(one.name, digest("m"), "", "merged", Bytes(1), Seconds(0.001)) for one in loaded.served_tiers
        ]
        return make_replica(view, figures=make_figures(600), tier=tier, tiers=tiers)

    both = make_tenant()
    one = replace(both, tiers=both.tiers[1:])
    view = view_tenant(both)
    view = replace(view, status=status_of(view, replica_of(view, "t0", both)))
    assert view.status.active_tier == "t0"
    view = replace(view, tenant=one, generation=2)
    assert status_of(view, replica_of(view, "t0", both)).active_tier is None, "it is not there any more"
    view = replace(view, status=status_of(view, replica_of(view, "t1", one)))
    assert view.status.active_tier == "t1"
    view = replace(view, tenant=both, generation=3)
    assert status_of(view, replica_of(view, "t1", one)).active_tier is None, "it had no choice"
    assert status_of(view, replica_of(view, None, both)).active_tier is None
    asked = status_of(view, replica_of(view, "t1", both))
    assert asked.active_tier == "t1", "now it has"
    silent = replace(view, status=asked)
    assert status_of(silent, replica_of(silent, None, both)).active_tier == "t1", "as was told last"


def test_an_edit_is_told_when_it_is_served_or_takes_long() -> None:
    view, replica = served()
    edited = replace(view, generation=2, tenant=make_tenant(deadline=0.2))
    first = planned(edited, [replica])
    assert first.tenants[view.tenant.key].status == view.status
    late = planned(edited, [replica], first.memory, NOW + QUIET).tenants[view.tenant.key].status
    assert late.observed_generation == 2
    assert condition(late, "Ready").observed_generation == 1, "what answers is the earlier version"
    updated = replace(replica, replica=replace(replica.replica, tenant=edited.tenant))
    now = planned(edited, [updated], first.memory, NOW + 1.0).tenants[view.tenant.key].status
    assert condition(now, "Ready").observed_generation == 2


@pytest.mark.parametrize(
    ("before", "after", "written"),
    [
        (make_figures(6000), make_figures(6300), False),  # 5 %
        (make_figures(6000), make_figures(6900), True),
        (make_figures(20), make_figures(30), False),  # that is chance
        (make_figures(6000), make_figures(6000, bucket=11), True),  # p99
        (make_figures(10), make_figures(10, bucket=11), False),  # too few for a quantile
        (make_figures(6000), make_figures(6000, accuracy=94.0), False),
        (make_figures(6000), make_figures(6000, accuracy=91.0), True),
        (make_figures(), make_figures(1), True),
    ],
)
def test_figures_are_written_when_they_have_moved(before: Figures, after: Figures, written: bool) -> None:
    view, replica = served(before)
    again = replace(replica, replica=replace(replica.replica, status=replace(replica.replica.status, figures=after)))
    status = planned(view, [again]).tenants[view.tenant.key].status
    assert (status != view.status) == written


def test_figures_alone_are_written_at_most_so_often() -> None:
    view, _ = served(make_figures(6000))
    busy = make_replica(view, figures=make_figures(9000), tier="t0")
    memory = Memory(written={view.tenant.key: NOW})
    early = planned(view, [busy], memory, NOW + FIGURES_EVERY - 1)
    assert early.tenants[view.tenant.key].status == view.status
    assert early.wake == NOW + FIGURES_EVERY
    late = planned(view, [busy], early.memory, NOW + FIGURES_EVERY)
    assert late.tenants[view.tenant.key].status.requests_per_second == 150.0


def test_messages_alone_are_not_written() -> None:
    view, _ = served(make_figures(9900, late=100))
    more = make_replica(view, figures=make_figures(9910, late=90), tier="t0")
    assert planned(view, [more]).tenants[view.tenant.key].status == view.status


def test_an_offer_that_does_not_hold_any_more_is_told_anew() -> None:
    view = view_tenant(make_tenant(models=["large"], rate=2000.0), age=0.0)
    other = view_tenant(make_tenant("other", ["small"], rate=4.0))
    nodes, there = NODES[:1], [make_replica(other)]
    before = in_the_end(make_snapshot([view], nodes, [], PROFILES), view)
    told = replace(view, status=before)
    after = in_the_end(make_snapshot([told, other], nodes, there, PROFILES), told, NOW + 100.0)
    offers = [one.counter_offer.requests_per_second for one in (before, after) if one.counter_offer is not None]
    assert offers == [640.0, 638.0], "by far less than a tenth"
