"""Changes on their way to the API server: several lanes at a time, each in order, failures with growing waits.

Nothing is queued for good: every plan's changes take the place of those that still wait, and what fails is simply left
for the next plan to find again.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from itertools import dropwhile

from treadle_api.backoff import Backoff, BackoffTiming
from treadle_api.units import Seconds
from treadle_operator.clock import Clock
from treadle_operator.kube.errors import (
    ApiError,
    BusyError,
    NoEffectError,
    RefusedError,
    StaleError,
    TimedOutError,
    UnreachableError,
)
from treadle_operator.lanes import Lane, begun
from treadle_operator.metrics import OperatorMetrics
from treadle_operator.pace import Pace
from treadle_operator.policy.changes import Change, RecordEvent
from treadle_operator.policy.refusals import after_refusal

_BURST, _PERIOD = 30, Seconds(1.0)
_log = logging.getLogger(__name__)


class Outbox:
    """Writes changes; see the module.

    Args:
        write: carries out one change; raises StaleError, NoEffectError or ApiError.
        permitted: whether changes of this epoch may still be written.
        settled: called when a lane is done, well or not.
        clock: for the waits.
        timing: of the waits after failures.
        writers: lanes written at a time.
        metrics: queue depth and times.
    """

    def __init__(
        self,
        write: Callable[[Change], Awaitable[None]],
        permitted: Callable[[int], bool],
        settled: Callable[[], None],
        clock: Clock,
        timing: BackoffTiming,
        writers: int,
        metrics: OperatorMetrics,
    ) -> None:
        self._write = write
        self._permitted = permitted
        self._settled = settled
        self._clock = clock
        self._writers = writers
        self._metrics = metrics
        self._failing: Backoff[Lane] = Backoff(timing)
        self._api: Backoff[None] = Backoff(timing)
        self._pace: Pace[Lane] = Pace(_BURST, _PERIOD)
        self._timed_out: Lane | None = None  # the last request that failed was this lane's, and got no answer in time
        self._epoch = 0
        self._waiting: dict[Lane, tuple[Change, ...]] = {}
        self._under_way: set[Lane] = set()
        self._offered = asyncio.Condition()
        self._retry_at: Seconds | None = None
        metrics.queue.set_function(lambda: self.depth)
        metrics.backing_off.set_function(lambda: len(self._failing))

    @property
    def depth(self) -> int:
        """Lanes that wait or are under way."""
        return len(self._waiting) + len(self._under_way)

    @property
    def retry_at(self) -> Seconds | None:
        """When a lane that was held back at the last `offer` may be offered again; None: none was."""
        return self._retry_at

    async def offer(self, lanes: Mapping[Lane, tuple[Change, ...]], epoch: int) -> None:
        """Write these, in place of all that is not under way yet."""
        now = self._clock.steady()
        self._epoch = epoch
        self._failing.retain(frozenset(lanes) | frozenset(self._under_way))
        self._pace.forget_idle(now)
        held: list[Seconds] = []
        self._waiting = {}
        for lane, changes in lanes.items():
            until = max(self._failing.until(lane) or now, self._api.until(None) or now, self._pace.until(lane, now))
            if until > now:
                held.append(until)
            elif lane not in self._under_way:
                self._waiting[lane] = begun(changes) if self._failing.until(lane) is None else changes
        self._retry_at = min(held, default=None)
        async with self._offered:
            self._offered.notify_all()

    def clear(self) -> None:
        """Write nothing more, except what is under way."""
        self._waiting = {}

    async def run(self) -> None:
        """Write what is offered; never returns."""
        async with asyncio.TaskGroup() as writers:
            for number in range(self._writers):
                writers.create_task(self._work(), name=f"writer {number}")

    async def _work(self) -> None:
        while True:
            async with self._offered:
                await self._offered.wait_for(lambda: self._waiting)
                lane = next(iter(self._waiting))
                changes, epoch = self._waiting.pop(lane), self._epoch
                self._under_way.add(lane)
            try:
                with self._metrics.reconcile_seconds.time():
                    await self._carry_out(lane, changes, epoch)
            finally:
                self._under_way.discard(lane)
                self._settled()

    async def _carry_out(self, lane: Lane, changes: tuple[Change, ...], epoch: int) -> None:
        self._pace.took(lane, self._clock.steady())
        left, failed = deque(changes), False
        while left:
            change = left.popleft()
            if not self._permitted(epoch):
                self.clear()
                return
            try:
                await self._write(change)
            except (UnreachableError, BusyError) as error:
                self._unanswered(lane, change, error)
                return
            except StaleError as error:
                self._failing.failed(lane, self._clock.steady())
                _log.debug("%s: %s", lane, error)
                return
            except RefusedError as error:
                self._failed(lane, change, error)
                left, failed = deque(after_refusal(change, str(error), left)), True
                continue
            except NoEffectError as error:
                self._failed(lane, change, error)
                left, failed = deque(dropwhile(lambda one: isinstance(one, RecordEvent), left)), True
            except Exception as error:  # noqa: BLE001 - one lane's fault must not end the others
                self._failed(lane, change, error)
                return
            self._api.succeeded(None)
            self._timed_out = None
        if not failed:
            self._failing.succeeded(lane)

    def _failed(self, lane: Lane, change: Change, error: Exception) -> None:
        """One lane's matter: it waits, the others go on."""
        now = self._clock.steady()
        wait = self._failing.failed(lane, now) - now
        what = f"{lane}: {type(change).__name__} failed: {error or type(error).__name__}"
        unforeseen = not isinstance(error, ApiError | NoEffectError)
        _log.warning("%s; next try in %.3g s", what, wait, exc_info=error if unforeseen else None)

    def _unanswered(self, lane: Lane, change: Change, error: UnreachableError | BusyError) -> None:
        """No answer in time may be due to one object, and a webhook that hangs, until a second lane gets none."""
        if isinstance(error, TimedOutError):
            self._failed(lane, change, error)
            first, self._timed_out = self._timed_out, lane
            if first in {None, lane}:
                return
        self._pause(error)

    def _pause(self, error: UnreachableError | BusyError) -> None:
        """The API server cannot be reached or is overloaded: that is no single lane's matter."""
        now = self._clock.steady()
        self.clear()
        if self._api.waits(None, now):
            return  # another writer has found out already
        least = error.retry_after if isinstance(error, BusyError) else Seconds(0.0)
        wait = self._api.failed(None, now, least) - now
        _log.warning("the API server takes no writes: %s; next try in %.3g s", error, wait)
