"""`treadle plan` against objects in files: what it says, and the exit code."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from operator_objects import digest

from treadle.__main__ import main

Manifest = dict[str, Any]


def tenant(name: str = "digits", model: str = "large", **spec: Any) -> Manifest:
    slo = {"deadline": "100ms"} | spec.pop("slo", {})
    tiers = [{"name": "only", "accuracy": "95", "model": {"uri": f"https://m.test/{model}", "sha256": digest(model)}}]
    return {
        "apiVersion": "treadle.dev/v1alpha1",
        "kind": "InferenceTenant",
        "metadata": {"name": name},
        "spec": {"slo": slo, "tiers": tiers} | spec,
    }


def node(name: str, memory: int = 1 << 30, **spec: Any) -> Manifest:
    device = {
        "id": "0",
        "model": "gpu",
        "memoryBytes": memory,
        "usedBytes": 0,
        "utilisation": "0",
        "stretch": "1",
        "healthy": True,
        "reason": "",
    }
    status = {"address": "10.0.0.1:8000", "devices": [device]}
    metadata = {"name": name}
    return {
        "apiVersion": "treadle.dev/v1alpha1",
        "kind": "InferenceNode",
        "metadata": metadata,
        "spec": spec,
        "status": status,
    }


def profile(model: str, seconds: str = "0.01", memory: int = 1 << 20) -> Manifest:
    return {
        "apiVersion": "treadle.dev/v1alpha1",
        "kind": "ModelProfile",
        "metadata": {"name": f"{model}-gpu"},
        "spec": {
            "sha256": digest(model),
            "deviceModel": "gpu",
            "architecture": "",
            "memoryBytes": memory,
            "batches": [{"rows": 1, "p50": seconds, "p99": seconds}],
        },
    }


def core_node(name: str, labels: dict[str, str]) -> Manifest:
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}}


@pytest.fixture
def ask(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Runs the command on a tenant and objects; exit code, output, errors."""

    def run(asked: list[Manifest], given: list[Manifest], *options: str) -> tuple[int, str, str]:
        for name, documents in (("asked.yaml", asked), ("given.yaml", given)):
            (tmp_path / name).write_text(yaml.safe_dump_all(documents))
        code = main(["plan", "-f", str(tmp_path / "asked.yaml"), "--against", str(tmp_path / "given.yaml"), *options])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def test_a_feasible_tenant_is_told_where_it_would_be(ask) -> None:
    code, out, _ = ask([tenant(load={"requestsPerSecond": "20"})], [node("n0"), profile("large")])
    assert code == 0
    assert out.splitlines() == [
        "digits.default: feasible: Placed",
        "  on n0/0 (gpu), then 20% busy with all at their most accurate tiers, 20% at their cheapest",
        "  tier only on gpu: 10 ms a request, p99 10 ms alone, 1 MiB",
        "Model files were not looked at: one that is missing, or cannot be loaded, is told once it is applied.",
    ]


def test_an_infeasible_one_is_told_why_and_what_could_be_promised(ask) -> None:
    code, out, _ = ask([tenant(slo={"deadline": "5ms"})], [node("n0"), profile("large")])
    assert code == 1
    assert out.startswith("digits.default: not feasible: DeadlineInfeasible\n")
    assert "possible is slo.deadline 14ms" in out
    assert "  tier only on gpu: 10 ms a request" in out, "the figures that it was judged by"


def test_what_nobody_measured_is_said_to_be_assumed(ask) -> None:
    code, out, _ = ask([tenant()], [node("n0")])
    assert code == 0
    assert "tier only on gpu: not measured yet; 10 ms a request and 64 MiB are assumed" in out


def test_programs_get_json(ask) -> None:
    code, out, _ = ask([tenant(load={"requestsPerSecond": "200"})], [node("n0"), profile("large")], "--json")
    (one,) = json.loads(out)["tenants"]
    assert code == 1
    assert (one["feasible"], one["exists"], one["reason"]) == (False, False, "InsufficientCapacity")
    assert one["counterOffer"] == {"requestsPerSecond": 64.0}
    code, out, _ = ask([tenant()], [node("n0"), profile("large")], "--json")
    (one,) = json.loads(out)["tenants"]
    assert code == 0
    assert [(place["nodeName"], place["device"], place["waitsFor"]) for place in one["placements"]] == [("n0", "0", "")]
    assert [(tier["name"], tier["measured"]) for tier in one["tiers"]] == [("only", True)]


def test_labels_come_from_the_core_node(ask) -> None:
    picky = tenant(nodeSelector={"gpu": "a100"})
    assert ask([picky], [node("n0")])[0] == 1
    assert ask([picky], [node("n0"), core_node("n0", {"gpu": "a100"})])[0] == 0


def test_fewer_devices_than_the_least_replicas_are_not_enough(ask) -> None:
    code, out, _ = ask([tenant(replicas={"min": 2})], [node("n0"), profile("large")])
    assert code == 1
    assert out.startswith("digits.default: not feasible: TooFewDevices\n  1 of 2 replicas have a device: ")
    assert "Model files" not in out, "there are other things to mend first"


def test_tenants_are_asked_for_together(ask) -> None:
    pair = [tenant("one", load={"requestsPerSecond": "50"}), tenant("two", load={"requestsPerSecond": "50"})]
    code, out, _ = ask(pair, [node("n0"), profile("large")])
    assert code == 1
    assert "one.default: feasible" in out
    assert "two.default: not feasible: InsufficientCapacity" in out


def test_a_refused_edit_is_told_where_it_is_served_meanwhile_and_no_load_of_it(ask) -> None:
    served = tenant("digits", load={"requestsPerSecond": "10"})
    served["metadata"] |= {"namespace": "default", "uid": "u1"}
    given = [node("n0"), profile("large"), served, replica(served, "n0")]
    code, out, _ = ask([tenant(load={"requestsPerSecond": "1999.4"})], given)
    assert code == 1
    assert "1999.4 requests/s are too much for 1 device" in out
    assert "  meanwhile on n0/0 (gpu), as well as can be\n" in out
    assert "busy" not in out


def test_what_others_would_have_to_give_up_is_told(ask) -> None:
    served = tenant("low", "big", priority=9, replicas={"min": 1, "max": 2}, load={"requestsPerSecond": "100"})
    served["metadata"] |= {"namespace": "default", "uid": "u1"}
    replicas = [replica(served, "n0"), replica(served, "n1")]
    given = [
        node("n0"),
        node("n1"),
        served,
        *replicas,
        profile("big", memory=800 << 20),
        profile("large", memory=800 << 20),
    ]
    code, out, _ = ask([tenant(priority=1)], given)
    assert code == 0
    assert "once it is rid of memory that others are giving back" in out
    assert "then low.default on n" in out
    assert "Preempted: it gives way to digits.default of priority 1" in out


def replica(owner: Manifest, node_name: str) -> Manifest:
    conditions = [
        {"type": type_, "status": "True", "reason": type_, "message": "", "lastTransitionTime": "2026-11-22T20:00:00Z"}
        for type_ in ("Loaded", "Serving")
    ]
    reference = {"apiVersion": owner["apiVersion"], "kind": owner["kind"], "uid": owner["metadata"]["uid"]}
    return {
        "apiVersion": "treadle.dev/v1alpha1",
        "kind": "InferenceReplica",
        "metadata": {
            "name": f"{owner['metadata']['name']}-{node_name}",
            "namespace": "default",
            "uid": f"uid-{node_name}",
            "ownerReferences": [reference | {"name": owner["metadata"]["name"], "controller": True}],
        },
        "spec": {
            "tenantName": owner["metadata"]["name"],
            "tenantGeneration": 1,
            "nodeName": node_name,
            "device": "0",
            "epoch": 1,
            "template": {key: owner["spec"][key] for key in ("slo", "tiers")},
        },
        "status": {"conditions": conditions, "address": "10.0.0.1:8000"},
    }


def test_no_place_is_promised_on_a_node_that_is_told_as_lost(ask) -> None:
    lost = node("n0")
    condition = {"type": "Alive", "status": "False", "reason": "LeaseExpired", "message": ""}
    lost["status"]["conditions"] = [condition | {"lastTransitionTime": "2026-11-22T20:00:00Z"}]
    code, out, _ = ask([tenant()], [lost])
    assert code == 1
    assert "NoNodeMatches" in out
    assert "not heard of" in out
    code, out, _ = ask([tenant()], [lost, node("n1")])
    assert code == 0
    assert "on n1/0" in out


def test_lists_as_kubectl_prints_them_are_read(ask) -> None:
    items = {"apiVersion": "v1", "kind": "List", "items": [node("n0"), profile("large")]}
    assert ask([tenant()], [items])[0] == 0


def test_an_edit_of_a_served_tenant_is_one(ask) -> None:
    served = tenant("digits", load={"requestsPerSecond": "10"})
    served["metadata"] |= {"namespace": "default", "uid": "u1"}
    code, out, _ = ask([tenant(slo={"deadline": "200ms"})], [node("n0"), served, replica(served, "n0")], "--json")
    (one,) = json.loads(out)["tenants"]
    assert code == 0
    assert one["exists"]
    assert [place["nodeName"] for place in one["placements"]] == ["n0"]


@pytest.mark.parametrize(
    ("asked", "given", "words"),
    [
        ([tenant(slo={"deadline": "5"})], [node("n0")], "spec.slo.deadline"),
        ([{"kind": "InferenceTenant"}], [node("n0")], "apiVersion: must be treadle.dev/v1alpha1"),
        ([], [node("n0")], "it holds no InferenceTenant"),
        ([tenant()], [profile("large")], "no InferenceNode is among the objects"),
    ],
)
def test_what_cannot_be_asked(ask, asked: list[Manifest], given: list[Manifest], words: str) -> None:
    code, out, err = ask(asked, given)
    assert (code, out) == (2, "")
    assert words in err


@pytest.mark.parametrize("option", ["-f", "--against"])
def test_files_that_are_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str) -> None:
    file = tmp_path / "there.yaml"
    file.write_text(yaml.safe_dump(tenant()))
    paths = {"-f": str(file), "--against": str(file)} | {option: str(tmp_path / "gone.yaml")}
    assert main(["plan", *(word for pair in paths.items() for word in pair)]) == 2
    assert "gone.yaml" in capsys.readouterr().err


def test_without_a_kubeconfig_it_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "there.yaml"
    file.write_text(yaml.safe_dump(tenant()))
    assert main(["plan", "-f", str(file), "--kubeconfig", str(tmp_path / "gone")]) == 2
    assert "--kubeconfig" in capsys.readouterr().err


def test_a_kubeconfig_that_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "tenant.yaml").write_text(yaml.safe_dump(tenant()))
    monkeypatch.setenv("KUBECONFIG", "/nowhere/config")
    assert main(["plan", "-f", str(tmp_path / "tenant.yaml")]) == 2
    assert capsys.readouterr().err == (
        "treadle plan: kubeconfig /nowhere/config, which KUBECONFIG names, cannot be used: there is no such file; "
        "set KUBECONFIG to a file that can be, or give --kubeconfig FILE\n"
        "treadle plan: without a cluster, give its objects: --against FILE\n"
    )


class Bare(BaseHTTPRequestHandler):
    """An API server without treadle's kinds."""

    def do_GET(self) -> None:
        body = b"404 page not found\n"
        self.send_response(404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_a_cluster_without_treadles_kinds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "tenant.yaml").write_text(yaml.safe_dump(tenant()))
    with ThreadingHTTPServer(("127.0.0.1", 0), Bare) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        here = {"name": "here", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}
        context = {"name": "here", "context": {"cluster": "here", "user": "me"}}
        kubeconfig = {"current-context": "here", "clusters": [here], "contexts": [context], "users": []}
        (tmp_path / "config").write_text(yaml.safe_dump(kubeconfig))
        code = main(["plan", "-f", str(tmp_path / "tenant.yaml"), "--kubeconfig", str(tmp_path / "config")])
        server.shutdown()
    assert code == 2
    assert capsys.readouterr().err == (
        "treadle plan: the cluster does not know treadle's kinds: 404: 404 page not found; install the chart "
        "(docs/install.md)\ntreadle plan: without a cluster, give its objects: --against FILE\n"
    )


def test_an_accuracy_that_looks_like_a_ratio_is_doubted(ask) -> None:
    doubtful = tenant()
    doubtful["spec"]["tiers"][0]["accuracy"] = "0.95"
    code, _, error = ask([doubtful], [node("n0"), profile("large")])
    assert code == 0
    assert "warning: digits.default: spec.tiers[only].accuracy: is in percent: 0.95 means 0.95 %; 95 is what" in error
    assert ask([tenant()], [node("n0"), profile("large")])[2] == ""
