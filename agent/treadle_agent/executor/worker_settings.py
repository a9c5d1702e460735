"""What an executor process is told when it starts."""

from __future__ import annotations

import msgspec

from treadle_agent.executor.protocol import Mode


class WorkerSettings(msgspec.Struct, frozen=True):
    """`device`: the name of a backend: `host`, or `simulated:` and a GPU's name; `mode`: how tenants share it.

    `quantum`: seconds that one run of kernels may keep the device; `max_problems`: tenants merged into one launch at
    most; `tuning`: the folder in which measurements are kept, none where it is empty.
    """

    device: str = "host"
    mode: Mode = Mode.SPACE_TIME
    quantum: float = 0.002
    max_problems: int = 64
    tuning: str = ""
