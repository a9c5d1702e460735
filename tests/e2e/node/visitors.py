"""What the demo's client Pod runs: requests to the example tenants for as long as it lives, at rates that come and go.

    python -c VISITORS HOST TENANT ROWS CALM SPIKE [HOST TENANT ...]

Each tenant is sent requests of so many ROWS: CALM of them a second, and after half a minute SPIKE, by turns. A request
that is late, refused or lost is the tenant's affair, and shows in its status. Python's standard library only.
"""

from __future__ import annotations

import http.client
import json
import random
import sys
import threading
import time
from pathlib import Path

THREADS = 8  # a tenant: so many requests under way at most
TURN = 30.0  # seconds
PIXELS = 64  # of an image of the examples' models
PATIENCE = 5.0  # seconds for an answer
START = time.monotonic()
TOKEN = Path("/var/run/secrets/treadle/token")  # renewed by the kubelet


def body(rows: int) -> bytes:
    """Images of noise: how a tenant fares does not depend on what is in them."""
    data = [round(random.random(), 2) for _ in range(rows * PIXELS)]
    tensor = {"name": "image", "shape": [rows, PIXELS], "datatype": "FP32", "data": data}
    return json.dumps({"inputs": [tensor]}).encode()


def send(host: str, tenant: str, content: bytes, calm: float, spike: float) -> None:
    """Send for ever; who is behind leaves out what it would have sent meanwhile."""
    connection = http.client.HTTPConnection(host, timeout=PATIENCE)
    due = START + random.random()
    while True:
        time.sleep(max(0.0, due - time.monotonic()))
        now = time.monotonic()
        rate = spike if (now - START) // TURN % 2 else calm
        due = max(due, now - 1.0) + THREADS / rate
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {TOKEN.read_text()}"}
        try:
            connection.request("POST", f"/v2/models/{tenant}/infer", content, headers)
            connection.getresponse().read()
        except (OSError, http.client.HTTPException):
            connection.close()  # the next request opens one


def main(*words: str) -> None:
    """Send to all."""
    for host, tenant, rows, calm, spike in zip(*(iter(words),) * 5, strict=True):
        content = body(int(rows))
        for _ in range(THREADS):
            threading.Thread(target=send, args=(host, tenant, content, float(calm), float(spike))).start()


if __name__ == "__main__":
    main(*sys.argv[1:])
