"""The demo's InferenceTenants as YAML files that a person may read and edit while they are served."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import yaml

from treadle.demo.tenants import Tenant

FLOOR = "70"  # no page reader's answer comes from a model less accurate than this, whatever the load
API_VERSION = "treadle.dev/v1alpha1"


def write_manifests(folder: Path, tenants: Sequence[Tenant], pinned: str = "") -> None:
    """Write ``<name>.yaml`` for each tenant, and no other: files of tenants of an earlier demo go.

    Tenants that have a tier named `pinned` serve that one alone.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for stale in set(folder.glob("*.yaml")) - {folder / f"{tenant.name}.yaml" for tenant in tenants}:
        stale.unlink()
    for tenant in tenants:
        path = folder / f"{tenant.name}.yaml"
        text = yaml.safe_dump(manifest(tenant, folder, pinned), sort_keys=False)
        # Renamed into place, since `treadle serve` may be reading.
        partial = path.with_suffix(".partial")
        partial.write_text(text)
        partial.replace(path)


def manifest(tenant: Tenant, folder: Path, pinned: str = "") -> dict[str, object]:
    """One InferenceTenant; model paths are relative to `folder`, where the manifest lies."""
    automatic = pinned not in {tier.name for tier in tenant.tiers}
    return {
        "apiVersion": API_VERSION,
        "kind": "InferenceTenant",
        "metadata": {"name": tenant.name},
        "spec": {
            "slo": {
                "deadline": f"{round(tenant.deadline * 1000)}ms",
                "objective": "99",
                "minAccuracy": FLOOR if len(tenant.tiers) > 1 else "0",
            },
            "tiers": [
                {
                    "name": tier.name,
                    "accuracy": f"{tier.accuracy:.2f}",
                    "model": {
                        "uri": os.path.relpath(tier.model, folder),
                        "sha256": hashlib.sha256(tier.model.read_bytes()).hexdigest(),
                    },
                }
                for tier in tenant.tiers
            ],
            "switching": {"mode": "Automatic"} if automatic else {"mode": "Pinned", "tier": pinned},
        },
    }
