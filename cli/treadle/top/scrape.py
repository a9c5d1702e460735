"""What a server's /metrics told at one moment. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

Key = tuple[str, str]  # a tenant's namespace and name


@dataclass(slots=True)
class TenantScrape:
    """One tenant, since the server began; ratios 0–1, None where it has none.

    `answers` by tier and outcome; `buckets` by upper bound in seconds, cumulative; `devices`: which have it loaded.
    """

    deadline: float | None = None
    objective: float | None = None
    floor: float | None = None
    answers: Counter[tuple[str, str]] = field(default_factory=Counter)
    credit: float = 0.0
    buckets: Counter[float] = field(default_factory=Counter)
    devices: list[str] = field(default_factory=list)


@dataclass(slots=True)
class DeviceScrape:
    """One device; `problems` kernels of single requests went into `launches`, since its executor began."""

    up: bool = False
    busy: float = 0.0
    launches: float = 0.0
    problems: float = 0.0


@dataclass(frozen=True, slots=True)
class Scrape:
    """All of it, `at` a time in seconds of any clock."""

    at: float
    tenants: Mapping[Key, TenantScrape]
    devices: Mapping[str, DeviceScrape]


def read_scrape(text: str, at: float) -> Scrape:
    """Read the Prometheus text format; raises ValueError for anything else."""
    tenants: dict[Key, TenantScrape] = defaultdict(TenantScrape)
    devices: dict[str, DeviceScrape] = defaultdict(DeviceScrape)
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if "tenant" in sample.labels:
                _of_tenant(tenants[sample.labels["tenant_namespace"], sample.labels["tenant"]], sample)
            elif "device" in sample.labels:
                _of_device(devices[sample.labels["device"]], sample)
    return Scrape(at, dict(tenants), dict(devices))


def _of_tenant(tenant: TenantScrape, sample: Sample) -> None:
    match sample.name:
        case "treadle_promised_deadline_seconds":
            tenant.deadline = sample.value
        case "treadle_promised_objective_ratio":
            tenant.objective = sample.value
        case "treadle_promised_accuracy_ratio":
            tenant.floor = sample.value
        case "treadle_requests_total":
            tenant.answers[sample.labels["tier"], sample.labels["outcome"]] += int(sample.value)
        case "treadle_accuracy_credit_total":
            tenant.credit += sample.value
        case "treadle_request_duration_seconds_bucket":
            tenant.buckets[float(sample.labels["le"])] += int(sample.value)
        case "treadle_queue_depth":
            tenant.devices.append(sample.labels["device"])


def _of_device(device: DeviceScrape, sample: Sample) -> None:
    match sample.name:
        case "treadle_executor_up":
            device.up = sample.value > 0
        case "treadle_device_busy_seconds_total":
            device.busy += sample.value
        case "treadle_super_kernel_problems_count":
            device.launches += sample.value
        case "treadle_super_kernel_problems_sum":
            device.problems += sample.value
