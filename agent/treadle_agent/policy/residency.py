"""Which tier a place that holds one tier at a time should hold: a slow decision, since a load keeps the place busy.

A place is a server, or a share of a device's memory. Tiers that are there are chosen between by `switching`, request by
request; this decides what to bring in.
"""

from __future__ import annotations

from treadle_agent.policy.queues import Tenant
from treadle_agent.policy.switching import STAY_SHARE, UP_SHARE

LASTING_LOAD = 0.8  # of the device: what a tier that is brought in may take of it, at the rate of now
LOAD_EVERY = 10.0  # load times: at least so long after one load begins the next one that is not a way down


def wanted_tier(tenant: Tenant, resident: int, load: float, now: float, others_backlog: float) -> int:
    """The tier that should be there.

    Down as soon as the resident tier cannot keep its queue within the deadline: to the most accurate tier that gets
    through the present rate with room to catch up, or else the fastest. Up when the queue is short, to a tier that the
    present rate leaves room for too, and so rarely that loading stays a small share of the time.

    Args:
        tenant: whose tiers they are; `arrivals` tells the rate, `loaded_at` when the last load began.
        resident: index of the tier that is there.
        load: seconds that bringing in another one takes.
        now: seconds.
        others_backlog: device seconds that running and waiting work of the other tenants will take.
    """
    tier = tenant.tiers[resident]
    backlog = (others_backlog + tenant.rows * tier.row_seconds) / tenant.pace + tier.service
    if backlog > STAY_SHARE * tenant.deadline:
        return max(resident, _lasting(tenant))
    if backlog > UP_SHARE * tenant.deadline or now - tenant.loaded_at < LOAD_EVERY * load:
        return resident
    return min(resident, _lasting(tenant))


def _lasting(tenant: Tenant) -> int:
    """The most accurate tier that the present rate leaves room for, or else the fastest."""
    rate = tenant.arrivals.rate()
    for index, tier in enumerate(tenant.tiers):
        if rate * tier.row_seconds <= LASTING_LOAD:
            return index
    return min(range(len(tenant.tiers)), key=lambda index: tenant.tiers[index].service)
