"""Draining, stopping and deleting: no request that was accepted is lost, and none finds nobody."""

from __future__ import annotations

import threading
import time

import tritonclient.http as triton

SYSTEM = "treadle-system"


class Stream:
    """Requests over one kept connection, back to back; every answer and every error is kept."""

    def __init__(self, address: str, model: str, infer_by) -> None:
        self.answers: list[float] = []
        self.errors: list[BaseException] = []
        self._stopping = threading.Event()
        self._address, self._model, self._infer_by = address, model, infer_by
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        with triton.InferenceServerClient(self._address, network_timeout=30.0) as client:
            while not self._stopping.is_set():
                try:
                    self.answers.append(self._infer_by(client, self._model))
                except Exception as error:  # noqa: BLE001 - the test looks at them
                    self.errors.append(error)
                time.sleep(0.005)

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(60)
        assert not self._thread.is_alive()


def test_a_draining_replica_passes_on_what_still_comes(agent, replica, infer_by, infer, eventually):
    old, new = agent("alpha"), agent("beta")
    leaving = replica("digits", "alpha", "2.onnx").create()
    leaving.wait_for("Serving", "True")
    stream = Stream(old.address, "digits", infer_by)
    try:
        eventually(lambda: len(stream.answers) > 20)
        coming = replica("digits", "beta", "3.onnx").create()
        coming.wait_for("Serving", "True")

        leaving.patch(draining=True, successors=[new.address])
        leaving.wait_for("Draining", "True", "Drained", 10.0)
        assert old.ask("/v2/models/digits/ready") == 503, "nobody new should come"
        assert old.ask("/v2/health/ready") == 200, "the node itself goes on"
        eventually(lambda: stream.answers[-1] == 3.0)

        leaving.delete()
        seen = len(stream.answers)
        eventually(lambda: len(stream.answers) > seen + 20)
    finally:
        stream.stop()
    assert stream.errors == []
    assert sorted(set(stream.answers)) == [2.0, 3.0]
    assert stream.answers == sorted(stream.answers), "no way back"
    eventually(lambda: coming.status().get("figures", {}).get("good", 0) > 20, 20.0)
    assert infer(old.address, f"digits.{leaving.namespace}") == 3.0, "connections that are kept may send for a while"


def test_without_successors_it_answers_itself_until_it_is_deleted(agent, replica, infer, eventually):
    it = agent("alpha")
    one = replica("digits", "alpha", "2.onnx").create()
    one.wait_for("Serving", "True")
    one.patch(draining=True)
    one.wait_for("Draining", "True", "Drained", 10.0)
    assert infer(it.address, "digits") == 2.0
    one.patch(draining=False)
    one.wait_for("Draining", "False", seconds=10.0)
    eventually(lambda: it.ask("/v2/models/digits/ready") == 200)


def test_what_was_never_loaded_drains_at_once(agent, replica, eventually):
    agent("alpha")
    one = replica("digits", "alpha", "nowhere.onnx").create()
    one.wait_for("Loaded", "False", "ModelNotFound")
    one.patch(draining=True)
    one.wait_for("Draining", "True", "Drained", 10.0)


def test_a_replica_that_is_made_again_is_another_one(agent, replica, eventually):
    it = agent("alpha")
    one = replica("digits", "alpha", "2.onnx").create()
    one.wait_for("Serving", "True")
    one.patch(draining=True)
    one.wait_for("Draining", "True", "Drained", 10.0)
    one.delete()
    one.create()
    one.wait_for("Draining", "False")
    one.wait_for("Loaded", "True")
    assert one.status()["observedGeneration"] == 1
    assert it.ask("/v2/models/digits/ready") == 200


def test_sigterm_ends_it_in_order(agent, replica, infer_by, eventually, cluster):
    it = agent("alpha", options=("--leave-seconds", "2"))  # no operator is there that would move what it serves
    one = replica("digits", "alpha", "2.onnx").create()
    one.wait_for("Serving", "True")
    stream = Stream(it.address, "digits", infer_by)
    try:
        eventually(lambda: len(stream.answers) > 20)
        assert it.program.stop() == 0
    finally:
        stream.stop()
    assert set(stream.answers) == {2.0}
    refused = [error for error in stream.errors if not isinstance(error, ConnectionError)]
    assert not refused, "what was accepted was answered; afterwards nobody listens"
    assert not cluster.exists("lease", "treadle-node-alpha", "-n", SYSTEM)
    assert not it.is_ready()

    it.program.start()  # and comes back, with what it was assigned
    it.wait_until_ready()
    eventually(lambda: it.ask("/v2/models/digits/ready") == 200)
    one.wait_for("Serving", "True")
