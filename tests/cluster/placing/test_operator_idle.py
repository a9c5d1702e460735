"""At rest the operator writes nothing, reads little, and asks for no more than its role allows."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import yaml

from bed.audit import Request, read_requests
from bed.cluster import RBAC, SYSTEM_NAMESPACE
from played.agents import Players
from played.operators import OperatorProcess
from played.world import TREADLE, World

Eventually = Callable[..., Any]
OPERATOR = f"system:serviceaccount:{SYSTEM_NAMESPACE}:treadle-operator"


def requests(world: World) -> list[Request]:
    return [one for one in read_requests(world.cluster.control_plane.audit_log) if one.user == OPERATOR]


def test_an_idle_resync_writes_nothing(
    world: World, players: Callable[..., Players], operator: Callable[..., OperatorProcess], eventually: Eventually
) -> None:
    players(2)
    process = operator("operator", "--lease-duration", "15", "--resync", "1")
    for number in range(5):
        world.apply_tenant(f"t{number}", replicas={"min": 2, "max": 2})
    for number in range(5):
        eventually(lambda number=number: world.holds(f"t{number}", "Ready"), 20.0)
    eventually(lambda: process.metric("treadle_operator_queue_depth") == 0)
    time.sleep(2.0)  # the last status may still be on its way
    before, asked = world.versions(), len(requests(world))
    plans, writes = process.metric("treadle_operator_plan_seconds_count"), process.writes()
    eventually(lambda: process.metric("treadle_operator_plan_seconds_count") >= plans + 6, 20.0)
    assert process.writes() == writes
    assert world.versions() == before
    since = requests(world)[asked:]
    written = [one for one in since if one.verb not in {"get", "list", "watch"} and one.resource != "leases"]
    assert written == []
    # Both kinds of looks were among them: plans, and lists that check the watches.
    assert {one.resource for one in since if one.verb == "list"} >= {"inferencetenants", "services", "leases"}


def test_a_restart_writes_nothing_either(
    world: World, players: Callable[..., Players], operator: Callable[..., OperatorProcess], eventually: Eventually
) -> None:
    players(2)
    process = operator("first")
    for number in range(5):
        world.apply_tenant(f"t{number}")
    for number in range(5):
        eventually(lambda number=number: world.holds(f"t{number}", "Ready"), 20.0)
    eventually(lambda: process.metric("treadle_operator_queue_depth") == 0)
    time.sleep(2.0)  # the last status may still be on its way
    before = world.versions()
    assert process.program.stop() == 0
    second = operator("second")
    second.epoch()
    eventually(lambda: second.metric("treadle_operator_plan_seconds_count") >= 1)
    time.sleep(2.0)  # nothing comes late
    assert second.writes() == 0
    assert world.versions() == before


def test_the_role_allows_what_is_used_and_no_more(
    world: World, players: Callable[..., Players], operator: Callable[..., OperatorProcess], eventually: Eventually
) -> None:
    """All of a life, with the audit log on one side and the role on the other."""
    agents = players(2)
    process = operator("operator", "--lease-duration", "3", "--resync", "1")
    world.apply_tenant("digits", replicas={"min": 2, "max": 2})
    eventually(lambda: world.holds("digits", "Ready"), 20.0)
    world.apply_tenant("digits", replicas={"min": 1, "max": 1})
    eventually(lambda: len(world.replicas("digits")) == 1, 30.0)
    [slow] = world.nodes_of("digits")
    agents.play(lambda part: part.stretch.update({slow: 2.0}))  # its device is slow with all its tenants
    eventually(lambda: world.nodes_of("digits") not in ([slow], []), 60.0)
    node = world.get(f"{TREADLE}/inferencenodes/{slow}")
    assert node is not None
    [cordoned] = node["spec"]["cordonedDevices"]
    assert (cordoned["id"], "2.00 times" in cordoned["reason"]) == ("0", True)
    eventually(lambda: len(world.replicas("digits")) == 1, 30.0)
    assert process.program.stop() == 0
    refused = [one for one in requests(world) if not one.permitted]
    assert refused == []
    used = {(one.group, one.resource, "patch" if one.verb == "apply" else one.verb) for one in requests(world)}
    allowed = {
        (group, resource, verb)
        for document in yaml.safe_load_all((RBAC / "operator.yaml").read_text())
        for rule in document.get("rules", [])
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert used <= allowed
    # Not in every life: conflicts that make it look again, an Event's series, a slice of another port.
    rare = {
        ("treadle.dev", "inferencetenants", "get"),
        ("treadle.dev", "inferencereplicas", "get"),
        ("treadle.dev", "inferencenodes", "get"),
        ("", "services", "get"),
        ("", "services", "patch"),
        ("discovery.k8s.io", "endpointslices", "get"),
        ("discovery.k8s.io", "endpointslices", "delete"),
        ("events.k8s.io", "events", "patch"),
    }
    assert allowed - used <= rare
