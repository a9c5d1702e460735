"""What an executor process is told when it starts."""

from __future__ import annotations

import msgspec

from treadle_agent.executor.protocol import Mode


class WorkerSettings(msgspec.Struct, frozen=True):
    """`device`: the name of a backend (`host`); `mode`: how tenants share it."""

    device: str = "host"
    mode: Mode = Mode.SPACE_TIME
