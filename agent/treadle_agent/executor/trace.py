"""A timeline of launches for Perfetto or chrome://tracing, in the Trace Event Format.

Two processes are drawn: the device, with a thread for each stream, on which its super-kernels lie one after another;
and the tenants, with a thread for each of them and each stream that ran its kernels.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from treadle_agent.executor.host import Launched

EVENT_LIMIT = 200_000  # events kept in memory, of some 300 bytes; later ones are counted and dropped
TOLD = 16  # tenants of a kernel that are named on it; all have rows of their own
PIECE = 1000  # events encoded at once: whoever writes must let the dispatch thread go on
DEVICE, TENANTS = 1, 2  # the processes drawn


class TraceEvent(msgspec.Struct, omit_defaults=False):
    """A complete event: `ts` and `dur` in microseconds of CLOCK_MONOTONIC; `tid` is the stream, or the tenant's row."""

    name: str
    ts: float
    dur: float
    pid: int
    tid: int
    args: dict[str, object]
    ph: Literal["X"] = "X"
    cat: str = "kernel"


class Name(msgspec.Struct, omit_defaults=False):
    """A metadata event: what a process or a thread is called."""

    name: Literal["process_name", "thread_name"]
    pid: int
    tid: int
    args: dict[str, str]
    ph: Literal["M"] = "M"


class Recorder:
    """Collects events, and writes them as one JSON file. `device`: what the process of the streams is called."""

    def __init__(self, path: Path, device: str) -> None:
        self.path = path
        self.events: list[TraceEvent] = []
        self.dropped = 0
        self._device = device
        self._streams: set[int] = set()
        self._rows: dict[tuple[str, int], int] = {}  # of a tenant on a stream

    def launches(self, kernels: Launched, finished: float, stream: int, tenants: Sequence[str]) -> None:
        """Add a run of kernels, back to back, the last of which ended at `finished`; `tenants`: one a problem."""
        if len(self.events) + len(kernels) + len(tenants) > EVENT_LIMIT:
            self.dropped += len(kernels)
            return
        self._streams.add(stream)
        names = sorted(set(tenants))
        begin = start = finished - sum(seconds for _, seconds, _ in kernels)
        for name, seconds, launches in kernels:
            args: dict[str, object] = {"problems": len(tenants), "launches": launches, "tenants": names[:TOLD]}
            self.events.append(TraceEvent(name, start * 1e6, seconds * 1e6, DEVICE, stream, args))
            start += seconds
        for tenant in names:
            row = self._rows.setdefault((tenant, stream), len(self._rows))
            args = {"tenant": tenant, "kernels": len(kernels), "stream": stream}
            title = f"{len(kernels)} kernels, merged of {len(names)}" if len(names) > 1 else f"{len(kernels)} kernels"
            self.events.append(
                TraceEvent(title, begin * 1e6, (finished - begin) * 1e6, TENANTS, row, args, cat="tenant")
            )

    def write(self) -> None:
        """Write the file, which is whole as soon as it is there; raises OSError."""
        made = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        try:
            with made.open("wb") as file:
                head = {"displayTimeUnit": "ms", "otherData": {"dropped": self.dropped}}
                file.write(msgspec.json.encode(head)[:-1] + b',"traceEvents":')
                file.write(msgspec.json.encode(list(self._names()))[:-1])
                for first in range(0, len(self.events), PIECE):
                    file.write(b"," + msgspec.json.encode(self.events[first : first + PIECE])[1:-1])
                file.write(b"]}")
            made.replace(self.path)
        finally:
            made.unlink(missing_ok=True)

    def _names(self) -> Iterator[Name]:
        yield Name("process_name", DEVICE, 0, {"name": f"device {self._device}"})
        yield Name("process_name", TENANTS, 0, {"name": "tenants"})
        for stream in sorted(self._streams):
            yield Name("thread_name", DEVICE, stream, {"name": f"stream {stream}"})
        for (tenant, stream), row in self._rows.items():
            yield Name("thread_name", TENANTS, row, {"name": f"{tenant} on stream {stream}" if stream else tenant})
