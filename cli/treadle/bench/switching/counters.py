"""What the server counted of each tenant, read from its /metrics as any Prometheus would."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

_WAIT_SECONDS, _POLL_SECONDS = 5.0, 0.05


@dataclass(frozen=True, slots=True)
class Counters:
    """Of one tenant: requests by all outcomes, the sum of accuracies (ratios) of those in time, changes of tier."""

    requests: int
    credit: float
    switches: int

    def since(self, earlier: Counters) -> Counters:
        """What was counted after `earlier`."""
        return Counters(
            self.requests - earlier.requests, self.credit - earlier.credit, self.switches - earlier.switches
        )


async def read_counters(url: str, tenant: str) -> Counters:
    """The counters of a tenant now; raises aiohttp.ClientError."""
    async with aiohttp.ClientSession() as session, session.get(f"{url}/metrics") as response:
        response.raise_for_status()
        return parse(await response.text(), tenant)


async def read_when_counted(url: str, tenant: str, requests: int) -> Counters:
    """The counters once they hold `requests` requests, or those of five seconds later."""
    bound = time.monotonic() + _WAIT_SECONDS
    while True:
        found = await read_counters(url, tenant)
        if found.requests >= requests or time.monotonic() > bound:
            return found
        await asyncio.sleep(_POLL_SECONDS)


def parse(text: str, tenant: str) -> Counters:
    """A tenant's counters from the Prometheus text format."""
    totals = dict.fromkeys(
        ("treadle_requests_total", "treadle_accuracy_credit_total", "treadle_tier_switches_total"), 0.0
    )
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name in totals and sample.labels["tenant"] == tenant:
                totals[sample.name] += sample.value
    requests, credit, switches = totals.values()
    return Counters(int(requests), credit, int(switches))
