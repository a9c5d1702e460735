"""`GET /metrics`: the front end's counters, and the executor's as it reports them at this moment."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

import msgspec
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from treadle_agent.executor.statistics import BOUNDS, Document, TenantStatistics
from treadle_agent.frontend.directory import Directory
from treadle_agent.frontend.promises import PromiseSeries
from treadle_agent.frontend.reply import Reply
from treadle_agent.frontend.site import Site
from treadle_agent.metrics import TENANT_LABELS, RequestSeries

PROBLEM_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128)


class Scrape:
    """Renders all metrics."""

    def __init__(self, sites: Sequence[Site], directory: Directory, statistics_timeout: float) -> None:
        self._sites = sites
        self._directory = directory
        self._timeout = statistics_timeout

    async def reply(self, accept: str) -> Reply:
        """The exposition in the format that `accept` asks for.

        An executor that does not report in time (it may be restarting) leaves its series out, and
        `treadle_executor_up` is 0: a gap is honest, zeros would not be.
        """
        reports = await asyncio.gather(*(self._report(site) for site in self._sites))
        self._directory.refresh()
        registry = CollectorRegistry()
        registry.register(RequestSeries(site.requests for site in self._sites))
        registry.register(PromiseSeries(entry.tenant for site in self._sites for entry in site.catalog.entries()))
        registry.register(ExecutorSeries(reports))
        ProcessCollector(registry=registry)
        encoder, content_type = choose_encoder(accept)
        return Reply(encoder(registry), content_type=content_type)

    async def _report(self, site: Site) -> Report:
        try:
            async with asyncio.timeout(self._timeout):
                return read_report(site.device, await site.gateway.statistics())
        except TimeoutError:
            return Report(site.device, None, None)


class SupervisorCounters(msgspec.Struct):
    """What the supervisor counts over all its executor processes."""

    restarts: int
    replays: int
    isolated: dict[str, str] = {}  # reasons by version


@dataclass(frozen=True, slots=True)
class Report:
    """What a device's `Gateway.statistics` gave; a part is None where it did not come in time."""

    device: str
    executor: Document | None
    supervisor: SupervisorCounters | None


def read_report(device: str, statistics: Mapping[str, Any]) -> Report:
    """Read a gateway's statistics; raises msgspec.ValidationError where they are not what they should be."""
    counters = msgspec.convert(statistics["supervisor"], SupervisorCounters)
    executor = msgspec.convert(statistics, Document, strict=False) if "device" in statistics else None
    return Report(device, executor, counters)


class ExecutorSeries(Collector):
    """The devices' reports as metric families."""

    def __init__(self, reports: Sequence[Report]) -> None:
        self._reports = reports

    def collect(self) -> Iterator[Metric]:
        """The metric families, one sample for each label set."""
        up = GaugeMetricFamily(
            "treadle_executor_up", "Whether the executor process reported its statistics", labels=("device",)
        )
        restarts = CounterMetricFamily(
            "treadle_executor_restarts", "Executor processes that ended and were replaced", labels=("device",)
        )
        replays = CounterMetricFamily(
            "treadle_replayed_requests", "Requests run again because their executor ended", labels=("device",)
        )
        launches, tenants = _Launches(), _Tenants()
        for report in self._reports:
            up.add_metric((report.device,), 0 if report.executor is None else 1)
            if report.supervisor is not None:
                restarts.add_metric((report.device,), report.supervisor.restarts)
                replays.add_metric((report.device,), report.supervisor.replays)
            if report.executor is not None:
                launches.add(report.device, report.executor)
                tenants.add(report.device, report.executor)
        families = (up, restarts, replays, *launches.families, *tenants.families)
        yield from (family for family in families if family.samples)


class _Launches:
    """What the devices' launches were."""

    def __init__(self) -> None:
        self._duration = HistogramMetricFamily(
            "treadle_kernel_duration_seconds", "Time of one launch, by kernel signature", labels=("signature", "device")
        )
        self._problems = HistogramMetricFamily(
            "treadle_super_kernel_problems", "Kernels merged into one launch", labels=("device",)
        )
        self._busy = CounterMetricFamily(
            "treadle_device_busy_seconds", "Time the device ran launches", labels=("device",)
        )
        self._lookups = CounterMetricFamily(
            "treadle_cache_lookups",
            "Look-ups of launches bound (plans) and of costs measured (tuning) before, by whether they were there",
            labels=("device", "cache", "result"),
        )
        self.families: tuple[Metric, ...] = (self._duration, self._problems, self._busy, self._lookups)

    def add(self, device: str, document: Document) -> None:
        bounds = (*map(repr, BOUNDS), "+Inf")
        for signature, entry in document.signatures.items():
            cumulative = accumulate(entry.latency.counts)
            buckets = list(zip(bounds, cumulative, strict=True))
            self._duration.add_metric((signature, device), buckets, entry.latency.seconds)
        counts = (
            sum(count for size, count in document.sizes.items() if below < size <= bound)
            for below, bound in pairwise((0, *PROBLEM_BUCKETS))
        )
        sizes = [(repr(float(bound)), count) for bound, count in zip(PROBLEM_BUCKETS, accumulate(counts), strict=True)]
        self._problems.add_metric((device,), [*sizes, ("+Inf", sum(document.sizes.values()))], document.problems)
        self._busy.add_metric((device,), document.busy_seconds)
        for cache, lookups in (("plans", document.plans), ("tuning", document.tuning)):
            self._lookups.add_metric((device, cache, "hit"), lookups.hits)
            self._lookups.add_metric((device, cache, "miss"), lookups.misses)


class _Tenants:
    """What the devices did for each tenant."""

    def __init__(self) -> None:
        labels = (*TENANT_LABELS, "device")
        self._device_time = CounterMetricFamily(
            "treadle_device_time_seconds",
            "Device time attributed to a tenant; over all tenants it sums to the time the device ran launches",
            labels=labels,
        )
        self._depth = GaugeMetricFamily("treadle_queue_depth", "Requests that wait for a tier", labels=labels)
        self._switches = CounterMetricFamily(
            "treadle_tier_switches", "Changes of the tier that answers", labels=(*labels, "direction", "reason")
        )
        self._correction = GaugeMetricFamily(
            "treadle_profile_correction_ratio", "Observed over profiled duration", labels=labels
        )
        self.families: tuple[Metric, ...] = (self._device_time, self._depth, self._switches, self._correction)

    def add(self, device: str, document: Document) -> None:
        for key, versions in _by_tenant(document).items():
            name, _, namespace = key.partition(".")
            labels = (name, namespace, device)
            self._device_time.add_metric(labels, sum(version.device_seconds for version in versions))
            self._depth.add_metric(labels, sum(version.waiting for version in versions))
            self._correction.add_metric(labels, versions[-1].correction)
            for kind in sorted({kind for version in versions for kind in version.switches}):
                count = sum(version.switches.get(kind, 0) for version in versions)
                self._switches.add_metric((*labels, *kind.split("/")), count)


def _by_tenant(document: Document) -> dict[str, list[TenantStatistics]]:
    """The versions of each tenant, oldest first: during an update two of them count."""
    tenants: dict[str, list[TenantStatistics]] = {}
    for _, statistics in sorted(document.tenants.items()):
        tenants.setdefault(statistics.tenant, []).append(statistics)
    return tenants
