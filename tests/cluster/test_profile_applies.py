"""`treadle profile --apply` writes to a real API server; what agents refine later leaves its loads alone."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bed.cluster import Cluster
from treadle.__main__ import main
from treadle.bench import models
from treadle.profile.latency.manifests import spec
from treadle.profile.latency.report import Report
from treadle_agent.cluster.connection import load_connection
from treadle_agent.cluster.kube import PROFILES, KubeClient
from treadle_agent.cluster.manifests import profile_manifest
from treadle_agent.cluster.profiles import refined
from treadle_api.profile import BatchLatency, Profile, read_profile
from treadle_api.units import Seconds


def test_profiles_are_there_and_agents_refine_them(
    clean_cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "small.onnx").write_bytes(models.mlp((64, 16, 10), seed=1).SerializeToString())
    tenant = {
        "apiVersion": "treadle.dev/v1alpha1",
        "kind": "InferenceTenant",
        "metadata": {"name": "digits"},
        "spec": {
            "slo": {"deadline": "100ms"},
            "tiers": [{"name": "small", "accuracy": "90", "model": {"uri": "small.onnx"}}],
        },
    }
    manifest = tmp_path / "tenant.yaml"
    manifest.write_text(json.dumps(tenant))  # JSON is YAML
    flags = ["--device", "host", "--seconds", "0.1", "--apply", "--kubeconfig", str(clean_cluster.kubeconfig)]
    report = tmp_path / "report.json"

    def profiled() -> dict[str, Any]:
        """What is there after a run: all of it, and nothing of anybody before."""
        assert main(["profile", "-f", str(manifest), *flags, "--json", str(report)]) == 0
        (item,) = clean_cluster.get("modelprofiles")["items"]
        (tier,) = msgspec.json.decode(report.read_bytes(), type=Report).tiers
        assert item["spec"] == spec(tier, item["spec"]["deviceModel"])
        return item

    clean_cluster.apply(_of_somebody_else(profiled()))
    known = read_profile(profiled())
    assert known.loads

    slower = BatchLatency(1, Seconds(known.batches[0].p50 * 1.6), Seconds(known.batches[0].p50 * 1.6))
    measured = Profile(known.sha256, known.device_model, known.architecture, known.memory, (slower,))
    asyncio.run(_refine(clean_cluster, known, measured))
    (item,) = clean_cluster.get("modelprofiles")["items"]
    found = read_profile(item)
    assert found.batches[0].p50 == pytest.approx(slower.p50, abs=1e-8)
    assert found.loads == known.loads


def _of_somebody_else(item: dict[str, Any]) -> dict[str, Any]:
    """The object as kubectl applies a file of another run."""
    loads = [{"requestsPerSecond": "0.7", "p50": "0.1", "p99": "0.2"}]
    return {
        "apiVersion": item["apiVersion"],
        "kind": item["kind"],
        "metadata": {"name": item["metadata"]["name"]},
        "spec": {**item["spec"], "loads": loads},
    }


async def _refine(cluster: Cluster, known: Profile, measured: Profile) -> None:
    profile = refined(known, measured)
    assert profile is not None
    client = KubeClient(await load_connection(cluster.kubeconfig))
    try:
        await client.apply(PROFILES, "", profile.name, profile_manifest(profile))
    finally:
        await client.close()
