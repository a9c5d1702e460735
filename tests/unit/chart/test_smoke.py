"""What `helm test` runs fails where nothing answers or no agent has told of its node, and says where to look."""

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


@contextmanager
def operator(metrics: str, ready: int = 200) -> Iterator[int]:
    """Something that answers as an operator does; its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(ready if self.path == "/readyz" else 200)
            self.end_headers()
            self.wfile.write(metrics.encode() if self.path == "/metrics" else b"")

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


def smoke(port: int) -> tuple[int, str]:
    """Exit code, and what it says, without its minute of patience."""
    text = SMOKE.read_text()
    assert text.count(PATIENT) == 1
    environment = {"TREADLE_OPERATOR_SERVICE_HOST": "127.0.0.1", "TREADLE_OPERATOR_SERVICE_PORT": str(port)}
    command = [sys.executable, "-c", text.replace(PATIENT, "SECONDS = 0.0")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout + done.stderr


def nodes(count: int) -> str:
    return f'# HELP x y\ntreadle_operator_objects{{kind="inferencenodes"}} {count}\n'


def test_an_operator_that_knows_of_nodes_is_well() -> None:
    with operator(nodes(1)) as port:
        assert smoke(port) == (0, "the operator is ready, and knows of nodes\n")


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
