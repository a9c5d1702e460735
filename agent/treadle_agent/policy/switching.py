"""Which tier answers: decided for each request when it is dispatched, as late as possible (Zhang et al. 2020, §4).

The most accurate tier whose own service fits the slack, and with which the backlog drains within a share of the
deadline. Down at once; up only with room to spare, so that tiers do not flap.
"""

from __future__ import annotations

from treadle_agent.policy.queues import Request, Tenant

STAY_SHARE = 0.8  # of the deadline: backlog and service must fit it
UP_SHARE = 0.4  # of the deadline: what a more accurate tier than the current one must fit


def choose_tier(tenant: Tenant, head: Request, now: float, others_backlog: float) -> int:
    """The index of the tier to answer `head` with.

    Args:
        tenant: whose request it is; its `current` tier decides which way is up.
        head: the request at the head of the tenant's queue.
        now: seconds.
        others_backlog: device seconds that running and waiting work of the other tenants will take.

    Returns:
        An index into `tenant.tiers`; the fastest tier where none fits.
    """
    if tenant.pinned >= 0:
        return tenant.pinned
    if head.tier >= 0:
        return head.tier
    slack = head.deadline - now
    fastest, least = 0, float("inf")
    for index, tier in enumerate(tenant.tiers):
        if tier.service < least:
            fastest, least = index, tier.service
        share = STAY_SHARE if index >= tenant.current else UP_SHARE
        backlog = others_backlog + tenant.rows * tier.row_seconds
        if tier.service <= slack and backlog + tier.service <= share * tenant.deadline:
            return index
    return fastest
