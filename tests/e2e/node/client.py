"""A Pod that calls tenants, as any program in the cluster would: at their Service's address. No drain takes it."""

from __future__ import annotations

import inspect
import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from bed.cluster import Cluster
from node import caller

NAMESPACE = "clients"
NAME = "client"
TOKEN = {"serviceAccountToken": {"audience": "treadle.dev", "path": caller.TOKEN.name}}
WORKLOAD = f"daemonset/{NAME}"
ENDING = 60.0  # seconds for the last requests to be answered


@dataclass
class Outcome:
    """What came of a load, once it has ended: requests answered, the longest in seconds, and what went wrong."""

    answered: int = 0
    longest: float = 0.0
    wrong: list[str] = field(default_factory=list)


class Client:
    """One, of an image that has Python."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    @classmethod
    def started(cls, cluster: Cluster, image: str) -> Client:
        """Make the Pod, and wait until it runs."""
        cluster.kubectl("create", "namespace", NAMESPACE)
        cluster.apply(_daemon_set(image))
        cluster.kubectl("rollout", "status", WORKLOAD, "-n", NAMESPACE, "--timeout=60s", seconds=90.0)
        return cls(cluster)

    def ask(self, host: str, tenant: str) -> list[float]:
        """What a tenant makes of 1, 2, 3, 4, once it answers.

        Raises:
            KubectlError: it does not.
        """
        data: list[float] = json.loads(self._cluster.kubectl(*_calling(host, tenant, "soon")))
        return data

    def connects(self, host: str) -> float:
        """Connect to port 80 of a host, and return how long that took, in seconds.

        Raises:
            KubectlError: it was not done within caller.PATIENCE.
        """
        return float(self._cluster.kubectl(*_calling(host, "", "connects")))

    @contextmanager
    def load(self, host: str, tenant: str) -> Iterator[Outcome]:
        """Requests to a tenant, for as long as the context lasts; the outcome is there once it has ended."""
        outcome = Outcome()
        command: list[str | Path] = [self._cluster.kubectl_binary, *_calling(host, tenant, "until-told")]
        environment = self._cluster.environment()
        pipe = subprocess.PIPE
        with subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as sending:
            try:
                yield outcome
                said, errors = sending.communicate(timeout=ENDING)
            finally:
                sending.kill()
        assert sending.returncode == 0, errors
        found = json.loads(said)
        outcome.answered, outcome.longest, outcome.wrong = found["answered"], found["longest"], found["wrong"]


def let_in(cluster: Cluster, namespace: str) -> None:
    """Give the client the right to call the tenants of a namespace, as docs/auth.md has it."""
    account = f"--serviceaccount={NAMESPACE}:default"
    cluster.kubectl("create", "rolebinding", NAME, "-n", namespace, "--clusterrole=treadle-infer", account)


def running(script: ModuleType, *words: str) -> list[str]:
    """kubectl's words that run a script of the standard library's in the Pod."""
    return ["exec", WORKLOAD, "-n", NAMESPACE, "-i", "--", "python", "-c", inspect.getsource(script), *words]


def _calling(host: str, tenant: str, how: str) -> list[str]:
    return running(caller, host, tenant, how)


def _daemon_set(image: str) -> dict[str, Any]:
    labels = {"app": NAME}
    pod = {
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 1,
        "volumes": [{"name": "treadle", "projected": {"sources": [TOKEN]}}],
        "containers": [
            {
                "name": NAME,
                "image": image,
                "command": ["sleep", "infinity"],
                "volumeMounts": [{"name": "treadle", "mountPath": str(caller.TOKEN.parent), "readOnly": True}],
            }
        ],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": NAME, "namespace": NAMESPACE},
        "spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": pod}},
    }
