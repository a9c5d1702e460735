"""An agent that is asked to stop serves until its tenants are elsewhere, for so long as it was told, and no longer."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import threading
import time

STOPPING = ("False", "Stopping")
BODY = json.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 1, 1, 1]}]}).encode()


def status(address: str, path: str) -> int:
    connection = http.client.HTTPConnection(address, timeout=10)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


class Client:
    """Infers without a pause, each time over a new connection to the place that it was told; keeps all errors."""

    def __init__(self, infer, tenant: str, address: str) -> None:
        self.address = address
        self.answers: list[tuple[str, float]] = []
        self.errors: list[BaseException] = []
        self._infer, self._tenant = infer, tenant
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._stopping.is_set():
            address = self.address
            try:
                self.answers.append((address, self._infer(address, self._tenant)))
            except Exception as error:  # noqa: BLE001 - the test looks at them
                self.errors.append(error)

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(60)
        assert not self._thread.is_alive()


def test_its_tenants_are_served_until_they_are_elsewhere(agent, replica, infer, eventually):
    old, new = agent("alpha"), agent("beta")
    leaving = replica("digits", "alpha", 2).create()
    leaving.wait_for("Serving", "True")
    client = Client(infer, "digits", old.address)
    try:
        eventually(lambda: client.answers)
        old.program.signal(signal.SIGTERM)
        eventually(lambda: old.ready() == STOPPING, 3.0)
        assert status(old.address, "/v2/health/ready") == 503
        assert leaving.condition("Serving") == ("True", "Serving"), "nobody else could answer"
        coming = replica("digits", "beta", 3).create()
        coming.wait_for("Serving", "True")
        assert (client.answers[-1], client.errors) == ((old.address, 2.0), [])

        leaving.patch(draining=True, successors=[new.address])
        leaving.wait_for("Draining", "True", "Drained", seconds=10.0)
        leaving.delete()
        eventually(lambda: client.answers[-1] == (old.address, 3.0))
        time.sleep(1.0)  # so long it takes until everybody knows that the tenant has another endpoint
        client.address = new.address
        assert old.program.wait(15.0) == 0
        eventually(lambda: client.answers[-1] == (new.address, 3.0))
    finally:
        client.stop()
    assert client.errors == []
    assert not old.leases()
    assert new.leases()


def test_without_an_operator_it_goes_when_its_time_is_over(agent, replica, infer):
    it = agent("alpha", "--leave-seconds", "2")
    one = replica("digits", "alpha").create()
    one.wait_for("Serving", "True")
    begun = time.monotonic()
    it.program.signal(signal.SIGTERM)
    answered = 0
    while time.monotonic() < begun + 1.5:
        assert infer(it.address, "digits") == 2.0
        answered += 1
    assert answered
    assert it.program.wait(10.0) == 0
    assert time.monotonic() - begun >= 2.0
    assert it.ready() == STOPPING
    assert not it.leases()


def test_an_agent_that_serves_nobody_goes_at_once(agent, eventually):
    it = agent("alpha")
    eventually(lambda: it.api.get("/apis/treadle.dev/v1alpha1/inferencenodes/alpha") and it.ready()[0] == "True")
    begun = time.monotonic()
    assert it.program.stop() == 0
    assert time.monotonic() - begun < 5.0
    assert not it.leases()


def test_a_second_signal_ends_it_at_once(agent, replica, infer, eventually):
    it = agent("alpha", "--leave-seconds", "600")
    replica("digits", "alpha").create().wait_for("Serving", "True")
    it.program.signal(signal.SIGTERM)
    eventually(lambda: it.ready() == STOPPING, 3.0)
    assert infer(it.address, "digits") == 2.0
    begun = time.monotonic()
    assert it.program.stop() == 0
    assert time.monotonic() - begun < 5.0
    assert not it.leases()


def test_a_second_signal_gives_up_requests_under_way(agent, replica, eventually):
    it = agent("alpha", "--leave-seconds", "0")
    replica("digits", "alpha").create().wait_for("Serving", "True")
    host, _, port = it.address.partition(":")
    with socket.create_connection((host, int(port)), timeout=20) as slow:
        head = f"POST /v2/models/digits/infer HTTP/1.1\r\nHost: x\r\nContent-Length: {len(BODY)}\r\n\r\n".encode()
        slow.sendall(head + BODY[:10])  # and no more: it is under way, and waited for
        time.sleep(0.5)
        it.program.signal(signal.SIGINT)
        it.program.wait_for("requests under way are answered first")
        time.sleep(0.5)
        assert it.program.alive
        begun = time.monotonic()
        it.program.signal(signal.SIGINT)
        assert it.program.wait(10.0) == 0
        assert time.monotonic() - begun < 5.0
    assert not it.leases()
