"""Frozen objects as the API server takes them. The other way round are the readers of `treadle_api`."""

from __future__ import annotations

from collections.abc import Mapping

from treadle_api.conditions import Condition
from treadle_api.node import Device, Node
from treadle_api.profile import Profile
from treadle_api.replica import Figures, ReplicaStatus, TierFigures
from treadle_api.tenant import Precision
from treadle_api.units import format_decimal, format_duration

Manifest = dict[str, object]


def status_manifest(status: ReplicaStatus) -> Manifest:
    """An InferenceReplica's status, for server-side apply."""
    manifest: Manifest = {
        "observedGeneration": status.observed_generation,
        "observedEpoch": status.observed_epoch,
        "conditions": [_condition(condition) for condition in status.conditions],
        "address": status.address,
        "tiers": [_tier(tier) for tier in status.tiers],
    }
    if status.active_tier is not None:
        manifest["activeTier"] = status.active_tier
    if status.figures.window > 0:
        manifest["figures"] = _figures(status.figures)
    return {"status": manifest}


def node_manifest(node: Node) -> Manifest:
    """An InferenceNode's status, for server-side apply."""
    return {
        "status": {
            "observedGeneration": node.generation,
            "address": node.address,
            "agentVersion": node.agent_version,
            "devices": [_device(device) for device in node.devices],
            "conditions": [_condition(condition) for condition in node.conditions],
        }
    }


def profile_manifest(profile: Profile) -> Manifest:
    """A ModelProfile's spec, for server-side apply: what an agent measures of it, not what others have."""
    return {
        "spec": {
            "sha256": profile.sha256,
            "deviceModel": profile.device_model,
            "architecture": profile.architecture,
            "memoryBytes": profile.memory,
            "batches": [
                {"rows": batch.rows, "p50": format_decimal(batch.p50), "p99": format_decimal(batch.p99)}
                for batch in profile.batches
            ],
        }
    }


def _condition(condition: Condition) -> Mapping[str, object]:
    return {
        "type": condition.type,
        "status": condition.status,
        "reason": condition.reason,
        "message": condition.message,
        "observedGeneration": condition.observed_generation,
        "lastTransitionTime": condition.last_transition_time,
    }


def _tier(tier: TierFigures) -> Mapping[str, object]:
    return {
        "name": tier.name,
        "sha256": tier.sha256,
        "architecture": tier.architecture,
        "implementation": tier.implementation,
        "serviceSeconds": format_decimal(tier.service_seconds),
        "memoryBytes": tier.memory,
    } | ({"precision": str(tier.precision)} if tier.precision is not Precision.FLOAT32 else {})


def _figures(figures: Figures) -> Mapping[str, object]:
    return {
        "window": format_duration(figures.window),
        "good": figures.good,
        "late": figures.late,
        "shed": figures.shed,
        "error": figures.error,
        "accuracyCredit": format_decimal(figures.accuracy_credit),
        "latencyCounts": list(figures.latency_counts),
        "deviceSeconds": format_decimal(figures.device_seconds),
    }


def _device(device: Device) -> Mapping[str, object]:
    manifest: Manifest = {
        "id": device.id,
        "model": device.model,
        "memoryBytes": device.memory,
        "usedBytes": device.used,
        "utilisation": format_decimal(device.utilisation),
        "stretch": format_decimal(device.stretch),
        "healthy": device.healthy,
        "reason": device.reason,
    }
    if device.precisions != (Precision.FLOAT32,):
        manifest["precisions"] = [str(one) for one in device.precisions]
    if device.merge_factor is not None:
        manifest["mergeFactor"] = format_decimal(device.merge_factor)
    return manifest
