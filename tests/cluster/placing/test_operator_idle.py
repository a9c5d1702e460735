"""At rest the operator writes nothing, and reads little."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from bed.audit import Request, read_requests
from bed.cluster import SYSTEM_NAMESPACE
from played.agents import Players
from played.operators import OperatorProcess
from played.world import World

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
