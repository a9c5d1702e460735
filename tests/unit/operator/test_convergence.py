"""From a plan to changes: what is added comes first, what is taken away waits for it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import pytest
from operator_objects import (
    NOW,
    make_node,
    make_replica,
    make_snapshot,
    make_tenant,
    said,
    view_tenant,
)

from treadle_api.conditions import Condition, ConditionStatus
from treadle_api.node import CordonedDevice
from treadle_operator.policy.changes import (
    ApplyEndpointSlice,
    ApplyService,
    Change,
    CordonDevices,
    CreateReplica,
    DeleteEndpointSlice,
    DeleteReplica,
    RecordEvent,
    UpdateReplica,
    WriteTenantStatus,
    replica_name,
)
from treadle_operator.policy.convergence import converge
from treadle_operator.policy.endpoints import wanted_slices
from treadle_operator.policy.plan import Memory, Note, Placement, Plan, TenantPlan, Verdict
from treadle_operator.snapshot import (
    AddressType,
    Cause,
    Endpoint,
    EndpointSliceView,
    NodeView,
    ReplicaView,
    ServiceView,
    TenantView,
)
from treadle_operator.tenant_status import TenantStatus

NODES = [make_node(f"n{i}") for i in range(4)]
VIEW = view_tenant(make_tenant())


def place(name: str, cause: Cause = Cause.ADMITTED, **options: str) -> Placement:
    node, device = name.split("/")
    return Placement(node, device, cause, **options)


def make_plan(
    *placements: Placement,
    view: TenantView = VIEW,
    status: TenantStatus | None = None,
    given_up: dict[str, Note] | None = None,
    cordons: dict[str, tuple[CordonedDevice, ...]] | None = None,
    memory: Memory | None = None,
) -> Plan:
    one = TenantPlan(Verdict(True, "Placed", ""), placements, given_up or {}, status or view.status)
    return Plan({view.tenant.key: one}, cordons or {}, {}, memory or Memory(), None)


def service(uid: str = VIEW.uid, *, in_order: bool = True) -> dict[str, ServiceView]:
    return {"default/digits-treadle": ServiceView("default", "digits-treadle", uid, in_order)}


def slices(replicas: Iterable[ReplicaView]) -> dict[str, EndpointSliceView]:
    """The slices that these replicas have."""
    made = wanted_slices(VIEW, [(one, not one.replica.draining) for one in replicas])
    return {
        f"default/{name}": EndpointSliceView(
            "default", name, f"uid-{name}", "5", VIEW.uid, one.address_type, one.port, one.endpoints
        )
        for name, one in made.items()
    }


def changes(
    plan: Plan,
    *replicas: ReplicaView,
    nodes: Sequence[NodeView] = NODES,
    services: dict[str, ServiceView] | None = None,
    there: dict[str, EndpointSliceView] | None = None,
    now: float = NOW,
    epoch: int = 1,
) -> list[Change]:
    snapshot = make_snapshot(
        [VIEW],
        nodes,
        replicas,
        epoch=epoch,
        services=service() if services is None else services,
        slices=slices(replicas) if there is None else there,
    )
    return list(converge(snapshot, plan, now))


def kinds(found: Iterable[Change]) -> list[str]:
    return [type(one).__name__ for one in found]


def test_what_is_as_it_should_be_is_left_alone() -> None:
    assert changes(make_plan(place("n0/0")), make_replica(VIEW)) == []


def test_a_new_tenant_gets_a_replica_and_a_service() -> None:
    found = changes(make_plan(place("n0/0")), services={}, epoch=4)
    assert kinds(found) == ["CreateReplica", "ApplyService"]
    create, apply = found
    assert isinstance(create, CreateReplica)
    assert (create.name, create.namespace) == (replica_name("digits", "n0", "0"), "default")
    assert (create.tenant_uid, create.cause, create.spec.epoch) == (VIEW.uid, Cause.ADMITTED, 4)
    assert (create.spec.tenant, create.spec.tenant_generation) == (VIEW.tenant, 1)
    assert apply == ApplyService("default", "digits-treadle", "digits", VIEW.uid)


def test_a_refused_tenant_gets_nothing() -> None:
    assert changes(make_plan(), services={}) == []


def test_names_are_short_and_tell_places_apart() -> None:
    names = {replica_name("digits", "n0", "0"), replica_name("digits", "n0", "1"), replica_name("digits", "n1", "0")}
    assert len(names) == 3
    assert all(name.startswith("digits-") and len(name) == len("digits-") + 10 for name in names)


def test_a_place_that_is_not_free_yet_is_waited_for() -> None:
    assert changes(make_plan(place("n0/0"), place("n1/0", waits_for="memory")), make_replica(VIEW)) == []


def test_an_earlier_tenant_s_replica_of_the_name_is_waited_for() -> None:
    left = replace(make_replica(VIEW, serving=False), tenant_uid="uid-of-another")
    assert changes(make_plan(place("n0/0")), left) == []


def test_an_edit_is_written_into_the_replicas_once() -> None:
    old = make_tenant(deadline=0.5)
    found = changes(make_plan(place("n0/0")), make_replica(VIEW, tenant=old))
    assert kinds(found) == ["UpdateReplica"]
    (update,) = found
    assert isinstance(update, UpdateReplica)
    assert (update.uid, update.resource_version) == (f"uid-{replica_name('digits', 'n0', '0')}", "1")
    assert (update.spec.tenant, update.spec.draining) == (VIEW.tenant, False)


@pytest.mark.parametrize(
    "tenant",
    [make_tenant(rate=5.0), make_tenant(replicas=(1, 4)), make_tenant(selector=[("a", "b")])],
)
def test_what_replicas_do_not_carry_is_not_written_into_them(tenant) -> None:
    assert changes(make_plan(place("n0/0")), make_replica(VIEW, tenant=tenant)) == []


def test_a_move_waits_until_the_new_replica_answers() -> None:
    plan = make_plan(place("n1/0", Cause.STRAGGLING, replaces="n0/0", message="slow"))
    first = changes(plan, make_replica(VIEW))
    assert kinds(first) == ["CreateReplica", "RecordEvent"]
    event = first[1]
    assert isinstance(event, RecordEvent)
    assert (event.reason, event.message, event.warning) == ("Straggling", "n0/0 → n1/0: slow", True)
    assert changes(plan, make_replica(VIEW), make_replica(VIEW, "n1/0", serving=False)) == []
    old, new = make_replica(VIEW), make_replica(VIEW, "n1/0")
    second = changes(plan, old, new)
    assert kinds(second) == ["ApplyEndpointSlice", "UpdateReplica"], "nobody new is sent there before it drains"
    slice_, update = second
    assert isinstance(slice_, ApplyEndpointSlice)
    assert [(one.node, one.ready, one.terminating) for one in slice_.endpoints] == [
        ("n0", False, True),
        ("n1", True, False),
    ]
    assert isinstance(update, UpdateReplica)
    assert (update.spec.draining, update.spec.successors) == (True, (new.replica.status.address,))


@pytest.mark.parametrize(
    ("old", "new"),
    [("10.0.0.1:8000", "10.0.0.2:9000"), ("10.0.0.1:9000", "10.0.0.2:8000"), ("10.0.0.1:8000", "[fd00::1]:8000")],
)
def test_a_move_to_another_port_names_the_new_endpoint_before_the_old_one_is_not_ready(old: str, new: str) -> None:
    plan = make_plan(place("n1/0", Cause.STRAGGLING, replaces="n0/0", message="slow"))
    from_, to = make_replica(VIEW, address=old), make_replica(VIEW, "n1/0", address=new)
    slice_, other, update = changes(plan, from_, to, there=slices([from_]))
    assert isinstance(slice_, ApplyEndpointSlice)
    assert isinstance(other, ApplyEndpointSlice)
    assert isinstance(update, UpdateReplica)
    assert [(one.node, one.ready) for one in slice_.endpoints] == [("n1", True)]
    assert [(one.node, one.ready) for one in other.endpoints] == [("n0", False)]


def draining(reason: str = "Draining", **options: object) -> ReplicaView:
    new = make_replica(VIEW, "n1/0")
    return make_replica(
        VIEW,
        draining=True,
        successors=[new.replica.status.address],
        conditions=[said("Draining", reason, holds=True)],
        **options,  # type: ignore[arg-type]
    )


def test_a_drained_replica_is_deleted_and_leaves_the_slice() -> None:
    plan, new = make_plan(place("n1/0")), make_replica(VIEW, "n1/0")
    assert changes(plan, draining(), new) == []
    old = draining("Drained")
    found = changes(plan, old, new, there=slices([old, new]))
    assert kinds(found) == ["ApplyEndpointSlice", "DeleteReplica"]
    assert found[1] == DeleteReplica("default", old.replica.name, old.uid, "1")


def test_draining_ends_some_time_and_with_its_node() -> None:
    old, new = draining(), make_replica(VIEW, "n1/0")
    for seen, gone in ((59.0, False), (60.0, True)):
        plan = make_plan(place("n1/0"), memory=Memory(draining_since={old.uid: NOW - seen}))
        assert ("DeleteReplica" in kinds(changes(plan, old, new))) == gone
    lost = [make_node("n0", alive=False), *NODES[1:]]
    assert "DeleteReplica" in kinds(changes(plan, draining(), new, nodes=lost))


def test_successors_follow_when_the_new_replica_moves_on() -> None:
    plan = make_plan(place("n2/0"))
    found = changes(plan, draining(), make_replica(VIEW, "n2/0"))
    (update,) = (one for one in found if isinstance(one, UpdateReplica))
    assert update.spec.successors == (make_replica(VIEW, "n2/0").replica.status.address,)
    assert update.spec.draining


def test_a_replica_is_not_its_own_successor() -> None:
    plan = make_plan(place("n0/1"))
    nodes = [make_node("n0")]
    found = changes(plan, make_replica(VIEW, "n0/0"), make_replica(VIEW, "n0/1"), nodes=nodes)
    (update,) = (one for one in found if isinstance(one, UpdateReplica))
    assert (update.spec.draining, update.spec.successors) == (True, ())


def test_what_does_not_answer_is_deleted_without_draining() -> None:
    plan = make_plan(place("n1/0"))
    found = changes(plan, make_replica(VIEW, serving=False), make_replica(VIEW, "n1/0"))
    assert kinds(found) == ["DeleteReplica"]
    lost = [make_node("n0", alive=False), *NODES[1:]]
    found = changes(plan, make_replica(VIEW), make_replica(VIEW, "n1/0", serving=False), nodes=lost)
    assert kinds(found) == ["DeleteEndpointSlice"], "its endpoint leads nowhere, but its agent may serve on"
    found = changes(plan, make_replica(VIEW), make_replica(VIEW, "n1/0"), nodes=lost)
    assert [kind for kind in kinds(found) if kind != "ApplyEndpointSlice"] == ["DeleteReplica"]


def test_of_two_that_go_one_stays_while_one_of_the_new_is_missing() -> None:
    plan = make_plan(place("n2/0"), place("n3/0"))
    old = [make_replica(VIEW, "n0/0"), make_replica(VIEW, "n1/0")]
    found = changes(plan, *old, make_replica(VIEW, "n2/0"), make_replica(VIEW, "n3/0", serving=False))
    assert len([one for one in found if isinstance(one, UpdateReplica)]) == 1
    found = changes(plan, *old, make_replica(VIEW, "n2/0"), make_replica(VIEW, "n3/0"))
    assert len([one for one in found if isinstance(one, UpdateReplica)]) == 2


def test_what_is_given_up_is_told() -> None:
    plan = make_plan(place("n0/0"), given_up={"n1/0": Note("Preempted", "it gives way to x")})
    found = changes(plan, make_replica(VIEW), make_replica(VIEW, "n1/0"))
    (event,) = (one for one in found if isinstance(one, RecordEvent))
    assert (event.reason, event.message, event.warning) == ("Preempted", "n1/0: it gives way to x", True)


@pytest.mark.parametrize("is_draining", [False, True])
def test_a_spec_refused_as_an_old_leader_s_is_said_again(is_draining: bool) -> None:
    stale = [said("Loaded", "StaleEpoch")]
    one = make_replica(
        VIEW, conditions=stale, draining=is_draining, successors=["10.1.0.9:8000"] if is_draining else []
    )
    plan = make_plan(*([] if is_draining else [place("n0/0")]))
    assert "UpdateReplica" not in kinds(changes(plan, one))
    (update,) = (found for found in changes(plan, one, epoch=2) if isinstance(found, UpdateReplica))
    assert (update.spec.epoch, update.spec.draining) == (2, is_draining)


def test_a_new_leader_writes_nothing_that_is_right() -> None:
    assert changes(make_plan(place("n0/0")), make_replica(VIEW), epoch=9) == []


def test_a_status_is_written_with_an_event_where_it_turns() -> None:
    status = TenantStatus(1, (Condition("Ready", ConditionStatus.TRUE, "Serving", "1 device answers", 1),))
    found = changes(make_plan(place("n0/0"), status=status), make_replica(VIEW))
    assert kinds(found) == ["WriteTenantStatus", "RecordEvent"]
    assert found[0] == WriteTenantStatus("default", "digits", VIEW.uid, status)


def test_a_tenant_that_is_being_deleted_or_gone_is_left_alone() -> None:
    plan = make_plan(place("n0/0"))
    snapshot = make_snapshot([replace(VIEW, deleting=True)], NODES)
    assert converge(snapshot, plan, NOW) == ()
    assert converge(make_snapshot((), NODES), plan, NOW) == ()


def test_a_service_is_put_in_order_and_another_s_is_not_touched() -> None:
    one = make_replica(VIEW)
    assert kinds(changes(make_plan(place("n0/0")), one, services=service(in_order=False))) == ["ApplyService"]
    assert changes(make_plan(place("n0/0")), one, services=service("somebody", in_order=False), there={}) == []


def test_cordons_are_applied_and_told_once() -> None:
    cordons = {"n1": (CordonedDevice("0", "Straggling: slow"),), "n9": (CordonedDevice("0", "Straggling: slow"),)}
    found = changes(make_plan(place("n0/0"), cordons=cordons), make_replica(VIEW))
    assert kinds(found) == ["CordonDevices", "RecordEvent"]
    assert found[0] == CordonDevices("n1", cordons["n1"])
    assert isinstance(found[1], RecordEvent)
    assert (found[1].kind, found[1].name, found[1].reason) == ("InferenceNode", "n1", "DeviceCordoned")


def endpoint(address: str, node: str = "n0", *, ready: bool = True) -> Endpoint:
    return Endpoint(address, node, ready=ready, serving=True, terminating=not ready)


@pytest.mark.parametrize(
    ("addresses", "expected"),
    [
        (["10.0.0.2:8000", "10.0.0.1:8000"], {"8000": ["10.0.0.1", "10.0.0.2"]}),
        (["10.0.0.1:8000", "10.0.0.2:9000"], {"8000": ["10.0.0.1"], "9000": ["10.0.0.2"]}),
        (["10.0.0.1:8000", "[fd00::1]:8000"], {"8000": ["10.0.0.1"], "8000-v6": ["fd00::1"]}),
        (["127.0.0.1:8000", "169.254.0.1:8000", "0.0.0.0:8000", "a-name:8000"], {}),  # the API server refuses these
    ],
)  # fmt: skip
def test_slices_by_port_and_family(addresses: list[str], expected: dict[str, list[str]]) -> None:
    replicas = [(make_replica(VIEW, f"n{i}/0", address=address), True) for i, address in enumerate(addresses)]
    found = wanted_slices(VIEW, replicas)
    addresses_of = {name: [one.address for one in slice_.endpoints] for name, slice_ in found.items()}
    assert addresses_of == {f"digits-treadle-{end}": value for end, value in expected.items()}
    assert all(slice_.service == "digits-treadle" for slice_ in found.values())
    assert all((slice_.address_type is AddressType.IPV6) == name.endswith("-v6") for name, slice_ in found.items())


@pytest.mark.parametrize(
    ("first", "second", "ready"), [(True, False, True), (False, True, True), (False, False, False)]
)
def test_an_agent_is_one_endpoint_and_ready_if_any_of_its_devices_is(first: bool, second: bool, ready: bool) -> None:
    replicas = [
        (make_replica(VIEW, "n0/0", address="10.0.0.1:8000"), first),
        (make_replica(VIEW, "n0/1", address="10.0.0.1:8000"), second),
    ]
    (slice_,) = wanted_slices(VIEW, replicas).values()
    assert slice_.endpoints == (endpoint("10.0.0.1", ready=ready),)


def test_slices_that_nothing_needs_are_deleted_but_not_another_tenant_s() -> None:
    one = make_replica(VIEW)
    there = slices([one])
    old = EndpointSliceView("default", "digits-treadle-7000", "u", "3", VIEW.uid, AddressType.IPV4, 7000, ())
    foreign = replace(old, name="digits-treadle-6000", tenant_uid="somebody")
    there |= {"default/digits-treadle-7000": old, "default/digits-treadle-6000": foreign}
    found = changes(make_plan(place("n0/0")), one, there=there)
    assert found == [DeleteEndpointSlice("default", "digits-treadle-7000", "u", "3")]


def test_an_earlier_tenant_s_slice_of_the_name_is_waited_for() -> None:
    one = make_replica(VIEW)
    there = {name: replace(view, tenant_uid="somebody", endpoints=()) for name, view in slices([one]).items()}
    assert changes(make_plan(place("n0/0")), one, there=there) == []


def test_what_nobody_owns_is_deleted() -> None:
    one, left = make_replica(VIEW), replace(make_replica(VIEW, "n1/0"), tenant_uid="")
    collected = replace(make_replica(VIEW, "n2/0"), tenant_uid="an earlier tenant")
    going = make_replica(VIEW, "n3/0")
    going = replace(going, tenant_uid="", replica=replace(going.replica, deleting=True))
    there = slices([one])
    old = EndpointSliceView("default", "digits-treadle-7000", "u", "3", "", AddressType.IPV4, 7000, ())
    users = replace(old, name="users", managed=False)
    of_another = replace(old, name="others", tenant_uid="another")
    there |= {f"default/{view.name}": view for view in (old, users, of_another)}
    found = changes(make_plan(place("n0/0")), one, left, collected, going, there=there)
    assert found == [
        DeleteReplica("default", left.replica.name, left.uid, left.resource_version),
        DeleteEndpointSlice("default", "digits-treadle-7000", "u", "3"),
    ]
