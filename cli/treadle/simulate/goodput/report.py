"""What the simulation found, as it stands in the JSON file."""

from __future__ import annotations

import msgspec


class Row(msgspec.Struct, frozen=True):
    """`goodput_rps`: the largest load, of all tenants together, of which 99 % is answered in time; `merged`: tenants in
    a launch at that load, the mean.
    """

    models: str
    tenants: int
    way: str
    goodput_rps: float
    merged: float


class Deadline(msgspec.Struct, frozen=True):
    """What a network's requests ask for, in seconds, and what one takes alone."""

    network: str
    service: float
    deadline: float


class Report(msgspec.Struct, frozen=True):
    """All of it. Nothing in here was measured."""

    device: str
    simulated: bool
    note: str
    command: str
    date: str
    requests: int
    deadlines: tuple[Deadline, ...]
    rows: tuple[Row, ...]
