"""A timeline of launches for Perfetto or chrome://tracing: the Trace Event Format's complete events."""

from __future__ import annotations

from pathlib import Path

import msgspec

from treadle_agent.executor.host import Launched

EVENT_LIMIT = 500_000  # events kept in memory; later ones are counted and dropped


class TraceEvent(msgspec.Struct, omit_defaults=False):
    """A complete event: `ts` and `dur` in microseconds of CLOCK_MONOTONIC; `tid` is the stream."""

    name: str
    ts: float
    dur: float
    tid: int
    args: dict[str, object]
    ph: str = "X"
    pid: int = 1
    cat: str = "kernel"


class Recorder:
    """Collects events and writes them as one JSON file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.events: list[TraceEvent] = []
        self.dropped = 0

    def launches(self, names: Launched, finished: float, problems: int, tenants: list[str]) -> None:
        """Add a run of kernels, back to back, the last of which ended at `finished`."""
        if len(self.events) + len(names) > EVENT_LIMIT:
            self.dropped += len(names)
            return
        start = finished - sum(seconds for _, seconds, _ in names)
        for name, seconds, launches in names:
            args: dict[str, object] = {"problems": problems, "launches": launches, "tenants": tenants}
            self.events.append(TraceEvent(name, start * 1e6, seconds * 1e6, 1, args))
            start += seconds

    def write(self) -> None:
        """Write the file; raises OSError."""
        document = {"traceEvents": self.events, "displayTimeUnit": "ms", "otherData": {"dropped": self.dropped}}
        self.path.write_bytes(msgspec.json.encode(document))
