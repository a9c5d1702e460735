"""Places for one tenant: what it has and may keep, and what it lacks, with a reason for each change."""

from __future__ import annotations

from collections.abc import Iterable

from treadle_api.units import PerSecond
from treadle_operator.policy.capacity import LIMIT, MARGIN
from treadle_operator.policy.case import Case
from treadle_operator.policy.feasibility import Judge
from treadle_operator.policy.ledger import DeviceLedger
from treadle_operator.policy.observation import is_replaced
from treadle_operator.policy.placement import Fleet
from treadle_operator.policy.plan import Note, Placement
from treadle_operator.policy.preemption import Victim, preempt
from treadle_operator.policy.retries import MOST_FAILED, next_try
from treadle_operator.snapshot import Cause, ReplicaView

BUSY = "a replica of its own that is leaving the device"
MEMORY = "memory that others are giving back"


def assign(case: Case, fleet: Fleet, judge: Judge, donors: Iterable[Case], now: float) -> None:
    """Decide a tenant's placements, after those of all that come before it.

    Args:
        case: the tenant; its placements are those that may stay.
        fleet: the devices, with all replicas that are there.
        judge: tells what is impossible.
        donors: the cases with replicas to spare: the less important ones may have to give way.
        now: seconds since the epoch.
    """
    _give_up_surplus(case, fleet)
    if not case.forced and len(case.placements) >= case.target.replicas:
        return  # as almost always: nothing must leave, and nothing is missing
    fresh = not case.state.current
    if fresh and (refused := judge.alone(case.tenant, fleet.kinds(case.tenant))) is not None:
        case.verdict = refused
        return
    case.retry_at = next_try([view.created for view in _failed(case)], now)
    case.rate = PerSecond(case.state.offered / case.target.replicas)
    victims = _fill(case, fleet, donors)
    if not fresh and not case.forced and len(case.placements) < case.target.promised:
        _spare(case, fleet, victims)  # it would not be enough
    _stay_meanwhile(case, fleet)
    carried = _share_load(case, fleet)
    if fresh and (not carried or len(case.placements) < min(case.target.needed, case.target.replicas)):
        _take_back(case, fleet, victims)
        case.verdict = judge.no_room(case.tenant, case.rate)


def put(case: Case, fleet: Fleet, ledger: DeviceLedger, cause: Cause, replaces: str, message: str) -> None:
    """Place one more replica on a device that has room."""
    place = ledger.state.place
    waits = (
        BUSY
        if place in case.busy
        else ""
        if ledger.memory.fits_now(fleet.demand(case.tenant, ledger).memory)
        else MEMORY
    )
    fleet.add(case.tenant, ledger, case.rate)
    case.placements[place] = Placement(ledger.state.node, ledger.state.id, cause, waits, replaces, message)


def _give_up_surplus(case: Case, fleet: Fleet) -> None:
    """The first to go are those with a reason, then those replaced, not serving, on full devices, young."""
    kept = [view for view in case.state.current if view.place in case.placements]
    if (surplus := len(kept) - case.target.replicas) <= 0:
        return
    replaced = {view.place for view in kept if is_replaced(view, kept)}

    def worth(view: ReplicaView) -> tuple[bool, bool, bool, float, float, str]:
        ledger = fleet.ledgers[view.place]
        return (
            not view.straggles,
            view.place not in replaced,
            view.serves,
            -ledger.crowding,
            -view.created,
            view.place,
        )

    for view in sorted(kept, key=worth)[:surplus]:
        if view.place not in replaced:
            case.given_up[view.place] = Note("ScaledDown", case.target.message)
        del case.placements[view.place]
        fleet.ledgers[view.place].remove(case.tenant.key, loaded=True)


def _fill(case: Case, fleet: Fleet, donors: Iterable[Case]) -> list[Victim]:
    """Place what is missing, as far as there is room; returns who had to give way.

    What devices could not load comes last, and not before it is time to try again; all else does not wait for that.
    """
    kept = [view for view in case.state.current if view.place in case.placements]
    holders = [*kept, *_failed(case)]  # one that could not be loaded still stands for the one that it was to replace
    pending = [(view, leave) for view, leave in case.forced if not is_replaced(view, holders)]
    failed = [one for one in pending if one[1].cause is Cause.LOAD_FAILED]
    pending = [one for one in pending if one[1].cause is not Cause.LOAD_FAILED]
    wanted = case.target.replicas
    if case.retry_at is None:
        pending += failed
    else:
        wanted -= len(failed)
    victims: list[Victim] = []
    while len(case.placements) < wanted:
        ledger = fleet.choose(case.tenant, case.rate, case.taken, case.busy)
        if ledger is None and len(case.placements) < case.target.promised:  # nobody gives way to a flood
            ledger, gone = preempt(fleet, case, donors)
            victims += gone
        if ledger is None:
            break
        if pending:
            view, leave = pending.pop(0)
            if (left := fleet.ledgers.get(view.place)) is not None and case.tenant.key in left.residents:
                left.remove(case.tenant.key, loaded=True)
            put(case, fleet, ledger, leave.cause, view.place, leave.message)
        elif not case.state.current and len(case.placements) < case.tenant.replicas.minimum:
            put(case, fleet, ledger, Cause.ADMITTED, "", "")
        else:
            put(case, fleet, ledger, Cause.SCALED_UP, "", case.target.message)
    return victims


def _take_back(case: Case, fleet: Fleet, victims: list[Victim]) -> None:
    """As if it had not been tried."""
    for place in list(case.placements):
        _leave_out(case, fleet, place)
    _spare(case, fleet, victims)


def _spare(case: Case, fleet: Fleet, victims: list[Victim]) -> None:
    """Leave those who were to give way what they had."""
    for victim in reversed(victims):
        if victim.place in case.placements:
            _leave_out(case, fleet, victim.place)
        victim.case.placements[victim.place] = victim.placement
        del victim.case.given_up[victim.place]
        fleet.ledgers[victim.place].restore(victim.case.tenant.key, victim.demand, victim.rate)


def _leave_out(case: Case, fleet: Fleet, place: str) -> None:
    """Undo `put`."""
    fleet.ledgers[place].remove(case.tenant.key, loaded=False)
    del case.placements[place]


def _stay_meanwhile(case: Case, fleet: Fleet) -> None:
    """Those who must leave and have nowhere to go, or could not be loaded, stay for now.

    Also those whose agent is silent: it may well serve on, cut off from the API server, and will be heard of again.
    """
    missing = case.target.replicas - len(case.placements)
    for view, leave in case.forced:
        silent = leave.cause is Cause.NODE_LOST and view.place in fleet.ledgers
        if missing > 0 and (leave.serves or silent):
            case.placements[view.place] = _stays(view, leave.cause)
            case.stuck = leave.message
            missing -= 1
    lasting = case.placements.keys() - case.unsettled
    serving = sum(view.place in lasting and view.serves for view in case.state.current)
    if serving < case.target.replicas:  # a device that has failed is not to be tried again at once
        for view in _failed(case)[-MOST_FAILED:]:
            case.placements.setdefault(view.place, _stays(view, Cause.LOAD_FAILED))


def _share_load(case: Case, fleet: Fleet) -> bool:
    """Where there are fewer replicas than there should be, those that there are get all of the load.

    Returns whether their devices can carry that, with all that is promised there.
    """
    places = sorted(case.placements.keys() | case.unsettled)
    found = [fleet.ledgers[place] for place in places if place in fleet.ledgers]
    carrying = [ledger for ledger in found if case.tenant.key in ledger.residents]
    if 0 < len(carrying) < case.target.replicas:
        case.rate = PerSecond(case.state.offered / len(carrying))
    for ledger in carrying:
        ledger.carry(case.tenant.key, case.rate)
    return all(ledger.floor.total <= LIMIT * MARGIN for ledger in carrying)


def _failed(case: Case) -> list[ReplicaView]:
    """Replicas that their device could not load, oldest first."""
    return [view for view, leave in case.forced if leave.cause is Cause.LOAD_FAILED]


def _stays(view: ReplicaView, cause: Cause) -> Placement:
    return Placement(view.replica.node, view.replica.device, view.cause or cause)
