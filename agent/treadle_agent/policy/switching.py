"""Which tier answers: decided for each request when it is dispatched, as late as possible (Zhang et al. 2020, §4).

The most accurate tier whose own service fits the slack, and with which the backlog drains within a share of the
deadline. Down at once; up only with room to spare, so that tiers do not flap. Only tiers that are resident are chosen
between: what to bring in is a slow decision (`residency`).
"""

from __future__ import annotations

from treadle_agent.policy.queues import FOREVER, Request, Switching, Tenant
from treadle_agent.policy.switches import Reason

STAY_SHARE = 0.8  # of the deadline: backlog and service must fit it
UP_SHARE = 0.4  # of the deadline: what a more accurate tier than the current one must fit


class StickySlack:
    """The default policy; keeps nothing, so that all tenants share one."""

    def choose(self, tenant: Tenant, head: Request, now: float, others_backlog: float) -> int:
        """See `Switching`; the tier that is done first where none fits."""
        slack = head.deadline - now
        behind = max(tenant.rows - head.rows, 0)  # the head itself counts as service
        fastest, least = 0, FOREVER
        for index, tier in enumerate(tenant.tiers):
            if head.forbidden >> index & 1:
                continue
            service = tier.load + tier.service
            if service < least:
                fastest, least = index, service
            share = STAY_SHARE if index >= tenant.current else UP_SHARE
            backlog = (others_backlog + behind * tier.row_seconds) / tenant.pace
            if service <= slack and backlog + service <= share * tenant.deadline and tier.load == 0.0:
                if index < tenant.current:
                    tenant.switches.reason = Reason.ROOM
                return index
            if index == tenant.current:
                tenant.switches.reason = Reason.BACKLOG if service <= slack else Reason.SLACK
        return fastest


STICKY_SLACK = StickySlack()


def _allowed(tenant: Tenant, head: Request, chosen: int) -> int:
    """The next less accurate tier that the client did not rule out, or else the next more accurate one."""
    order: tuple[int, ...] = (*range(chosen + 1, len(tenant.tiers)), *range(chosen - 1, -1, -1))
    return next(index for index in order if not head.forbidden >> index & 1)


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
    chosen = policy.choose(tenant, head, now, others_backlog)
    return _allowed(tenant, head, chosen) if head.forbidden >> chosen & 1 else chosen
