"""What is told of one replica, from what is known of it. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from treadle_agent.cluster.assignments import Assignment
from treadle_agent.frontend.catalog import Entry
from treadle_agent.node_events import Refused
from treadle_api.conditions import Condition, ConditionStatus, find_condition, with_condition
from treadle_api.replica import Figures, LoadedReason, Replica, ReplicaCondition, ReplicaStatus, TierFigures
from treadle_api.units import Seconds, TierName

TRUE, FALSE, UNKNOWN = ConditionStatus.TRUE, ConditionStatus.FALSE, ConditionStatus.UNKNOWN
NOTHING = Figures(Seconds(0.0))  # a window of no length, which is not written


@dataclass(frozen=True, slots=True)
class Observation:
    """One replica on its device.

    `entry`: what the device's catalog has; `tiers`: what is loaded; `refused`: why the wanted version is not;
    `under_way`: requests that are not answered yet; `straggling`: the executor's verdict, None where it gives none;
    `unreadable`: why its latest spec cannot be read;
    `stretch`: its observed over usual kernel time; `isolated`: why the executor is not given it any more;
    `fault`: why its device serves nothing, through no fault of the tenant's.
    """

    entry: Entry | None = None
    tiers: tuple[TierFigures, ...] = ()
    refused: Refused | None = None
    under_way: int = 0
    straggling: bool | None = False
    stretch: float = 1.0
    isolated: str = ""
    fault: str = ""
    figures: Figures | None = None
    active_tier: TierName | None = None
    unreadable: str = ""

    @property
    def serves(self) -> bool:
        """Whether some version is there to answer requests, as far as its device does."""
        return self.entry is not None and self.entry.served is not None and not self.isolated


def status_of(assignment: Assignment, seen: Observation, address: str, told: ReplicaStatus, now: str) -> ReplicaStatus:
    """What is true of a replica.

    Args:
        assignment: what is wanted.
        seen: what is.
        address: HOST:PORT of the front end.
        told: its status so far: conditions that stay as they are keep their times.
        now: RFC 3339 in UTC, the time of those that change.
    """
    accepted = assignment.accepted
    conditions = told.conditions
    for condition in _conditions(assignment, seen):
        conditions = with_condition(conditions, condition, now)
    return ReplicaStatus(
        observed_generation=accepted.generation if accepted is not None else 0,
        observed_epoch=accepted.epoch if accepted is not None else 0,
        conditions=conditions,
        address=address,
        active_tier=seen.active_tier if seen.serves else None,
        tiers=seen.tiers,
        figures=seen.figures or (told.figures if _comes_back(conditions, seen) else NOTHING),
    )


def _comes_back(conditions: tuple[Condition, ...], seen: Observation) -> bool:
    """Whether the figures of an agent before this one are the last that is known: it loads what that one served."""
    loaded = find_condition(conditions, ReplicaCondition.LOADED)
    return loaded is not None and loaded.reason == LoadedReason.LOADING and not seen.fault


def unreadable(problem: str, generation: int, address: str, now: str) -> ReplicaStatus:
    """What is told of a replica whose spec this agent cannot read."""
    message = f"{problem}; is the agent older than the operator?"
    conditions = (
        Condition(ReplicaCondition.LOADED, FALSE, LoadedReason.SPEC_INVALID, message, generation, now),
        Condition(ReplicaCondition.SERVING, FALSE, "NotLoaded", "nothing is loaded", generation, now),
    )
    return ReplicaStatus(observed_generation=generation, conditions=conditions, address=address)


def _conditions(assignment: Assignment, seen: Observation) -> Iterator[Condition]:
    wanted = assignment.accepted
    generation = wanted.generation if wanted is not None else 0
    yield _loaded(assignment, seen, generation)
    if seen.isolated:
        yield Condition(ReplicaCondition.SERVING, FALSE, "ExecutorFailed", seen.isolated, generation)
    elif not seen.serves:
        yield Condition(ReplicaCondition.SERVING, FALSE, "NotLoaded", "no version is loaded yet", generation)
    elif seen.fault:  # no refusal: condition Loaded stays, and the operator finds the tenant another device
        yield Condition(ReplicaCondition.SERVING, FALSE, "DeviceFailed", f"the device: {seen.fault}", generation)
    else:
        yield Condition(ReplicaCondition.SERVING, TRUE, "Serving", "requests are answered", generation)
    yield _draining(wanted, seen, generation)
    yield _straggling(seen, generation)


def _loaded(assignment: Assignment, seen: Observation, generation: int) -> Condition:
    type_, wanted = ReplicaCondition.LOADED, assignment.accepted
    if seen.unreadable:
        message = f"{seen.unreadable}; is the agent older than the operator? What was loaded before goes on"
        return Condition(type_, FALSE, LoadedReason.SPEC_INVALID, message, generation)
    if assignment.stale or wanted is None:
        message = f"a change of epoch {assignment.latest.epoch} is refused: it is not the leader's who wrote it"
        return Condition(type_, FALSE, LoadedReason.STALE_EPOCH, message, generation)
    entry, refused = seen.entry, seen.refused
    if seen.isolated:
        message = f"it is not run any more: {seen.isolated}"
        return Condition(type_, FALSE, LoadedReason.EXECUTOR_FAILED, message, generation)
    if entry is not None and entry.served is not None and entry.tenant == wanted.tenant and not entry.loading:
        return Condition(type_, TRUE, LoadedReason.LOADED, f"{len(seen.tiers)} tiers are loaded", generation)
    if refused is not None:
        again = "; it is tried again, less and less often"
        previous = "; the version before it goes on" if refused.previous else ""
        return Condition(type_, FALSE, refused.cause, f"{refused.field}: {refused.reason}{again}{previous}", generation)
    if wanted.draining:
        return Condition(type_, FALSE, LoadedReason.NOT_LOADED, "it drains, and was never loaded", generation)
    step = f": {entry.step}" if entry is not None and entry.loading and entry.step else ""
    message = f"its models are fetched, compiled and measured{step}"
    return Condition(type_, FALSE, LoadedReason.LOADING, message, generation)


def _draining(wanted: Replica | None, seen: Observation, generation: int) -> Condition:
    type_ = ReplicaCondition.DRAINING
    if wanted is None or not wanted.draining:
        return Condition(type_, FALSE, "NotDraining", "it takes requests", generation)
    if seen.serves and seen.under_way:
        return Condition(type_, TRUE, "Draining", "requests under way are answered; new ones are passed on", generation)
    return Condition(type_, TRUE, "Drained", "nothing is left to answer; requests that come are passed on", generation)


def _straggling(seen: Observation, generation: int) -> Condition:
    type_ = ReplicaCondition.STRAGGLING
    if seen.straggling is None:
        return Condition(type_, UNKNOWN, "NotJudged", "this executor gives no verdict on stragglers", generation)
    if seen.straggling:
        message = f"its kernels take {seen.stretch:.2f} times what they usually do; it runs apart from the others"
        return Condition(type_, TRUE, "SlowKernels", message, generation)
    return Condition(type_, FALSE, "AsExpected", "its kernels are not seen to take longer than usual", generation)
