"""Which tier answers: decided for each request when it is dispatched, as late as possible (Zhang et al. 2020, §4).

The most accurate tier whose own service fits the slack, and with which the backlog drains within a share of the
deadline. Down at once; up only with room to spare, so that tiers do not flap. A tier that is not resident costs its
load time besides, and moving up to it is a slow decision: it must look lasting, and loads must stay rare.
"""

from __future__ import annotations

from treadle_agent.policy.queues import Request, Switching, Tenant, Tier

STAY_SHARE = 0.8  # of the deadline: backlog and service must fit it
UP_SHARE = 0.4  # of the deadline: what a more accurate tier than the current one must fit
LASTING_LOAD = 0.8  # of the device: what a tier that has to be loaded may take of it at the rate of now
LOAD_EVERY = 10.0  # load times: at least so long after one load begins the next, unless it is a way down


class StickySlack:
    """The default policy; keeps nothing, so that all tenants share one."""

    def choose(self, tenant: Tenant, head: Request, now: float, others_backlog: float) -> int:
        """See `Switching`; the fastest tier where none fits."""
        slack = head.deadline - now
        fastest, least = 0, float("inf")
        for index, tier in enumerate(tenant.tiers):
            service = tier.service + tier.load
            if service < least:
                fastest, least = index, service
            share = STAY_SHARE
            if index < tenant.current:
                if tier.load == 0.0:
                    share = UP_SHARE
                elif not _worth_its_load(tenant, tier, now):
                    continue
            backlog = others_backlog + tenant.rows * tier.row_seconds
            if service <= slack and backlog + service <= share * tenant.deadline:
                return index
        return fastest


STICKY_SLACK = StickySlack()


def choose_tier(tenant: Tenant, head: Request, now: float, others_backlog: float) -> int:
    """The index of the tier to answer `head` with: the one that the tenant or the client pinned, or the policy's.

    Args:
        tenant: whose request it is; its `current` tier decides which way is up.
        head: the request at the head of the tenant's queue.
        now: seconds.
        others_backlog: device seconds that running and waiting work of the other tenants will take.
    """
    if tenant.pinned >= 0:
        return tenant.pinned
    if head.tier >= 0:
        return head.tier
    policy: Switching = tenant.switching or STICKY_SLACK
    return policy.choose(tenant, head, now, others_backlog)


def _worth_its_load(tenant: Tenant, tier: Tier, now: float) -> bool:
    lasting = tenant.arrivals.rate() * tier.row_seconds <= LASTING_LOAD
    return lasting and now - tenant.loaded_at >= LOAD_EVERY * tier.load
