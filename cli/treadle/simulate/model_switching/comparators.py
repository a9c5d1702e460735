"""Policies that the production ones are compared with, as objects of the same kind."""

from __future__ import annotations

from treadle_agent.policy.queues import Request, Tenant


class SlackBuckets:
    """In the manner of SuperServe's SlackFit: the slack of the head, in evenly spaced buckets, is the choice.

    There buckets hold pairs of subnetwork and batch size by their latency. Here requests are not batched, and all
    tiers together would lie in the first bucket; so the deadline is divided into as many buckets as there are tiers,
    and the last bucket, of the most slack, holds the most accurate tier.
    """

    def choose(self, tenant: Tenant, head: Request, now: float, others_backlog: float) -> int:  # noqa: ARG002 - a Switching
        """See `Switching`; a tier whose own service does not fit the slack is not chosen, except the fastest."""
        tiers = tenant.tiers
        slack = max(head.deadline - now, 0.0)
        bucket = min(int(slack / tenant.deadline * len(tiers)), len(tiers) - 1)
        index = len(tiers) - 1 - bucket
        while index < len(tiers) - 1 and tiers[index].service > slack:
            index += 1
        return index
