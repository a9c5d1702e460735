"""What the server itself counted, read from its /metrics as any Prometheus would."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

REQUESTS = "treadle_requests_total"
LAUNCHES = "treadle_super_kernel_problems_count"
PROBLEMS = "treadle_super_kernel_problems_sum"


@dataclass(frozen=True, slots=True)
class Counters:
    """`requests` by tenant, of all outcomes; kernels of single requests (`problems`) went into `launches` launches."""

    requests: Mapping[str, int]
    launches: int
    problems: int

    def since(self, earlier: Counters) -> Counters:
        """What was counted after `earlier`."""
        return Counters(
            {tenant: count - earlier.requests.get(tenant, 0) for tenant, count in self.requests.items()},
            self.launches - earlier.launches,
            self.problems - earlier.problems,
        )

    @property
    def merge_factor(self) -> float:
        """Kernels a launch; nan without launches."""
        return self.problems / self.launches if self.launches else float("nan")


def parse_counters(text: str) -> Counters:
    """Counters from the Prometheus text format."""
    requests: dict[str, int] = {}
    totals = {LAUNCHES: 0, PROBLEMS: 0}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == REQUESTS:
                tenant = sample.labels["tenant"]
                requests[tenant] = requests.get(tenant, 0) + int(sample.value)
            elif sample.name in totals:
                totals[sample.name] += int(sample.value)
    return Counters(requests, totals[LAUNCHES], totals[PROBLEMS])


async def read_counters(session: aiohttp.ClientSession, url: str) -> Counters:
    """The counters of the server at `url`; raises aiohttp.ClientError."""
    async with session.get(f"{url}/metrics") as response:
        response.raise_for_status()
        return parse_counters(await response.text())
