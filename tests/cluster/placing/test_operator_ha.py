"""Several operators: one leads, another takes over, and one that was paused does no harm."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from played.agents import Players
from played.operators import OperatorProcess
from played.world import World
from treadle.bench.placement.agents import Part
from treadle_operator.tenant_status import TenantCondition

Eventually = Callable[..., Any]
DEFAULT = ("--lease-duration", "15")


def two(
    operator: Callable[..., OperatorProcess], eventually: Eventually, *options: str
) -> tuple[OperatorProcess, OperatorProcess]:
    """The leader, and one that stands by."""
    leader = operator("one", *options)
    eventually(lambda: leader.metric("treadle_operator_leader") == 1)
    return leader, operator("two", *options)


def test_one_leads_and_all_are_ready(operator: Callable[..., OperatorProcess], eventually: Eventually) -> None:
    leader, other = two(operator, eventually)
    for process in (leader, other):
        assert process.probe("/readyz") == (200, "ok\n")
        assert process.probe("/healthz") == (200, "ok\n")
    assert (leader.metric("treadle_operator_leader"), other.metric("treadle_operator_leader")) == (1, 0)
    assert other.metric("treadle_operator_plan_seconds_count") == 0


def test_the_leader_alone_tells_of_tenants_and_its_successor_goes_on(
    world: World, players: Callable[..., Players], operator: Callable[..., OperatorProcess], eventually: Eventually
) -> None:
    players(1)
    leader, other = two(operator, eventually)
    world.apply_tenant("digits")

    def told(process: OperatorProcess) -> tuple[int, int]:
        """How many conditions of tenants, and how many nodes."""
        _, text = process.probe("/metrics")
        return text.count("treadle_tenant_condition{"), text.count("treadle_node_alive{")

    eventually(lambda: told(leader) == (len(TenantCondition), 1))
    eventually(lambda: other.metric(r'treadle_operator_objects\{kind="inferencetenants"\}') == 1)
    assert told(other) == (0, 1)
    assert leader.program.stop(10.0) == 0
    eventually(lambda: told(other) == (len(TenantCondition), 1))


def test_a_killed_leader_is_followed_within_20_seconds(
    world: World, players: Callable[..., Players], operator: Callable[..., OperatorProcess], eventually: Eventually
) -> None:
    players(2)
    leader, other = two(operator, eventually, *DEFAULT)
    world.apply_tenant("digits")
    eventually(lambda: world.holds("digits", "Ready"), 10.0)
    epoch = leader.epoch()
    leader.program.kill()
    begun = time.monotonic()
    world.apply_tenant("after")
    eventually(lambda: world.holds("after", "Admitted"), 25.0)
    took = time.monotonic() - begun
    assert took <= 20.0, f"the first tenant after the kill was admitted after {took:.1f} s"
    assert other.epoch() == world.leader()["leaseTransitions"] == epoch + 1
    assert world.replicas("digits")[0]["spec"]["epoch"] == epoch  # what is right is not written again


def test_a_leader_that_is_asked_to_stop_is_followed_within_5_seconds(
    world: World, players: Callable[..., Players], operator: Callable[..., OperatorProcess], eventually: Eventually
) -> None:
    players(2)
    leader, _ = two(operator, eventually, *DEFAULT)
    begun = time.monotonic()
    assert leader.program.stop(10.0) == 0
    world.apply_tenant("after")
    eventually(lambda: world.holds("after", "Admitted"), 10.0)
    took = time.monotonic() - begun
    assert took <= 5.0, f"the first tenant after SIGTERM was admitted after {took:.1f} s"


def test_a_paused_leader_writes_nothing_when_it_wakes(
    world: World, players: Callable[..., Players], operator: Callable[..., OperatorProcess], eventually: Eventually
) -> None:
    agents = players(2)
    leader, other = two(operator, eventually, "--lease-duration", "3")
    for number in range(4):
        world.apply_tenant(f"t{number}")
    for number in range(4):
        eventually(lambda number=number: world.holds(f"t{number}", "Ready"), 10.0)
    eventually(lambda: leader.metric("treadle_operator_queue_depth") == 0)
    writes, epoch = leader.writes(), leader.epoch()
    leader.program.pause()
    # It sleeps through all this; to its memory the tenants have one replica each.
    for number in range(4):
        world.apply_tenant(f"t{number}", replicas={"min": 2, "max": 2})
    for number in range(4):
        eventually(lambda number=number: len(world.replicas(f"t{number}")) == 2, 20.0)
        eventually(lambda number=number: world.holds(f"t{number}", "Ready"), 20.0)
    assert other.epoch() == epoch + 1
    time.sleep(1.0)
    before = world.versions()
    leader.program.resume()
    leader.program.wait_for("not leading any more")
    time.sleep(3.0)  # it has had its time to do harm
    assert leader.writes() == writes
    assert world.versions() == before
    assert agents.refused_epochs == []
    assert leader.probe("/healthz") == (200, "ok\n")
    assert world.leader()["holderIdentity"] != ""
    # And it is as good a successor as any.
    other.program.kill()
    world.apply_tenant("after")
    eventually(lambda: world.holds("after", "Ready"), 15.0)
    assert leader.epoch() >= epoch + 2


def test_a_write_of_an_ended_epoch_is_refused_by_the_agent_and_undone_by_the_leader(
    world: World, players: Callable[..., Players], operator: Callable[..., OperatorProcess], eventually: Eventually
) -> None:
    """The write that was under way when its leader was paused, and reached the API server after its lease had ended."""
    agents = players(1, Part(lease_seconds=3))
    first = operator("one")
    world.apply_tenant("digits")
    eventually(lambda: world.holds("digits", "Ready"), 10.0)
    assert first.program.stop() == 0
    second = operator("two")
    epoch = second.epoch()
    [replica] = world.replicas("digits")
    assert replica["spec"]["epoch"] < epoch
    stale = [{"name": "stale", "accuracy": "99", "model": {"uri": "models/stale.onnx"}}]
    path = f"{world.here}/inferencereplicas/{replica['metadata']['name']}"
    world.patch(path, {"spec": {"template": {"tiers": stale}}})
    eventually(lambda: agents.refused_epochs, 10.0)

    def undone() -> bool:
        [found] = world.replicas("digits")
        tiers = [tier["name"] for tier in found["spec"]["template"]["tiers"]]
        return tiers == ["large", "small"] and found["spec"]["epoch"] == epoch

    eventually(undone, 15.0)
    eventually(lambda: world.holds("digits", "Ready"), 15.0)
    assert world.tenant("digits")["status"]["activeTier"] == "large"
