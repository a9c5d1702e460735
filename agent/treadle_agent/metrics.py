"""Requests counted for Prometheus: the outcome counter is the service-level indicator of every tenant.

A request costs a few integer additions here; label lookups and text happen when somebody scrapes.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import accumulate, chain
from operator import add

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from treadle_api.histogram import BOUNDS

# Deadlines lie between a millisecond and a minute; quantiles near them should be read off within 2.5×.
DURATION_BUCKETS = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 60.0,
)  # fmt: skip
REFUSALS = (400, 408, 413)  # HTTP statuses of requests that never become a tenant's work: a client has to change them
TENANT_LABELS = ("tenant", "tenant_namespace")


class RequestOutcome(StrEnum):
    """How a request that reached an admitted tenant ended; each has exactly one."""

    GOOD = "good"  # answered by its deadline
    LATE = "late"  # answered after its deadline
    SHED = "shed"  # refused for load: 429, 503
    ERROR = "error"  # failed, or given up by the client before its deadline


# How requests end that a tier has answered, and those that none has; so each outcome counts from zero.
_OF_TIERS = (RequestOutcome.GOOD, RequestOutcome.LATE)
_OF_NONE = (RequestOutcome.LATE, RequestOutcome.SHED, RequestOutcome.ERROR)


@dataclass(frozen=True, slots=True)
class TenantSeries:
    """A tenant's name and namespace, and the tiers it may be answered by."""

    tenant: str
    namespace: str
    tiers: tuple[str, ...]


class TenantRequests:
    """One tenant's counters. `latencies` by `treadle_api.histogram.BOUNDS`: what replicas publish adds up."""

    __slots__ = ("buckets", "credit", "latencies", "outcomes", "refused", "seconds", "series")

    def __init__(self, series: TenantSeries) -> None:
        self.outcomes: dict[tuple[str, RequestOutcome], int] = {}
        self.refused: dict[int, int] = dict.fromkeys(REFUSALS, 0)
        self.buckets = [0] * (len(DURATION_BUCKETS) + 1)
        self.latencies = [0] * (len(BOUNDS) + 1)
        self.seconds = 0.0
        self.credit = 0.0
        self.extend(series)

    def extend(self, series: TenantSeries) -> None:
        """Take the tenant's present tiers; new ones begin at zero, counts of old ones stay."""
        self.series = series
        for tier in series.tiers:
            for outcome in _OF_TIERS:
                self.outcomes.setdefault((tier, outcome), 0)
        for outcome in _OF_NONE:
            self.outcomes.setdefault(("", outcome), 0)

    def answered(self, tier: str, accuracy: float, seconds: float, *, in_time: bool) -> None:
        """Count an answer by `tier`, whose accuracy is a ratio, `seconds` after the request arrived."""
        if in_time:
            self._count(tier, RequestOutcome.GOOD)
            self.credit += accuracy
        else:
            self._count(tier, RequestOutcome.LATE)
        self.buckets[bisect_left(DURATION_BUCKETS, seconds)] += 1
        self.latencies[bisect_left(BOUNDS, seconds)] += 1
        self.seconds += seconds

    def count(self, outcome: RequestOutcome) -> None:
        """Count one request that no tier has answered."""
        self._count("", outcome)

    def _count(self, tier: str, outcome: RequestOutcome) -> None:
        key = (tier, outcome)
        self.outcomes[key] = self.outcomes.get(key, 0) + 1

    def refuse(self, status: int) -> None:
        """Count a request that never became the tenant's work, by `REFUSALS`."""
        self.refused[status] = self.refused.get(status, 0) + 1

    def add(self, other: TenantRequests) -> None:
        """Add what another device counted for the tenant."""
        self.extend(other.series)
        for key, count in other.outcomes.items():
            self.outcomes[key] = self.outcomes.get(key, 0) + count
        for status, count in other.refused.items():
            self.refused[status] = self.refused.get(status, 0) + count
        self.buckets = [*map(add, self.buckets, other.buckets)]
        self.latencies = [*map(add, self.latencies, other.latencies)]
        self.seconds += other.seconds
        self.credit += other.credit


class RequestMetrics:
    """The counters of one device's tenants, by ``name.namespace``."""

    def __init__(self) -> None:
        self._tenants: dict[str, TenantRequests] = {}

    def __iter__(self) -> Iterator[tuple[str, TenantRequests]]:
        return iter(self._tenants.items())

    def get(self, key: str) -> TenantRequests | None:
        """A tenant's counters, where it has any yet."""
        return self._tenants.get(key)

    def of(self, series: TenantSeries) -> TenantRequests:
        """The tenant's counters, which begin at zero."""
        key = f"{series.tenant}.{series.namespace}"
        requests = self._tenants.get(key)
        if requests is None:
            requests = self._tenants[key] = TenantRequests(series)
        elif requests.series != series:
            requests.extend(series)
        return requests

    def forget(self, key: str) -> None:
        """A tenant has gone: its series end."""
        self._tenants.pop(key, None)


class RequestSeries(Collector):
    """The counters of all devices as metric families: a tenant's requests are one series, whichever device ran them."""

    def __init__(self, devices: Iterable[RequestMetrics]) -> None:
        self._devices = tuple(devices)

    def _tenants(self) -> Iterable[TenantRequests]:
        if len(self._devices) == 1:
            return [requests for _, requests in self._devices[0]]
        sums: dict[str, TenantRequests] = {}
        for key, requests in chain.from_iterable(self._devices):
            total = sums.get(key)
            if total is None:
                total = sums[key] = TenantRequests(requests.series)
            total.add(requests)
        return sums.values()

    def collect(self) -> Iterator[Metric]:
        """The metric families, one sample for each label set."""
        total = CounterMetricFamily(
            "treadle_requests",
            "Requests that reached an admitted tenant, by how they ended; tier is empty where none answered",
            labels=(*TENANT_LABELS, "tier", "outcome"),
        )
        credit = CounterMetricFamily(
            "treadle_accuracy_credit",
            "Sum over requests answered in time of their tier's accuracy as a ratio; over treadle_requests_total it is "
            "the effective accuracy",
            labels=TENANT_LABELS,
        )
        refused = CounterMetricFamily(
            "treadle_refused_requests",
            "Requests to an admitted tenant that it could not take as they were, by HTTP status; no outcome is counted",
            labels=(*TENANT_LABELS, "code"),
        )
        duration = HistogramMetricFamily(
            "treadle_request_duration_seconds",
            "Time from reading a request's head to its answer, of answered requests",
            labels=TENANT_LABELS,
        )
        for requests in self._tenants():
            labels = (requests.series.tenant, requests.series.namespace)
            for (tier, outcome), count in requests.outcomes.items():
                total.add_metric((*labels, tier, outcome), count)
            for status, count in requests.refused.items():
                refused.add_metric((*labels, str(status)), count)
            credit.add_metric(labels, requests.credit)
            cumulative = accumulate(requests.buckets)
            bounds = (*map(str, DURATION_BUCKETS), "+Inf")
            duration.add_metric(labels, list(zip(bounds, cumulative, strict=True)), requests.seconds)
        yield from (total, credit, refused, duration)
