"""Which nodes are alive, by the Leases that their agents renew.

As in `election`, only time that passes between two looks counts, so agents' clocks need not agree with ours. And only a
look at the Leases can tell that a node is lost: while the API server does not answer, nothing is known, and nothing is
moved. Nor while no agent at all is heard of: that all died at once is less likely than that they are cut off.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from treadle_api.units import Seconds

HUSH_SHARE = 0.6  # of a Lease: agents renew three times in one, so each has missed nearly two by then
LONG_DEAD = 600.0  # seconds without a renewal, while others renewed: no outage that a node may be coming back from


@dataclass(frozen=True, slots=True)
class NodeLease:
    """A node's Lease: its agent promises to renew it within `duration`. `renewed` is the wall time in seconds, of the
    agent's clock; `stamp` whatever changes with each renewal; `written` when the API server last wrote it, by its own
    clock, or 0 where it does not say.
    """

    node: str
    duration: Seconds
    renewed: Seconds
    stamp: str
    written: float = 0.0


@dataclass(slots=True)
class _Pulse:
    lease: NodeLease
    beat_at: Seconds

    @property
    def expires(self) -> Seconds:
        return Seconds(self.beat_at + self.lease.duration)


class Heartbeats:
    """What looks at the Leases have shown. `longest_gap`: looks further apart tell nothing of what was in between."""

    def __init__(self, longest_gap: Seconds) -> None:
        self._longest_gap = longest_gap
        self._pulses: dict[str, _Pulse] = {}
        self._looked_at: Seconds | None = None
        self._hushed = False

    def look(self, leases: Iterable[NodeLease], now: Seconds, wall: Seconds) -> None:
        """Take in all Leases as listed at `now`, which is `wall` by this machine's clock."""
        last, self._looked_at = self._looked_at, now
        gap = None if last is None else Seconds(now - last)
        leases = list(leases)
        written = max((lease.written for lease in leases), default=0.0)
        blind = gap is None or gap > self._longest_gap
        heard_again = self._hushed and self._any_renewed(leases)
        last_heard = max((pulse.beat_at for pulse in self._pulses.values()), default=now)
        pulses = {}
        for lease in leases:
            known = self._pulses.get(lease.node)
            if known is None:
                long_dead = lease.written > 0 and written - lease.written > LONG_DEAD
                beat_at = Seconds(now - lease.duration) if long_dead else now
            elif (blind and not _stays_lost(known, lease, last)) or (heard_again and known.expires > last_heard):
                # An outage of the API server, for us or for them, or our own start: every agent gets the time to renew,
                # but for those that were lost while others were heard of.
                beat_at = now
            elif known.lease.stamp != lease.stamp:
                # It was renewed since the last look: when exactly, the agent's clock says, within that interval.
                beat_at = Seconds(now - min(max(wall - lease.renewed, 0.0), gap or 0.0))
            else:
                beat_at = known.beat_at
            pulses[lease.node] = _Pulse(lease, beat_at)
        self._pulses = pulses
        self._hushed = bool(pulses) and all(
            now - pulse.beat_at > HUSH_SHARE * pulse.lease.duration for pulse in pulses.values()
        )

    @property
    def hushed(self) -> bool:
        """Whether no agent was heard of lately, by the last look, although there are some."""
        return self._hushed

    def alive(self) -> frozenset[str]:
        """The nodes whose Lease had not expired at the last look."""
        if self._looked_at is None:
            return frozenset()
        return frozenset(node for node, pulse in self._pulses.items() if pulse.expires > self._looked_at)

    def _any_renewed(self, leases: Iterable[NodeLease]) -> bool:
        known = self._pulses
        return any(lease.node not in known or known[lease.node].lease.stamp != lease.stamp for lease in leases)

    @property
    def next_expiry(self) -> Seconds | None:
        """When the first of the living nodes will be lost unless its Lease is renewed; None without any."""
        looked_at = self._looked_at or Seconds(0.0)
        return min((pulse.expires for pulse in self._pulses.values() if pulse.expires > looked_at), default=None)


def _stays_lost(known: _Pulse, lease: NodeLease, last: Seconds | None) -> bool:
    """Whether a node was lost at the last look, and has not been heard of since."""
    return last is not None and known.expires <= last and known.lease.stamp == lease.stamp
