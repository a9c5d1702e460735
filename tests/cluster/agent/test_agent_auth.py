"""Who may call, by a real API server's word: tokens, rights, and neither while it is away."""

from __future__ import annotations

import http.client
import json
import ssl
import time

import pytest
import trustme

from bed.audit import read_requests
from bed.cluster import SYSTEM_NAMESPACE

AUDIENCE = "treadle.dev"
CACHE, OUTAGE = 2.0, 4.0
OPTIONS = (
    "--auth-audience", AUDIENCE, "--auth-cache-seconds", str(CACHE), "--auth-outage-seconds", str(OUTAGE),
)  # fmt: skip
BODY = json.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 1, 1, 1]}]}).encode()


@pytest.fixture
def caller(cluster, namespace, eventually):
    """Makes callers: ``caller(name, audience)`` gives a token of a service account of the tenant's namespace."""

    def make(name: str, audience: str = AUDIENCE) -> str:
        if not cluster.exists("serviceaccount", name, "-n", namespace):
            cluster.kubectl("create", "serviceaccount", name, "-n", namespace)
        audiences = [f"--audience={audience}"] if audience else []
        return cluster.kubectl("create", "token", name, "-n", namespace, *audiences).strip()

    return make


@pytest.fixture
def grant(cluster, namespace):
    """Gives a service account the right to call the namespace's tenants."""
    rule = ["--verb=create", "--resource=inferencetenants.treadle.dev/infer"]
    cluster.kubectl("create", "role", "infer", "-n", namespace, *rule)

    def bind(name: str) -> None:
        subject = f"--serviceaccount={namespace}:{name}"
        cluster.kubectl("create", "rolebinding", name, "-n", namespace, "--role=infer", subject)

    return bind


def test_tokens_and_rights(agent, replica, caller, grant, cluster, namespace, eventually):
    it = agent("alpha", options=OPTIONS)
    replica("digits", "alpha", "2.onnx").create().wait_for("Serving", "True")
    infer, other = "/v2/models/digits/infer", f"/v2/models/digits.{namespace}/infer"
    may, may_not = caller("may"), caller("may-not")
    grant("may")
    assert it.ask(infer, body=BODY) == 401
    assert it.ask(infer, "no.such.token", BODY) == 401
    assert it.ask(infer, caller("may", audience=""), BODY) == 401, "a token for the API server is none for us"
    eventually(lambda: it.ask(infer, may, BODY) == 200)
    assert it.ask(other, may, BODY) == 200
    assert it.ask(infer, may_not, BODY) == 403
    for path in ("/v2/models/digits", "/v2/models/digits/ready"):
        assert (it.ask(path), it.ask(path, may), it.ask(path, may_not)) == (401, 200, 403)
    assert it.ask("/v2/models/nothing", may) == it.ask("/v2/models/nothing", may_not) == 403
    # Metrics take another right, by a token for the API server itself.
    cluster.kubectl("create", "clusterrole", namespace, "--verb=get", "--non-resource-url=/metrics")
    cluster.kubectl(
        "create", "clusterrolebinding", namespace, f"--clusterrole={namespace}", f"--serviceaccount={namespace}:reads"
    )
    reads = caller("reads", audience="")
    try:
        eventually(lambda: it.ask("/metrics", reads) == 200)
    finally:
        cluster.kubectl("delete", "clusterrolebinding,clusterrole", namespace)
    assert (it.ask("/metrics"), it.ask("/metrics", may)) == (401, 401)
    assert it.ask("/metrics", caller("may", audience="")) == 403
    assert (it.ask("/v2/health/live"), it.ask("/v2/health/ready")) == (200, 200)

    cluster.kubectl("delete", "rolebinding", "may", "-n", namespace)
    taken = time.monotonic()
    eventually(lambda: it.ask(infer, may, BODY) == 403, CACHE + 5.0)
    assert time.monotonic() - taken < CACHE + 2.0
    log = it.program.output
    assert not any(token in log for token in (may, may_not, reads))
    account = f"system:serviceaccount:{SYSTEM_NAMESPACE}:treadle-agent"
    asked = [one for one in read_requests(cluster.control_plane.audit_log) if one.user == account]
    reviews = [one for one in asked if one.resource in ("tokenreviews", "subjectaccessreviews")]
    assert {(one.resource, one.verb, one.permitted) for one in reviews} == {
        ("tokenreviews", "create", True), ("subjectaccessreviews", "create", True),
    }  # fmt: skip


def test_while_the_api_server_is_away_what_was_said_holds_and_then_nobody_is_let_in(
    agent, replica, caller, grant, proxy, eventually
):
    way = proxy()
    it = agent("alpha", server=way.url, options=OPTIONS)
    replica("digits", "alpha", "2.onnx").create().wait_for("Serving", "True")
    infer = "/v2/models/digits/infer"
    may, late = caller("may"), caller("may")
    grant("may")
    eventually(lambda: it.ask(infer, may, BODY) == 200)
    way.cut()
    cut = time.monotonic()
    assert it.ask(infer, late, BODY) == 503, "nobody can be asked about a token that was not seen before"
    while time.monotonic() - cut < CACHE + OUTAGE - 2.0:
        began = time.monotonic()
        assert it.ask(infer, may, BODY) == 200, f"{began - cut:.1f} s after the cut"
    eventually(lambda: it.ask(infer, may, BODY) == 503, 10.0)
    assert time.monotonic() - cut < CACHE + OUTAGE + 2.0
    assert it.ask("/v2/health/live") == 200
    way.restore()
    eventually(lambda: it.ask(infer, may, BODY) == 200, 20.0)
    assert "nobody says who may call" in it.program.output


def test_a_certificate_is_renewed_without_a_restart(agent, replica, address, tmp_path, eventually):
    authority = trustme.CA()
    context = ssl.create_default_context()
    authority.configure_trust(context)

    def renew() -> None:
        certificate = authority.issue_cert(address)
        (tmp_path / "tls.crt").write_bytes(certificate.cert_chain_pems[0].bytes())
        (tmp_path / "tls.key").write_bytes(certificate.private_key_pem.bytes())

    def shown() -> str:
        connection = http.client.HTTPSConnection(it.address, timeout=10, context=context)
        try:
            connection.request("GET", "/v2/health/live")
            certificate = connection.sock.getpeercert()
            assert connection.getresponse().status == 200
            return str(certificate["serialNumber"])
        finally:
            connection.close()

    renew()
    it = agent("alpha", options=("--tls", str(tmp_path)))
    it.wait_until_ready()
    first = shown()
    renew()
    eventually(lambda: shown() != first, 20.0)
