"""Whether agents are heard of, as it is told in their InferenceNodes: a dead one cannot tell it itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from treadle_api.conditions import Condition, ConditionStatus, find_condition, transition_time
from treadle_api.node import ALIVE, Node
from treadle_operator.policy.changes import TellAlive
from treadle_operator.snapshot import NodeView

_HEARD = (ConditionStatus.TRUE, "LeaseRenewed", "its agent renews its Lease")
_SILENT = (
    ConditionStatus.FALSE,
    "LeaseExpired",
    "its agent is not heard of: what else this status says is the last that it told",
)
_NOT_HEARD_YET = (ConditionStatus.FALSE, "NotHeardYet", "its agent has not renewed a Lease yet")


def was_heard(node: Node) -> bool:
    """Whether its agent has ever been heard of."""
    told = find_condition(node.conditions, ALIVE)
    return told is not None and told.reason != _NOT_HEARD_YET[1]


def liveness_changes(nodes: Mapping[str, NodeView], now: float) -> Iterator[TellAlive]:
    """The conditions that are to be written; `now` in seconds since the epoch."""
    for name, view in sorted(nodes.items()):
        status, reason, message = _HEARD if view.alive else _SILENT if was_heard(view.node) else _NOT_HEARD_YET
        told = find_condition(view.node.conditions, ALIVE)
        if told is None or (told.status, told.reason) != (status, reason):
            condition = Condition(ALIVE, status, reason, message, view.node.generation, transition_time(now))
            yield TellAlive(name, condition)
