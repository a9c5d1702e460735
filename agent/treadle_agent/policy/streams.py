"""What is on the device: streams, in groups that run together, a launch at a time."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from treadle_agent.policy.latency import Executable
from treadle_agent.policy.queues import Request, Tenant
from treadle_agent.policy.windows import LaunchWindow


@dataclass(slots=True, eq=False)
class Stream:
    """A batch of one tier's requests on its way through an executable: one problem of each super-kernel it is in.

    `alone`: seconds that it is expected to take with nothing beside it; `seconds`: its part of the device's time, once
    it has finished.
    """

    tenant: Tenant
    tier: int
    requests: tuple[Request, ...]
    executable: Executable
    rows: int
    deadline: float
    alone: float = 0.0
    seconds: float = 0.0


@dataclass(slots=True, eq=False)
class Group:
    """Streams at the same kernel of the same executable; `seconds` of the device they have had."""

    executable: Executable
    streams: list[Stream]
    begin: int
    deadline: float
    seconds: float = 0.0
    started: float = 0.0  # when it came to the device
    place: Any = field(default=None, repr=False)  # the device's own; None until their inputs are on the device

    @property
    def window(self) -> LaunchWindow:
        """When the rest of it may run, so that its most urgent stream is in time."""
        seconds = self.executable.remaining(self.begin, len(self.streams))
        return LaunchWindow(self.started, self.deadline - seconds, seconds)

    def slack(self, now: float) -> float:
        """Seconds that the most urgent stream can still wait."""
        return self.window.slack(now)


class Launch(NamedTuple):
    """Run kernels begin..end of a group's streams as one; a group whose `place` is None first takes its inputs."""

    group: Group
    begin: int
    end: int
