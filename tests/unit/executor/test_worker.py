"""The dispatch thread turn by turn, with a channel, a loading thread and a model that the test plays."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from treadle_agent.executor.flight_record import FlightRecord
from treadle_agent.executor.library import MERGED, SEGMENTS, LoadedTier
from treadle_agent.executor.protocol import (
    FLIGHT_RECORD_BYTES,
    Bind,
    Done,
    Mode,
    Outcome,
    Report,
    Statistics,
    Submit,
    TierSpec,
    ToExecutor,
    Trace,
    Unbind,
    Version,
)
from treadle_agent.executor.segment_chain import SegmentChain
from treadle_agent.executor.statistics import Document
from treadle_agent.executor.versions import LoadedVersion
from treadle_agent.executor.worker import Worker
from treadle_agent.executor.worker_settings import WorkerSettings
from treadle_agent.policy.latency import CostModel, Executable
from treadle_agent.program.artifact import ARTIFACT_VERSION, Artifact, TensorSpec
from treadle_agent.program.model import TensorType

ROW = TensorType("float32", (1, 4))


@dataclass
class Channel:
    """What arrives, and what was posted."""

    arrived: list[ToExecutor] = field(default_factory=list)
    posted: list[Any] = field(default_factory=list)

    def receive(self) -> list[ToExecutor]:
        arrived, self.arrived = self.arrived, []
        return arrived

    def post(self, message: Any) -> None:
        self.posted.append(message)

    def flush(self) -> None: ...

    def wait(self, timeout: float | None) -> None: ...

    def wake(self) -> None: ...

    def outcomes(self) -> dict[int, Outcome]:
        done = [one for one in self.posted if isinstance(one, Done)]
        assert len({one.request for one in done}) == len(done), "answered twice"
        return {one.request: Outcome(one.outcome) for one in done}


@dataclass
class Loading:
    """Binds nothing before the test says so."""

    refusals: list[Callable[[str], None]] = field(default_factory=list)
    saving: list[Callable[[], None]] = field(default_factory=list)

    def save(self, _: Any, saved: Callable[[], None]) -> None:
        self.saving.append(saved)

    def bind(self, _: Any, __: int, ___: Any, refuse: Callable[[str], None]) -> None:
        self.refusals.append(refuse)

    def collect(self) -> list[Any]:
        return []


class Chain(SegmentChain):
    """``y = 2 x``; `widened`: the answer has more elements than the binding says; `seconds`: what it takes; `broken`:
    it fails after them; `gate`: where there is one, it waits for that.
    """

    def __init__(self) -> None:
        self.inputs, self.outputs = ("x",), ("y",)
        self.signatures = ["double"]
        self.widened = self.broken = False
        self.seconds = 0.0
        self.gate: threading.Event | None = None
        self.begun = 0

    def run(self, tensors: dict[str, Any], *_: Any) -> list[float]:
        self.begun += 1
        if self.gate is not None:
            assert self.gate.wait(10.0)
        time.sleep(self.seconds)
        if self.broken:
            raise ValueError("an index out of range")
        tensors["y"] = np.repeat(tensors["x"] * 2, 2, axis=1) if self.widened else tensors["x"] * 2
        return [1e-6]


class House:
    def __init__(self, folder: Path, mode: Mode = Mode.SPACE_TIME) -> None:
        self.folder = folder
        self.channel, self.loading, self.chain = Channel(), Loading(), Chain()
        memory = memoryview(bytearray(FLIGHT_RECORD_BYTES + 4096))
        self.worker = Worker(self.channel, memory, FlightRecord(memory), WorkerSettings(mode=mode))  # type: ignore[arg-type]
        self.worker.loading = self.loading  # type: ignore[assignment]
        self.requests = 0

    def tenant(self, number: int, *, bound: bool = True) -> LoadedVersion:
        """Binding 0 of the version is known to the executor; it is runnable where it is `bound`."""
        home = self.folder / str(number)
        home.mkdir()
        x, y = (TensorSpec(name, "float32", (-1, 4)) for name in "xy")
        artifact = Artifact(ARTIFACT_VERSION, "", "", (x,), (y,), True, (), 0, (), "", {}, {})
        (home / "artifact.json").write_bytes(msgspec.json.encode(artifact))
        version = LoadedVersion(
            Version(number, f"tenant-{number}", 1.0, 0, 100, (TierSpec("only", 90.0, str(home)),)),
            [LoadedTier("only", home)],
        )
        self.worker._install(version)
        self.turn(Bind(number, 0, (ROW,), (ROW,)))
        if bound:
            shares, cost = (0.0, 1.0), CostModel.line(1e-6, 0.0)
            version.tiers[0].buckets[0] = [Executable("one", 1, shares, mergeable=False, cost=cost, body=self.chain)]
        return version

    def turn(self, *messages: ToExecutor, turns: int = 1) -> None:
        self.channel.arrived += messages
        for _ in range(turns):
            self.worker.turn()

    def submit(self, version: int, *, solo: bool = False) -> Submit:
        self.requests += 1
        now = time.monotonic()
        return Submit(self.requests, version, 0, 1, FLIGHT_RECORD_BYTES, now, now + 60.0, solo=solo)


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def test_requests_of_shapes_that_cannot_be_run_are_told_so_at_once(house: House) -> None:
    house.tenant(1, bound=False)
    house.tenant(2)
    house.turn(house.submit(1), house.submit(1, solo=True), house.submit(2), turns=2)
    house.loading.refusals[0]("tier only: failed when it was tried")
    house.turn(house.submit(1), house.submit(2), turns=3)
    assert house.channel.outcomes() == dict.fromkeys((1, 2, 4), Outcome.ERROR) | dict.fromkeys((3, 5), Outcome.DONE)
    assert "tier only: failed" in next(one.reason for one in house.channel.posted if one.request == 4)
    assert house.worker.scheduler.idle


def test_a_suspect_that_waits_for_its_program_holds_up_nobody(house: House) -> None:
    house.tenant(1, bound=False)
    house.tenant(2)
    house.turn(house.submit(1, solo=True), house.submit(2), house.submit(2), turns=6)
    assert house.channel.outcomes() == {2: Outcome.DONE, 3: Outcome.DONE}


def test_an_answer_that_does_not_fit_its_block_fails_its_request_alone(house: House) -> None:
    house.tenant(1)
    house.chain.widened = True
    house.turn(house.submit(1), turns=2)
    house.chain.widened = False
    house.turn(house.submit(1), turns=2)
    assert house.channel.outcomes() == {1: Outcome.ERROR, 2: Outcome.DONE}
    assert "y" in house.channel.posted[0].reason


def test_launches_that_fail_are_paid_for(house: House) -> None:
    version = house.tenant(1)
    house.chain.seconds, house.chain.broken = 0.005, True
    house.turn(house.submit(1), turns=2)
    assert house.channel.outcomes() == {1: Outcome.ERROR}
    assert version.used >= 0.005


def test_what_runs_alone_takes_turns_with_the_others(house: House) -> None:
    house.tenant(1)
    house.tenant(2)
    house.chain.seconds = 0.02
    house.turn(*(house.submit(1, solo=True) for _ in range(3)), *(house.submit(2) for _ in range(3)), turns=6)
    alone, others = {1, 2, 3}, {4, 5, 6}
    first = list(house.channel.outcomes())[:4]
    assert len(alone & set(first)) == len(others & set(first)) == 2
    house.turn(turns=6)
    assert house.channel.outcomes() == dict.fromkeys(sorted(alone | others), Outcome.DONE)


def test_what_runs_alone_is_alone_in_mode_space_too(tmp_path: Path) -> None:
    house = House(tmp_path, Mode.SPACE)
    house.tenant(1)
    house.tenant(2)
    house.chain.gate = threading.Event()
    house.turn(house.submit(1, solo=True), house.submit(2), turns=5)
    try:
        assert house.chain.begun <= 1
    finally:
        house.chain.gate.set()
    while len(house.channel.posted) < 2:
        house.turn()
    assert house.channel.outcomes() == {1: Outcome.DONE, 2: Outcome.DONE}


def test_what_was_learnt_of_unbound_shapes_is_forgotten(house: House) -> None:
    house.tenant(1)
    house.loading.unbind = lambda *_: None  # type: ignore[attr-defined]
    house.turn(house.submit(1), turns=2)
    assert house.worker.isolation._stretches._references
    house.turn(Unbind(1, 0))
    assert not house.worker.isolation._stretches._references


def test_the_end_of_a_timeline_is_told_once_it_is_written_and_holds_nothing_up(house: House, tmp_path: Path) -> None:
    def reports() -> list[int]:
        return [one.sequence for one in house.channel.posted if isinstance(one, Statistics)]

    house.tenant(1)
    house.turn(Trace("", 1))
    assert reports() == [1], "there is none: the process that recorded has ended"
    house.turn(Trace(str(tmp_path / "one.json"), 2))
    house.turn(Trace(str(tmp_path / "two.json"), 3))  # ends the first
    house.turn(house.submit(1), Trace("", 4), Report(5), turns=2)
    assert house.channel.outcomes() == {1: Outcome.DONE}, "launches go on"
    assert reports() == [1, 2, 5], "and so do reports, which are signs of life"
    for saved in house.loading.saving:
        saved()
    assert reports() == [1, 2, 5, 3, 4]


def test_how_tiers_run_by_now_is_told(house: House) -> None:
    def told() -> dict[str, str]:
        house.channel.posted.clear()
        house.turn(Report(1))
        [report] = house.channel.posted
        return msgspec.json.decode(report.document, type=Document).tenants[1].implementations

    version = house.tenant(1)
    assert told() == {"only": SEGMENTS}
    version.tiers[0].buckets[0][:] = [
        Executable("one", 1, (0.0, 1.0), mergeable=True, cost=CostModel.line(1e-6, 0.0), body=house.chain)
    ]
    assert told() == {"only": MERGED}
