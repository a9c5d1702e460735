"""That an agent is not heard of is told in its InferenceNode, once, and taken back when it is."""

from __future__ import annotations

from dataclasses import replace

from operator_objects import NOW, make_node

from treadle_api.conditions import ConditionStatus, find_condition
from treadle_api.node import ALIVE
from treadle_operator.policy.changes import TellAlive
from treadle_operator.policy.liveness import liveness_changes
from treadle_operator.snapshot import NodeView


def told(view: NodeView, now: float = NOW) -> list[TellAlive]:
    return list(liveness_changes({view.node.name: view}, now))


def after(view: NodeView, change: TellAlive) -> NodeView:
    return replace(view, node=replace(view.node, conditions=(change.condition,)))


def test_a_new_node_is_told_of_and_then_left_alone() -> None:
    new = make_node()
    new = replace(new, node=replace(new.node, conditions=()))
    [change] = told(new)
    assert (change.node, change.condition.status, change.condition.reason) == (
        "n0",
        ConditionStatus.TRUE,
        "LeaseRenewed",
    )
    assert told(after(new, change), NOW + 1000.0) == []


def test_an_agent_that_was_never_heard_of_is_not_told_as_lost() -> None:
    awaited = replace(make_node(), alive=False)
    awaited = replace(awaited, node=replace(awaited.node, conditions=()))
    [change] = told(awaited)
    assert (change.condition.status, change.condition.reason) == (ConditionStatus.FALSE, "NotHeardYet")
    assert told(after(awaited, change)) == []
    [heard] = told(after(replace(awaited, alive=True), change))
    assert heard.condition.reason == "LeaseRenewed"
    [lost] = told(after(awaited, heard))
    assert lost.condition.reason == "LeaseExpired"


def test_silence_is_told_once_and_its_end_too() -> None:
    silent = replace(make_node(), alive=False)
    [lost] = told(silent)
    assert (lost.condition.status, lost.condition.reason) == (ConditionStatus.FALSE, "LeaseExpired")
    assert "is the last that it told" in lost.condition.message
    known = after(silent, lost)
    assert told(known) == []
    [back] = told(replace(known, alive=True), NOW + 60.0)
    found = find_condition(after(known, back).node.conditions, ALIVE)
    assert found is not None
    assert found.holds
    assert found.last_transition_time > lost.condition.last_transition_time
