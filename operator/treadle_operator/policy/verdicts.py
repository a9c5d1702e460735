"""Whether a tenant that is placed is admitted, and what is said of it."""

from __future__ import annotations

from treadle_operator.policy.case import Case
from treadle_operator.policy.feasibility import Judge
from treadle_operator.policy.observation import Refusal, refusal
from treadle_operator.policy.placement import Fleet
from treadle_operator.policy.plan import Reason, Verdict

_KEPT = Verdict(admitted=True, reason=Reason.PLACED, message="its promise can be kept")


def judge_case(case: Case, fleet: Fleet, judge: Judge) -> Verdict:
    """The verdict on a tenant whose placements are decided.

    What is served is not taken away because its promise turns out to be too much: it is told, and served as well as it
    can be.
    """
    if case.verdict is not None:
        return judge.with_offer(case, case.verdict)
    if (refused := _refused(case)) is not None:
        return Verdict(admitted=False, reason=refused.reason, message=refused.message)
    if not case.placements:
        why = judge.alone(case.tenant, fleet.kinds(case.tenant)) or judge.no_room(case.tenant, case.rate)
        return judge.with_offer(case, why)
    if (broken := judge.kept(case)) is not None:
        return judge.with_offer(case, broken)
    if case.stuck:
        message = f"it stays where it is although {case.stuck}, since no other device takes it"
        return Verdict(admitted=True, reason=Reason.NOWHERE_TO_MOVE, message=message)
    return _KEPT


def _refused(case: Case) -> Refusal | None:
    """What agents refuse: one is enough if it lies in the tenant, all must if it lies in their devices."""
    refusals = [refusal(view) for view in case.state.current if view.place in case.placements]
    for one in refusals:
        if one is not None and not one.elsewhere:
            return one
    if refusals and len(refusals) == len(case.placements) and all(refusals):
        return refusals[-1]
    return None
