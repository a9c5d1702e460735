"""The plan: a pure function of the snapshot, the last plan's memory and the time."""

from __future__ import annotations

from treadle_operator.policy.plan import Memory, Plan
from treadle_operator.snapshot import Snapshot


def plan(snapshot: Snapshot, memory: Memory, now: float) -> Plan:
    """Decide where each tenant should be served, and what is to be told of it.

    Args:
        snapshot: the objects as last seen, with the API server's answers to own writes in them.
        memory: of the previous plan; `Memory()` for the first one. It holds timers only.
        now: seconds since the epoch.

    Returns:
        The plan; applying all of `convergence.converge(snapshot, plan, now)` and planning again changes nothing.
    """
    raise NotImplementedError
