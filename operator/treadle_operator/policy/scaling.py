"""How many devices a tenant is served on: switching to a cheaper tier comes first, then more replicas.

Up when even the cheapest tier cannot carry the load on those there are; down when one less would carry it at the most
accurate tier with room to spare, and that has been so for a while. The gap between the two is the hysteresis.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from treadle_api.tenant import Replicas
from treadle_api.units import Seconds, format_rate
from treadle_operator.policy.capacity import LIMIT, Demand
from treadle_operator.policy.observation import TenantState
from treadle_operator.policy.plan import LowLoad

DOWN_SHARE = 0.5  # of a device's time: what the load may take of each device that is left, at the best tier
DOWN_AFTER = Seconds(300.0)  # that it must have been so low
UP_AGAIN_AFTER = Seconds(90.0)  # since the last replica was placed: its figures must show whether it was enough
_SIGMAS = 3.0  # standard deviations of a count: what is more than that is no chance
ENOUGH = 30  # requests of a window that say something
GIVEN_UP = 0.1  # points of accuracy that answers lack to the best tier: less is a moment's switch


@dataclass(frozen=True, slots=True)
class Target:
    """How many replicas there should be, and why.

    `needed`: how many the load alone asks for, within no bounds; `promised`: how many what is declared asks for, within
    the tenant's bounds. `low`: since when less would do, to be passed on; `wake`: when that makes a difference.
    """

    replicas: int
    needed: int
    promised: int
    message: str = ""
    low: LowLoad | None = None
    wake: float | None = None


def target(state: TenantState, demand: Demand, slots: int, low: LowLoad | None, now: float) -> Target:
    """The number of replicas for a tenant.

    It is stepwise downwards, and never outside of what the tenant allows.

    Args:
        state: the tenant.
        demand: what it costs on the slowest kind of device that serves it, or the best there is while none does.
        slots: its replicas now, those that are being replaced counted once.
        low: what the previous plan passed on.
        now: seconds since the epoch.
    """
    bounds = state.view.tenant.replicas
    cheapest = (demand.floor or demand.fastest).seconds
    needed = devices_needed(_surely(state), cheapest)
    declared = devices_needed(state.view.tenant.requests_per_second or 0.0, cheapest)
    promised = min(max(declared, bounds.minimum), bounds.maximum)
    inside = min(max(slots, bounds.minimum), bounds.maximum)
    if (wanted := min(max(inside, needed), bounds.maximum)) != slots:
        return Target(
            wanted, needed, promised, _says(state, demand, needed) if slots < wanted == needed else _bounds(bounds)
        )
    if slots < bounds.maximum and _overwhelmed(state, demand, now):
        message = f"its objective is missed although the cheapest tier answers{_gave_up(state, demand)}"
        return Target(slots + 1, needed, promised, message)
    if slots <= bounds.minimum or _gives_up_accuracy(state, demand) or not _fits(state, demand, slots - 1):
        return Target(slots, needed, promised)
    low = low if low is not None and low.replicas == slots else LowLoad(now, slots)
    if now - low.since < DOWN_AFTER:
        return Target(slots, needed, promised, low=low, wake=low.since + DOWN_AFTER)
    message = f"{_load(state)} requests/s have asked for less for {DOWN_AFTER:g} s"
    return Target(slots - 1, needed, promised, message, low)


def devices_needed(rate: float, seconds: float) -> int:
    """How many devices it takes to answer `rate` requests a second that take `seconds` of a device each."""
    return max(1, math.ceil(round(rate * seconds / LIMIT, 6)))


def given_up(state: TenantState, demand: Demand) -> float:
    """Points of accuracy that the last window's answers in time lack to the best tier's; 0 without any."""
    if not state.served.good:
        return 0.0
    return max((demand.best or demand.fastest).accuracy - state.served.accuracy_credit / state.served.good, 0.0)


def _surely(state: TenantState) -> float:
    """The load that is offered for sure: a short window's few requests may be more than usual by chance."""
    served, declared = state.served, state.view.tenant.requests_per_second or 0.0
    if state.rate is None or not served.total:
        return state.offered
    chance = _SIGMAS / math.sqrt(served.total)
    return max(declared, state.rate * max(0.0, 1 - chance))


def _says(state: TenantState, demand: Demand, needed: int) -> str:
    devices = f"{needed} device{'s' if needed > 1 else ''}"
    return f"{_load(state)} requests/s take {devices} even at the cheapest tier{_gave_up(state, demand)}"


def _load(state: TenantState) -> str:
    return format_rate(state.offered, exact=state.view.tenant.requests_per_second)


def _gave_up(state: TenantState, demand: Demand) -> str:
    points = given_up(state, demand)
    return f", with {points:.2g} points of accuracy given up" if points > GIVEN_UP else ""


def _bounds(bounds: Replicas) -> str:
    most = f" to {bounds.maximum}" if bounds.maximum > bounds.minimum else ""
    return f"replicas are to be {bounds.minimum}{most}"


def _overwhelmed(state: TenantState, demand: Demand, now: float) -> bool:
    """Whether promises are broken, and switching is used up."""
    served, budget = state.served, 1 - state.view.tenant.slo.objective / 100
    bad, allowed = served.late + served.shed, budget * served.total
    if served.total < ENOUGH or bad <= allowed + 3 * math.sqrt(allowed) + 1:
        return False
    if any(now - one.created < UP_AGAIN_AFTER for one in state.current):
        return False
    cheapest = (demand.floor or demand.fastest).name
    return all(one.replica.status.active_tier == cheapest for one in state.current if one.serves)


def _gives_up_accuracy(state: TenantState, demand: Demand) -> bool:
    """Whether they answer from less than the best tier, most of the time or now and then."""
    best = (demand.best or demand.fastest).name
    return given_up(state, demand) > GIVEN_UP or any(
        one.replica.status.figures.total and one.replica.status.active_tier not in (None, best) for one in state.current
    )


def _fits(state: TenantState, demand: Demand, replicas: int) -> bool:
    """Whether fewer replicas would carry the load and give nothing up."""
    answered = state.served.good + state.served.late
    seconds = (demand.best or demand.fastest).seconds
    if answered >= ENOUGH and state.served.device_seconds > 0:
        seconds = Seconds(state.served.device_seconds / answered)
    return state.offered * seconds <= DOWN_SHARE * replicas
