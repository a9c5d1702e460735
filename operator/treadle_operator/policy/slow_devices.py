"""A device that slows all its tenants is itself the straggler: it is cordoned, and only a person lifts that.

Once it is empty nobody could measure whether it is well again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from treadle_api.node import CordonedDevice
from treadle_operator.policy.ledger import DeviceLedger
from treadle_operator.snapshot import Snapshot

STRETCH = 1.3  # observed over expected kernel time, of all its tenants together
SLOW_FOR = 30.0  # seconds, before it is believed
MOST_SHARE = 0.1  # of all devices that may be cordoned so, or one: else it is not the devices that are at fault
MARK = "Straggling: "  # how the operator's own reasons begin


@dataclass(frozen=True, slots=True)
class Cordons:
    """`by_node`: the operator's entries, for nodes where they change. `slow_since`: of devices watched, by place."""

    by_node: Mapping[str, tuple[CordonedDevice, ...]]
    slow_since: Mapping[str, float]
    wake: float


def cordon_slow_devices(
    snapshot: Snapshot, ledgers: Mapping[str, DeviceLedger], slow_since: Mapping[str, float], now: float
) -> Cordons:
    """Decide which devices to cordon.

    Args:
        snapshot: the nodes' figures.
        ledgers: of all devices: one without tenants is not slow.
        slow_since: what the previous plan passed on.
        now: seconds since the epoch.
    """
    own = {
        name: [device for device in view.node.cordoned if device.reason.startswith(MARK)]
        for name, view in snapshot.nodes.items()
    }
    allowed = max(1, math.floor(MOST_SHARE * len(ledgers))) - sum(map(len, own.values()))
    open_ = sum(not ledger.state.closed for ledger in ledgers.values())
    since: dict[str, float] = {}
    by_node: dict[str, tuple[CordonedDevice, ...]] = {}
    wake = math.inf
    for place, ledger in ledgers.items():
        state = ledger.state
        if state.stretch < STRETCH or state.leave is not None or not ledger.residents:
            continue
        since[place] = slow_since.get(place, now)
        if now - since[place] < SLOW_FOR:
            wake = min(wake, since[place] + SLOW_FOR)
        elif allowed > 0 and (open_ > 1 or state.closed):
            allowed -= 1
            open_ -= not state.closed
            reason = f"{MARK}kernels of all its tenants take {state.stretch:.2f} times what they should"
            entries = [*by_node.get(state.node, own[state.node]), CordonedDevice(state.id, reason)]
            by_node[state.node] = tuple(entries)
    return Cordons(by_node, since, wake)
