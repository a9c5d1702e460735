"""ModelProfiles as files that `kubectl apply --server-side -f` takes."""

from __future__ import annotations

from pathlib import Path

import yaml

from treadle.profile.latency.report import Report, Tier
from treadle_api.objects import API_VERSION
from treadle_api.profile import KIND
from treadle_api.tenant import Tenant
from treadle_api.units import TierName, format_decimal


def write_profiles(report: Report, folder: Path) -> list[Path]:
    """Write ``NAME.yaml`` for each tier's model that has a profile; the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for tier in report.profiled:
        path = folder / f"{tier.profile}.yaml"
        document = {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "metadata": {"name": tier.profile},
            "spec": spec(tier, report.device_model),
        }
        path.write_text(yaml.safe_dump(document, sort_keys=False))
        paths.append(path)
    return paths


def unfound(tenant: Tenant, report: Report) -> list[str]:
    """What to change in the manifest, so that the planner, which knows models by their digests, finds the profiles."""
    given = {tier.name: tier.model.sha256 for tier in tenant.tiers}
    return [
        f"tier {tier.tier}: add `sha256: {tier.sha256}` to its model, "
        "else the planner will not find this before it is loaded"
        for tier in report.profiled
        if given[TierName(tier.tier)] is None
    ]


def spec(tier: Tier, device_model: str) -> dict[str, object]:
    """Of a ModelProfile."""
    return {
        "sha256": tier.sha256,
        "deviceModel": device_model,
        "architecture": tier.architecture,
        "memoryBytes": tier.memory_bytes,
        "batches": [
            {"rows": one.rows, "p50": format_decimal(one.p50), "p99": format_decimal(one.p99)} for one in tier.batches
        ],
        "loads": [
            {
                "requestsPerSecond": format_decimal(one.requests_per_second),
                "p50": format_decimal(one.p50),
                "p99": format_decimal(one.p99),
            }
            for one in tier.loads
        ],
    }
