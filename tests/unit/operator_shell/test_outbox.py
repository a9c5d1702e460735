"""Lanes in order and side by side, failures with growing waits, and never a storm."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest

from treadle_api.backoff import BackoffTiming
from treadle_api.tenant import read_tenant
from treadle_api.units import Seconds
from treadle_operator.kube.errors import (
    BusyError,
    NoEffectError,
    RefusedError,
    StaleError,
    TimedOutError,
    UnreachableError,
    error_of,
)
from treadle_operator.lanes import Lane, in_lanes
from treadle_operator.metrics import OperatorMetrics
from treadle_operator.outbox import Outbox
from treadle_operator.policy.changes import (
    ApplyService,
    Change,
    CordonDevices,
    CreateReplica,
    DeleteReplica,
    RecordEvent,
    ReplicaSpec,
    WriteTenantStatus,
)
from treadle_operator.snapshot import Cause, Snapshot
from treadle_operator.tenant_status import TenantStatus

Lanes = dict[Lane, tuple[Change, ...]]
TIMING = BackoffTiming(Seconds(0.25), Seconds(15.0))


def service(tenant: str) -> ApplyService:
    return ApplyService("team", f"{tenant}-treadle", tenant, "uid")


def status(tenant: str) -> WriteTenantStatus:
    return WriteTenantStatus("team", tenant, "uid", TenantStatus())


def event(tenant: str) -> RecordEvent:
    return RecordEvent("InferenceTenant", "team", tenant, "uid", warning=False, reason="Placed", message="")


def lanes_of(*changes: Change) -> Lanes:
    return in_lanes(changes, Snapshot(1))


class UnforeseenError(Exception):
    """Raised when there is a fault that nobody thought of."""


class World:
    """An API server that does what it is told to, an outbox that writes to it, and who leads."""

    def __init__(self, clock: Any, writers: int = 4) -> None:
        self.clock = clock
        self.written: list[Change] = []
        self.tries = 0
        self.faults: dict[str, Exception] = {}  # by tenant
        self.refusals: dict[Change, Exception] = {}
        self.epoch = 1
        self.settled = 0
        self.under_way = 0
        self.most_under_way = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.outbox = Outbox(self._write, self._leads, self._settle, clock, TIMING, writers, OperatorMetrics())

    async def _write(self, change: Change) -> None:
        self.tries += 1
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        await self.gate.wait()
        self.under_way -= 1
        if (fault := self.faults.get(tenant_of(change))) is not None:
            raise fault
        if (refusal := self.refusals.get(change)) is not None:
            raise refusal
        self.written.append(change)

    def _leads(self, epoch: int) -> bool:
        return epoch == self.epoch

    def _settle(self) -> None:
        self.settled += 1

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Outbox]:
        task = asyncio.create_task(self.outbox.run())
        yield self.outbox
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def offer(self, lanes: Lanes) -> None:
        """Offer, and let all be written that can be without time passing."""
        await self.outbox.offer(lanes, 1)
        await settle()


def tenant_of(change: Change) -> str:
    return next(iter(lanes_of(change))).name


async def settle() -> None:
    for _ in range(200):
        await asyncio.sleep(0)


def run(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(scenario)


def test_changes_of_a_tenant_or_a_node_share_a_lane_and_keep_their_order(tenant: Callable[..., Any]) -> None:
    digits = read_tenant(tenant())
    spec = ReplicaSpec(digits, 1, "a", "host", 1)
    create = CreateReplica("team", "digits-1", "uid", spec, Cause.ADMITTED)
    cordon = CordonDevices("a", ())
    node_event = RecordEvent("InferenceNode", "", "a", "uid", warning=True, reason="Cordoned", message="")
    lanes = lanes_of(create, service("other"), service("digits"), status("digits"), event("digits"), cordon, node_event)
    assert lanes == {
        Lane("team", "digits"): (create, service("digits"), status("digits"), event("digits")),
        Lane("team", "other"): (service("other"),),
        Lane("", "a"): (cordon, node_event),
    }
    assert [str(lane) for lane in lanes] == ["tenant team/digits", "tenant team/other", "node a"]


def test_the_service_and_the_status_wait_until_it_is_known_what_came_of_a_new_replica(
    tenant: Callable[..., Any], clock: Any
) -> None:
    spec = ReplicaSpec(read_tenant(tenant()), 1, "a", "host", 1)
    create = CreateReplica("team", "digits-1", "uid", spec, Cause.ADMITTED)
    placed = event("digits")
    offered = lanes_of(create, placed, service("digits"), status("digits"))

    async def scenario(*, refused: bool) -> None:
        world = World(clock)
        if refused:
            world.refusals[create] = RefusedError(403, "Forbidden", "exceeded quota")
        async with world.running():
            await world.offer(offered)
            first, *others = world.written
            if not refused:
                assert world.written == [create, placed]
                return
            assert isinstance(first, RecordEvent)
            assert first.reason == "ChangeRefused"
            assert others == []
            clock.now += 0.25
            await world.offer(offered)
            assert world.written[2:] == [service("digits"), status("digits")], "it is told although nothing is created"

    run(scenario(refused=False))
    run(scenario(refused=True))


def test_an_event_follows_the_change_that_it_tells_of_whatever_object_it_is_about() -> None:
    about_a_replica = RecordEvent("InferenceReplica", "team", "digits-1", "u", warning=False, reason="X", message="")
    lanes = lanes_of(status("digits"), about_a_replica)
    assert lanes == {Lane("team", "digits"): (status("digits"), about_a_replica)}
    assert list(lanes_of(DeleteReplica("team", "orphan", "u", "1"))) == [Lane("team", "orphan")]


def test_lanes_overlap_and_a_lane_does_not_with_itself(clock: Any) -> None:
    async def scenario() -> None:
        world = World(clock, writers=4)
        async with world.running():
            world.gate.clear()
            await world.offer(lanes_of(*(status(f"t{n}") for n in range(10)), *(event(f"t{n}") for n in range(10))))
            assert world.most_under_way == world.under_way == 4
            # What is under way is not begun a second time, whatever is offered.
            await world.offer(lanes_of(*(status(f"t{n}") for n in range(4))))
            assert world.tries == 4
            world.gate.set()
            await settle()
            assert world.most_under_way == 4

    run(scenario())


def test_a_newer_plan_takes_the_place_of_what_waits(clock: Any) -> None:
    async def scenario() -> None:
        world = World(clock, writers=1)
        async with world.running():
            world.gate.clear()
            await world.offer(lanes_of(status("a"), status("b"), status("c")))
            await world.offer(lanes_of(service("c")))
            world.gate.set()
            await settle()
            assert world.written == [status("a"), service("c")]
            assert world.settled == 2

    run(scenario())


def test_a_fault_ends_its_lane_alone_and_is_tried_again_later(clock: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        world = World(clock)
        world.faults["a"] = UnforeseenError("spec.x: is wrong")
        offered = lanes_of(service("a"), status("a"), status("b"))
        async with world.running():
            await world.offer(offered)
            assert world.written == [status("b")]
            assert world.outbox.retry_at is None  # known at the next offer
            tries = []
            for _ in range(600):  # as eager a planner as can be, for a minute
                clock.now += 0.1
                before = world.tries
                await world.outbox.offer(lanes_of(service("a"), status("a")), 1)
                await settle()
                if world.tries > before:
                    tries.append(clock.now - 1000.0)
            assert len(tries) <= 9
            assert tries[-1] - tries[-2] == pytest.approx(15.0, abs=0.2)
            world.faults.clear()
            clock.now += 15.0
            await world.offer(lanes_of(service("a"), status("a")))
            assert world.written[-2:] == [service("a"), status("a")]
            assert world.outbox.retry_at is None

    with caplog.at_level(logging.WARNING):
        run(scenario())
    assert "tenant team/a: ApplyService failed: spec.x: is wrong; next try in 0.25 s" in caplog.text


def test_a_refusal_is_told_and_so_is_the_status_and_it_is_tried_again_later(clock: Any) -> None:
    async def scenario() -> None:
        world = World(clock)
        refused = service("a")
        world.refusals[refused] = RefusedError(403, "Forbidden", "exceeded quota")
        placed = event("a")
        async with world.running():
            await world.offer(lanes_of(refused, placed, status("a"), event("a"), status("b")))
            about_it, *rest = [change for change in world.written if tenant_of(change) == "a"]
            assert isinstance(about_it, RecordEvent)
            assert (about_it.uid, about_it.warning, about_it.reason) == ("uid", True, "ChangeRefused")
            assert about_it.message == "ApplyService: 403 Forbidden: exceeded quota"
            assert rest == [status("a"), event("a")], "no Event of what was not done"
            await world.offer(lanes_of(refused))
            assert world.outbox.retry_at is not None
            assert world.outbox.retry_at > clock.now

    run(scenario())


def test_the_next_try_is_known_after_an_offer(clock: Any) -> None:
    async def scenario() -> None:
        world = World(clock)
        world.faults["a"] = StaleError("changed")
        async with world.running():
            await world.offer(lanes_of(status("a")))
            await world.offer(lanes_of(status("a")))
            assert world.outbox.retry_at == pytest.approx(1000.25)
            assert world.tries == 1

    run(scenario())


@pytest.mark.parametrize("error", [UnreachableError("no route"), BusyError(429, "slow down", Seconds(3.0))])
def test_an_api_server_that_does_not_answer_is_not_asked_for_each_tenant(clock: Any, error: Exception) -> None:
    async def scenario() -> None:
        world = World(clock, writers=4)
        offered = lanes_of(*(status(f"t{n}") for n in range(2000)))
        world.faults = {f"t{n}": error for n in range(2000)}
        async with world.running():
            await world.offer(offered)
            assert world.tries <= 4
            for _ in range(100):
                await world.outbox.offer(offered, 1)
                await settle()
            assert world.tries <= 4
            least = 3.0 if isinstance(error, BusyError) else 0.25
            assert world.outbox.retry_at == pytest.approx(1000.0 + least)
            world.faults.clear()
            clock.now += least
            await world.outbox.offer(offered, 1)
            for _ in range(50):
                await settle()
            assert len(world.written) == 2000

    run(scenario())


def test_a_request_that_fails_is_one_tenant_s_matter_and_is_told(clock: Any) -> None:
    async def scenario() -> None:
        world = World(clock, writers=1)
        world.refusals[service("a")] = error_of(500, "InternalError", "failed calling webhook", Seconds(0.0))
        async with world.running():
            for _ in range(5):
                await world.offer(lanes_of(service("a"), status("b")))
                assert world.written[-1] == status("b"), "nobody else waits"
                clock.now += 15.0
            told = world.written[0]
            assert isinstance(told, RecordEvent)
            assert told.message == "ApplyService: 500 InternalError: failed calling webhook"

    run(scenario())


@pytest.mark.parametrize("code", [429, 502, 503, 504])
def test_what_says_that_the_api_server_is_overloaded_is(code: int) -> None:
    assert isinstance(error_of(code, "", "", Seconds(0.0)), BusyError)


def test_a_request_without_an_answer_is_its_tenant_s_matter_until_another_gets_none_either(clock: Any) -> None:
    async def scenario() -> None:
        world = World(clock, writers=1)
        world.faults["a"] = TimedOutError("no answer within 5 s")
        async with world.running():
            for _ in range(100):
                await world.offer(lanes_of(service("a"), status("b")))
                clock.now += 0.1
            assert world.written == [status("b")] * len(world.written)
            assert len(world.written) >= 35, "b waits for nothing but its own pace"
            assert world.tries - len(world.written) <= 7
            world.faults = {f"t{n}": world.faults["a"] for n in range(100)}
            before = world.tries
            await world.offer(lanes_of(*(service(f"t{n}") for n in range(100))))
            assert world.tries == before + 2

    run(scenario())


def test_nothing_is_written_after_the_epoch_has_ended(clock: Any) -> None:
    async def scenario() -> None:
        world = World(clock, writers=1)
        async with world.running():
            world.gate.clear()
            await world.offer(lanes_of(service("a"), status("a"), status("b")))
            world.epoch = 2
            world.gate.set()
            await settle()
            assert world.written == [service("a")]  # it was under way

    run(scenario())


def test_a_fault_of_our_own_is_told_with_its_traceback_and_ends_no_other_lane(
    clock: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        world = World(clock)
        world.faults["a"] = KeyError("boom")
        async with world.running():
            await world.offer(lanes_of(status("a"), status("b")))
            assert world.written == [status("b")]
            await world.offer(lanes_of(status("c")))
            assert world.written == [status("b"), status("c")]

    run(scenario())
    assert "KeyError" in caplog.text
    assert "Traceback" in caplog.text


def test_what_has_no_effect_is_tried_less_and_less_often_and_holds_up_nothing(clock: Any) -> None:
    async def scenario() -> None:
        world = World(clock)
        world.refusals[service("a")] = NoEffectError("Service a-treadle is as it was")
        world.refusals[status("b")] = NoEffectError("InferenceTenant b is as it was")
        async with world.running():
            for _ in range(600):
                await world.outbox.offer(lanes_of(service("a"), status("a"), status("b"), event("b")), 1)
                await settle()
                clock.now += 0.1
            assert world.written == [status("a")] * len(world.written), "no Event of what did not turn"
            assert 3 <= len(world.written) <= 9

    run(scenario())


def test_two_who_undo_each_others_work_are_slowed_down(clock: Any) -> None:
    async def scenario() -> None:
        world = World(clock)
        async with world.running():
            for _ in range(500):
                await world.outbox.offer(lanes_of(status("a")), 1)
                await settle()
                clock.now += 0.01
            assert 30 <= len(world.written) <= 36

    run(scenario())


def test_who_has_no_place_comes_before_what_is_only_told(tenant: Callable[..., Any]) -> None:
    waiting = read_tenant(tenant("waiting"))
    create = CreateReplica("team", "waiting-1", "uid", ReplicaSpec(waiting, 1, "a", "host", 1), Cause.ADMITTED)
    lanes = lanes_of(status("told"), service("served"), status("served"), create, status("later"))
    assert [lane.name for lane in lanes] == ["waiting", "served", "told", "later"]
