"""The two tenants: one is attacked, the other is called by whom the attack should not concern."""

from __future__ import annotations

import json

import yaml

WIDTH = 4
GOOD, ATTACKED = "good", "attacked"
FACTORS = {GOOD: 3.0, ATTACKED: 2.0}
"""What each multiplies by."""

INFER = f"/v2/models/{ATTACKED}/infer"
TENSOR = {"name": "x", "datatype": "FP32", "shape": [1, WIDTH]}
BODY = json.dumps({"inputs": [{**TENSOR, "data": [1] * WIDTH}]}).encode()
"""A request with which nothing is wrong."""

MIB = 1 << 20


def manifest(name: str, uri: str) -> str:
    """A tenant of one tier."""
    tier = {"name": "only", "accuracy": "90", "model": {"uri": uri}}
    document = {
        "apiVersion": "treadle.dev/v1alpha1",
        "kind": "InferenceTenant",
        "metadata": {"name": name},
        "spec": {"slo": {"deadline": "5s"}, "tiers": [tier]},
    }
    return yaml.safe_dump(document)
