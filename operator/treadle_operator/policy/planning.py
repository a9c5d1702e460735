"""The plan: a pure function of the snapshot, the last plan's memory and the time."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from treadle_operator.policy.assignment import assign
from treadle_operator.policy.bookings import Bookings
from treadle_operator.policy.capacity import Knowledge
from treadle_operator.policy.case import Case
from treadle_operator.policy.devices import read_devices
from treadle_operator.policy.feasibility import Judge
from treadle_operator.policy.moves import Mover
from treadle_operator.policy.observation import drain_until, draining_since, read_tenants
from treadle_operator.policy.placement import Fleet
from treadle_operator.policy.plan import DeviceForecast, Memory, Plan, TenantPlan
from treadle_operator.policy.reporting import Reporter
from treadle_operator.policy.seeding import count_strays, open_cases
from treadle_operator.policy.slow_devices import cordon_slow_devices
from treadle_operator.policy.verdicts import judge_case
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
    knowledge = Knowledge(snapshot)
    fleet = Fleet(read_devices(snapshot), knowledge)
    judge = Judge(fleet)
    # 1. What is there stays, unless there is a reason to leave.
    tenants, strays = read_tenants(snapshot)
    count_strays(strays, fleet, knowledge)
    cases = open_cases(snapshot, tenants, fleet, knowledge, memory, now)
    bookings = Bookings(cases, fleet)
    for ledger in fleet.ledgers.values():
        ledger.memory.settle(ledger.state.used)
    bookings.check(fleet.ledgers)
    # 2. What is missing is placed, for the most important tenants first.
    donors = [case for case in cases if case.spare > 0]
    for case in cases:
        assign(case, fleet, judge, donors, now)
        bookings.check(case.placements.keys() | case.unsettled)
    # 3. What can wait is moved, as far as cool-downs and the budget for moves allow.
    mover = Mover(cases, fleet, bookings, now)
    mover.run()
    # 4. A device that slows all its tenants is cordoned; the next plan leaves it.
    cordons = cordon_slow_devices(snapshot, fleet.ledgers, memory.slow_since, now)
    draining = draining_since(tenants, memory.draining_since, now)
    # 5. All that is told.
    reporter = Reporter(snapshot, memory, now)
    plans = {}
    for case in cases:
        verdict = judge_case(case, fleet, judge)
        status = reporter.status(case, verdict)
        plans[case.tenant.key] = TenantPlan(verdict, tuple(case.placements.values()), case.given_up, status)
    return Plan(
        tenants=plans,
        cordons=cordons.by_node,
        devices={
            place: DeviceForecast(ledger.best.total, ledger.floor.total, ledger.memory.staying)
            for place, ledger in fleet.ledgers.items()
        },
        memory=Memory(
            low={case.tenant.key: case.target.low for case in cases if case.target.low is not None},
            held=reporter.held,
            written=reporter.written,
            idle_since=reporter.idle_since,
            slow_since=cordons.slow_since,
            draining_since=draining,
        ),
        wake=_earliest(cases, draining, [mover.wake, cordons.wake, reporter.wake], now),
    )


def _earliest(cases: Iterable[Case], draining: Mapping[str, float], times: list[float], now: float) -> float | None:
    """The first of all times at which a plan would say something else; None: there is none."""
    for case in cases:
        # One that should be gone by now, and is not, cannot go yet: looking again at once would not change that.
        drains = [drain_until(view, draining) for view in case.state.leaving]
        times += [time for time in drains if time is not None and time > now]
        times += [time for time in (case.retry_at, case.target.wake) if time is not None]
    first = min(times)
    return None if math.isinf(first) else first
