"""An agent's whole way: a replica names an object or an artifact and a Secret, and is served with it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import model_bucket
import pytest
import trustme
from model_bucket import Bucket
from model_registry import BASIC, LOGIN, PASSWORD, Pushing

from bed.cluster import SYSTEM_NAMESPACE, Cluster


@pytest.fixture
def let_in(cluster: Cluster, namespace: str) -> Callable[..., None]:
    """Makes the Secret `reader`, and lets agents read it, as docs/models.md says."""

    def make(**values: str) -> None:
        literals = [f"--from-literal={key}={value}" for key, value in values.items()]
        cluster.kubectl("create", "secret", "generic", "reader", "-n", namespace, *literals)
        role = ["--verb=get", "--resource=secrets", "--resource-name=reader"]
        cluster.kubectl("create", "role", "reader-reader", "-n", namespace, *role)
        account = f"--serviceaccount={SYSTEM_NAMESPACE}:treadle-agent"
        cluster.kubectl("create", "rolebinding", "reader-reader", "-n", namespace, "--role=reader-reader", account)

    return make


@pytest.fixture
def serve(
    agent: Callable[..., Any],
    replica: Callable[..., Any],
    infer: Callable[..., float],
    authority: trustme.CA,
    namespace: str,
    tmp_path: Path,
) -> Callable[..., tuple[float, str]]:
    """Has an agent serve a model of a host: ``serve(host, uri, sha256)``; what it makes of 1, and what it has said."""

    def run(host: str, uri: str, sha256: str) -> tuple[float, str]:
        authority.cert_pem.write_to_path(str(tmp_path / "ca.crt"))
        options = ["--model-ca", str(tmp_path / "ca.crt"), "--model-hosts", host, "--model-folders", ""]
        node = agent("alpha", options=options)
        one = replica("fetched", "alpha")
        [tier] = one.manifest["spec"]["template"]["tiers"]
        tier["model"] = {"uri": uri, "sha256": sha256, "secretName": "reader"}
        one.create().wait_for("Serving", "True", seconds=90.0)
        return infer(node.address, f"fetched.{namespace}"), node.program.output

    return run


def test_an_object_of_a_bucket_is_served(
    bucket: Bucket, models: Path, let_in: Callable[..., None], serve: Callable[..., tuple[float, str]]
) -> None:
    body = (models / "3.onnx").read_bytes()
    uri = bucket.put("digits/large v1.onnx", body)
    let_in(**model_bucket.keys(bucket.host))
    answer, said = serve(bucket.host, uri, hashlib.sha256(body).hexdigest())
    assert answer == 3.0
    for secret in (model_bucket.KEY, "Signature="):
        assert secret not in said


def test_an_artifact_of_a_registry_is_served(
    registry: Pushing, models: Path, let_in: Callable[..., None], serve: Callable[..., tuple[float, str]]
) -> None:
    body = (models / "4.onnx").read_bytes()
    registry.artifact("team/digits", "v1", (body, "digits.onnx"))
    let_in(**{".dockerconfigjson": json.dumps({"auths": {registry.host: LOGIN}})})
    answer, said = serve(registry.host, f"oci://{registry.host}/team/digits:v1", hashlib.sha256(body).hexdigest())
    assert answer == 4.0
    for secret in (PASSWORD, BASIC.removeprefix("Basic ")):
        assert secret not in said
