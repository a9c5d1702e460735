"""Room for a tenant at the cost of less important ones: their replicas above `replicas.min`, the least important first.

Their accuracy above the floor is given up before that: whether a device has room is reckoned at the cheapest tiers.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from treadle_api.units import PerSecond
from treadle_operator.policy.capacity import Demand
from treadle_operator.policy.case import Case
from treadle_operator.policy.ledger import DeviceLedger
from treadle_operator.policy.placement import Fleet
from treadle_operator.policy.plan import Note, Placement


@dataclass(frozen=True, slots=True)
class Victim:
    """A replica that has to give way, as it was."""

    case: Case
    place: str
    placement: Placement
    demand: Demand
    rate: PerSecond


def preempt(fleet: Fleet, case: Case, donors: Iterable[Case]) -> tuple[DeviceLedger | None, list[Victim]]:
    """Find a device that would have room for one more replica of `case`, and take away what is in the way there.

    The device whose most important victim is the least important, and with the fewest victims, is chosen.

    Args:
        fleet: the ledgers; those of the victims are changed.
        case: the tenant that needs room.
        donors: the cases that may have replicas to spare; the victims' placements are removed.

    Returns:
        The device, or None where nothing may be taken that would help; and who gives way.
    """
    by_place: dict[str, list[Case]] = {}
    for other in donors:
        if other.spare > 0 and other.tenant.priority > case.tenant.priority:
            for place in other.placements:
                by_place.setdefault(place, []).append(other)
    best: tuple[tuple[int, int, str], DeviceLedger, list[Case]] | None = None
    for place, ledger in fleet.open_to(case.tenant).items() if by_place else ():
        if place not in by_place or place in case.taken:
            continue
        if candidates := _victims(fleet, case, ledger, by_place[place]):
            key = (-min(victim.tenant.priority for victim in candidates), len(candidates), place)
            if best is None or key < best[0]:
                best = (key, ledger, candidates)
    if best is None:
        return None, []
    ledger = best[1]
    note = Note("Preempted", f"it gives way to {case.tenant.key} of priority {case.tenant.priority}")
    return ledger, [_take(victim, ledger, note) for victim in best[2]]


def _take(victim: Case, ledger: DeviceLedger, note: Note) -> Victim:
    place = ledger.state.place
    victim.given_up[place] = note
    demand, rate = ledger.residents[victim.tenant.key]
    ledger.remove(victim.tenant.key, loaded=True)
    return Victim(victim, place, victim.placements.pop(place), demand, rate)


def _victims(fleet: Fleet, case: Case, ledger: DeviceLedger, candidates: list[Case]) -> list[Case]:
    """Those who would have to go for the replica to fit, the least important and youngest first; empty if none help."""
    demand = fleet.demand(case.tenant, ledger)
    candidates.sort(key=lambda one: (-one.tenant.priority, -one.state.view.created, one.tenant.key))
    removed: list[tuple[str, Demand, PerSecond]] = []
    count = 0
    for index, victim in enumerate(candidates, 1):
        removed.append((victim.tenant.key, *ledger.residents[victim.tenant.key]))
        ledger.remove(victim.tenant.key, loaded=False)
        if ledger.fits(demand, case.rate):
            count = index
            break
    for key, lost, rate in reversed(removed):
        ledger.add(key, lost, rate)
    return candidates[:count]
