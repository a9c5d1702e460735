"""From what is to what should be: the changes that are left to make, make-before-break."""

from __future__ import annotations

from treadle_operator.policy.changes import Change
from treadle_operator.policy.plan import Plan
from treadle_operator.snapshot import Snapshot


def converge(snapshot: Snapshot, plan: Plan, now: float) -> tuple[Change, ...]:
    """The changes that bring the snapshot nearer to the plan, as far as that can be done now without a gap.

    Applied in this order, any prefix leaves a state from which the next plan and `converge` go on to the same end; the
    changes of one tenant must keep their order, those of different tenants may overlap. Events come behind the change
    that they tell of. When all are applied and nothing else changes, the next call returns ().

    Args:
        snapshot: the objects that the plan was made from, or later ones.
        plan: what should be.
        now: seconds since the epoch.
    """
    raise NotImplementedError
