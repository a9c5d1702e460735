"""What `helm test` runs fails where nothing answers, no agent has told of its node, or all are told, and says why."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

SMOKE = Path(__file__).parents[3] / "charts" / "treadle" / "files" / "smoke.py"
PATIENT = "SECONDS = 60.0"
MOUNTED = '"/var/run/secrets/kubernetes.io/serviceaccount/token"'
TOKEN = "of.the-pod"


@contextmanager
def operator(metrics: str, ready: int = 200, token: str = "", refused: int = 401) -> Iterator[int]:
    """Something that answers as an operator does; its port. `token`: whose it tells its metrics to; "": to all."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            is_open = self.path == "/readyz" or not token or self.headers["Authorization"] == f"Bearer {token}"
            self.send_response(ready if self.path == "/readyz" else 200 if is_open else refused)
            self.end_headers()
            self.wfile.write(metrics.encode() if self.path == "/metrics" and is_open else b"")

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def smoke(port: int, token: Path | None = None) -> tuple[int, str]:
    """Exit code, and what it says, without its minute of patience; `token`: the file that a Pod would have it in."""
    text = SMOKE.read_text()
    assert text.count(PATIENT) == text.count(MOUNTED) == 1
    text = text.replace(MOUNTED, repr(str(token or "/none")))
    environment = {"TREADLE_OPERATOR_SERVICE_HOST": "127.0.0.1", "TREADLE_OPERATOR_SERVICE_PORT": str(port)}
    command = [sys.executable, "-c", text.replace(PATIENT, "SECONDS = 0.0")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout + done.stderr


def nodes(count: int) -> str:
    return f'# HELP x y\ntreadle_operator_objects{{kind="inferencenodes"}} {count}\n'


def test_an_operator_that_knows_of_nodes_is_well() -> None:
    with operator(nodes(1)) as port:
        assert smoke(port) == (0, "the operator is ready, and knows of nodes\n")


@pytest.fixture
def mounted(tmp_path: Path) -> Path:
    """A Pod's token."""
    path = tmp_path / "token"
    path.write_text(TOKEN)
    return path


def test_an_operator_that_asks_for_a_token_gets_the_pods(mounted: Path) -> None:
    with operator(nodes(1), token=TOKEN) as port:
        assert smoke(port, mounted) == (0, "the operator is ready, and knows of nodes\n")


def test_an_operator_that_should_ask_for_a_token_and_does_not_is_not_well(mounted: Path) -> None:
    with operator(nodes(1)) as port:
        code, text = smoke(port, mounted)
    assert code == 1
    assert "the operator tells its metrics to all; see the arguments of deployment/treadle-operator: --auth" in text


@pytest.mark.parametrize(("token", "refused"), [("another", 401), ("another", 403), (TOKEN, 503)])
def test_an_operator_that_does_not_let_the_pod_in_is_not_well(mounted: Path, token: str, refused: int) -> None:
    with operator(nodes(1), token=token, refused=refused) as port:
        code, text = smoke(port, mounted)
    assert code == 1
    assert f"is not ready: HTTP Error {refused}" in text


@pytest.mark.parametrize(
    ("metrics", "ready", "said"),
    [
        (nodes(0), 200, "no agent has told of its node; see kubectl get daemonset treadle-agent"),
        ("", 200, "no agent has told of its node"),
        (nodes(1), 503, "is not ready: HTTP Error 503"),
    ],
)
def test_what_is_missing_is_said(metrics: str, ready: int, said: str) -> None:
    with operator(metrics, ready) as port:
        code, text = smoke(port)
    assert code == 1
    assert said in text


def test_nobody_there_is_said() -> None:
    with operator("") as port:
        pass
    code, text = smoke(port)
    assert code == 1
    assert f"the operator at 127.0.0.1:{port} is not ready" in text
    assert "see kubectl logs deployment/treadle-operator" in text
