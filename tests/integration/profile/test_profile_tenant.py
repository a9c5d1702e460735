"""`treadle profile -f` from a manifest to curves and ModelProfiles, with the real executor."""

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest
import yaml

from treadle.__main__ import main
from treadle.bench import models
from treadle.crds import PROFILES, read_definition
from treadle.documents import read_documents
from treadle.profile.latency.report import Report
from treadle.schema import ObjectSchema
from treadle_agent.program.artifact import ROW_COUNTS
from treadle_api.profile import read_profile


@pytest.fixture(name="manifest")
def _manifest(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name, widths in (("wide", (64, 512, 512, 10)), ("narrow", (64, 16, 10))):
        (tmp_path / f"{name}.onnx").write_bytes(models.mlp(widths, seed=1).SerializeToString())
    tiers = [
        {"name": name, "accuracy": accuracy, "model": {"uri": f"{name}.onnx"}}
        for name, accuracy in (("wide", "95"), ("narrow", "90"))
    ]
    document = {
        "apiVersion": "treadle.dev/v1alpha1",
        "kind": "InferenceTenant",
        "metadata": {"name": "digits"},
        "spec": {"slo": {"deadline": "100ms", "objective": "99"}, "tiers": tiers},
    }
    path = tmp_path / "tenant.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


def test_every_tier_is_measured_by_batch_and_by_load_and_written_as_a_profile(manifest, tmp_path, capsys):
    target, plot, folder = tmp_path / "p.json", tmp_path / "curves.svg", tmp_path / "profiles"
    flags = ["--device", "host", "--seconds", "0.2", "--json", str(target), "--plot", str(plot), "--write", str(folder)]
    assert main(["profile", "-f", str(manifest), *flags]) == 0
    report = msgspec.json.decode(target.read_bytes(), type=Report)
    assert (report.tenant, report.simulated) == ("digits.default", False)
    assert [tier.tier for tier in report.tiers] == ["wide", "narrow"]
    for tier in report.tiers:
        assert tuple(batch.rows for batch in tier.batches) == ROW_COUNTS
        assert all(0 < batch.p50 <= batch.p99 for batch in tier.batches)
        assert tier.loads
        assert all(0 < load.p50 <= load.p99 for load in tier.loads)
        assert all(one.requests_per_second < other.requests_per_second for one, other in pairwise(tier.loads))
        assert tier.loads[-1].requests_per_second <= tier.saturation_rps
    wide, narrow = report.tiers
    assert wide.batches[-1].p50 > narrow.batches[-1].p50
    schema = ObjectSchema(read_definition(PROFILES))
    for tier in report.tiers:
        ((_, document),) = read_documents(folder / f"{tier.profile}.yaml")
        assert schema.problems(schema.complete(document)) == []
        profile = read_profile(document)
        assert profile.name == tier.profile
        assert profile.sha256 == hashlib.sha256((tmp_path / f"{tier.tier}.onnx").read_bytes()).hexdigest()
        assert profile.batches[0].p50 == pytest.approx(tier.batches[0].p50)
        assert [load.p99 for load in profile.loads] == pytest.approx([load.p99 for load in tier.loads])
    assert "By load" in plot.read_text()
    assert "(measured):" in capsys.readouterr().out


class ApiServer(BaseHTTPRequestHandler):
    """Takes server-side apply, until `refusal` is set; keeps what it was sent."""

    refusal = ""
    applied: list[tuple[str, dict[str, list[str]], dict[str, object]]]

    def do_PATCH(self):
        url, body = urlsplit(self.path), json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.applied.append((url.path, parse_qs(url.query), body))
        answer = json.dumps({"message": self.refusal} if self.refusal else body).encode()
        self.send_response(403 if self.refusal else 200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


@pytest.fixture(name="api_server")
def _api_server(tmp_path):
    """A class of its own, and the kubeconfig that leads to it."""
    taker = type("Taker", (ApiServer,), {"applied": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), taker) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        config = {
            "apiVersion": "v1", "kind": "Config", "current-context": "here",
            "clusters": [{"name": "here", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}],
            "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me"}}],
            "users": [{"name": "me", "user": {"token": "mine"}}],
        }  # fmt: skip
        path = tmp_path / "kubeconfig"
        path.write_text(yaml.safe_dump(config))
        yield taker, path
        server.shutdown()
        thread.join()


def test_profiles_become_objects_of_a_cluster(manifest, tmp_path, api_server, capsys):
    taker, kubeconfig = api_server
    flags = ["--device", "host", "--seconds", "0.1", "--write", str(tmp_path / "profiles")]
    apply = ["--apply", "--kubeconfig", str(kubeconfig)]
    assert main(["profile", "-f", str(manifest), *flags, *apply]) == 0
    written = sorted((tmp_path / "profiles").iterdir())
    assert len(written) == len(taker.applied) == 2
    for path, query, body in taker.applied:
        ((_, document),) = read_documents(tmp_path / "profiles" / f"{body['metadata']['name']}.yaml")
        assert body == document, "the same that is written as a file"
        assert path == f"/apis/treadle.dev/v1alpha1/modelprofiles/{body['metadata']['name']}"
        assert query == {"fieldManager": ["treadle-profile"], "force": ["true"]}
    said = capsys.readouterr().err
    assert all(f"applied: modelprofile/{path.stem}" in said for path in written)
    wide, narrow = (hashlib.sha256((tmp_path / f"{name}.onnx").read_bytes()).hexdigest() for name in ("wide", "narrow"))
    hints = [f"tier wide: add `sha256: {wide}` to its model", f"tier narrow: add `sha256: {narrow}` to its model"]
    assert all(hint in said for hint in hints)
    with_digest = f"uri: wide.onnx\n      sha256: {wide}"
    manifest.write_text(manifest.read_text().replace("uri: wide.onnx", with_digest))
    taker.refusal = "not you"
    assert main(["profile", "-f", str(manifest), *flags, *apply]) == 1
    said = capsys.readouterr().err
    assert "403: not you" in said
    assert [hint in said for hint in hints] == [False, True], "not of a model whose digest is given"


def test_where_to_apply_is_asked_before_anything_is_measured(manifest, tmp_path, capsys):
    assert main(["profile", "-f", str(manifest), "--apply", "--kubeconfig", str(tmp_path / "nowhere")]) == 2
    assert f"--apply: kubeconfig {tmp_path / 'nowhere'}, which --kubeconfig names, cannot" in capsys.readouterr().err
    assert main(["profile", "-f", str(manifest), "--kubeconfig", str(tmp_path / "nowhere")]) == 2
    assert "say --apply, too" in capsys.readouterr().err


def test_a_simulated_device_says_so(manifest, tmp_path, capsys):
    target = tmp_path / "p.json"
    flags = ["--device", "simulated:V100", "--seconds", "0.1", "--json", str(target)]
    assert main(["profile", "-f", str(manifest), *flags]) == 0
    report = msgspec.json.decode(target.read_bytes(), type=Report)
    assert (report.simulated, report.device_model) == (True, "simulated V100")
    assert "(simulated): alone, ms" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (["--clusters"], "leave out MODEL, --clusters and --kernels"),
        (["--seconds", "0"], "--seconds 0: expected 0.1 to 60"),
        (["--device", "abacus"], "--device abacus: must be"),
        (["--device", "v100"], "did you mean simulated:V100?"),
    ],
)
def test_wrong_usage_is_named(manifest, flags, reason, capsys):
    assert main(["profile", "-f", str(manifest), *flags]) == 2
    assert reason in capsys.readouterr().err


def test_what_is_no_single_tenant_is_refused(manifest, tmp_path, capsys):
    assert main(["profile", "-f", str(tmp_path / "nothing.yaml")]) == 2
    assert "No such file" in capsys.readouterr().err
    empty = tmp_path / "empty.yaml"
    empty.write_text("")
    assert main(["profile", "-f", str(empty)]) == 2
    assert "holds 0 tenants" in capsys.readouterr().err
    manifest.write_text(manifest.read_text().replace("100ms", "100"))
    assert main(["profile", "-f", str(manifest)]) == 2
    assert "spec.slo.deadline" in capsys.readouterr().err


def test_a_model_that_is_not_there_is_named(manifest, tmp_path, capsys):
    (tmp_path / "narrow.onnx").unlink()
    assert main(["profile", "-f", str(manifest), "--device", "host", "--seconds", "0.1"]) == 1
    assert "tier narrow" in capsys.readouterr().err


def test_profiles_are_written_of_tenants_only(tmp_path, capsys):
    assert main(["profile"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("treadle profile: say what to profile: -f TENANT")
    assert "--help" in said
    assert main(["profile", "model.onnx", "--clusters", "--write", str(tmp_path)]) == 2
    assert "say -f, too" in capsys.readouterr().err
