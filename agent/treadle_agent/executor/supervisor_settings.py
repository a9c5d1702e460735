"""How an executor process is kept alive. Times are in seconds."""

from __future__ import annotations

from dataclasses import dataclass

from treadle_agent.executor.shared_memory import DEFAULT_BYTES


@dataclass(frozen=True, slots=True)
class SupervisorSettings:
    """What a `Supervisor` allows.

    Attributes:
        memory_bytes: the most that requests under way may hold, tensors rounded up; pages are taken as they are used.
        bindings: input shapes (rows aside) known at a time, for one version; the least recently used one goes.
        compiling: of them, those that may be compiled or wait for that at a time.
        waiting_for_shapes: requests of one version that may wait for them, each with its body in memory.
        grace: how long after its deadline a request waits for an executor that does not answer.
        hang_floor, hang_factor: a launch hangs when it runs longer than both the floor and the factor times what was
            expected of it.
        load_expected: what loading a version is expected to take at most, for the same rule.
        silence: an executor with requests, and nothing on its device, that says nothing for so long, hangs.
        slowest_backoff: between restarts while nothing is answered between crashes.
    """

    memory_bytes: int = DEFAULT_BYTES
    bindings: int = 64
    compiling: int = 8
    waiting_for_shapes: int = 32
    grace: float = 0.5
    hang_floor: float = 5.0
    hang_factor: float = 20.0
    load_expected: float = 15.0
    silence: float = 5.0
    slowest_backoff: float = 5.0
