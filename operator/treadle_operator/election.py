"""Who leads: decisions about the leader's Lease, with `now` as an argument.

The rules are those of client-go's leader election: a candidate trusts only the time that passes between the changes it
sees itself, never another machine's clock. Two things are added. Every claim counts `leaseTransitions` up, which is the
epoch that each change carries. And a leader is one only for `renew_deadline` after the last renewal it *sent*: one that
was suspended finds its lease expired before it writes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from treadle_api.units import Seconds

# client-go's defaults.
LEASE_DURATION, RENEW_DEADLINE, RETRY_PERIOD = Seconds(15.0), Seconds(10.0), Seconds(2.0)


@dataclass(frozen=True, slots=True)
class ElectionTiming:
    """How long a lease holds.

    Attributes:
        lease_duration: other candidates wait so long after the last renewal they saw.
        renew_deadline: the leader gives up so long after the last renewal it sent; shorter than `lease_duration`, by
            `write_timeout`.
        retry_period: between renewals, and between looks of a candidate.
    """

    lease_duration: Seconds = LEASE_DURATION
    renew_deadline: Seconds = RENEW_DEADLINE
    retry_period: Seconds = RETRY_PERIOD

    @property
    def write_timeout(self) -> Seconds:
        """How long a write may be under way: one that was begun while leading is over before another leads."""
        return Seconds(self.lease_duration - self.renew_deadline)

    @classmethod
    def scaled(cls, lease_duration: Seconds) -> ElectionTiming:
        """Other times in the proportion of the defaults."""
        scale = lease_duration / LEASE_DURATION
        return cls(lease_duration, Seconds(RENEW_DEADLINE * scale), Seconds(RETRY_PERIOD * scale))


@dataclass(frozen=True, slots=True)
class LeaderLease:
    """The leader's Lease. `holder` is empty when it was released; times are RFC 3339 with microseconds.

    `version` is the resourceVersion that was read: writing it back fails when somebody else was quicker. It is empty
    for one that does not exist yet.
    """

    holder: str
    duration: Seconds
    acquire_time: str
    renew_time: str
    transitions: int
    version: str


@dataclass(frozen=True, slots=True)
class Wait:
    """Look again at `until`."""

    until: Seconds


@dataclass(frozen=True, slots=True)
class Read:
    """Read the Lease, and tell the election what it says."""


@dataclass(frozen=True, slots=True)
class Write:
    """Write this lease, and tell the election how it went."""

    lease: LeaderLease


class Election:
    """One candidate's view of the Lease. Times are seconds of one clock that also counts while the machine sleeps."""

    def __init__(self, identity: str, timing: ElectionTiming) -> None:
        self._identity = identity
        self._timing = timing
        self._lease: LeaderLease | None = None
        self._changed_at = Seconds(float("-inf"))
        self._up_to_date = False
        self._renewed_at: Seconds | None = None

    @property
    def identity(self) -> str:
        """This candidate's name."""
        return self._identity

    @property
    def epoch(self) -> int:
        """The epoch of the leadership held, or held last; 0 where another holds the Lease."""
        return self._lease.transitions if self._lease is not None and self._lease.holder == self._identity else 0

    @property
    def holder(self) -> str:
        """Who holds the Lease as far as is known; empty for nobody."""
        return self._lease.holder if self._lease is not None else ""

    def leads(self, now: Seconds) -> bool:
        """Whether this candidate may write at `now`."""
        return self._renewed_at is not None and now < self._renewed_at + self._timing.renew_deadline

    def observe(self, lease: LeaderLease | None, now: Seconds) -> None:
        """Take in the Lease as just read; None when there is none."""
        if lease is None or lease != self._lease:
            self._changed_at = now
        self._lease = lease
        self._up_to_date = True
        if lease is None or lease.holder != self._identity:
            self._renewed_at = None

    def conflicted(self) -> None:
        """Somebody else has written the Lease since it was read."""
        self._up_to_date = False
        self._renewed_at = None

    def step(self, now: Seconds, wall: str, floor: int) -> Wait | Write | Read:
        """What to do at `now`, which is the time `wall` (RFC 3339).

        `floor`: the highest epoch seen in any object; a Lease that somebody deleted must not begin again below it.
        """
        if self._renewed_at is not None and self._lease is not None:
            if self.leads(now):
                due = Seconds(self._renewed_at + self._timing.retry_period)
                return Wait(due) if now < due else Write(replace(self._lease, renew_time=wall))
            # Whatever was written meanwhile, it is over: even without a rival, leading again is a new epoch.
            self.conflicted()
        if not self._up_to_date:
            return Read()
        if self._lease is None:
            return Write(self._claim(wall, floor, ""))
        expires = Seconds(self._changed_at + self._lease.duration)
        if self._lease.holder not in ("", self._identity) and now < expires:
            self._up_to_date = False
            return Wait(min(expires, Seconds(now + self._timing.retry_period)))
        return Write(self._claim(wall, max(floor, self._lease.transitions), self._lease.version))

    def wrote(self, lease: LeaderLease, sent_at: Seconds) -> None:
        """The API server took `lease`, as it returned it; the request was sent at `sent_at`."""
        self._lease = lease
        self._changed_at = sent_at
        self._up_to_date = True
        self._renewed_at = sent_at

    def release(self, now: Seconds, wall: str) -> LeaderLease | None:
        """Give up; the Lease to write so that the next one need not wait. None when it is not held."""
        lease = self._lease if self.leads(now) else None
        self._renewed_at = None
        return replace(lease, holder="", duration=Seconds(1.0), renew_time=wall) if lease is not None else None

    def _claim(self, wall: str, above: int, version: str) -> LeaderLease:
        return LeaderLease(self._identity, self._timing.lease_duration, wall, wall, above + 1, version)
