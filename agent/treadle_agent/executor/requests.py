"""Every request between `open` and its end, across executor processes: blocks, queues, deadlines, suspects.

The invariant: a block is free only when its request has been released and no executor process that may write to it is
alive. So a request that nobody awaits any more still holds its block until the executor has answered it or is dead.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from treadle_agent.executor.bindings import Shapes
from treadle_agent.executor.blocks import BlockAllocator
from treadle_agent.executor.deadlines import Deadlines
from treadle_agent.executor.gateway import FullError
from treadle_agent.executor.protocol import FLIGHT_RECORD_BYTES, Cancel, Done, Outcome, ToExecutor
from treadle_agent.executor.replay import Decision, Unanswered
from treadle_agent.executor.resident import PendingCall, Resident, Stage
from treadle_agent.executor.shared_memory import SharedMemory

DIAGNOSIS_TIME = 10.0  # seconds a suspect gets that nobody waits for any more
FAR = 30.0  # seconds: deadlines further off are looked at again then, so that memory is bounded by rate times this


class Requests:
    """All requests of one supervisor.

    `post` sends to the running process, `settle` is called when a retiring version has lost a request, `grace` is in
    seconds.
    """

    def __init__(
        self,
        memory: SharedMemory,
        post: Callable[[ToExecutor], None],
        settle: Callable[[Resident], None],
        grace: float,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._memory = memory
        self._post = post
        self._settle = settle
        self._grace = grace
        self._pending: dict[int, PendingCall] = {}  # being answered, by request
        self._solo: list[PendingCall] = []  # suspects that wait for their turn
        self._alone: PendingCall | None = None  # the suspect that runs now
        self._deadlines = Deadlines()
        self._last = 0
        self._closed = False
        self.blocks = BlockAllocator(FLIGHT_RECORD_BYTES, memory.size)

    def __len__(self) -> int:
        """Requests that an executor has or is to get."""
        return len(self._pending)

    def open(self, resident: Resident, shapes: Shapes) -> PendingCall:
        """A request of these shapes; raises KeyError, FullError, OversizeError."""
        plan = resident.bindings.plan(shapes)
        if resident.calls >= resident.version.queue_limit:
            raise FullError(f"{resident.version.tenant}: {resident.calls} requests are waiting, which is its limit")
        # Each may hold as much as is left free, so there is always something left for the next one.
        if resident.block_bytes and resident.block_bytes + plan.nbytes > self.blocks.capacity - self.blocks.in_use:
            self.blocks.check(plan.nbytes)
            raise FullError(f"{resident.version.tenant}: its requests hold their share of the memory for requests")
        block = self.blocks.allocate(plan.nbytes)
        resident.block_bytes += plan.nbytes
        resident.calls += 1
        plan.binding.calls += 1
        self._last += 1
        return PendingCall(resident, plan, self._last, block, self._memory, self._on_release)

    async def answer(self, call: PendingCall, deadline: float, priority: int, tier: int, forbidden: int) -> Done:
        """See `gateway.Gateway`."""
        if call.future is not None or call.released:
            raise ValueError(f"request {call.request} was answered or released before")
        future: asyncio.Future[Done] = self._loop.create_future()
        call.future = future
        call.arrival = time.monotonic()
        call.deadline = deadline
        call.priority = priority
        call.tier = tier
        call.forbidden = forbidden
        if self._closed or call.resident.stage is Stage.ISOLATED:
            self._end(call)
            if self._closed:
                return Done(call.request, Outcome.SHED, reason="the executor is shutting down")
            return Done(call.request, Outcome.ERROR, reason=call.resident.reason)
        self._pending[call.request] = call
        self._deadlines.add(call.request, min(deadline + self._grace, call.arrival + FAR))
        self._submit(call)
        try:
            return await future
        except asyncio.CancelledError:
            self._give_up(call)
            raise

    def on_done(self, done: Done) -> None:
        """The executor has ended a request."""
        call = self._pending.get(done.request)
        if call is None:
            return
        self._finish(call, done)
        if call is self._alone:
            self._alone = None
            self._run_next_suspect()

    def on_up(self, resident: Resident) -> None:
        """A version serves in the running process: send what has waited for it."""
        held, resident.held = resident.held, []
        for call in held:
            if call.request in self._pending:
                self._submit(call)
        self._run_next_suspect()

    def on_isolated(self, resident: Resident) -> None:
        """A version will not serve again: its requests fail."""
        resident.held.clear()
        self._solo = [call for call in self._solo if call.resident is not resident]
        for call in [call for call in self._pending.values() if call.resident is resident]:
            self._finish(call, Done(call.request, Outcome.ERROR, reason=resident.reason))

    def shed_overdue(self, now: float) -> None:
        """Answer what the executor should have answered by now; `now` in seconds of CLOCK_MONOTONIC."""
        for request in self._deadlines.due(now):
            call = self._pending.get(request)
            if call is None or not call.awaited:
                continue
            limit = call.deadline + self._grace
            if limit > now:
                self._deadlines.add(request, min(limit, now + FAR))
            else:
                call.resolve(Done(request, Outcome.SHED, reason="the executor did not answer in time"))
                self._give_up(call)

    def shed_all(self) -> None:
        """Answer everything now, and from now on."""
        self._closed = True
        for call in self._pending.values():
            call.resolve(Done(call.request, Outcome.SHED, reason="the executor is shutting down"))

    def unanswered(self) -> list[Unanswered]:
        """What the dead process had, or was to get."""
        return [
            Unanswered(
                request=call.request,
                version=call.resident.version.id,
                deadline=call.deadline,
                awaited=call.awaited,
                posted=call.posted,
                suspect=call.suspect,
                alone=call is self._alone,
            )
            for call in self._pending.values()
        ]

    def carry_out(self, decision: Decision) -> None:
        """After the process is dead, and before versions are isolated: line up what is to run again, end the rest."""
        self._alone = None
        for call in self._pending.values():
            call.posted = False
            call.resident.held.clear()
        for request in decision.overdue:
            self._pending[request].resolve(Done(request, Outcome.SHED, reason="overdue when the executor restarted"))
        for request in decision.drop:
            self._finish(self._pending[request], Done(request, Outcome.SHED))
        for request in decision.resubmit:
            call = self._pending[request]
            call.suspect = False
            call.resident.held.append(call)
        self._solo = [self._pending[request] for request in decision.solo]
        for call in self._solo:
            call.suspect = True

    def end_all(self) -> None:
        """No process is alive, and none will come."""
        for call in list(self._pending.values()):
            self._finish(call, Done(call.request, Outcome.SHED))

    def _submit(self, call: PendingCall) -> None:
        if call.resident.stage is Stage.UP:
            call.posted = True
            self._post(call.message(call.deadline))
        else:
            call.resident.held.append(call)

    def _run_next_suspect(self) -> None:
        if self._alone is not None:
            return
        for index, call in enumerate(self._solo):
            if call.resident.stage is Stage.UP:
                del self._solo[index]
                self._alone = call
                call.posted = True
                self._post(call.message(call.deadline if call.awaited else time.monotonic() + DIAGNOSIS_TIME))
                return

    def _give_up(self, call: PendingCall) -> None:
        """Nobody waits any more."""
        if call.request not in self._pending:
            return
        if call.posted:
            self._post(Cancel(call.resident.version.id, call.request))
        elif not call.suspect:  # suspects run all the same, to find the culprit
            del self._pending[call.request]
            self._end(call)

    def _on_release(self, call: PendingCall) -> None:
        if call.ended:
            self._free(call)
        elif call.future is None:  # opened, never answered
            self._end(call)

    def _free(self, call: PendingCall) -> None:
        self.blocks.free(call.block)
        call.resident.block_bytes -= call.plan.nbytes

    def _finish(self, call: PendingCall, done: Done) -> None:
        del self._pending[call.request]
        call.resolve(done)
        self._end(call)

    def _end(self, call: PendingCall) -> None:
        """No executor has the request any more."""
        call.ended = True
        resident = call.resident
        resident.calls -= 1
        call.plan.binding.calls -= 1
        if call.released:
            self._free(call)
        if resident.retiring:
            self._settle(resident)
