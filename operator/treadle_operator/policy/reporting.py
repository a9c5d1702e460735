"""What is written of a tenant, and when: transitions at once, figures when they have moved, nothing twice."""

from __future__ import annotations

import math

from treadle_api import histogram
from treadle_api.conditions import ConditionStatus, find_condition, transition_time
from treadle_api.replica import ReplicaStatus
from treadle_api.units import PerSecond, Seconds, TierName
from treadle_operator.policy import conditions, promise
from treadle_operator.policy.case import Case
from treadle_operator.policy.changes import tenant_url
from treadle_operator.policy.obstacles import Obstacles
from treadle_operator.policy.plan import Held, Memory, Verdict
from treadle_operator.snapshot import ReplicaView, Snapshot, TenantView
from treadle_operator.tenant_status import CounterOffer, TenantCondition, TenantStatus

QUIET = 2.0  # seconds that what will pass by itself is not spoken of: most tenants are served sooner
FIGURES_EVERY = 10.0  # seconds at least between two writes of figures alone
MOVED_SHARE = 0.1  # by how much a figure must move to be written
MOVED_POINTS = 2.0  # the same of accuracy, in points of percent
_SIGMAS = 3.0  # a rate must move by more than so many standard deviations of its count, too
_ENOUGH = 20  # requests, for a quantile


class Reporter:
    """The statuses of one plan. `held`, `written`, `idle_since` and `wake` are to be passed on."""

    def __init__(self, snapshot: Snapshot, memory: Memory, now: float) -> None:
        self._obstacles = Obstacles(snapshot)
        self._tls = snapshot.tls
        self._memory = memory
        self._alive = {name for name, node in snapshot.nodes.items() if node.alive}
        self._now = now
        self._time = transition_time(now)
        self.held: dict[str, Held] = {}
        self.written: dict[str, float] = {}
        self.idle_since: dict[str, float] = {}
        self.wake = math.inf

    def status(self, case: Case, verdict: Verdict) -> TenantStatus:
        """The status that the tenant should have now: the old one, where nothing has changed enough."""
        key, old = case.tenant.key, case.state.view.status
        new = self._observed(case, verdict)
        written = self._memory.written.get(key)
        if written is not None and self._now - written < FIGURES_EVERY:
            self.written[key] = written
        if new == old:
            return old
        if _same(old, new):
            if not _figures_moved(old, new, case.state.served.total, case.state.served.window):
                return old
            if key in self.written:
                self.wake = min(self.wake, self.written[key] + FIGURES_EVERY)
                return old
        elif _passes(old, new):
            held = self.held[key] = self._held(case)
            if self._now - held.since < QUIET:
                self.wake = min(self.wake, held.since + QUIET)
                return old
        self.written[key] = self._now
        return new

    def _held(self, case: Case) -> Held:
        """The quiet begins anew with a new replica: what comes of it is told, not the wait for its creation."""
        current = case.state.current
        newest = current[-1].uid if current else ""
        held = self._memory.held.get(case.tenant.key)
        return held if held is not None and held.replica == newest else Held(self._now, newest)

    def _is_idle(self, case: Case) -> bool:
        """Whether no request was seen for long; since when is passed on."""
        if case.state.served.total:
            return False
        since = self.idle_since[case.tenant.key] = self._memory.idle_since.get(case.tenant.key, self._now)
        told = find_condition(case.state.view.status.conditions, TenantCondition.SLO_MET)
        if (
            self._now - since < conditions.IDLE_AFTER
            and told is not None
            and told.status is not ConditionStatus.UNKNOWN
        ):
            self.wake = min(self.wake, since + conditions.IDLE_AFTER)
        return self._now - since >= conditions.IDLE_AFTER

    def _observed(self, case: Case, verdict: Verdict) -> TenantStatus:
        view, served = case.state.view, case.state.served
        serving = [one for one in case.state.current if one.replica.node in self._alive and one.serves]
        idle = self._is_idle(case)
        obstacle = self._obstacles.find(case, serving)
        found = (
            conditions.admitted(verdict),
            conditions.ready(case, verdict, serving, obstacle),
            conditions.slo_met(case, idle=idle),
            conditions.accuracy_met(case, idle=idle),
            conditions.straggling(case, serving),
        )
        desired = case.target.replicas if case.placements else 0
        old, total = view.status, served.total
        effective, p99 = (None, None) if idle else (old.effective_accuracy, old.p99)
        if total:
            effective = promise.effective_accuracy(served)
        if (measured := histogram.quantile(served.latency_counts, 0.99)) is not None:
            p99 = _milliseconds(measured)
        return TenantStatus(
            observed_generation=view.generation,
            conditions=tuple(conditions.observed(one, case, self._time) for one in found),
            replicas_desired=desired,
            replicas_ready=min(len(serving), desired),
            active_tier=_active_tier(view, serving),
            effective_accuracy=effective,
            p99=p99,
            requests_per_second=_rate(case),
            url=tenant_url(case.tenant, tls=self._tls) if case.placements else "",
            counter_offer=verdict.counter_offer,
        )


def _same(old: TenantStatus, new: TenantStatus) -> bool:
    """Whether nothing but figures and messages differs."""
    return _bare(old) == _bare(new)


def _bare(status: TenantStatus) -> tuple[object, ...]:
    offer = status.counter_offer or CounterOffer()
    return (
        status.observed_generation,
        tuple((one.type, one.status, one.reason, one.observed_generation) for one in status.conditions),
        status.replicas_desired,
        status.replicas_ready,
        status.url,
        (offer.deadline is None, offer.min_accuracy is None, offer.requests_per_second is None),
    )


def _passes(old: TenantStatus, new: TenantStatus) -> bool:
    """Whether the difference will pass by itself, and nothing became worse.

    That a refused tenant is admitted is told at once: from then on it is judged as one that is.
    """
    told = find_condition(old.conditions, TenantCondition.ADMITTED)
    admitted = find_condition(new.conditions, TenantCondition.ADMITTED)
    if told is not None and not told.holds and admitted is not None and admitted.holds:
        return False
    before = find_condition(old.conditions, TenantCondition.READY)
    after = find_condition(new.conditions, TenantCondition.READY)
    assert after is not None
    if after.reason in conditions.TRANSITIONAL:
        return before is None or not before.holds
    updating = after.holds and after.observed_generation < new.observed_generation
    return updating and _outcomes(old) == _outcomes(new)


def _outcomes(status: TenantStatus) -> list[tuple[str, str, str]]:
    return [(one.type, one.status, one.reason) for one in status.conditions]


def _figures_moved(old: TenantStatus, new: TenantStatus, total: int, window: Seconds) -> bool:
    if new.active_tier != old.active_tier:
        return True
    if _moved(_offered(old), _offered(new), MOVED_SHARE) or _holds_less(old, new):
        return True
    if old.effective_accuracy is None or new.effective_accuracy is None:
        return new.effective_accuracy is not old.effective_accuracy
    if abs(new.effective_accuracy - old.effective_accuracy) > MOVED_POINTS:
        return True
    if total >= _ENOUGH and _moved((old.p99,), (new.p99,), MOVED_SHARE):
        return True
    if old.requests_per_second is None or new.requests_per_second is None:
        return new.requests_per_second is not old.requests_per_second
    larger = max(old.requests_per_second, new.requests_per_second)
    change = abs(old.requests_per_second - new.requests_per_second)
    chance = _SIGMAS * math.sqrt(larger / window) if window > 0 else 0.0
    return change > max(MOVED_SHARE * larger, chance)


def _offered(status: TenantStatus) -> tuple[float | None, ...]:
    offer = status.counter_offer or CounterOffer()
    return offer.deadline, offer.min_accuracy, offer.requests_per_second


def _holds_less(old: TenantStatus, new: TenantStatus) -> bool:
    """Whether what is offered now is worse than what was told: that would be refused."""
    told, now = old.counter_offer or CounterOffer(), new.counter_offer or CounterOffer()
    return (
        (told.deadline or 0.0) < (now.deadline or 0.0)
        or (told.min_accuracy or 0.0) > (now.min_accuracy or 0.0)
        or (told.requests_per_second or 0.0) > (now.requests_per_second or 0.0)
    )


def _moved(old: tuple[float | None, ...], new: tuple[float | None, ...], share: float) -> bool:
    return any(
        (before is None) != (after is None)
        or (before is not None and after is not None and abs(after - before) > share * max(before, after))
        for before, after in zip(old, new, strict=True)
    )


def _active_tier(view: TenantView, serving: list[ReplicaView]) -> TierName | None:
    """The tier that answers most, where replicas differ: that of the most requests; else the one that was told last.

    After an edit nothing is known until one of the present tiers has answered: what was there before was no choice
    among them.
    """
    names = [tier.name for tier in view.tenant.served_tiers]
    present = (one.replica.status for one in serving)
    busiest = max(
        (one for one in present if one.active_tier is not None and _tiers(one) in ([], names)),
        key=lambda status: status.figures.total,
        default=None,
    )
    if busiest is not None:
        return busiest.active_tier
    return view.status.active_tier if view.status.observed_generation == view.generation else None


def _tiers(status: ReplicaStatus) -> list[TierName]:
    """What its agent has loaded; empty where it does not say."""
    return [tier.name for tier in status.tiers]


def _rate(case: Case) -> PerSecond | None:
    """To three digits; None until there was a request."""
    rate = case.state.rate
    if rate is None or (not rate and case.state.view.status.requests_per_second is None):
        return None
    return PerSecond(float(f"{rate:.3g}"))


def _milliseconds(seconds: Seconds) -> Seconds:
    return Seconds(math.ceil(round(seconds * 1e3, 6)) / 1e3)
