"""The one loop that plans: whatever has changed, the whole state is looked at, and what is left to change is written.

Level-triggered: no event carries meaning, each only asks for a look. One that finds nothing to change writes nothing.
"""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Awaitable, Callable
from typing import Protocol

from treadle_api.backoff import Backoff
from treadle_api.units import Seconds
from treadle_operator.clock import Clock
from treadle_operator.kube.errors import ApiError
from treadle_operator.lanes import in_lanes
from treadle_operator.metrics import OperatorMetrics
from treadle_operator.mirror import Mirror
from treadle_operator.outbox import Outbox
from treadle_operator.policy.changes import Change
from treadle_operator.policy.convergence import converge
from treadle_operator.policy.plan import Memory
from treadle_operator.policy.planning import plan
from treadle_operator.settings import PlannerTiming
from treadle_operator.snapshot import Snapshot

_GLANCE = Seconds(0.2)  # between looks at whether to go on resting
_TURN = Seconds(5.0)  # the loop turns at least this often, so that it can be seen to live
_SILENT = Seconds(60.0)
_MUCH = 100  # lanes: there is enough to write until the next plan
_log = logging.getLogger(__name__)


class Office(Protocol):
    """Whether this process leads: `kube.lease.Leadership`."""

    @property
    def epoch(self) -> int | None:
        """The epoch that this process leads now; None while it does not."""


class Heard(Protocol):
    """Which agents are heard of: `kube.lease.NodeLeases`."""

    alive: frozenset[str]
    hushed: bool


class Planner:
    """Plans for as long as this process leads, and waits otherwise.

    Args:
        mirror: what there is.
        leases: which agents are heard of.
        office: whether this process leads.
        outbox: takes the changes.
        catch_up: brings the mirror up to date, before the first plan in office; raises ApiError.
        clock: for the loop; for the plans the API server's, which stamps what they look at.
        timing: when to plan.
        metrics: plan seconds and faults.
    """

    def __init__(
        self,
        mirror: Mirror,
        leases: Heard,
        office: Office,
        outbox: Outbox,
        catch_up: Callable[[], Awaitable[None]],
        clock: Clock,
        timing: PlannerTiming,
        metrics: OperatorMetrics,
        wanted: asyncio.Event,
    ) -> None:
        self._mirror = mirror
        self._leases = leases
        self._office = office
        self._outbox = outbox
        self._catch_up = catch_up
        self._clock = clock
        self._timing = timing
        self._metrics = metrics
        self._wanted = wanted
        self._failing: Backoff[None] = Backoff(timing.error_backoff)
        self._memory = Memory()
        self._epoch: int | None = None
        self._due = clock.steady()
        self._rested_at = clock.steady()
        self._hurried_at = clock.steady()
        self._alive: frozenset[str] = frozenset()  # the agents that were heard of at the last plan
        self._well_at = clock.steady()

    def silent(self) -> bool:
        """Whether the loop has not turned for long, or has failed ever since."""
        return self._clock.steady() - self._well_at > _SILENT

    async def run(self) -> None:
        """Plan whenever that is due; never returns."""
        while True:
            due = await self._until_due()
            try:
                await self._turn(due=due)
            except ApiError as error:
                self._put_off(f"the state of the cluster cannot be read: {error}", None)
            except Exception as error:  # noqa: BLE001 - a fault met in one state must not be met for ever after it
                self._metrics.plan_errors.inc()
                self._put_off("planning failed by a fault of the operator's", error)
            else:
                if due or self._failing.until(None) is None:  # while one that failed is put off, nothing is well
                    self._failing.succeeded(None)
                    self._well_at = self._clock.steady()

    async def _until_due(self) -> bool:
        """Wait until a plan is due; False when nothing is, but it is time to turn."""
        if (blocked := self._blocked_until()) > (now := self._clock.steady()):
            await asyncio.sleep(min(_GLANCE, blocked - now))
            if self._blocked_until() > self._clock.steady():
                return False
        try:
            await asyncio.wait_for(self._wanted.wait(), min(_TURN, max(0.0, self._due - self._clock.steady())))
        except TimeoutError:
            return self._clock.steady() >= self._due
        await asyncio.sleep(self._timing.debounce)
        return True

    def _blocked_until(self) -> Seconds:
        """No plan before: the last one is rested from, but not for long where a node was lost since."""
        rested_at = self._rested_at if self._leases.alive == self._alive else self._hurried_at
        return max(rested_at, self._failing.until(None) or rested_at)

    async def _turn(self, *, due: bool) -> None:
        epoch = self._office.epoch
        if epoch is None:
            if self._epoch is not None:
                self._outbox.clear()
            self._epoch = None
            self._wanted.clear()
            self._due = Seconds(self._clock.steady() + self._timing.resync)
            return
        if epoch != self._epoch:
            await self._catch_up()
            self._memory = Memory()
            self._epoch = epoch
        elif not due:
            return
        await self._plan(epoch)

    async def _plan(self, epoch: int) -> None:
        self._wanted.clear()  # before the look: what changes from now on asks for the next one
        self._alive = self._leases.alive
        snapshot = self._mirror.snapshot(epoch, self._alive, hushed=self._leases.hushed)
        wall, begun = self._clock.wall(), self._clock.steady()
        # Not in a thread: both would take turns at the interpreter, and each take several times as long.
        changes, self._memory, wake = _decide(snapshot, self._memory, wall)
        done = self._clock.steady()
        self._metrics.plan_seconds.observe(done - begun)
        await self._outbox.offer(in_lanes(changes, snapshot), epoch)
        much = self._outbox.depth > _MUCH
        self._rested_at = Seconds(done + (done - begun) * (self._timing.busy_rest if much else self._timing.rest))
        self._hurried_at = Seconds(done + (done - begun) * self._timing.loss_rest)
        again = [done + self._timing.resync]
        if wake is not None:
            again.append(done + max(0.0, wake - wall))
        if self._outbox.retry_at is not None:
            again.append(self._outbox.retry_at)
        self._due = Seconds(min(again))

    def _put_off(self, message: str, fault: Exception | None) -> None:
        now = self._clock.steady()
        wait = self._failing.failed(None, now) - now
        self._wanted.set()  # the plan that failed may have been the only one for long
        _log.error("%s; next try in %.3g s", message, wait, exc_info=fault)


def _decide(snapshot: Snapshot, memory: Memory, now: float) -> tuple[tuple[Change, ...], Memory, float | None]:
    gc.disable()  # looking through the whole mirror for cycles, several times a plan, takes a third as long as the plan
    try:
        planned = plan(snapshot, memory, now)
        return converge(snapshot, planned, now), planned.memory, planned.wake
    finally:
        gc.enable()
