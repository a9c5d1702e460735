"""Two agents of one node, as in an update: the newer one loads, takes the node, and no request is lost."""

from __future__ import annotations

import http.client
import json
import signal
import threading
import time

NODE = "/apis/treadle.dev/v1alpha1/inferencenodes/alpha"
LEASE = "/apis/coordination.k8s.io/v1/namespaces/treadle-system/leases/treadle-node-alpha"


class Client:
    """Infers without a pause, over a new connection each time, at the place that it was told; keeps all errors."""

    def __init__(self, infer, address: str) -> None:
        self.address = address
        self.answers: list[str] = []
        self.errors: list[BaseException] = []
        self._infer = infer
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._stopping.is_set():
            address = self.address
            try:
                assert self._infer(address, "digits") == 2.0
                self.answers.append(address)
            except Exception as error:  # noqa: BLE001 - the test looks at them
                self.errors.append(error)

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(60)
        assert not self._thread.is_alive()


def closes(address: str) -> bool:
    """Whether the answer to a request ends its connection."""
    tensor = {"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 1, 1, 1]}
    connection = http.client.HTTPConnection(address, timeout=10)
    try:
        connection.request("POST", "/v2/models/digits/infer", json.dumps({"inputs": [tensor]}))
        answer = connection.getresponse()
        assert json.load(answer)["outputs"][0]["data"] == [2, 2, 2, 2]
        return answer.will_close
    finally:
        connection.close()


def ready(address: str) -> bool:
    connection = http.client.HTTPConnection(address, timeout=10)
    try:
        connection.request("GET", "/v2/health/ready")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def test_an_update_of_the_agent_loses_no_request(agent, api, replica, infer, eventually):
    old = agent("alpha", "--leave-seconds", "6")
    one = replica("digits", "alpha").create()
    one.wait_for("Serving", "True")
    client = Client(infer, old.address)
    try:
        eventually(lambda: client.answers)
        new = agent("alpha", "--leave-seconds", "6")
        eventually(lambda: ready(new.address), 60.0)  # what a DaemonSet waits for before it ends the old one
        old.program.signal(signal.SIGTERM)
        begun = time.monotonic()
        eventually(lambda: api.find(one.path)["status"]["address"] == new.address, 5.0)
        before = len(client.answers)
        eventually(lambda: len(client.answers) > before)
        assert client.answers[-1] == old.address, "who does not know yet is answered there"
        assert closes(old.address), "who keeps a connection comes to know"
        assert old.program.alive
        client.address = new.address
        eventually(lambda: client.answers[-1] == new.address)
        assert old.program.wait(15.0) == 0
        assert time.monotonic() - begun > 4.0, "clients had time to learn of the new address"
    finally:
        client.stop()
    assert client.errors == []
    assert api.find(LEASE)["spec"]["holderIdentity"] == new.address
    assert api.find(NODE)["status"]["address"] == new.address
    assert new.ready() == ("True", "Serving")
    told = new.program.output
    assert told.index("digits.default is served on host") < told.index("it is this one's now"), "it loads first"
    for path, type_ in ((NODE, "Ready"), (one.path, "Serving")):
        states = [state for state in api.states(path, type_) if state[0]]
        first = next(number for number, (status, _) in enumerate(states) if status == "True")
        assert {status for status, _ in states[first:]} == {"True"}, f"{type_} was not so for a while: {states}"


def test_who_is_taken_over_without_being_asked_to_stop_ends_and_says_why(agent, api, eventually):
    old = agent("alpha", "--leave-seconds", "1")
    eventually(lambda: old.ready()[0] == "True" if api.get(NODE) else False)
    new = agent("alpha")
    assert old.program.wait(30.0) == 1
    assert f"another agent, at {new.address}, serves node alpha now" in old.program.output
    assert api.find(LEASE)["spec"]["holderIdentity"] == new.address
    eventually(lambda: new.ready() == ("True", "Serving"))


def test_who_has_not_taken_the_node_yet_ends_at_once_and_leaves_it_alone(agent, api, replica, eventually):
    old = agent("alpha")
    replica("digits", "alpha").create().wait_for("Serving", "True")
    new = agent("alpha")
    new.program.wait_for("listening on port")
    new.program.signal(signal.SIGTERM)
    assert new.program.wait(10.0) == 0
    assert api.find(LEASE)["spec"]["holderIdentity"] == old.address
    assert old.program.alive
    eventually(lambda: old.ready() == ("True", "Serving"))  # it may not have been told yet when the replica was
