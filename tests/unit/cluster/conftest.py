"""Replicas and statuses to reason about."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from treadle_api.conditions import Condition, ConditionStatus
from treadle_api.replica import Figures, Replica, ReplicaStatus, TierFigures
from treadle_api.tenant import Precision, Tenant, read_tenant
from treadle_api.units import Bytes, Seconds, TierName

NOW = "2026-11-22T20:00:00Z"


def make_tenant(name: str, **spec: Any) -> Tenant:
    tiers = [
        {"name": tier, "accuracy": str(90 - index), "model": {"uri": f"{name}-{tier}.onnx"}}
        for index, tier in enumerate(("large", "small"))
    ]
    return read_tenant(
        {
            "apiVersion": "treadle.dev/v1alpha1",
            "kind": "InferenceTenant",
            "metadata": {"name": name},
            "spec": {"slo": {"deadline": "1s"}, "tiers": tiers, **spec},
        }
    )


@pytest.fixture
def tenant() -> Callable[..., Tenant]:
    return make_tenant


@pytest.fixture
def replica() -> Callable[..., Replica]:
    """A replica of a tenant; by keyword what differs from an ordinary one."""

    def make(name: str = "digits", **terms: Any) -> Replica:
        usual = Replica(
            name=f"{name}-1234567890",
            namespace="default",
            tenant=make_tenant(name),
            tenant_generation=1,
            node="alpha",
            device="host",
            epoch=1,
            draining=False,
            successors=(),
            generation=1,
            deleting=False,
            status=ReplicaStatus(),
        )
        return replace(usual, **terms)

    return make


@pytest.fixture
def status() -> Callable[..., ReplicaStatus]:
    """A status with a figure of every kind; by keyword those that differ."""

    def make(loaded: ConditionStatus = ConditionStatus.TRUE, reason: str = "Loaded", **terms: Any) -> ReplicaStatus:
        figures = {
            "window": Seconds(60.0), "good": 1000, "late": 100, "shed": 100, "error": 10, "accuracy_credit": 9e4,
            "latency_counts": (0,) * 10 + (1100,) + (0,) * 21, "device_seconds": Seconds(5.0),
        }  # fmt: skip
        figures |= {name: terms.pop(name) for name in list(terms) if name in figures}
        precision = terms.pop("precision", Precision.FLOAT32)
        tier = TierFigures(TierName("large"), "ab" * 32, "cd" * 32, "merged", Seconds(0.001), Bytes(4096), precision)
        usual = ReplicaStatus(
            observed_generation=1,
            observed_epoch=1,
            conditions=(Condition("Loaded", loaded, reason, "2 tiers are loaded", 1, NOW),),
            address="10.0.0.7:8000",
            active_tier=TierName("large"),
            tiers=(replace(tier, service_seconds=Seconds(terms.pop("service", 0.001))),),
            figures=Figures(**figures),
        )
        return replace(usual, **terms)

    return make
