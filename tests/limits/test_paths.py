"""Names and places that lead elsewhere: in URLs, in manifests, and in models."""

from __future__ import annotations

import itertools
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hostile import bombs
from hostile.client import Client, explains
from hostile.models import scale, write
from hostile.server import Server
from hostile.tenants import ATTACKED, BODY, GOOD
from hostile.wire import request

numbers = itertools.count()  # no two manifests have one name: what was refused before is not told again

PLACES = [
    "/v2/models/..%2f..%2fmetrics", "/v2/models/%2e%2e/ready", "/v2/models/../../metrics", "/v2/models/./good",
    "/v2/models//good", "/v2/models/good%00", "/v2/models/good%0d%0aX:1", "/v2/models/good/../attacked", "/v2/models/*",
    "/v2/models/good%2fversions%2f1", "/v2/models/%ff%fe", "/v2/models/%", "/v2/models/%zz", "/v2/models/\xe9",
    "/v2/models/%F0%9F%92%A3", "/v2/models/GOOD", "/v2/models/good.", "/v2/models/.default", "/v2/models/good.other",
    "/v2/models/" + "a" * 8000, "/v2/models/" + "%2e%2e%2f" * 800, "/%2e%2e/%2e%2e/etc/passwd", "/../../etc/passwd",
    "http://elsewhere/v2/models/nobody", "//elsewhere/v2", "*", "/v2/models/good/versions/..%2f1", "/v2\\models\\good",
]  # fmt: skip


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    made = Client(server.host, server.port)
    yield made
    made.close()


@pytest.mark.parametrize("path", PLACES, ids=range(len(PLACES)))
def test_urls_lead_nowhere_else(client: Client, path: str) -> None:
    answer = client.ask(request(path, b"", method="GET"))
    assert answer.status in (400, 404), answer
    assert explains(answer)
    answer = client.ask(request(f"{path}/infer", BODY))
    assert answer.status in (400, 404, 405), answer
    assert explains(answer)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=40), st.booleans())
def test_no_name_is_another_tenants(client: Client, name: str, whole: bool) -> None:
    quoted = urllib.parse.quote(name, safe="" if whole else "/", errors="surrogatepass")
    answer = client.ask(request(f"/v2/models/{quoted}/infer", BODY))
    if answer.status == 200:
        assert name in (GOOD, ATTACKED, f"{GOOD}.default", f"{ATTACKED}.default")
    else:
        assert explains(answer)


@pytest.mark.parametrize("name", ["../outside", "a/b", "..", "a\0b", "a\nb", "A", "x" * 300, "é"])
def test_a_manifests_name_is_a_name(server: Server, name: str) -> None:
    text = (server.folder / f"{GOOD}.yaml").read_text()
    file = f"odd-{next(numbers)}"
    (server.folder / f"{file}.yaml").write_text(text.replace(f"name: {GOOD}", "name: " + _quoted(name)))
    server.program.wait_for(rf"refused .*{file}\.yaml document 1: metadata\.name")
    server.remove(file)


def _quoted(name: str) -> str:
    return '"' + "".join(f"\\u{ord(letter):04x}" for letter in name) + '"'


SECRET = "root:x:0:0:not-for-you"


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A file that is not the tenant's, and no model."""
    file = tmp_path / "secret"
    file.write_text(SECRET)
    return file


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("file://{secret}", "not an ONNX file"),
        ("{secret}", "not an ONNX file"),
        ("up/../{up}{secret}", "not an ONNX file|there is no file"),
        ("link.onnx", "not an ONNX file"),
        ("round.onnx", "cannot be read|there is no file"),
        (".", "is not a file"),
        ("file:///proc/self/environ", "not an ONNX file|no IR version"),
        ("file:///dev/zero", "is not a file"),
        ("file://%2e%2e%2f{secret}", r"spec\.tiers"),
        ("gone\0.onnx", "spec.tiers|document|cannot be read|line"),
    ],
)
def test_uris_give_nothing_away(server: Server, secret: Path, uri: str, reason: str) -> None:
    (server.folder / "link.onnx").unlink(missing_ok=True)
    (server.folder / "link.onnx").symlink_to(secret)
    (server.folder / "round.onnx").unlink(missing_ok=True)
    (server.folder / "round.onnx").symlink_to("round.onnx")
    name = f"thief-{next(numbers)}"
    server.serve_model(name, uri.format(secret=secret, up="../" * 20))
    server.program.wait_for(rf"refused .*{name}.*({reason})")
    assert "not-for-you" not in server.program.output
    server.remove(name)


@pytest.mark.parametrize("location", ["{secret}", "../../{secret}", "link", "/etc/passwd", "../good.onnx", ""])
def test_weights_are_in_the_models_folder(server: Server, secret: Path, location: str) -> None:
    name = f"thief-{next(numbers)}"
    folder = server.folder / f"own-{name}"
    folder.mkdir()
    (folder / "link").symlink_to(secret)
    write(folder / "thief.onnx", bombs.outside(location.format(secret=secret)))
    server.serve_model(name, f"own-{name}/thief.onnx")
    server.program.wait_for(rf"refused {name}\.default: .*\[only\]\.model: w: external data .* lies outside")
    server.remove(name)


def test_a_tenant_that_means_well_is_served_after_all_that(server: Server, client: Client) -> None:
    write(server.folder / "well.onnx", scale(5.0))
    server.serve_model("well", "well.onnx")
    server.program.wait_for(r"serving well\.default")
    assert client.ask(request("/v2/models/well/infer", BODY)).document["outputs"][0]["data"] == [5.0] * 4
    server.remove("well")
