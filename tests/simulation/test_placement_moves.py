"""What becomes of tenants when nodes, devices, loads and wishes change: one scenario a test, on a fake clock."""

from __future__ import annotations

from dataclasses import replace

import pytest
from cluster_world import World
from fake_agents import Truth
from operator_objects import CPU, MIB, make_device, make_figures, make_node, make_profile, make_tenant

from treadle_api.conditions import Condition, ConditionStatus
from treadle_api.node import CordonedDevice
from treadle_api.profile import Profile
from treadle_operator.policy.moves import COOL_DOWN, REPEATED
from treadle_operator.policy.slow_devices import SLOW_FOR
from treadle_operator.snapshot import ServiceView, Taint, TaintEffect

MODELS = {"large": Truth(0.010, 60 * MIB, "L"), "small": Truth(0.002, 20 * MIB, "S")}


@pytest.fixture
def world() -> World:
    return World(dict(MODELS))


def straggle(world: World, key: str, *, holds: bool = True) -> None:
    world.agents.say(key, world.agents.condition(key, "Straggling", "SlowKernels", holds=holds))


def test_a_tenant_is_placed_served_and_told_of_with_few_writes(world: World) -> None:
    world.add_nodes(3)
    tenants = [world.add(f"x{i}") for i in range(9)]
    assert world.settle() <= 4
    for tenant in tenants:
        assert len(world.places(tenant)) == 1
        assert world.condition(tenant, "Admitted").holds
        assert world.condition(tenant, "Ready").holds
        status = world.api.tenants[tenant.key].status
        assert (status.replicas_desired, status.replicas_ready, status.active_tier) == (1, 1, "t0")
        assert status.url == f"http://{tenant.name}-treadle.default.svc"
        assert world.events(tenant) == ["Ready"]
        assert world.api.writes[tenant.key] <= 8
    assert {place for tenant in tenants for place in world.places(tenant)} == {"n000/0", "n001/0", "n002/0"}


def test_an_idle_cluster_is_left_alone_for_ever(world: World) -> None:
    world.add_nodes(2)
    world.add("x", replicas=(1, 2))
    world.settle()
    version, events = world.api.version, len(world.api.events)
    for _ in range(200):
        world.api.now += 60.0
        assert world.step() == ()
    assert (world.api.version, len(world.api.events)) == (version, events)


def test_a_lost_node_s_tenants_are_placed_again_and_what_it_had_is_removed(world: World) -> None:
    world.add_nodes(3)
    tenants = [world.add(f"x{i}") for i in range(6)]
    world.settle()
    stayed = {tenant.name: world.places(tenant) for tenant in tenants if world.places(tenant) != ["n000/0"]}
    world.lose("n000")
    changes = world.operate()
    assert not any("n000" in str(one.endpoints) for one in world.api.slices.values()), "endpoints go at once"
    assert changes
    assert world.settle() <= 3
    for tenant in tenants:
        assert len(world.places(tenant)) == 1
        assert world.condition(tenant, "Ready").holds
        if tenant.name in stayed:
            assert world.places(tenant) == stayed[tenant.name], "moved without a reason"
        else:
            assert world.events(tenant) == ["Ready", "NodeLost", "NotReady", "Ready"]


def test_what_a_silent_node_has_stays_until_something_replaces_it(world: World) -> None:
    world.add_nodes(1, labels={"zone": "a"})
    world.add_nodes(1)
    tenant = world.add("x", selector=[("zone", "a")])
    world.settle()
    [before] = world.api.replicas
    world.lose("n000")
    world.settle()
    assert list(world.api.replicas) == [before], "nothing could take over from it"
    assert not any(one.endpoints for one in world.api.slices.values())
    ready = world.condition(tenant, "Ready")
    assert (ready.holds, ready.reason) == (False, "NodeLost")
    assert "no other device has room" in ready.message
    world.add_nodes(1, labels={"zone": "a"})
    world.settle()
    assert world.places(tenant) == ["n002/0"]
    assert world.condition(tenant, "Ready").holds


def test_a_silent_node_that_is_heard_of_again_serves_on(world: World) -> None:
    world.add_nodes(1, labels={"zone": "a"})
    world.add_nodes(1)
    tenant = world.add("x", selector=[("zone", "a")])
    world.settle()
    before = {key: view.uid for key, view in world.api.replicas.items()}
    world.lose("n000")
    world.settle()
    world.api.nodes["n000"] = replace(world.api.nodes["n000"], alive=True)
    world.settle()
    assert {key: view.uid for key, view in world.api.replicas.items()} == before
    assert world.condition(tenant, "Ready").holds


def test_while_no_agent_is_heard_of_what_serves_is_left_as_it_is(world: World) -> None:
    world.add_nodes(3)
    tenants = [world.add(f"x{i}") for i in range(6)]
    world.settle()
    replicas = {key: view.uid for key, view in world.api.replicas.items()}
    slices = {key: one.endpoints for key, one in world.api.slices.items()}
    world.api.hushed = True
    for node in list(world.api.nodes):
        world.lose(node)
        world.step()
    world.settle()
    assert {key: view.uid for key, view in world.api.replicas.items()} == replicas
    assert {key: one.endpoints for key, one in world.api.slices.items()} == slices
    assert all(world.condition(tenant, "Ready").reason == "NodeLost" for tenant in tenants)
    world.api.hushed = False
    for node, view in list(world.api.nodes.items()):
        world.api.nodes[node] = replace(view, alive=True)
    world.settle()
    assert {key: view.uid for key, view in world.api.replicas.items()} == replicas
    assert all(world.condition(tenant, "Ready").holds for tenant in tenants)


def test_a_node_that_returns_takes_nothing_back(world: World) -> None:
    world.add_nodes(2)
    tenant = world.add("x")
    world.settle()
    home = world.places(tenant)[0]
    world.lose(home.partition("/")[0])
    world.settle()
    moved = world.places(tenant)
    node = home.partition("/")[0]
    world.api.nodes[node] = replace(world.api.nodes[node], alive=True)
    world.settle()
    assert world.places(tenant) == moved
    assert moved != [home]


@pytest.mark.parametrize(
    ("event", "cause"),
    [
        ("cordon", "DeviceCordoned"),
        ("unschedulable", "DeviceCordoned"),
        ("unhealthy", "DeviceLost"),
        ("taint", "NodeUnfit"),
        ("labels", "NodeUnfit"),
        ("stopping", "NodeStopping"),
    ],
)
def test_a_device_that_must_be_left_is_left_without_a_gap(world: World, event: str, cause: str) -> None:
    world.add_nodes(2, labels={"zone": "a"})
    tenants = [world.add(f"x{i}", selector=[("zone", "a")]) for i in range(4)]
    world.settle()
    view = world.api.nodes["n000"]
    match event:
        case "cordon":
            world.api.cordon("n000", CordonedDevice("0", "the fan is loud"))
        case "unschedulable":
            world.api.nodes["n000"] = replace(view, node=replace(view.node, unschedulable=True))
        case "unhealthy":
            device = replace(view.node.devices[0], healthy=False, reason="XID 79")
            world.api.nodes["n000"] = replace(view, node=replace(view.node, devices=(device,)))
        case "taint":
            world.api.nodes["n000"] = replace(view, taints=(Taint("repair", "", TaintEffect.NO_EXECUTE),))
        case "labels":
            world.api.nodes["n000"] = replace(view, labels={"zone": "b"})
        case "stopping":
            stopping = Condition("Ready", ConditionStatus.FALSE, "Stopping", "")
            world.api.nodes["n000"] = replace(view, node=replace(view.node, conditions=(stopping,)))
    world.settle()
    for tenant in tenants:
        assert world.places(tenant) == ["n001/0"]
        assert all(
            one.ready and one.node == "n001"
            for one in world.api.slices[f"default/{tenant.name}-treadle-8000"].endpoints
        )
    moved = [tenant for tenant in tenants if cause in world.events(tenant)]
    assert len(moved) == 2
    assert all("NotReady" not in world.events(tenant) for tenant in tenants)


def test_a_draining_replica_is_terminating_in_the_slice_and_knows_its_successor(world: World) -> None:
    world.add_nodes(2)
    tenant = world.add("x")
    world.settle()
    home = world.places(tenant)[0]
    world.api.cordon(home.partition("/")[0], CordonedDevice("0", "because"))
    while not any(view.replica.draining for view in world.replicas(tenant)):
        world.step()
    old, new = sorted(world.replicas(tenant), key=lambda view: view.created)
    assert old.replica.successors == (new.replica.status.address,)
    endpoints = world.api.slices["default/x-treadle-8000"].endpoints
    assert {(one.node, one.ready, one.serving, one.terminating) for one in endpoints} == {
        (old.replica.node, False, True, True),
        (new.replica.node, True, True, False),
    }


@pytest.mark.parametrize("clock_ahead", [-3600.0, 0.0, 3600.0])
def test_draining_may_take_a_minute_by_the_operator_s_clock(world: World, clock_ahead: float) -> None:
    world.agents.clock_ahead, world.agents.drain_seconds = clock_ahead, 1e9
    world.add_nodes(2)
    tenant = world.add("x")
    world.settle()
    world.api.cordon(world.places(tenant)[0].partition("/")[0], CordonedDevice("0", "because"))
    while not any(view.replica.draining for view in world.replicas(tenant)):
        world.step()
    world.run(58)
    assert len(world.places(tenant)) == 2
    world.run(5)
    assert len(world.places(tenant)) == 1
    assert not world.memory.draining_since, "what is gone is forgotten"


def test_where_there_is_nowhere_to_go_a_tenant_stays_and_is_told_of(world: World) -> None:
    world.add_nodes(1)
    tenant = world.add("x")
    world.settle()
    world.api.cordon("n000", CordonedDevice("0", "the fan is loud"))
    world.settle()
    admitted = world.condition(tenant, "Admitted")
    assert (admitted.holds, admitted.reason) == (True, "NowhereToMove")
    assert "the fan is loud" in admitted.message
    assert world.condition(tenant, "Ready").holds
    world.add_nodes(1)
    world.settle()
    assert world.places(tenant) == ["n001/0"]
    assert world.condition(tenant, "Admitted").reason == "Placed"


def test_a_straggler_moves_once_and_then_rests(world: World) -> None:
    world.add_nodes(3)
    tenant = world.add("x")
    world.settle()
    home = world.places(tenant)[0]
    straggle(world, world.replicas(tenant)[0].key)
    world.operate()
    assert world.condition(tenant, "Straggling").reason == "Moving"
    world.settle()
    second = world.places(tenant)
    assert len(second) == 1
    assert second != [home]
    assert not world.condition(tenant, "Straggling").holds
    straggle(world, world.replicas(tenant)[0].key)
    world.run(COOL_DOWN + 10)
    assert world.places(tenant) == second, "it straggles there too: it is its own fault"
    assert world.condition(tenant, "Straggling").reason == "CoolingDown"
    world.run(REPEATED, step=10)
    assert world.places(tenant) != second
    assert world.events(tenant).count("Straggling") == 2 + 2, "two verdicts, two moves"


def test_a_begun_move_is_carried_out_when_the_verdict_is_taken_back(world: World) -> None:
    world.add_nodes(3)
    tenant = world.add("x")
    world.settle()
    home, key = world.places(tenant), world.replicas(tenant)[0].key
    straggle(world, key)
    world.operate()
    straggle(world, key, holds=False)
    world.settle()
    assert len(world.places(tenant)) == 1
    assert world.places(tenant) != home
    for _ in range(10):  # a verdict that comes and goes moves nothing in its cool-down
        straggle(world, world.replicas(tenant)[0].key)
        world.run(5)
        straggle(world, world.replicas(tenant)[0].key, holds=False)
        world.run(5)
    assert world.events(tenant).count("Straggling") <= 1 + 1 + 10
    assert len([event for event in world.api.events if "→" in event.message]) == 1


def test_stragglers_move_a_few_at_a_time(world: World) -> None:
    world.add_nodes(4)
    tenants = [world.add(f"x{i}") for i in range(12)]
    world.settle()
    homes = {tenant.name: world.places(tenant) for tenant in tenants}
    for tenant in tenants:
        straggle(world, world.replicas(tenant)[0].key)
    world.run(50)
    moved = [tenant for tenant in tenants if world.places(tenant) != homes[tenant.name]]
    assert len(moved) == 3
    queued = [tenant for tenant in tenants if world.condition(tenant, "Straggling").reason == "Queued"]
    assert len(queued) == 9
    world.run(60)
    assert len([tenant for tenant in tenants if world.places(tenant) != homes[tenant.name]]) == 6


def test_a_straggler_without_a_better_place_stays(world: World) -> None:
    world.add_nodes(1)
    tenant = world.add("x")
    world.settle()
    straggle(world, world.replicas(tenant)[0].key)
    world.settle()
    assert world.places(tenant) == ["n000/0"]
    assert world.condition(tenant, "Straggling").reason == "NoBetterPlace"


def stretch(world: World, node: str, value: float) -> None:
    view = world.api.nodes[node]
    devices = tuple(replace(device, stretch=value) for device in view.node.devices)
    world.api.nodes[node] = replace(view, node=replace(view.node, devices=devices))


def test_a_device_that_slows_all_its_tenants_is_cordoned_and_drained(world: World) -> None:
    world.add_nodes(3)
    tenants = [world.add(f"x{i}") for i in range(6)]
    world.settle()
    stretch(world, "n001", 1.6)
    world.run(SLOW_FOR - 5)
    assert world.api.nodes["n001"].node.cordoned == ()
    world.run(10)
    world.settle()
    (cordon,) = world.api.nodes["n001"].node.cordoned
    assert (cordon.id, cordon.reason) == (
        "0",
        "Straggling: kernels of all its tenants take 1.60 times what they should",
    )
    assert not any("n001/0" in world.places(tenant) for tenant in tenants)
    assert [event.reason for event in world.api.events if event.kind == "InferenceNode"] == ["DeviceCordoned"]
    stretch(world, "n001", 1.0)
    stretch(world, "n002", 1.6)  # a second one of three: then it is not the devices
    world.run(SLOW_FOR + 10)
    assert world.api.nodes["n002"].node.cordoned == ()
    assert world.api.nodes["n001"].node.cordoned, "only a person lifts it"


def test_the_last_device_is_not_cordoned(world: World) -> None:
    world.add_nodes(1)
    world.add("x")
    world.settle()
    stretch(world, "n000", 2.0)
    world.run(SLOW_FOR + 10)
    assert world.api.nodes["n000"].node.cordoned == ()


def test_a_more_important_tenant_takes_what_others_have_above_their_floor(world: World) -> None:
    world.add_nodes(2, devices=[make_device(memory=100 * MIB)])
    low = world.add("low", "large", replicas=(1, 2), rate=150.0, priority=9)
    world.settle()
    assert world.places(low) == ["n000/0", "n001/0"]
    high = world.add("high", "other", priority=1)
    world.models["other"] = Truth(0.001, 90 * MIB)
    world.api.profiles.update(profiles("other", 0.001, 90 * MIB))
    world.settle()
    assert len(world.places(low)) == 1
    assert len(world.places(high)) == 1
    assert world.places(low) != world.places(high)
    assert "Preempted" in world.events(low)
    assert world.condition(low, "Ready").holds
    third = world.add("third", "another", priority=1)
    world.models["another"] = Truth(0.001, 90 * MIB)
    world.api.profiles.update(profiles("another", 0.001, 90 * MIB))
    world.settle()
    assert len(world.places(low)) == 1, "its last replica is its floor"
    assert world.condition(third, "Admitted").reason == "InsufficientMemory"
    assert not world.agents.refused


def profiles(model: str, seconds: float, memory: int) -> dict[tuple[str, str], Profile]:
    made = make_profile(model, seconds, memory=memory)
    return {(made.sha256, made.device_model): made}


def test_replicas_follow_load_after_switching_is_used_up(world: World) -> None:
    world.add_nodes(4)
    tenant = world.add("x", replicas=(1, 3))
    world.settle()

    def load(rate: float, tier: str) -> None:
        world.agents.figures[tenant.key] = lambda replicas: make_figures(int(rate * 60 / replicas))
        world.agents.tiers[tenant.key] = tier

    load(100.0, "t1")  # too much for the accurate tier (10 ms), not for the fast one (2 ms)
    world.run(60)
    assert len(world.places(tenant)) == 1
    load(500.0, "t1")
    world.run(10)
    assert len(world.places(tenant)) == 2
    assert "ScaledUp" in world.events(tenant)
    load(500.0, "t1")
    world.run(600, step=5)
    assert len(world.places(tenant)) == 2, "accuracy is given up: nothing is to be taken away"
    load(60.0, "t0")
    world.run(600, step=5)
    assert len(world.places(tenant)) == 2, "one could not carry it without giving up accuracy"
    load(30.0, "t0")
    world.run(290)
    assert len(world.places(tenant)) == 2
    world.run(30)
    world.settle()
    assert len(world.places(tenant)) == 1
    assert world.events(tenant).count("ScaledDown") == 1


def test_replicas_that_a_manifest_asks_for_or_forbids_are_told_of_as_that(world: World) -> None:
    world.add_nodes(4)
    tenant = world.add("x", rate=100.0)
    world.settle()
    world.add("x", rate=100.0, replicas=(2, 4))
    world.settle()
    world.add("x", rate=100.0, replicas=(1, 1))
    world.settle()
    told = [one.message for one in world.api.events if one.reason in {"ScaledUp", "ScaledDown"}]
    assert len(told) == 2
    assert "replicas are to be 2 to 4" in told[0]
    assert told[1].endswith("replicas are to be 1")
    assert world.events(tenant).count("ScaledUp") == world.events(tenant).count("ScaledDown") == 1


def test_an_edit_is_taken_up_in_place(world: World) -> None:
    world.add_nodes(3)
    tenant = world.add("x", replicas=(2, 2))
    world.settle()
    home, writes = world.places(tenant), world.api.writes[tenant.key]
    world.add("x", "large", "small", "tiny", replicas=(2, 2))
    world.settle()
    assert world.places(tenant) == home
    assert all(len(view.replica.tenant.tiers) == 3 for view in world.replicas(tenant))
    assert world.api.tenants[tenant.key].status.observed_generation == 2
    assert world.condition(tenant, "Ready").observed_generation == 2
    assert world.api.writes[tenant.key] - writes <= 5, "two specs, two reports, one status"
    writes = world.api.writes[tenant.key]
    world.add("x", "large", "small", "tiny", replicas=(2, 2), rate=5.0)
    world.settle()
    assert world.api.writes[tenant.key] - writes == 1, "agents need not know of it: a status, and nothing else"


def test_nothing_is_left_of_a_deleted_tenant_nor_written_of_one_being_deleted(world: World) -> None:
    world.add_nodes(2)
    tenant = world.add("x")
    world.settle()
    world.api.tenants[tenant.key] = replace(world.api.tenants[tenant.key], deleting=True)
    assert world.operate() == ()
    world.api.delete_tenant(tenant.key)
    world.settle()
    assert not world.api.replicas
    assert not world.api.slices
    again = world.add("x")
    world.settle()
    assert world.condition(again, "Ready").holds


def test_a_tenant_made_anew_waits_for_what_the_old_one_left(world: World) -> None:
    world.add_nodes(1)
    tenant = world.add("x")
    world.settle()
    left = dict(world.api.replicas), dict(world.api.services), dict(world.api.slices)
    world.api.delete_tenant(tenant.key)
    world.api.replicas, world.api.services, world.api.slices = (dict(one) for one in left)  # not collected yet
    world.add("x")
    world.run(5)
    assert {view.uid for view in world.replicas(tenant)} == {view.uid for view in left[0].values()}
    assert not world.condition(tenant, "Ready").holds
    world.api.replicas, world.api.services, world.api.slices = {}, {}, {}
    world.settle()
    assert world.condition(tenant, "Ready").holds


def test_what_a_tenant_left_that_was_deleted_without_it_goes(world: World) -> None:
    world.add_nodes(1)
    tenant = world.add("x")
    world.settle()
    world.api.tenants.pop(tenant.key)
    world.api.services.clear()
    world.api.replicas = {key: replace(one, tenant_uid="") for key, one in world.api.replicas.items()}
    world.api.slices = {key: replace(one, tenant_uid="") for key, one in world.api.slices.items()}
    world.settle()
    assert not world.api.replicas
    assert not world.api.slices
    world.add("x")
    world.settle()
    assert world.condition(tenant, "Ready").holds
    assert world.places(tenant) == ["n000/0"]


def test_a_missing_model_is_told_and_costs_no_storm_of_writes(world: World) -> None:
    world.add_nodes(5)
    world.agents.faults["gone"] = "ModelNotFound"
    tenant = world.add("x", "gone")
    world.settle()
    admitted = world.condition(tenant, "Admitted")
    assert (admitted.holds, admitted.reason) == (False, "ModelNotFound")
    writes = world.api.writes[tenant.key]
    world.run(3600, step=5)
    assert world.api.writes[tenant.key] == writes
    assert len(world.places(tenant)) == 1, "a model that is missing is missing everywhere"
    del world.agents.faults["gone"]
    world.settle()
    assert world.condition(tenant, "Admitted").holds


def test_an_edit_that_cannot_be_loaded_leaves_the_earlier_version_in_place(world: World) -> None:
    world.add_nodes(2)
    tenant = world.add("x", "large")
    world.settle()
    world.agents.faults["gone"] = "ModelNotFound"
    world.add("x", "gone")
    world.settle()
    assert world.condition(tenant, "Admitted").reason == "ModelNotFound"
    ready = world.condition(tenant, "Ready")
    assert (ready.holds, ready.reason, ready.observed_generation) == (True, "PreviousVersion", 1)
    assert world.answering(tenant.key) == 1


def test_a_device_that_cannot_load_it_is_left_for_another_less_and_less_often(world: World) -> None:
    world.add_nodes(4, devices=[make_device(memory=200 * MIB)])
    world.models["huge"] = Truth(0.001, 300 * MIB)  # nobody knows
    tenant = world.add("x", "huge", digests=False)
    world.run(3600, step=5)
    assert len(world.agents.refused) <= 7
    assert world.api.writes[tenant.key] <= 40
    assert not world.condition(tenant, "Admitted").holds
    assert world.condition(tenant, "Admitted").reason == "LoadFailed"
    world.add_nodes(1, devices=[make_device(memory=400 * MIB)])
    world.run(3000, step=5)
    assert world.places(tenant) == ["n004/0"]
    assert world.condition(tenant, "Ready").holds


@pytest.mark.parametrize("loss", ["lost", "cordoned"])
def test_a_replica_that_no_device_could_load_holds_up_no_other(world: World, loss: str) -> None:
    world.add_nodes(6)
    tenant = world.add("x", "large")
    world.settle()
    (served,) = world.replicas(tenant)
    world.agents.broken = {f"n{n:03}/0" for n in range(4)} - {served.place}
    world.add("x", "large", replicas=(2, 2))
    world.run(200)
    assert set(world.places(tenant)) == {served.place, *world.agents.broken}
    world.run(100)
    assert len(world.places(tenant)) == 4, "the second one waits for its next try"
    if loss == "lost":
        world.lose(served.replica.node)
    else:
        world.api.cordon(served.replica.node, CordonedDevice("0", "because"))
    world.run(20)
    assert world.answering(tenant.key) >= 1
    (taken,) = set(world.places(tenant)) - {served.place} - world.agents.broken
    assert taken in {"n004/0", "n005/0"}, "only the one that was served is placed anew"
    world.run(1000, step=5)
    assert world.answering(tenant.key) == 2


def test_a_tenant_leaves_devices_that_turn_out_too_slow(world: World) -> None:
    world.api.nodes["n0"] = make_node("n0", [make_device(model=CPU)])
    tenant = world.add("x", "slow", deadline=0.1)
    world.models["slow"] = Truth(0.080)  # 160 ms on a CPU
    world.settle()
    assert world.condition(tenant, "Admitted").reason == "DeadlineInfeasible", "known once it was loaded"
    assert world.answering(tenant.key) == 1, "and served as well as can be"
    world.api.nodes["n1"] = make_node("n1")
    world.settle()
    assert world.places(tenant) == ["n1/0"]
    assert "TooSlow" in world.events(tenant)
    world.run(300)


def test_an_overloaded_device_is_relieved_of_its_least_important_tenants(world: World) -> None:
    world.add_nodes(1)
    tenants = [world.add(f"x{i}", "small", priority=i + 1) for i in range(4)]
    world.settle()
    for tenant in tenants:
        world.agents.figures[tenant.key] = lambda _: make_figures(60 * 150)  # 0.3 of the device each
    world.settle()
    world.add_nodes(1)
    world.settle()
    assert [world.places(tenant) for tenant in tenants] == [["n000/0"], ["n000/0"], ["n001/0"], ["n001/0"]]
    assert world.events(tenants[3]).count("DeviceOverloaded") == 1
    world.run(600, step=5)
    assert [world.places(tenant) for tenant in tenants] == [["n000/0"], ["n000/0"], ["n001/0"], ["n001/0"]]


def test_a_tenant_with_fewer_devices_than_it_needs_is_booked_with_all_of_its_load(world: World) -> None:
    world.add_nodes(1, labels={"zone": "a"})
    tenant = world.add("x", "large", selector=[("zone", "a")], replicas=(1, 4), priority=1)
    neighbour = world.add("y", "small")
    world.settle()
    world.agents.figures[tenant.key] = lambda _: make_figures(60 * 150)  # 1.5 of the only device it may be on
    world.settle()
    newcomer = world.add("z", "small", rate=10.0)
    world.settle()
    assert world.condition(newcomer, "Admitted").reason == "InsufficientCapacity"
    world.add_nodes(1)
    world.settle()
    assert world.places(newcomer) == ["n001/0"]
    assert world.places(tenant) == ["n000/0"]
    world.run(600, step=5)
    assert world.places(neighbour) == ["n000/0"], "it asks for nothing that it does not get"


def test_a_refused_tenant_is_placed_when_there_is_room_and_waits_quietly_until_then(world: World) -> None:
    world.add_nodes(1)
    first = world.add("first", "large", rate=70.0)
    world.settle()
    second = world.add("second", "large", rate=70.0)
    assert world.settle() <= 5
    admitted = world.condition(second, "Admitted")
    assert (admitted.holds, admitted.reason) == (False, "InsufficientCapacity")
    assert world.places(second) == []
    version = world.api.version
    world.run(600, step=5)
    assert world.api.version == version
    world.api.delete_tenant(first.key)
    world.settle()
    assert world.condition(second, "Ready").holds
    assert world.api.tenants[second.key].status.counter_offer is None


def test_more_replicas_than_devices_serve_as_far_as_they_go(world: World) -> None:
    world.add_nodes(2)
    tenant = world.add("x", replicas=(3, 3))
    world.settle()
    assert world.places(tenant) == ["n000/0", "n001/0"]
    assert world.condition(tenant, "Admitted").holds
    ready = world.condition(tenant, "Ready")
    assert (ready.holds, ready.reason) == (False, "TooFewDevices")
    world.add_nodes(1)
    world.settle()
    assert world.condition(tenant, "Ready").holds


def test_a_user_s_service_of_the_name_is_left_alone(world: World) -> None:
    world.add_nodes(1)
    world.api.services["default/x-treadle"] = ServiceView("default", "x-treadle", "", in_order=False)
    tenant = world.add("x")
    world.settle()
    assert world.condition(tenant, "Ready").reason == "ServiceTaken"
    assert not world.api.services["default/x-treadle"].in_order
    assert not world.api.slices


def test_replicas_of_a_tenant_are_spread_over_nodes(world: World) -> None:
    world.add_nodes(3, devices=[make_device("0"), make_device("1")])
    world.add("filler", "large", replicas=(2, 2))
    tenant = world.add("x", replicas=(3, 3))
    world.settle()
    assert {place.partition("/")[0] for place in world.places(tenant)} == {"n000", "n001", "n002"}


def test_a_spec_that_an_agent_refuses_as_an_old_leader_s_is_written_again(world: World) -> None:
    world.add_nodes(1)
    tenant = world.add("x")
    world.settle()
    world.api.epoch += 1
    assert world.operate() == (), "a new leader writes nothing that is right"
    key = world.replicas(tenant)[0].key
    world.agents.say(key, world.agents.condition(key, "Loaded", "StaleEpoch", holds=False))
    world.operate()
    assert world.replicas(tenant)[0].replica.epoch == world.api.epoch
    world.settle()
    assert world.condition(tenant, "Ready").holds


def test_make_tenant_has_the_tiers_in_order() -> None:
    assert [tier.accuracy for tier in make_tenant(models=["a", "b", "c"]).tiers] == [95.0, 90.0, 85.0]


def test_replicas_made_in_one_second_are_told_apart(world: World) -> None:
    world.add_nodes(3)
    tenant = world.add("x", replicas=(1, 3))
    world.agents.load_seconds = 0.0
    world.run(2.0)
    (first,) = world.replicas(tenant)
    world.api.cordon(first.replica.node, CordonedDevice("0", "because"))
    world.operate()
    second = next(view for view in world.replicas(tenant) if view.key != first.key)
    # Creation times are whole seconds: the API server gives both the same.
    world.api.replicas[second.key] = replace(second, created=first.created)
    world.settle()
    assert world.places(tenant) == [second.place]
