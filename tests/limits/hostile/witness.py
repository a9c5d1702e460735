"""A well-behaved client in open loop, which calls its tenant while another one is attacked.

How the 99th percentile is measured: one run of `RATE` requests a second, evenly spaced, by treadle's own load generator
in a process of its own; each latency is taken from when the request was due, so that what a late answer holds up counts
too. Quiet phases and attacks alternate within that run, so that whatever else this machine does falls on both. All
latencies of the quiet phases make one percentile, those of the attacks the other.

Both ends of an attack are on this machine, and the witness has to share it with them, which it would not elsewhere. How
much of the difference is that can be measured within the same run: every other attack is then at another server, all of
which takes only what nobody else wants of the processors. Its latencies make a third percentile.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

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
    longest turn of the server's event loop in seconds of the processor, and what the attacker got. `beside_p99` is that
    of attacks at another server; nan where there were none.
    """

    right: int
    asked: int
    quiet_p99: float
    attack_p99: float
    beside_p99: float
    resident: int
    peak: int
    turn: float
    attacker: Counter[str]


@dataclass(frozen=True)
class Target:
    """An attack, and the server at which it is made."""

    attack: Attack
    server: Server


def watch(server: Server, attack: Attack, plan: Plan, beside: Target | None = None) -> Outcome:
    """Attack the server while its other tenant is called; by turns with another one, if there is one `beside`."""
    processes = server.processes if beside is None else (*server.processes, *beside.server.processes)
    with one_queue(server.group, processes) if plan.spare else nullcontext():
        return asyncio.run(_watch(Target(attack, server), plan, beside))


async def _watch(here: Target, plan: Plan, beside: Target | None) -> Outcome:
    server = here.server
    target = infer_target(GOOD, [{"x": X.reshape(1, WIDTH)}], binary=False)
    schedule = constant([Phase(plan.seconds, RATE)], seed=0)
    counts: Counter[str] = Counter()
    with ExitStack() as stack:
        attackers = [
            stack.enter_context(Attacker(at.attack, at.server.host, at.server.port, spare=plan.spare))
            for at in (beside, here)
            if at is not None
        ]
        resident = server.resident
        server.forget_peak()
        run = LoadProcess([target], schedule, server.url, connections=CONNECTIONS, grace=5.0, keep_body=True)
        async with run:
            attacking: asyncio.Task[None] | None = None
            batches = []
            async for batch in run:
                batches.append(batch)
                if attacking is None:
                    attacking = asyncio.create_task(_attack(attackers, run.started, plan, counts))
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
    quiet, attacked = np.ones(len(due), bool), np.zeros((len(attackers), len(due)), bool)
    for number, (begin, end) in enumerate(plan.attacks()):
        attacked[number % len(attackers)] |= (begin <= due) & (due < end)
        quiet &= (due < begin) | (due >= end + PAUSE)
    beside_p99 = _p99(took[attacked[0]]) if beside is not None else float("nan")
    found = _p99(took[quiet]), _p99(took[attacked[-1]]), beside_p99
    return Outcome(right, len(schedule), *found, resident, peak, turn, counts)


def _p99(latencies: NDArray[np.float64]) -> float:
    return float(np.percentile(latencies, 99))


async def _attack(attackers: Sequence[Attacker], start: float, plan: Plan, counts: Counter[str]) -> None:
    """The attackers by turns; what the last one gets is counted."""
    for number, (begin, end) in enumerate(plan.attacks()):
        attacker = attackers[number % len(attackers)]
        await asyncio.sleep(max(0.0, start + begin - time.monotonic()))
        attacker.begin(start + end)
        answers = await asyncio.to_thread(attacker.end)
        if attacker is attackers[-1]:
            counts.update(answers)
