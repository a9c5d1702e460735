"""A well-behaved client in open loop, which calls its tenant while another one is attacked.

How the 99th percentile is measured: one run of `RATE` requests a second, evenly spaced, by treadle's own load generator
in a process of its own; each latency is taken from when the request was due, so that what a late answer holds up counts
too. Quiet phases and attacks alternate within that run, so that whatever else this machine does falls on both. All
latencies of the quiet phases make one percentile, those of the attacks the other.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np

from hostile.attacker import Attack, Attacker
from hostile.queue import one_queue
from hostile.server import Server
from hostile.tenants import FACTORS, GOOD, WIDTH
from treadle.load.process import LoadProcess
from treadle.load.records import concatenate, latency
from treadle.load.schedule import Phase, constant
from treadle.load.targets import infer_target

RATE = 200.0  # requests a second
PAUSE = 0.3  # seconds after an attack that count as neither
CONNECTIONS = 64
X = np.arange(1, WIDTH + 1, dtype=np.float32)


@dataclass(frozen=True)
class Plan:
    """`rounds` of a quiet phase and an attack, and a quiet phase at the end; lengths in seconds. `spare`: the attacker
    takes of the processors only what nobody else wants; where all are busy that may be nothing.
    """

    rounds: int = 1
    quiet: float = 1.0
    attack: float = 1.5
    spare: bool = False

    @property
    def seconds(self) -> float:
        return self.rounds * (self.quiet + self.attack + PAUSE) + self.quiet

    def attacks(self) -> list[tuple[float, float]]:
        """Begin and end of each."""
        length = self.quiet + self.attack + PAUSE
        return [(i * length + self.quiet, i * length + self.quiet + self.attack) for i in range(self.rounds)]


@dataclass(frozen=True)
class Outcome:
    """What came of a run: how many requests were answered rightly of all, percentiles in seconds, memory in bytes, the
    longest turn of the server's event loop in seconds of the processor, and what the attacker got.
    """

    right: int
    asked: int
    quiet_p99: float
    attack_p99: float
    resident: int
    peak: int
    turn: float
    attacker: Counter[str]

    @property
    def ratio(self) -> float:
        return self.attack_p99 / self.quiet_p99


def watch(server: Server, attack: Attack, plan: Plan) -> Outcome:
    """Attack the server while its other tenant is called."""
    with one_queue(server.group, server.processes) if plan.spare else nullcontext():
        return asyncio.run(_watch(server, attack, plan))


async def _watch(server: Server, attack: Attack, plan: Plan) -> Outcome:
    target = infer_target(GOOD, [{"x": X.reshape(1, WIDTH)}], binary=False)
    schedule = constant([Phase(plan.seconds, RATE)], seed=0)
    counts: Counter[str] = Counter()
    with Attacker(attack, server.host, server.port, spare=plan.spare) as attacker:
        resident = server.resident
        server.forget_peak()
        run = LoadProcess([target], schedule, server.url, connections=CONNECTIONS, grace=5.0, keep_body=True)
        async with run:
            attacking: asyncio.Task[None] | None = None
            batches = []
            async for batch in run:
                batches.append(batch)
                if attacking is None:
                    attacking = asyncio.create_task(_attack(attacker, run.started, plan, counts))
        assert attacking is not None
        await attacking
        peak, turn = server.peak, server.turns.longest
    batch = concatenate(batches)
    expected = (FACTORS[GOOD] * X).tolist()
    right = sum(
        status == 200 and json.loads(body)["outputs"][0]["data"] == expected
        for status, body in zip(batch.records["status"], batch.bodies, strict=True)
    )
    took, due = latency(batch.records), batch.records["intended"]
    attacked, quiet = np.zeros(len(due), bool), np.ones(len(due), bool)
    for begin, end in plan.attacks():
        attacked |= (begin <= due) & (due < end)
        quiet &= (due < begin) | (due >= end + PAUSE)
    p99 = [float(np.percentile(took[phase], 99)) for phase in (quiet, attacked)]
    return Outcome(right, len(schedule), p99[0], p99[1], resident, peak, turn, counts)


async def _attack(attacker: Attacker, start: float, plan: Plan, counts: Counter[str]) -> None:
    for begin, end in plan.attacks():
        await asyncio.sleep(max(0.0, start + begin - time.monotonic()))
        attacker.begin(start + end)
        counts.update(await asyncio.to_thread(attacker.end))
