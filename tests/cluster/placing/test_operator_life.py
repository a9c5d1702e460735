"""A tenant's life on a real control plane: placed, scaled, edited, moved, refused, deleted."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from played.agents import Players
from played.operators import OperatorProcess
from played.world import TREADLE, World
from treadle.bench.placement.agents import Part, Refusal
from treadle_api.replica import LoadedReason

Eventually = Callable[..., Any]
StartOperator = Callable[..., OperatorProcess]
StartPlayers = Callable[..., Players]


def serving(replica: dict[str, Any]) -> bool:
    conditions = replica.get("status", {}).get("conditions", [])
    return any(one["type"] == "Serving" and one["status"] == "True" for one in conditions)


def status_writers(one: dict[str, Any]) -> set[str]:
    """The field managers of an object's status."""
    entries = one["metadata"]["managedFields"]
    return {entry["manager"] for entry in entries if "f:status" in entry["fieldsV1"]}


def test_a_tenant_is_placed_and_gets_a_service_with_its_endpoints(
    world: World, players: StartPlayers, operator: StartOperator, eventually: Eventually
) -> None:
    players()
    process = operator()
    world.apply_tenant("digits")
    eventually(lambda: world.holds("digits", "Ready"), 5.0)
    uid = world.tenant("digits")["metadata"]["uid"]
    [replica] = world.replicas("digits")
    assert replica["spec"]["epoch"] == process.epoch()
    assert (replica["spec"]["tenantGeneration"], replica["spec"]["draining"]) == (1, False)
    service = world.service("digits")
    assert service is not None
    assert [(port["name"], port["port"]) for port in service["spec"]["ports"]] == [("http", 80)]
    assert "selector" not in service["spec"]
    [endpoint_slice] = world.slices("digits")
    assert endpoint_slice["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"] == "treadle.dev"
    assert [(port["name"], port["port"]) for port in endpoint_slice["ports"]] == [("http", 8080)]
    [endpoint] = endpoint_slice["endpoints"]
    assert [endpoint["addresses"][0]] == [replica["status"]["address"].partition(":")[0]]
    assert endpoint["nodeName"] == replica["spec"]["nodeName"]
    assert endpoint["conditions"] == {"ready": True, "serving": True, "terminating": False}
    status = world.tenant("digits")["status"]
    assert status["url"] == f"http://digits-treadle.{world.namespace}.svc"
    assert status["replicas"] == {"desired": 1, "ready": 1}
    for owned in (replica, service, endpoint_slice):
        [owner] = owned["metadata"]["ownerReferences"]
        assert (owner["uid"], owner["controller"], owner["kind"]) == (uid, True, "InferenceTenant")
    for one in (world.tenant("digits"), replica, service, endpoint_slice):
        assert "finalizers" not in one["metadata"]
        written_by = {entry["manager"] for entry in one["metadata"]["managedFields"]}
        assert not any("kopf" in manager for manager in written_by)
        assert not any("kopf" in name for name in one["metadata"].get("annotations", {}))
    assert status_writers(world.tenant("digits")) == {"treadle-operator"}
    assert status_writers(replica) == {"treadle-agent"}
    assert {event["reason"] for event in eventually(lambda: world.events("digits"))} <= {"Ready"}
    assert process.metric('treadle_operator_placements_total\\{reason="Admitted"\\}') == 1


def test_it_is_scaled_without_a_gap_and_edited_in_place(
    world: World, players: StartPlayers, operator: StartOperator, eventually: Eventually
) -> None:
    players(3)
    operator()
    world.apply_tenant("digits")
    eventually(lambda: world.holds("digits", "Ready"), 5.0)
    [first] = world.nodes_of("digits")
    time.sleep(1.0)  # what is older is told by creationTimestamps, which have whole seconds
    world.apply_tenant("digits", replicas={"min": 3, "max": 3})
    eventually(lambda: sum(world.endpoints("digits").values()) == 3)
    assert world.nodes_of("digits") == ["a", "b", "c"]
    world.apply_tenant("digits", replicas={"min": 1, "max": 1})
    eventually(lambda: len(world.replicas("digits")) == 1, 30.0)
    eventually(lambda: list(world.endpoints("digits").values()) == [True])
    assert world.nodes_of("digits") == [first]  # what was there first stays
    before = world.replicas("digits")[0]["metadata"]
    tiers = [{"name": "only", "accuracy": "99", "model": {"uri": "models/other.onnx"}}]
    generation = world.apply_tenant("digits", tiers=tiers)["metadata"]["generation"]
    eventually(lambda: world.tenant("digits")["status"].get("activeTier") == "only")
    [replica] = world.replicas("digits")
    assert replica["metadata"]["uid"] == before["uid"]  # the agent loads beside what it serves
    assert replica["spec"]["tenantGeneration"] == generation
    assert [tier["name"] for tier in replica["spec"]["template"]["tiers"]] == ["only"]
    eventually(lambda: world.holds("digits", "Ready"))


def alive(world: World, node: str) -> tuple[str, str]:
    """What `kubectl get inode` shows of an agent, beside its own word."""
    found = world.get(f"{TREADLE}/inferencenodes/{node}")
    assert found is not None
    [told] = [one for one in found["status"]["conditions"] if one["type"] == "Alive"]
    assert any(one["type"] == "Ready" for one in found["status"]["conditions"]), "its agent's own are left"
    return told["status"], told["reason"]


def test_a_lost_nodes_tenants_are_served_elsewhere_within_20_seconds_and_stay_when_it_returns(
    world: World, players: StartPlayers, operator: StartOperator, eventually: Eventually
) -> None:
    agents = players(2, Part(lease_seconds=15))
    process = operator()
    names = [f"t{number}" for number in range(4)]
    for name in names:
        world.apply_tenant(name)
    for name in names:
        eventually(lambda name=name: world.holds(name, "Ready"), 10.0)
    on_a = [name for name in names if world.nodes_of(name) == ["a"]]
    assert on_a, "nothing was placed on node a"
    begun = time.monotonic()
    agents.lose("a")
    for name in on_a:
        eventually(lambda name=name: world.endpoints(name) == {"10.1.0.2": True}, 25.0)
    took = time.monotonic() - begun
    assert took <= 20.0, f"served elsewhere after {took:.1f} s"
    for name in on_a:
        eventually(lambda name=name: world.nodes_of(name) == ["b"])
        reasons = [event["reason"] for event in eventually(lambda name=name: world.events(name))]
        assert "NodeLost" in reasons
    assert alive(world, "a") == ("False", "LeaseExpired")
    moved = process.metric('treadle_operator_moves_total\\{reason="NodeLost"\\}')
    assert moved == len(on_a)
    agents.revive("a")
    eventually(lambda: alive(world, "a") == ("True", "LeaseRenewed"), 10.0)
    world.apply_tenant("two", replicas={"min": 2, "max": 2})
    eventually(lambda: world.holds("two", "Ready"), 10.0)
    assert world.nodes_of("two") == ["a", "b"]  # it takes new ones
    assert all(world.nodes_of(name) == ["b"] for name in on_a)
    assert process.metric('treadle_operator_moves_total\\{reason="\\w+"\\}') == moved


def test_while_no_agent_is_heard_of_what_serves_is_left_as_it_is(
    world: World, players: StartPlayers, operator: StartOperator, eventually: Eventually
) -> None:
    agents = players(2)
    operator()
    names = ("one", "two")
    for name in names:
        world.apply_tenant(name)
        eventually(lambda name=name: world.holds(name, "Ready"), 10.0)
    uids = {name: [one["metadata"]["uid"] for one in world.replicas(name)] for name in names}
    endpoints = {name: world.endpoints(name) for name in names}
    agents.lose("a", "b")
    for name in names:
        eventually(lambda name=name: world.condition(name, "Ready")["reason"] == "NodeLost", 15.0)
    time.sleep(2.0)  # more plans
    assert {name: [one["metadata"]["uid"] for one in world.replicas(name)] for name in names} == uids
    assert {name: world.endpoints(name) for name in names} == endpoints
    agents.revive("a", "b")
    for name in names:
        eventually(lambda name=name: world.holds(name, "Ready"), 20.0)
    assert {name: [one["metadata"]["uid"] for one in world.replicas(name)] for name in names} == uids


def test_a_straggler_is_moved_before_it_is_taken_away(
    world: World, players: StartPlayers, operator: StartOperator, eventually: Eventually
) -> None:
    agents = players(2)
    process = operator()
    world.apply_tenant("digits")
    eventually(lambda: world.holds("digits", "Ready"), 5.0)
    [old] = world.nodes_of("digits")
    agents.play(lambda part: part.stragglers.add(f"digits@{old}"))
    seen: list[dict[str, bool]] = []

    def moved() -> bool:
        seen.append(world.endpoints("digits"))
        return [one["spec"]["nodeName"] for one in world.replicas("digits")] not in ([old], []) and (
            len(world.replicas("digits")) == 1
        )

    eventually(moved, 30.0)
    assert world.nodes_of("digits") == [{"a": "b", "b": "a"}[old]]
    assert all(any(endpoints.values()) for endpoints in seen), "for a moment no endpoint was ready"
    assert "Straggling" in {event["reason"] for event in world.events("digits")}
    assert process.metric('treadle_operator_moves_total\\{reason="Straggling"\\}') == 1


def test_deleting_leaves_nothing_also_when_every_node_is_gone(
    world: World, players: StartPlayers, operator: StartOperator, eventually: Eventually
) -> None:
    agents = players(2)
    operator()
    for name in ("one", "two"):
        world.apply_tenant(name)
        eventually(lambda name=name: world.holds(name, "Ready"), 5.0)
    world.delete_tenants("one")
    eventually(lambda: nothing_left(world, "one"), 10.0)
    agents.lose("a", "b")
    world.delete_tenants("two")
    eventually(lambda: nothing_left(world, "two"), 10.0)


def nothing_left(world: World, name: str) -> bool:
    return not (
        world.get(f"{world.here}/inferencetenants/{name}")
        or world.replicas(name)
        or world.service(name)
        or world.slices(name)
    )


def test_an_infeasible_tenant_is_refused_within_5_seconds_with_what_could_be_kept(
    world: World, players: StartPlayers, operator: StartOperator, eventually: Eventually
) -> None:
    players(1, Part(service_seconds=0.05, lease_seconds=3))
    operator()
    world.apply_tenant("digits", slo={"deadline": "2s"})
    eventually(lambda: world.holds("digits", "Ready"), 5.0)  # the models are measured now
    tiers = world.tenant("digits")["spec"]["tiers"]
    begun = time.monotonic()
    world.apply_tenant("hasty", slo={"deadline": "10ms"}, tiers=tiers)

    def refused() -> bool:
        return bool(world.condition("hasty", "Admitted")["status"] == "False")

    eventually(refused, 6.0)
    assert time.monotonic() - begun <= 5.0
    admitted = world.condition("hasty", "Admitted")
    assert admitted["reason"] == "DeadlineInfeasible"
    assert "ms" in admitted["message"]
    offer = world.tenant("hasty")["status"]["counterOffer"]
    assert offer["deadline"].endswith("ms")
    assert world.replicas("hasty") == []
    events = eventually(lambda: world.events("hasty"))
    assert [(event["type"], event["reason"]) for event in events] == [("Warning", "NotAdmitted")]
    # What it offers, it keeps.
    world.apply_tenant("hasty", slo={"deadline": offer["deadline"]})
    eventually(lambda: world.holds("hasty", "Ready"), 10.0)
    assert world.holds("digits", "Ready")


def test_a_load_that_nothing_here_carries_is_refused_within_5_seconds_with_the_one_that_would_do(
    world: World, players: StartPlayers, operator: StartOperator, eventually: Eventually
) -> None:
    players(1, Part(service_seconds=0.01, lease_seconds=3))
    operator()
    world.apply_tenant("digits")
    eventually(lambda: world.holds("digits", "Ready"), 5.0)  # the models are measured now
    begun = time.monotonic()
    world.apply_tenant("flood", tiers=world.tenant("digits")["spec"]["tiers"], load={"requestsPerSecond": "1000000"})
    eventually(lambda: world.condition("flood", "Admitted")["status"] == "False", 6.0)
    assert time.monotonic() - begun <= 5.0
    assert world.condition("flood", "Admitted")["reason"] == "InsufficientCapacity"
    assert 0 < float(world.tenant("flood")["status"]["counterOffer"]["requestsPerSecond"]) < 1_000_000


def test_no_node_matches_is_told_once(
    world: World, players: StartPlayers, operator: StartOperator, eventually: Eventually
) -> None:
    players(1)
    process = operator("operator", "--lease-duration", "3", "--resync", "1")
    world.apply_tenant("digits", nodeSelector={"no": "such"})
    eventually(lambda: world.condition("digits", "Admitted")["reason"] == "NoNodeMatches", 5.0)
    [event] = eventually(lambda: world.events("digits"))
    assert (event["type"], event["reason"]) == ("Warning", "NotAdmitted")
    before, looks = process.writes(), process.metric("treadle_operator_plan_seconds_count")
    eventually(lambda: process.metric("treadle_operator_plan_seconds_count") >= looks + 3)
    assert process.writes() == before


def test_a_service_of_the_users_is_left_alone(
    world: World, players: StartPlayers, operator: StartOperator, eventually: Eventually
) -> None:
    players(1)
    process = operator("operator", "--lease-duration", "3", "--resync", "2")
    path = f"/api/v1/namespaces/{world.namespace}/services"
    mine = {"metadata": {"name": "digits-treadle"}, "spec": {"ports": [{"port": 81}], "selector": {"app": "mine"}}}
    version = world.create(path, mine)["metadata"]["resourceVersion"]
    world.apply_tenant("digits")
    eventually(lambda: world.condition("digits", "Ready")["status"] == "False", 10.0)
    eventually(lambda: "digits-treadle" in world.condition("digits", "Ready")["message"], 10.0)
    service = world.service("digits")
    assert service is not None
    assert service["metadata"]["resourceVersion"] == version
    labels = [one["metadata"]["labels"] for one in world.slices("digits")]  # Kubernetes makes one, as for any Service
    assert "treadle.dev" not in [its["endpointslice.kubernetes.io/managed-by"] for its in labels]
    # No watch tells of it, and none is taken for dead because of that.
    looks = process.metric("treadle_operator_plan_seconds_count")
    eventually(lambda: process.metric("treadle_operator_plan_seconds_count") >= looks + 12)
    assert process.probe("/healthz") == (200, "ok\n")
    assert process.metric("treadle_operator_watch_missed_total\\{.*\\}") == 0
    world.delete(f"{path}/digits-treadle")
    eventually(lambda: world.holds("digits", "Ready"), 30.0)


@pytest.mark.parametrize("reason", [LoadedReason.MODEL_NOT_FOUND, LoadedReason.DIGEST_MISMATCH])
def test_what_agents_refuse_is_told_and_tried_again_less_and_less_often(
    world: World, players: StartPlayers, operator: StartOperator, eventually: Eventually, reason: LoadedReason
) -> None:
    agents = players(3)
    refusal = Refusal(reason, "spec.tiers[large].model: no such bytes")
    agents.play(lambda part: part.refusals.update(digits=refusal))
    process = operator()
    world.apply_tenant("digits")
    eventually(lambda: world.condition("digits", "Admitted")["reason"] == reason, 10.0)
    assert "no such bytes" in world.condition("digits", "Admitted")["message"]
    events = eventually(lambda: [one for one in world.events("digits") if one["type"] == "Warning"])
    assert any(reason in event["note"] for event in events)
    # Nothing is done over and over: in some seconds there is next to no write.
    before = process.writes()
    time.sleep(6.0)
    assert process.writes() - before <= 3
    agents.play(lambda part: part.refusals.clear())
    eventually(lambda: world.holds("digits", "Ready"), 30.0)


def test_a_namespace_goes_with_its_tenants(
    world: World, players: StartPlayers, operator: StartOperator, eventually: Eventually
) -> None:
    players(1)
    operator()
    world.cluster.kubectl("create", "namespace", f"{world.namespace}-2")
    other = World(world.cluster, f"{world.namespace}-2")
    other.apply_tenant("digits")
    eventually(lambda: other.holds("digits", "Ready"), 10.0)
    other.delete(f"/api/v1/namespaces/{other.namespace}")
    eventually(lambda: world.get(f"/api/v1/namespaces/{other.namespace}") is None, 40.0)
